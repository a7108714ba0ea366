//! Debian's notices: the lists of DSAs (the Security Team's) and DLAs (the LTS team's), for the releases that
//! the Security Tracker's JSON no longer carries.
//!
//! Source of truth: `data/DSA/list` and `data/DLA/list` of the Security Tracker's repository, and its
//! documentation, <https://security-team.debian.org/security_tracker.html>. A notice is a head and indented lines:
//!
//! ```text
//! [27 Jan 2015] DSA-3142-1 eglibc - security update
//!         {CVE-2012-6656 CVE-2014-6040 CVE-2014-7817 CVE-2015-0235}
//!         [wheezy] - eglibc 2.13-38+deb7u7
//! ```
//!
//! Each CVE becomes an advisory with the notice beside each fix; a notice that names no CVE becomes an advisory
//! of its own. In place of a version stands `<not-affected>`, `<unfixed>`, `<end-of-life>`, or a word of the
//! tracker's. If several notices name a CVE for one package and release, the earlier fixes were not whole.
//!
//! New notices are put at the top. A list that does not reach down to its first one was cut, and is refused.
//!
//! The lists know what was announced and nothing else: a CVE that no notice names may be open.
//! Left out: releases that the tracker carries (its word is newer and says more), `NOTE` lines, notices that
//! announce no vulnerability (a regression repaired, a new time zone database), and DTSAs, whose releases were
//! never stable.

use std::io::{BufRead, Read};

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, PackageKind};

use crate::debian_release::{has_notices_alone, is_tracked, release_of_code_name};
use crate::decode::decoded;
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::limits::Limits;

/// The Security Team's notices, for regular support.
pub const DEBIAN_DSA: DebianNotices = DebianNotices {
    name: "debian-dsa",
    prefix: "DSA-",
    channel: "",
    oldest: 4,
    first: "DSA-135",
    url: "https://salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data/DSA/list",
};

/// The LTS team's notices.
pub const DEBIAN_DLA: DebianNotices = DebianNotices {
    name: "debian-dla",
    prefix: "DLA-",
    channel: "lts",
    oldest: 6,
    first: "DLA-0001-1",
    url: "https://salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data/DLA/list",
};

/// Words in the title of a notice without CVEs that announces no vulnerability.
const NO_VULNERABILITY: [&str; 8] = [
    "regression",
    "new upstream version",
    "new timezone database",
    "bugfix",
    "crash fix",
    "database update",
    "new package",
    "version number correction",
];

/// One of Debian's lists of notices.
#[derive(Debug, Clone, Copy)]
pub struct DebianNotices {
    name: &'static str,
    prefix: &'static str,
    channel: &'static str,
    /// The oldest release that it is asked for.
    oldest: u32,
    /// The notice that the list ends with, for new ones are put at the top. Without it the list was cut.
    first: &'static str,
    url: &'static str,
}

impl Feed for DebianNotices {
    fn name(&self) -> &'static str {
        self.name
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        has_notices_alone(release, self.oldest)
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("list", self.url)]
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let mut emitter = Emitter::new(document, limits, sink);
        let unreadable = |source| FeedError::Read { document: document.name.clone(), source };
        let mut input = decoded(input, limits).map_err(unreadable)?;
        let mut notice: Option<Notice> = None;
        let (mut line, mut offset, mut is_whole) = (Vec::new(), 0, false);
        loop {
            line.clear();
            let limit = limits.record_bytes_max as u64;
            input.by_ref().take(limit + 1).read_until(b'\n', &mut line).map_err(unreadable)?;
            if line.len() as u64 > limit {
                return Err(emitter.too_large("bytes in one line", limit));
            }
            if line.is_empty() {
                break;
            }
            offset += line.len() as u64;
            let text = String::from_utf8_lossy(&line);
            if text.starts_with('[') {
                if let Some(done) = notice.take() {
                    self.emit(done, &mut emitter)?;
                }
                emitter.record()?;
                notice = self.head(text.trim());
                is_whole |= notice.as_ref().is_some_and(|notice| notice.id == self.first);
                if notice.is_none() {
                    emitter.skip("notice has no id");
                }
            } else if let Some(reason) = self.detail(text.trim(), notice.as_mut(), limits) {
                emitter.skip(reason);
            }
        }
        if let Some(done) = notice {
            self.emit(done, &mut emitter)?;
        }
        if !is_whole {
            let reason = format!("it ends before {}, the first notice that there was", self.first);
            return Err(emitter.malformed(offset, reason));
        }
        emitter.finish(false)
    }
}

