//! Ubuntu: Canonical's OSV records, all of them in one archive.
//!
//! Source of truth: Canonical's own records, <https://documentation.ubuntu.com/security/security-updates/osv/>.
//! They are made from the Ubuntu CVE Tracker, several times a day. Of the forms in which Canonical publishes it,
//! this is the one that says of every release and of each channel of Ubuntu Pro what is fixed and what is open,
//! in a single conditional request. OVAL is a file for each release and channel and is the old form; VEX speaks
//! of every binary package in every version and has no priorities; USNs tell only what was fixed; the tracker
//! itself has the reasons too, but must be cloned with all its history.
//!
//! | record | becomes |
//! |---|---|
//! | `UBUNTU-CVE-…` | an advisory with the CVE's own id |
//! | `USN-…` that names CVEs | nothing: their own records say the same, and link the notice |
//! | `USN-…` that names none | an advisory of its own id |
//! | `LSN-…` | nothing: a live patch is no package |
//!
//! A range with a fix is fixed; without one it is open, unless the record carries the tracker's own word:
//! `needs-triage` is undetermined, `deferred` and `ignored` are what they say. A package that the tracker calls not
//! affected in all its versions, or that a release does not have, is not in the records at all.
//!
//! Left out: `versions` (the ranges say the same) and the lists of binary packages (rules go by the source package).

use std::borrow::Cow;
use std::io::Read;

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, Cvss, PackageKind, Severity};
use serde::Deserialize;

use crate::archive::Archive;
use crate::error::FeedError;
use crate::feed::{Document, Emitter, Feed, ParseSummary, Sink};
use crate::limits::Limits;

const URL: &str = "https://security-metadata.canonical.com/osv/osv-all.tar.xz";
const NOTICE: &str = "https://ubuntu.com/security/notices/";
/// Words of channels are short; whatever is longer is none.
const CHANNEL_BYTES_MAX: usize = 40;

/// Canonical's OSV records, for every release and channel.
#[derive(Debug, Clone, Copy)]
pub struct UbuntuOsv;

impl Feed for UbuntuOsv {
    fn name(&self) -> &'static str {
        "ubuntu"
    }

    fn parser_version(&self) -> u32 {
        1
    }

    fn covers(&self, release: &str) -> bool {
        release.strip_prefix("ubuntu:").is_some_and(is_version)
    }

    fn all_documents(&self) -> Vec<Document> {
        vec![Document::new("osv", URL)]
    }

    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError> {
        let mut emitter = Emitter::new(document, limits, sink);
        let input = document.decoded(input, limits)?;
        let mut archive = Archive::new(input, &document.name, limits);
        let mut content = Vec::new();
        while let Some(name) = archive.next_file(&mut content)? {
            if !name.ends_with(".json") {
                continue;
            }
            emitter.record()?;
            match serde_json::from_slice::<Record<'_>>(&content) {
                Ok(record) => advisory(record, &mut emitter)?,
                Err(_) => emitter.skip("record is not of the known shape"),
            }
        }
        emitter.finish(false)
    }
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    upstream: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    related: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    aliases: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    details: Cow<'a, str>,
    #[serde(borrow, default)]
    published: Cow<'a, str>,
    #[serde(borrow, default)]
    modified: Cow<'a, str>,
    #[serde(borrow, default)]
    withdrawn: Cow<'a, str>,
    #[serde(borrow, default)]
    severity: Vec<Score<'a>>,
    #[serde(borrow, default)]
    references: Vec<Reference<'a>>,
    #[serde(borrow, default)]
    affected: Vec<Said<'a>>,
}

#[derive(Deserialize)]
struct Score<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    score: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    package: Package<'a>,
    #[serde(borrow, default)]
    ranges: Vec<Range<'a>>,
    #[serde(borrow, default)]
    ecosystem_specific: Specific<'a>,
}

#[derive(Deserialize)]
struct Package<'a> {
    #[serde(borrow)]
    ecosystem: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    purl: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Range<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    introduced: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    fixed: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
struct Specific<'a> {
    #[serde(borrow, default)]
    ubuntu_priority: Cow<'a, str>,
    #[serde(borrow, default)]
    uct_status: Cow<'a, str>,
}

