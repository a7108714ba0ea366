//! What a user types to name an image: `TRANSPORT:TARGET`, in the words of containers-transports(5).
//!
//! Where the target is a path with an optional name behind a colon, the two are told apart only when the
//! image is opened, since both may contain colons: see [`split_target`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use limpid_model::Digest;

/// Names an image and where it is. Parsing does not look at the file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// `oci:DIR[:NAME|@DIGEST]`: an OCI image layout.
    OciLayout(String),
    /// `oci-archive:FILE[:NAME|@DIGEST]`: a tar archive of one, compressed or not.
    OciArchive(String),
    /// `docker-archive:FILE[:NAME]`: what `docker save` writes, compressed or not.
    DockerArchive(String),
    /// `docker-daemon:NAME`: an image that Docker has, by name, digest or id.
    DockerDaemon(String),
    /// `podman:NAME`: an image that Podman has.
    Podman(String),
    /// `dir:PATH`: a root file system.
    Directory(PathBuf),
    /// `docker://NAME`, or a bare name: an image in a registry.
    Registry(String),
}

/// The text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not name an image: {reason}")]
pub struct ReferenceError {
    /// The text, shortened.
    pub text: String,
    /// Why not.
    pub reason: &'static str,
}

/// Transports that users may expect and that are not there, so that `sif:x` is not taken for a
/// repository `sif` with the tag `x`.
const OTHER_TRANSPORTS: [&str; 5] = ["singularity", "sif", "containerd", "ostree", "tarball"];

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |reason| ReferenceError { text: text.chars().take(200).collect(), reason };
        if text.trim().is_empty() {
            return Err(error("it is empty"));
        }
        if text.contains(char::is_control) {
            return Err(error("it has control characters"));
        }
        let Some((transport, target)) = text.split_once(':') else {
            return Ok(Self::Registry(text.to_owned()));
        };
        if transport == "containers-storage" {
            return Err(error("Podman's storage is not read behind its back; write podman:NAME"));
        }
        if OTHER_TRANSPORTS.contains(&transport) {
            return Err(error("this transport is not supported"));
        }
        let reference = match transport {
            "oci" | "oci-dir" => Self::OciLayout(target.to_owned()),
            "oci-archive" => Self::OciArchive(target.to_owned()),
            "docker-archive" => Self::DockerArchive(target.to_owned()),
            "docker-daemon" => Self::DockerDaemon(target.to_owned()),
            "podman" => Self::Podman(target.to_owned()),
            "dir" => Self::Directory(PathBuf::from(target)),
            "docker" | "registry" => Self::Registry(target.trim_start_matches("//").to_owned()),
            _ => return Ok(Self::Registry(text.to_owned())),
        };
        let empty = match &reference {
            Self::OciLayout(t)
            | Self::OciArchive(t)
            | Self::DockerArchive(t)
            | Self::DockerDaemon(t)
            | Self::Podman(t)
            | Self::Registry(t) => t.is_empty(),
            Self::Directory(path) => path.as_os_str().is_empty(),
        };
        if empty { Err(error("nothing follows the colon")) } else { Ok(reference) }
    }
}

impl Reference {
    /// Whether what can be told from the text alone is right: a name in a registry must follow the rules for such names.
    pub fn check(&self) -> Result<(), crate::Error> {
        match self {
            Self::Registry(name) => crate::registry::Name::parse(name).map(|_| ()).map_err(Into::into),
            _ => Ok(()),
        }
    }

