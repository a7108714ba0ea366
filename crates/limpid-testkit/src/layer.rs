//! Layers, as plain tar archives with fixed times, so that the same entries give the same bytes.

use std::fmt::Write as _;

const BLOCK: usize = 512;

/// A layer under construction.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    tar: Vec<u8>,
}

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A regular file.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        self.header(path, b'0', content.len(), "");
        self.tar.extend_from_slice(content);
        self.pad();
        self
    }

    /// A directory.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.header(&format!("{path}/"), b'5', 0, "");
        self
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        self.header(path, b'2', 0, target);
        self
    }

    /// A hard link to another path.
    #[must_use]
    pub fn hardlink(mut self, path: &str, target: &str) -> Self {
        self.header(path, b'1', 0, target);
        self
    }

    /// Hides a path of lower layers.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (directory, name) = path.rsplit_once('/').map_or(("", path), |(d, n)| (d, n));
        let slash = if directory.is_empty() { "" } else { "/" };
        self.file(&format!("{directory}{slash}.wh.{name}"), "")
    }

    /// Hides what lower layers have in a directory.
    #[must_use]
    pub fn opaque(self, directory: &str) -> Self {
        self.file(&format!("{directory}/.wh..wh..opq"), "")
    }

    /// The archive.
    pub fn tar(&self) -> Vec<u8> {
        let mut tar = self.tar.clone();
        tar.resize(tar.len() + 2 * BLOCK, 0);
        tar
    }

    fn header(&mut self, path: &str, kind: u8, size: usize, link: &str) {
        assert!(path.len() < 100 && link.len() < 100, "the test kit writes short names only");
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, if kind == b'5' { "0000755\0" } else { "0000644\0" });
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{size:011o}\0"));
        put(136, "00000000000\0");
        put(148, "        ");
        put(157, link);
        put(257, "ustar\x0000");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.tar.extend_from_slice(&header);
    }

    fn pad(&mut self) {
        self.tar.resize(self.tar.len().next_multiple_of(BLOCK), 0);
    }
}

/// A dpkg status file: (package, version, source with its version in parentheses if it differs, or empty).
pub fn dpkg_status(packages: &[(&str, &str, &str)]) -> String {
    let mut text = String::new();
    for (name, version, source) in packages {
        let _ = writeln!(text, "Package: {name}\nStatus: install ok installed");
        if !source.is_empty() {
            let _ = writeln!(text, "Source: {source}");
        }
        let _ = writeln!(text, "Architecture: amd64\nVersion: {version}\n");
    }
    text
}
