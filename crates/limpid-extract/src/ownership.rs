//! Which files of packages something else could claim to have brought, and how their paths are kept.
//!
//! A distribution's package may hold what a language's own tools see as an installed package of theirs
//! (`python3-requests` holds `requests-2.28.1.egg-info`), or a program that carries its libraries inside. Whoever
//! judges such a file must know whose it is: a fix of the distribution is then what counts. Of the hundred
//! thousands of paths of an image only those that somebody could claim are kept, each as 64 bits of its SHA-256.

use limpid_model::{Digest, FileOwner};

/// Claimable paths that are kept of one package. Distributions' largest have some ten thousand.
const PATHS_MAX: usize = 200_000;

/// Directories that hold programs: anything in them may be an executable with libraries linked in.
const PROGRAM_DIRECTORIES: [&str; 6] =
    ["bin/", "sbin/", "usr/bin/", "usr/sbin/", "usr/local/bin/", "usr/libexec/"];

/// Endings of files that name a package of a language, or are one.
const ENDINGS: [&str; 19] = [
    "/METADATA",
    "/PKG-INFO",
    ".egg-info",
    "/package.json",
    "/package-lock.json",
    "/composer.lock",
    "/installed.json",
    "/Gemfile.lock",
    "/Cargo.lock",
    "/go.mod",
    "/pom.properties",
    ".gemspec",
    ".jar",
    ".war",
    ".ear",
    ".hpi",
    ".nupkg",
    ".deps.json",
    ".whl",
];

/// Kernels are no language's, but an image may carry one that no package brought.
fn is_kernel(path: &str) -> bool {
    path.starts_with("boot/vmlinuz-")
        || (path.ends_with("/modules.builtin")
            && (path.starts_with("lib/modules/") || path.starts_with("usr/lib/modules/")))
}

/// Whether something beside the package manager could claim to have brought the file at this (normalised) path.
pub fn is_claimable(path: &str) -> bool {
    ENDINGS.iter().any(|ending| path.ends_with(ending))
        || PROGRAM_DIRECTORIES.iter().any(|directory| path.starts_with(directory))
        || is_kernel(path)
}

/// Collects the files of one package, as its database lists them.
#[derive(Debug, Default)]
pub(crate) struct OwnedPaths(Vec<u64>);

impl OwnedPaths {
    /// Takes in a path, which may begin with `/` or `./`; only what is claimable is kept.
    pub(crate) fn push(&mut self, path: &str) {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if !path.ends_with('/') && is_claimable(path) && self.0.len() < PATHS_MAX {
            self.0.push(path_hash(path));
        }
    }

    /// The owner, unless nothing of it was kept. `package` is empty where the file's place says it.
    pub(crate) fn owner(mut self, package: &str) -> Option<FileOwner> {
        self.0.sort_unstable();
        self.0.dedup();
        (!self.0.is_empty()).then(|| FileOwner { package: package.to_owned(), paths: self.0 })
    }
}

/// The last four bytes of each ending: what can be compared fast.
const LAST_FOUR: [[u8; 4]; ENDINGS.len()] = {
    let mut last = [[0; 4]; ENDINGS.len()];
    let mut place = 0;
    while place < ENDINGS.len() {
        if let Some(four) = ENDINGS[place].as_bytes().last_chunk() {
            last[place] = *four;
        }
        place += 1;
    }
    last
};

/// Whether all files in a directory (an absolute path with `/` at the end, as rpm has them) can be claimed.
pub(crate) fn all_claimable_in(directory: &str) -> bool {
    let directory = directory.trim_start_matches('/');
    PROGRAM_DIRECTORIES.iter().any(|known| directory.starts_with(known))
}

/// Whether a file of this name could have an ending that can be claimed: `false` is certain, and fast, since
/// databases have a million names and a handful of them matter.
pub(crate) fn may_be_claimable(name: &[u8]) -> bool {
    name.last_chunk::<4>().is_some_and(|last| LAST_FOUR.contains(last))
}

/// What stands for a (normalised) path: the first eight bytes of its SHA-256, big-endian.
pub fn path_hash(path: &str) -> u64 {
    let digest = Digest::of(path.as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_languages_see_and_programs_can_be_claimed() {
        for path in [
            "usr/lib/python3/dist-packages/requests-2.28.1.egg-info",
            "usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA",
            "usr/share/nodejs/semver/package.json",
            "usr/share/java/log4j-core.jar",
            "usr/bin/kubectl",
            "boot/vmlinuz-6.1.0-13-amd64",
            "lib/modules/6.1.0-13-amd64/modules.builtin",
        ] {
            assert!(is_claimable(path), "{path}");
        }
        assert!(!is_claimable("usr/share/doc/libc6/copyright"));
        assert!(!is_claimable("usr/lib/x86_64-linux-gnu/libc.so.6"));
    }

    #[test]
    fn the_fast_look_misses_nothing() {
        for ending in ENDINGS {
            let name = format!("x{ending}");
            let name = name.rsplit('/').next().unwrap();
            assert!(may_be_claimable(name.as_bytes()), "{ending}");
        }
        assert!(!may_be_claimable(b"copyright"));
        assert!(!may_be_claimable(b"a"));
        assert!(all_claimable_in("/usr/bin/"));
        assert!(!all_claimable_in("/usr/share/"));
    }

    #[test]
    fn owned_paths_are_normalised_sorted_and_only_the_claimable() {
        let mut paths = OwnedPaths::default();
        for path in ["/usr/bin/b", "./usr/bin/a", "/usr/share/doc/a", "usr/bin/a", "usr/bin/", "/."] {
            paths.push(path);
        }
        let mut expected = vec![path_hash("usr/bin/a"), path_hash("usr/bin/b")];
        expected.sort_unstable();
        assert_eq!(paths.owner("x").unwrap(), FileOwner { package: "x".into(), paths: expected });
        assert_eq!(OwnedPaths::default().owner("x"), None);
    }

    #[test]
    fn hashes_are_the_beginning_of_sha_256() {
        // The SHA-256 of `abc` (FIPS 180-2, B.1).
        assert_eq!(path_hash("abc"), 0xba78_16bf_8f01_cfea);
    }
}