/// A notice as its lines are read.
#[derive(Debug, Default)]
struct Notice {
    id: String,
    /// Day of the notice, RFC 3339, empty if it is no date.
    date: String,
    title: String,
    vulnerabilities: Vec<String>,
    rows: Vec<Affected>,
    /// Whether it speaks of a release that is left out.
    speaks_of_others: bool,
}

impl DebianNotices {
    /// `[27 Jan 2015] DSA-3142-1 eglibc - security update`
    fn head(&self, line: &str) -> Option<Notice> {
        let (date, rest) = line.strip_prefix('[')?.split_once(']')?;
        let rest = rest.trim_start();
        let (id, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let number = id.strip_prefix(self.prefix)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return None;
        }
        let title = rest.split_once(" - ").map_or(rest, |(_, title)| title);
        Some(Notice {
            id: id.to_owned(),
            date: day(date).unwrap_or_default(),
            title: title.trim().to_owned(),
            ..Notice::default()
        })
    }

    /// Takes in an indented line, or says why not.
    fn detail(&self, line: &str, notice: Option<&mut Notice>, limits: &Limits) -> Option<&'static str> {
        if line.is_empty() || line.starts_with("NOTE:") {
            return None;
        }
        let Some(notice) = notice else { return Some("line belongs to no notice") };
        if let Some(ids) = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')) {
            let room = limits.ids_per_record_max.saturating_sub(notice.vulnerabilities.len());
            notice.vulnerabilities.extend(ids.split_whitespace().take(room).map(str::to_owned));
            return None;
        }
        let Some((code_name, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) else {
            return Some("line is not of the known shape");
        };
        let Some(release) = release_of_code_name(code_name) else {
            return Some("release is not known");
        };
        if is_tracked(&release) {
            notice.speaks_of_others = true;
            return Some("release is the Security Tracker's");
        }
        let mut words = rest.split_whitespace();
        let (Some("-"), Some(package), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Some("line is not of the known shape");
        };
        let Some(state) = state(version) else { return Some("state is not known") };
        if notice.rows.len() >= limits.ids_per_record_max {
            return Some("notice has too many lines");
        }
        let note = words.collect::<Vec<_>>().join(" ");
        let mut state_word = if state == AffectedState::Fixed { &notice.title } else { version }.to_owned();
        if !note.is_empty() {
            state_word = format!("{state_word} {note}");
        }
        notice.rows.push(Affected {
            package: package.to_owned(),
            package_kind: PackageKind::Source,
            release,
            channel: self.channel.to_owned(),
            state,
            fixed: if state == AffectedState::Fixed { version.to_owned() } else { String::new() },
            notice: notice.id.clone(),
            state_word,
            ..Affected::default()
        });
        None
    }

    fn emit(&self, notice: Notice, emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
        if *notice.date > *emitter.summary.date {
            emitter.summary.date.clone_from(&notice.date);
        }
        if notice.rows.is_empty() {
            if !notice.speaks_of_others {
                emitter.skip("notice names no package");
            }
            return Ok(());
        }
        let title = notice.title.to_ascii_lowercase();
        let (ids, published) = if !notice.vulnerabilities.is_empty() {
            (notice.vulnerabilities, String::new())
        } else if NO_VULNERABILITY.iter().any(|words| title.contains(words)) {
            emitter.skip("notice announces no vulnerability");
            return Ok(());
        } else {
            (vec![notice.id], notice.date)
        };
        for id in ids {
            for _ in &notice.rows {
                emitter.record()?;
            }
            let links = vec![format!("https://security-tracker.debian.org/tracker/{id}")];
            emitter.emit(Advisory {
                id,
                details: AdvisoryDetails {
                    links,
                    published: published.clone(),
                    ..AdvisoryDetails::default()
                },
                affected: notice.rows.clone(),
            })?;
        }
        Ok(())
    }
}

/// What stands where the fixed version does. A version begins with a digit or a letter, never with a bracket.
fn state(word: &str) -> Option<AffectedState> {
    Some(match word {
        "<not-affected>" => AffectedState::NotAffected,
        "<unfixed>" | "<no-dsa>" => AffectedState::Open,
        "<end-of-life>" => AffectedState::EndOfLife,
        "<undetermined>" => AffectedState::Undetermined,
        "<postponed>" => AffectedState::Deferred,
        "<ignored>" => AffectedState::WillNotFix,
        version if version.starts_with(|first: char| first.is_ascii_alphanumeric()) => AffectedState::Fixed,
        _ => return None,
    })
}

