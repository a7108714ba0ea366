//! registries.conf: mirrors, what is blocked or insecure, short names.
//!
//! Source: containers-registries.conf(5), version 2 of the format, and the tables of version 1. Of several
//! files later ones win, entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::name::{DOCKER_HUB, Name, RepositoryName, is_host};
use super::{RegistryError, RegistryOptions};

/// Bytes of one file. Debian's list of aliases has fifteen thousand.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Mirrors of one registry, and registries to search: each may cost a time-out.
const CANDIDATES_MAX: usize = 32;

/// Where an image may be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: RepositoryName,
    pub(crate) insecure: bool,
    pub(crate) is_mirror: bool,
}

/// All files together.
#[derive(Debug, Default)]
pub(crate) struct Registries {
    search: Vec<String>,
    entries: BTreeMap<String, Registry>,
    aliases: BTreeMap<String, String>,
    pub(crate) credential_helpers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    #[serde(default)]
    registry: Vec<Registry>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    credential_helpers: Option<Vec<String>>,
    #[serde(default)]
    registries: Version1,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version1 {
    search: Listed,
    insecure: Listed,
    block: Listed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    registries: Vec<String>,
}

impl Registries {
    pub(crate) fn read(options: &RegistryOptions) -> Result<Self, RegistryError> {
        let mut all = Self::default();
        if let Some(path) = &options.registries_conf_required {
            all.add(path, &read(path)?.ok_or_else(|| error(path, "it is not there"))?)?;
            return Ok(all);
        }
        for path in &options.registries_conf {
            if let Some(text) = read(path)? {
                all.add(path, &text)?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), RegistryError> {
        let file: File = toml::from_str(text).map_err(|reason| error(path, reason.message()))?;
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        } else if !file.registries.search.registries.is_empty() {
            self.search = file.registries.search.registries;
        }
        if let Some(helpers) = file.credential_helpers {
            self.credential_helpers = helpers;
        }
        // An empty alias takes an earlier one back.
        self.aliases.extend(file.aliases);
        self.aliases.retain(|_, full| !full.is_empty());
        for mut entry in file.registry {
            if entry.prefix.is_empty() {
                entry.prefix.clone_from(&entry.location);
            }
            entry.prefix = entry.prefix.trim_end_matches('/').to_owned();
            let host = entry.prefix.split('/').next().unwrap_or_default();
            let is_wildcard = host.starts_with("*.");
            if !is_host(host.strip_prefix("*.").unwrap_or(host)) || (is_wildcard && host != entry.prefix) {
                return Err(error(path, format!("`{}` is no prefix of images' names", entry.prefix)));
            }
            if entry.location.is_empty() && !is_wildcard {
                entry.location.clone_from(&entry.prefix);
            }
            if entry.mirror.len() > CANDIDATES_MAX {
                return Err(error(
                    path,
                    format!("`{}` has more than {CANDIDATES_MAX} mirrors", entry.prefix),
                ));
            }
            self.entries.insert(entry.prefix.clone(), entry);
        }
        for host in file.registries.insecure.registries {
            self.entries.entry(host.clone()).or_insert_with(|| Registry::of(&host)).insecure = true;
        }
        for host in file.registries.block.registries {
            self.entries.entry(host.clone()).or_insert_with(|| Registry::of(&host)).blocked = true;
        }
        Ok(())
    }

    /// The repositories that a name may mean: one, unless it has no host and several are searched.
    pub(crate) fn meant(&self, name: &Name) -> Result<Vec<RepositoryName>, RegistryError> {
        if name.host.is_some() {
            return Ok(vec![name.on(DOCKER_HUB)]);
        }
        if let Some(full) = self.aliases.get(&name.path) {
            return Ok(vec![Name::parse(full)?.on(DOCKER_HUB)]);
        }
        if self.search.is_empty() {
            return Ok(vec![name.on(DOCKER_HUB)]);
        }
        let mut seen = BTreeSet::new();
        let searched = self.search.iter().filter(|host| is_host(host) && seen.insert(host.as_str()));
        Ok(searched.take(CANDIDATES_MAX).map(|host| name.on(host)).collect())
    }

    /// Where the repository may be had: its mirrors, then itself, each as its entry rewrites it.
    pub(crate) fn candidates(
        &self,
        name: &RepositoryName,
        by_digest: bool,
    ) -> Result<Vec<Candidate>, RegistryError> {
        let whole = name.to_string();
        let matching = self.entries.values().filter_map(|entry| Some((entry, entry.matches(&whole)?)));
        let Some((entry, length)) = matching.max_by_key(|(_, length)| *length) else {
            return Ok(vec![Candidate { name: name.clone(), insecure: false, is_mirror: false }]);
        };
        if entry.blocked {
            return Err(RegistryError::Blocked { name: whole, prefix: entry.prefix.clone() });
        }
        let rest = &whole[length..];
        let at = |location: &str| {
            let location = location.trim_end_matches('/');
            let found =
                if location.is_empty() { Some(name.clone()) } else { RepositoryName::at(location, rest) };
            found.ok_or_else(|| RegistryError::Configuration {
                path: "registries.conf".to_owned(),
                reason: format!("{whole} at `{location}` would not be a name"),
            })
        };
        let mut candidates = Vec::new();
        for mirror in &entry.mirror {
            let fits = match mirror.pull_from_mirror.as_str() {
                "digest-only" => by_digest,
                "tag-only" => !by_digest,
                _ => by_digest || !entry.mirror_by_digest_only,
            };
            if fits {
                let name = at(&mirror.location)?;
                candidates.push(Candidate { name, insecure: mirror.insecure, is_mirror: true });
            }
        }
        candidates.push(Candidate { name: at(&entry.location)?, insecure: entry.insecure, is_mirror: false });
        Ok(candidates)
    }
}

impl Registry {
    fn of(host: &str) -> Self {
        Self { prefix: host.to_owned(), location: host.to_owned(), ..Self::default() }
    }