    /// The registry that the reference names, as it is written; Docker Hub's where it names none. `None` for what is
    /// in no registry.
    pub fn registry_host(&self) -> Option<String> {
        let Self::Registry(name) = self else { return None };
        let host = crate::registry::Name::parse(name).ok().and_then(|name| name.host);
        Some(host.unwrap_or_else(|| crate::registry::DOCKER_HUB.to_owned()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OciLayout(target) => write!(f, "oci:{target}"),
            Self::OciArchive(target) => write!(f, "oci-archive:{target}"),
            Self::DockerArchive(target) => write!(f, "docker-archive:{target}"),
            Self::DockerDaemon(name) => write!(f, "docker-daemon:{name}"),
            Self::Podman(name) => write!(f, "podman:{name}"),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Registry(name) => write!(f, "docker://{name}"),
        }
    }
}

/// Which image of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// The only one, or `latest`.
    Default,
    /// The one of this name or tag.
    Name(String),
    /// The one whose manifest or index has this digest.
    Digest(Digest),
    /// The one at this place of the list (`:@2`).
    Index(usize),
}

/// Tells path and name apart: the path is the longest prefix, ending at a `:`, an `@` or the end, that
/// `exists`. If nothing exists, it is what is before the first separator that follows the last `/` of all
/// but a name's part, so that the error names the path which the user meant.
pub(crate) fn split_target(target: &str, exists: impl Fn(&Path) -> bool) -> (PathBuf, Selector) {
    if exists(Path::new(target)) {
        return (PathBuf::from(target), Selector::Default);
    }
    let cuts = target.char_indices().filter(|(_, c)| matches!(c, ':' | '@')).map(|(at, _)| at);
    // A path cannot be longer than this, nor have more parts worth asking the file system for.
    let cuts: Vec<usize> = cuts.filter(|&at| at > 0 && at <= 4096).take(64).collect();
    let existing = cuts.iter().rev().find(|&&at| exists(Path::new(&target[..at])));
    match existing.or(cuts.first()) {
        Some(&at) => (PathBuf::from(&target[..at]), selector(&target[at..])),
        None => (PathBuf::from(target), Selector::Default),
    }
}

/// Reads what follows a path, separator included.
fn selector(text: &str) -> Selector {
    let name = text.strip_prefix(':').unwrap_or(text);
    if let Some(rest) = name.strip_prefix('@') {
        if let Ok(digest) = rest.parse() {
            return Selector::Digest(digest);
        }
        if let Ok(index) = rest.parse() {
            return Selector::Index(index);
        }
        return Selector::Name(rest.to_owned());
    }
    if let Ok(digest) = name.parse() {
        return Selector::Digest(digest);
    }
    if name.is_empty() { Selector::Default } else { Selector::Name(name.to_owned()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "oci:a:b",
            "oci-archive:/x/y.tar",
            "docker-archive:x.tar:foo:bar",
            "docker-daemon:a/b:c",
            "podman:sha256:00",
            "dir:/",
            "docker://a/b:c",
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }
    }

    #[test]
    fn bare_names_mean_a_registry() {
        for text in ["debian", "debian:12", "host:5000/a/b@sha256:00", "docker://debian:12"] {
            assert!(matches!(text.parse().unwrap(), Reference::Registry(_)), "{text}");
        }
        for text in ["", " ", "oci:", "dir:", "docker://", "podman:", "sif:x", "containers-storage:x", "a\nb"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_existing_prefix_is_the_path() {
        let digest = Digest::of(b"");
        let with = |target: &str, there: &[&str]| {
            split_target(target, |path| there.iter().any(|t| path == Path::new(t)))
        };
        let name = |name: &str| Selector::Name(name.to_owned());
        assert_eq!(with("/a/b:latest", &["/a/b"]), ("/a/b".into(), name("latest")));
        assert_eq!(with("/a/b:latest", &["/a/b", "/a/b:latest"]), ("/a/b:latest".into(), Selector::Default));
        assert_eq!(with("x.tar:h:5000/a:t", &["x.tar"]), ("x.tar".into(), name("h:5000/a:t")));
        assert_eq!(with("a:b/c:t", &["a:b/c"]), ("a:b/c".into(), name("t")));
        assert_eq!(with(&format!("d@{digest}"), &["d"]), ("d".into(), Selector::Digest(digest)));
        assert_eq!(with("d:@1", &["d"]), ("d".into(), Selector::Index(1)));
        assert_eq!(with("gone:x", &[]), ("gone".into(), name("x")));
    }
}