/// `27 Jan 2015` as RFC 3339.
fn day(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_whitespace();
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let day: u8 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year: u16 = year.parse().ok().filter(|year| (1990..2200).contains(year))?;
    Some(format!("{year}-{month:02}-{day:02}T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(feed: DebianNotices, text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let mut found = Vec::new();
        let document = Document::new("list", "");
        let summary = feed.parse(&document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
            found.push(advisory);
            Ok(())
        })?;
        Ok((found, summary))
    }

    const LIST: &str = "\
[29 Mar 2023] DSA-5380-1 xorg-server - security update
\t{CVE-2023-1393}
\t[bullseye] - xorg-server 2:1.20.11-1+deb11u6
[28 Jan 2015] DSA-3142-2 eglibc - regression update
\t[wheezy] - eglibc 2.13-38+deb7u8
[27 Jan 2015] DSA-3142-1 eglibc - security update
        {CVE-2014-7817  CVE-2015-0235 }
\tNOTE: GHOST
\t[wheezy] - eglibc  2.13-38+deb7u7
\t[squeeze] - eglibc <not-affected> (Vulnerable code not present)
\t[nobody] - eglibc 1
[16 Apr 2014] DSA-2907-1 squeeze end-of-life
[05 Aug 2002] DSA-143 krb5 - integer overflow
\t[woody] - krb5 1.2.4-5woody1
\t[jessie] - virtualbox <end-of-life>
\t[jessie] - virtualbox <strange>
[no day] NOTICE
[02 Jul 2002] DSA-135 libapache-mod-ssl -- buffer overflow / DoS
";

    #[test]
    fn a_notice_becomes_what_it_says_of_each_cve() {
        let (found, summary) = parse(DEBIAN_DSA, LIST).unwrap();
        let said: Vec<String> = found
            .iter()
            .flat_map(|advisory| advisory.affected.iter().map(move |row| (advisory, row)))
            .map(|(advisory, row)| {
                let (state, fixed) = (format!("{:?}", row.state), &row.fixed);
                format!(
                    "{} {} {} {state} {fixed} {}; {}",
                    advisory.id, row.release, row.package, row.notice, row.state_word
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                "CVE-2014-7817 debian:7 eglibc Fixed 2.13-38+deb7u7 DSA-3142-1; security update",
                "CVE-2014-7817 debian:6 eglibc NotAffected  DSA-3142-1; <not-affected> (Vulnerable code not present)",
                "CVE-2015-0235 debian:7 eglibc Fixed 2.13-38+deb7u7 DSA-3142-1; security update",
                "CVE-2015-0235 debian:6 eglibc NotAffected  DSA-3142-1; <not-affected> (Vulnerable code not present)",
                "DSA-143 debian:3.0 krb5 Fixed 1.2.4-5woody1 DSA-143; integer overflow",
                "DSA-143 debian:8 virtualbox EndOfLife  DSA-143; <end-of-life>",
            ]
        );
        let skipped: Vec<(&str, u64)> =
            summary.skipped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        assert_eq!(
            skipped,
            [
                ("notice announces no vulnerability", 1),
                ("notice has no id", 1),
                ("notice names no package", 2),
                ("release is not known", 1),
                ("release is the Security Tracker's", 1),
                ("state is not known", 1),
            ]
        );
        assert_eq!(summary.date, "2023-03-29T00:00:00Z");
    }

    #[test]
    fn each_list_is_a_channel_and_knows_its_own_notices() {
        let list = LIST.replace("DSA-", "DLA-").replace("DLA-135", "DLA-0001-1");
        let (found, _) = parse(DEBIAN_DLA, &list).unwrap();
        assert!(found.iter().flat_map(|advisory| &advisory.affected).all(|row| row.channel == "lts"));
        for text in [list.as_str(), "<html>Sign in</html>", &LIST[..LIST.len() - 80]] {
            assert!(matches!(parse(DEBIAN_DSA, text), Err(FeedError::Malformed { .. })), "{text}");
        }
        assert!(
            DEBIAN_DSA.covers("debian:7")
                && DEBIAN_DLA.covers("debian:10")
                && !DEBIAN_DSA.covers("debian:11")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(lines in proptest::collection::vec(r"(\[[^\n]{0,20}\] DSA-1 |\t\{|\t\[wheezy\] - )?[^\n]{0,40}", 0..12)) {
            let _ = parse(DEBIAN_DSA, &lines.join("\n"));
        }
    }
}