    /// How much of a name the prefix covers.
    fn matches(&self, whole: &str) -> Option<usize> {
        if let Some(domain) = self.prefix.strip_prefix('*') {
            let host = whole.split('/').next().unwrap_or_default();
            return (host.ends_with(domain) && host.len() > domain.len()).then_some(host.len());
        }
        let rest = whole.strip_prefix(&self.prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(self.prefix.len())
    }
}

fn error(path: &Path, reason: impl std::fmt::Display) -> RegistryError {
    RegistryError::Configuration { path: path.display().to_string(), reason: reason.to_string() }
}

fn read(path: &Path) -> Result<Option<String>, RegistryError> {
    match fs::metadata(path) {
        Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(error(path, format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        _ => {}
    }
    fs::read_to_string(path).map(Some).map_err(|reason| error(path, reason))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use limpid_model::Digest;

    use super::*;

    const CONF: &str = r#"
unqualified-search-registries = ["quay.io", "docker.io"]
short-name-mode = "permissive"
credential-helpers = ["containers-auth.json", "secret"]

[[registry]]
prefix = "example.com/foo"
location = "internal.example:5000/bar/"
[[registry.mirror]]
location = "mirror-a.x/foo"
insecure = true
[[registry.mirror]]
location = "mirror-b.x"
pull-from-mirror = "digest-only"

[[registry]]
location = "example.com"
mirror-by-digest-only = true
[[registry.mirror]]
location = "mirror-c.x"

[[registry]]
prefix = "*.example.org"
location = "all.x/org"

[[registry]]
prefix = "*.insecure.org"
insecure = true

[[registry]]
location = "bad.x"
blocked = true

[aliases]
"debian" = "docker.io/library/debian"
"#;

    fn conf() -> Registries {
        let mut all = Registries::default();
        all.add(Path::new("test"), CONF).unwrap();
        all
    }

    fn at(text: &str) -> String {
        let name = Name::parse(text).unwrap();
        let repository = name.on(DOCKER_HUB);
        let candidates = conf().candidates(&repository, name.digest.is_some());
        let shown = |candidate: &Candidate| {
            format!("{}{}", candidate.name, if candidate.insecure { "!" } else { "" })
        };
        match candidates {
            Ok(candidates) => candidates.iter().map(shown).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_longest_prefix_says_where_an_image_is() {
        let digest = Digest::of(b"");
        assert_eq!(at("example.com/foo/a:1"), "mirror-a.x/foo/a! internal.example:5000/bar/a");
        assert_eq!(
            at(&format!("example.com/foo/a@{digest}")),
            "mirror-a.x/foo/a! mirror-b.x/a internal.example:5000/bar/a"
        );
        assert_eq!(at("example.com/foobar:1"), "example.com/foobar");
        assert_eq!(at(&format!("example.com/b@{digest}")), "mirror-c.x/b example.com/b");
        assert_eq!(at("a.b.example.org/x/y"), "all.x/org/x/y");
        assert_eq!(at("example.org/x"), "example.org/x");
        assert_eq!(at("r.insecure.org/x"), "r.insecure.org/x!");
        assert!(at("bad.x/a").contains("blocks `bad.x`"));
        assert_eq!(at("debian"), "docker.io/library/debian");
    }

    #[test]
    fn short_names_are_looked_up_then_searched() {
        let meant = |conf: &Registries, text: &str| -> Vec<String> {
            let meant = conf.meant(&Name::parse(text).unwrap()).unwrap();
            meant.iter().map(ToString::to_string).collect()
        };
        assert_eq!(meant(&conf(), "debian:12"), ["docker.io/library/debian"]);
        assert_eq!(meant(&conf(), "mine"), ["quay.io/mine", "docker.io/library/mine"]);
        assert_eq!(meant(&conf(), "h.x/mine"), ["h.x/mine"]);
        assert_eq!(meant(&Registries::default(), "mine"), ["docker.io/library/mine"]);
        let mut later = conf();
        later.add(Path::new("later"), "unqualified-search-registries = []\n[aliases]\ndebian = ''").unwrap();
        assert_eq!(meant(&later, "debian"), ["docker.io/library/debian"]);
        assert_eq!(meant(&later, "mine"), ["docker.io/library/mine"]);
    }

    #[test]
    fn version_1_is_read_and_what_is_malformed_is_named() {
        let mut all = Registries::default();
        let text = "[registries.search]\nregistries = ['a.x']\n[registries.insecure]\nregistries = ['b.x']\n\
                    [registries.block]\nregistries = ['c.x']";
        all.add(Path::new("test"), text).unwrap();
        assert_eq!(all.search, ["a.x"]);
        let name = |host: &str| RepositoryName { host: host.to_owned(), path: "p".to_owned() };
        assert!(all.candidates(&name("b.x"), false).unwrap()[0].insecure);
        assert!(all.candidates(&name("c.x"), false).is_err());
        for text in ["registry = 1", "[[registry]]\nprefix='a b'", "[[registry]]\nprefix='*.a/b'", "x"] {
            let error = Registries::default().add(Path::new("the file"), text).unwrap_err().to_string();
            assert!(error.contains("the file"), "{error}");
        }
    }
}
