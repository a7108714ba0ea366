//! The bounds of reading, in one place.

/// Bounds on what an image may ask for. The runtime sets few of them; each default is above anything that
/// is met in real images and below what would hurt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one layer. The largest images have one or two million files; a visitor may keep a little
    /// of each.
    pub entries: u64,
    /// Bytes of a path. Linux refuses to create a longer one (PATH_MAX), so no container can have it.
    pub path_bytes: usize,
    /// Bytes of a symbolic link's target, for the same reason.
    pub link_target_bytes: usize,
    /// Bytes of one extended header (PAX records, a GNU long name) or of one sparse map. Go's reader, which
    /// the container runtimes use, refuses more than 1 MiB.
    pub extended_header_bytes: usize,
    /// Regions of a sparse file. Go's bound; the one above is met first.
    pub sparse_regions: usize,
    /// Bytes of one layer, or of a compressed archive of layers, once decompressed. The largest layers
    /// known, those with model weights, have tens of gigabytes; at this bound a bomb costs minutes, no
    /// memory, and ends.
    pub uncompressed_bytes: u64,
    /// Base-2 logarithm of the window that a zstd frame may ask for, which is memory: 27 is 128 MiB, what
    /// `zstd -d` grants without being told otherwise.
    pub zstd_window_log: u32,
    /// Bytes of a wanted file from which on it is kept in a temporary file instead of in memory, if its visitor
    /// reads in pieces. Most databases are below it; several layers are read at a time.
    pub spool_above_bytes: u64,
    /// Problems that one layer may report; the others are counted. Keeps a hostile layer's report readable.
    pub problems: u64,
    /// Levels of directories below a root file system. One file descriptor is held for each.
    pub directory_depth: usize,
    /// Entries of an archive that holds images. Three for a layer is usual, an image has at most
    /// 1024 layers, and their names are kept in memory.
    pub archive_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            path_bytes: 4096,
            link_target_bytes: 4096,
            extended_header_bytes: 1 << 20,
            sparse_regions: 1 << 20,
            uncompressed_bytes: 256 << 30,
            zstd_window_log: 27,
            spool_above_bytes: 8 << 20,
            problems: 100,
            directory_depth: 256,
            archive_entries: 65_536,
        }
    }
}
