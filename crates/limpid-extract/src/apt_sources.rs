//! apt's sources, the last resort: which archive an image installs from, and which suite of it.
//!
//! Source of truth: sources.list(5). `etc/apt/sources.list` and `sources.list.d/*.list` hold lines, `*.sources`
//! deb822 stanzas; both forms are tried on any file, since a link may carry either under another name. Only
//! binary sources (`deb`) that are enabled count. An archive is told by a path segment of its URI (`debian`,
//! `ubuntu`, …) or else by its suite; the archives of third parties are passed over.
//!
//! The record is a distribution with an id and, where the suite says it, a code name: `sid` for unstable,
//! `testing` where nothing says which. Suites that move (`stable`) name none.

use limpid_model::{Distribution, Record};

use crate::deb822::Stanzas;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor};
use crate::releases;

/// sources.list and its directory.
#[derive(Debug)]
pub(crate) struct AptSources;

impl Extractor for AptSources {
    fn name(&self) -> &'static str {
        "apt-sources"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Some lines; a stanza may hold a key.
    fn limit(&self) -> u64 {
        256 << 10
    }

    fn reads(&self, path: &str) -> bool {
        path == "etc/apt/sources.list"
            || path.strip_prefix("etc/apt/sources.list.d/").is_some_and(|name| {
                !name.contains('/') && (name.ends_with(".list") || name.ends_with(".sources"))
            })
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("etc/apt/sources.list"), Anchor::Directory("etc/apt/sources.list.d")]
    }

    fn sample_name(&self) -> &'static str {
        "x.list"
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let text = String::from_utf8_lossy(content);
        let mut choice = Distribution::default();
        for line in text.lines() {
            if let Some((uri, suite)) = one_line_source(line) {
                weigh(&mut choice, uri, suite);
            }
        }
        let wanted = ["Types", "URIs", "Suites", "Enabled"];
        for stanza in Stanzas::new(content, wanted) {
            let [types, uris, suites, enabled] = stanza.values.map(Option::unwrap_or_default);
            let disabled = ["no", "false", "without", "off", "disable", "0"];
            if disabled.contains(&enabled.to_ascii_lowercase().as_str())
                || !types.split_whitespace().any(|kind| kind == "deb")
            {
                continue;
            }
            let uri = uris.split_whitespace().next().unwrap_or_default();
            for suite in suites.split_whitespace() {
                weigh(&mut choice, uri, suite);
            }
        }
        Ok(Record::Distribution(choice).into())
    }
}

/// `deb [options] URI SUITE [COMPONENT...]`. A cdrom's URI has blanks in square brackets.
fn one_line_source(line: &str) -> Option<(&str, &str)> {
    let line = line.split_once('#').map_or(line, |(line, _)| line);
    let rest = line.trim_start().strip_prefix("deb")?;
    let mut rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    if let Some(options) = rest.strip_prefix('[') {
        rest = options.split_once(']')?.1.trim_start();
    }
    let mut in_brackets = false;
    let end = rest.find(|c: char| {
        in_brackets = (in_brackets || c == '[') && c != ']';
        c.is_whitespace() && !in_brackets
    })?;
    Some((&rest[..end], rest[end..].split_whitespace().next()?))
}

/// Takes a source into account. The first archive and its first suite count, but any mention of unstable
/// outweighs testing: with both configured, packages may come from unstable, and advisories for unstable speak
/// for the older packages of testing too.
fn weigh(choice: &mut Distribution, uri: &str, suite: &str) {
    let Some((id, code_name)) = archive(uri, suite) else { return };
    if choice.id.is_empty() {
        choice.id = id.to_owned();
    }
    if choice.id == id && (choice.code_name.is_empty() || code_name == "sid") {
        choice.code_name = code_name;
    }
}

fn archive(uri: &str, suite: &str) -> Option<(&'static str, String)> {
    let suite = suite.to_ascii_lowercase();
    let base = suite.split(['/', '-']).next().unwrap_or_default();
    let by_uri = uri.split(['/', ']']).find_map(|segment| match segment {
        "debian" | "debian-security" | "debian-archive" | "debian-ports" => Some("debian"),
        "ubuntu" | "ubuntu-ports" => Some("ubuntu"),
        "kali" => Some("kali"),
        "raspbian" => Some("raspbian"),
        _ => None,
    });
    let by_suite = || {
        if base == "sid" || releases::debian_version(base).is_some() {
            Some("debian")
        } else {
            releases::ubuntu_version(base).map(|_| "ubuntu")
        }
    };
    let id = by_uri.or_else(by_suite)?;
    let code_name = match (id, base) {
        _ if suite.contains("backports") => "",
        ("debian", "sid" | "unstable") => "sid",
        ("debian", "testing") => "testing",
        ("debian", name) if releases::debian_version(name).is_some() => name,
        ("ubuntu", name) if releases::ubuntu_version(name).is_some() => name,
        _ => "",
    };
    Some((id, code_name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let Record::Distribution(found) = AptSources.extract("", text.as_bytes()).unwrap().record else {
            panic!("a distribution")
        };
        format!("{} {}", found.id, found.code_name)
    }

    #[test]
    fn lines() {
        assert_eq!(read("deb http://mirror.example/debian wheezy main\n"), "debian wheezy");
        assert_eq!(
            read("# deb http://m.example/debian sid main\ndeb-src http://m.example/debian sid main"),
            " "
        );
        assert_eq!(read("deb [arch=amd64 signed-by=/k] http://m.example/debian sid main # x"), "debian sid");
        assert_eq!(read("deb http://m.example/debian testing main"), "debian testing");
        assert_eq!(read("deb http://m.example/debian stable main"), "debian ");
        assert_eq!(read("deb http://m.example/ wheezy/updates main"), "debian wheezy");
        assert_eq!(read("deb http://m.example/x precise-security main"), "ubuntu precise");
        assert_eq!(read("deb http://m.example/kali kali-rolling main"), "kali ");
        assert_eq!(read("deb http://m.example/repo nodistro main"), " ");
        assert_eq!(read("deb cdrom:[Debian GNU/Linux 7.0 - x]/ wheezy main"), "debian wheezy");
        assert_eq!(read("deb http://m.example/debian bookworm-backports main"), "debian ");
    }

    #[test]
    fn unstable_outweighs_testing() {
        let both = "deb http://m.example/debian forky main\ndeb http://m.example/debian unstable main\n";
        assert_eq!(read(both), "debian sid");
    }

    #[test]
    fn stanzas() {
        let text = "Types: deb\n# note\nURIs: http://m.example/debian\nSuites: unstable\nComponents: main\n";
        assert_eq!(read(text), "debian sid");
        assert_eq!(read(&format!("{text}Enabled: no\n")), " ");
        assert_eq!(read("Types: deb-src\nURIs: http://m.example/debian\nSuites: sid\n"), " ");
        let two = "Types: deb\nURIs: http://m.example/ubuntu/\nSuites: noble noble-updates\n";
        assert_eq!(read(two), "ubuntu noble");
    }
}