fn advisory(record: Record<'_>, emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
    if let Some(reason) = why_left_out(&record) {
        emitter.skip(reason);
        return Ok(());
    }
    let word = record.severity.iter().find(|score| score.kind == "Ubuntu");
    let word = word.map(|score| score.score.clone().into_owned());
    let word = word
        .or_else(|| record.affected.first().map(|said| said.ecosystem_specific.ubuntu_priority.to_string()));
    let word = word.unwrap_or_default();
    let notice = only_notice(&record.references);
    let mut affected = Vec::with_capacity(record.affected.len().min(64));
    for said in &record.affected {
        emitter.record()?;
        rows(said, &word, notice, &mut affected).unwrap_or_else(|reason| emitter.skip(reason));
    }
    if affected.is_empty() {
        emitter.skip("record says nothing of any package");
        return Ok(());
    }
    affected.sort();
    affected.dedup();
    let id = record.id.strip_prefix("UBUNTU-").unwrap_or(&record.id);
    let names = [&record.id].into_iter().chain(&record.upstream).chain(&record.aliases);
    let names = names.filter(|name| **name != id).take(emitter.limits.ids_per_record_max);
    let mut aliases: Vec<String> = names.map(|name| name.clone().into_owned()).collect();
    aliases.sort();
    aliases.dedup();
    if *record.modified > *emitter.summary.date {
        emitter.summary.date = record.modified.to_string();
    }
    let scores = record.severity.iter().filter(|score| score.kind.starts_with("CVSS"));
    emitter.emit(Advisory {
        id: id.to_owned(),
        details: AdvisoryDetails {
            aliases,
            severity: severity(&word),
            severity_word: word,
            cvss: scores.map(|score| Cvss::own(&score.score)).collect(),
            weaknesses: Vec::new(),
            exploited: None,
            links: record.references.into_iter().map(|reference| reference.url.into_owned()).collect(),
            published: record.published.into_owned(),
            modified: record.modified.into_owned(),
            description: record.details.into_owned(),
            withdrawn: String::new(),
        },
        affected,
    })
}

fn why_left_out(record: &Record<'_>) -> Option<&'static str> {
    let mut names = record.upstream.iter().chain(&record.related).chain(&record.aliases);
    if record.id.is_empty() {
        Some("record has no id")
    } else if !record.withdrawn.is_empty() {
        Some("withdrawn")
    } else if record.id.starts_with("LSN-") {
        Some("notice of a live patch, which is no package")
    } else if record.id.starts_with("USN-") && names.any(|name| name.starts_with("CVE-")) {
        Some("notice whose vulnerabilities have records of their own")
    } else {
        None
    }
}

/// The notice that brought the fix. Where several are linked, the record does not say which brought which.
fn only_notice<'a>(references: &'a [Reference<'_>]) -> &'a str {
    let mut notices = references.iter().filter_map(|reference| reference.url.strip_prefix(NOTICE));
    match (notices.next(), notices.next()) {
        (Some(notice), None) if notice.starts_with("USN-") => notice.trim_end_matches('/'),
        _ => "",
    }
}

/// Adds what `said` says, one row a range; or why it says nothing.
fn rows(said: &Said<'_>, word: &str, notice: &str, rows: &mut Vec<Affected>) -> Result<(), &'static str> {
    let Some((release, channel)) = release(&said.package.ecosystem, &said.package.purl) else {
        return Err("ecosystem is no release of Ubuntu");
    };
    if said.package.name.is_empty() {
        return Err("package has no name");
    }
    let specific = &said.ecosystem_specific;
    let status = &*specific.uct_status;
    let own_priority = !specific.ubuntu_priority.is_empty() && *specific.ubuntu_priority != *word;
    let one = |state, introduced: &str, fixed: &str| Affected {
        package: said.package.name.to_string(),
        package_kind: PackageKind::Source,
        release: release.clone(),
        channel: channel.clone(),
        state,
        introduced: if introduced == "0" { String::new() } else { introduced.to_owned() },
        fixed: fixed.to_owned(),
        notice: if matches!(status, "released" | "") && !fixed.is_empty() { notice } else { "" }.to_owned(),
        state_word: match status {
            "" if fixed.is_empty() => "not fixed".to_owned(),
            "" => "fixed".to_owned(),
            status => status.to_owned(),
        },
        severity: own_priority.then(|| severity(&specific.ubuntu_priority)),
        severity_word: if own_priority { specific.ubuntu_priority.to_string() } else { String::new() },
        ..Affected::default()
    };
    let before = rows.len();
    for range in said.ranges.iter().filter(|range| range.kind == "ECOSYSTEM") {
        let mut since: Option<&str> = None;
        for event in &range.events {
            if event.introduced.is_none() && event.fixed.is_none() {
                return Err("range has an event of another kind");
            }
            since = event.introduced.as_deref().or(since);
            if let Some(version) = &event.fixed {
                rows.push(one(AffectedState::Fixed, since.take().unwrap_or("0"), version));
            }
        }
        if let Some(since) = since {
            rows.push(one(open_state(status), since, ""));
        }
    }
    if rows.len() == before { Err("package has no range of versions") } else { Ok(()) }
}

/// The tracker's words: <https://documentation.ubuntu.com/security/>, and the tracker's own README.
fn open_state(status: &str) -> AffectedState {
    match status {
        "needs-triage" => AffectedState::Undetermined,
        "deferred" => AffectedState::Deferred,
        "ignored" => AffectedState::WillNotFix,
        _ => AffectedState::Open,
    }
}

/// Ubuntu's priorities. `untriaged` claims nothing.
fn severity(word: &str) -> Severity {
    match word {
        "negligible" => Severity::Negligible,
        "low" => Severity::Low,
        "medium" => Severity::Medium,
        "high" => Severity::High,
        "critical" => Severity::Critical,
        _ => Severity::Unknown,
    }
}

/// `22.04`: two digits of the year, two of the month.
fn is_version(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, b'.', c, d] if [a, b, c, d].into_iter().all(u8::is_ascii_digit))
}

/// Release and channel of an ecosystem (`Ubuntu:24.04:LTS`, `Ubuntu:Pro:FIPS-updates:20.04:LTS`). What is more
/// than release and LTS is a channel: for Ubuntu Pro as such the pocket that the purl names, `esm` if it
/// names none.
pub(crate) fn release(ecosystem: &str, purl: &str) -> Option<(String, String)> {
    let mut parts = ecosystem.split(':');
    if parts.next() != Some("Ubuntu") || ecosystem.len() > 2 * CHANNEL_BYTES_MAX {
        return None;
    }
    let (mut version, mut is_pro, mut words) = (None, false, Vec::new());
    for part in parts {
        match part {
            "LTS" | "for" => {}
            "Pro" => is_pro = true,
            part if is_version(part) => version = Some(part),
            part => words.push(part.to_ascii_lowercase()),
        }
    }
    let channel = match (words.is_empty(), is_pro) {
        (false, _) => words.join("-"),
        (true, true) => pocket(purl).unwrap_or_else(|| "esm".to_owned()),
        (true, false) => String::new(),
    };
    Some((format!("ubuntu:{}", version?), channel))
}

/// `esm-infra` of `…?arch=source&distro=esm-infra/xenial`.
fn pocket(purl: &str) -> Option<String> {
    let (_, qualifiers) = purl.split_once('?')?;
    let distro = qualifiers.split('&').find_map(|qualifier| qualifier.strip_prefix("distro="))?;
    let distro = distro.replace("%2F", "/").replace("%2f", "/");
    let (pocket, _) = distro.split_once('/')?;
    let plain = pocket.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    (plain && pocket.starts_with("esm") && pocket.len() <= CHANNEL_BYTES_MAX).then(|| pocket.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::tar;

    fn parse(records: &[&str]) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
        let names: Vec<String> = (0..records.len()).map(|n| format!("osv/{n}.json")).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().zip(records).map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        std::io::Write::write_all(&mut xz, &tar(&files)).unwrap();
        let mut found = Vec::new();
        let summary = UbuntuOsv.parse(
            &Document::new("osv", URL),
            &mut xz.finish().unwrap().as_slice(),
            &Limits::default(),
            &mut |advisory| {
                found.push(advisory);
                Ok(())
            },
        )?;
        Ok((found, summary))
    }

    const RECORD: &str = r#"{"id":"UBUNTU-CVE-2021-1","upstream":["CVE-2021-1"],"details":"d","modified":"2024-02-16T23:42:43Z",
        "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N"},{"type":"Ubuntu","score":"medium"}],
        "references":[{"url":"https://ubuntu.com/security/notices/USN-1-1"}],"affected":[
        {"package":{"ecosystem":"Ubuntu:18.04:LTS","name":"a","purl":"pkg:deb/ubuntu/a?distro=bionic"},
         "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}],
         "ecosystem_specific":{"ubuntu_priority":"medium","uct_status":"ignored"}},
        {"package":{"ecosystem":"Ubuntu:Pro:18.04:LTS","name":"a","purl":"pkg:deb/ubuntu/a@1?arch=source&distro=esm-infra%2Fbionic"},
         "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1+esm1"}]}],"versions":["0.9"],
         "ecosystem_specific":{"ubuntu_priority":"low","binaries":[{"binary_name":"b"}]}},
        {"package":{"ecosystem":"Debian:12","name":"a"},"ranges":[]},
        {"package":{"ecosystem":"Ubuntu:23.10","name":"a"},"ranges":[{"type":"SEMVER","events":[]}]}]}"#;

    #[test]
    fn ranges_states_channels_and_priorities_are_read() {
        let (found, summary) = parse(&[RECORD]).unwrap();
        let advisory = &found[0];
        assert_eq!(advisory.id, "CVE-2021-1");
        assert_eq!(advisory.details.aliases, ["UBUNTU-CVE-2021-1"]);
        assert_eq!(advisory.details.severity, Severity::Medium);
        assert_eq!(advisory.details.cvss, [Cvss::own("CVSS:3.1/AV:N")]);
        let said: Vec<_> = advisory
            .affected
            .iter()
            .map(|a| (&*a.release, &*a.channel, a.state, &*a.fixed, &*a.notice, &*a.state_word, a.severity))
            .collect();
        assert_eq!(
            said,
            [
                ("ubuntu:18.04", "", AffectedState::WillNotFix, "", "", "ignored", None),
                (
                    "ubuntu:18.04",
                    "esm-infra",
                    AffectedState::Fixed,
                    "1+esm1",
                    "USN-1-1",
                    "fixed",
                    Some(Severity::Low)
                ),
            ]
        );
        assert_eq!(summary.skipped["ecosystem is no release of Ubuntu"], 1);
        assert_eq!(summary.skipped["package has no range of versions"], 1);
        assert_eq!(summary.date, "2024-02-16T23:42:43Z");
    }

    #[test]
    fn notices_are_left_out_where_their_vulnerabilities_speak_for_themselves() {
        let notice = |id: &str, related: &str| {
            RECORD.replace("UBUNTU-CVE-2021-1", id).replace(r#"["CVE-2021-1"]"#, related)
        };
        let records = [
            RECORD.to_owned(),
            notice("USN-1-1", r#"["CVE-2021-1"]"#),
            notice("USN-1-2", "[]"),
            notice("LSN-1-1", "[]"),
            RECORD.replacen('{', r#"{"withdrawn":"2024-01-01T00:00:00Z","#, 1),
            "{".to_owned(),
        ];
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let (found, summary) = parse(&records).unwrap();
        assert_eq!(found.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["CVE-2021-1", "USN-1-2"]);
        let left_out = summary
            .skipped
            .iter()
            .filter(|(reason, _)| !reason.starts_with("ecosystem") && !reason.starts_with("package"));
        assert_eq!(left_out.map(|(_, count)| *count).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert!(matches!(parse(&["{}"]), Err(FeedError::Empty { .. })));
    }

    #[test]
    fn ecosystems_are_releases_and_channels() {
        for (ecosystem, purl, expected) in [
            ("Ubuntu:24.04:LTS", "", Some(("ubuntu:24.04", ""))),
            ("Ubuntu:25.10", "", Some(("ubuntu:25.10", ""))),
            ("Ubuntu:Pro:14.04:LTS", "p?distro=trusty", Some(("ubuntu:14.04", "esm"))),
            (
                "Ubuntu:Pro:14.04:LTS",
                "p?distro=esm-infra-legacy/trusty",
                Some(("ubuntu:14.04", "esm-infra-legacy")),
            ),
            (
                "Ubuntu:Pro:22.04:LTS",
                "p?arch=source&distro=esm-apps/jammy",
                Some(("ubuntu:22.04", "esm-apps")),
            ),
            ("Ubuntu:Pro:FIPS-updates:20.04:LTS", "", Some(("ubuntu:20.04", "fips-updates"))),
            ("Ubuntu:Pro:22.04:LTS:Realtime:Kernel", "", Some(("ubuntu:22.04", "realtime-kernel"))),
            ("Ubuntu:22.04:LTS:for:NVIDIA:BlueField", "", Some(("ubuntu:22.04", "nvidia-bluefield"))),
            ("Ubuntu", "", None),
            ("Ubuntu:LTS", "", None),
            ("Debian:12", "", None),
        ] {
            let found = release(ecosystem, purl);
            let found = found.as_ref().map(|(release, channel)| (release.as_str(), channel.as_str()));
            assert_eq!(found, expected, "{ecosystem}");
        }
        assert!(
            UbuntuOsv.covers("ubuntu:18.04") && !UbuntuOsv.covers("ubuntu") && !UbuntuOsv.covers("ubuntu:x")
        );
    }
}
