//! What is read of a feed at most. Feeds are hostile input like any other.

/// Bounds on one document. Each is far above what upstream serves and far below what would hurt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a document after decompression. It bounds time, not memory: nothing keeps them.
    /// Debian's tracker is 70 MB, Ubuntu's archive some gigabytes.
    pub decoded_bytes_max: u64,
    /// Bytes of one record (one JSON value, one archive member): what is held at once. The largest that
    /// upstreams publish are kernel records of a few megabytes.
    pub record_bytes_max: usize,
    /// Records of a document. Ubuntu has some 60,000, Debian's tracker 200,000.
    pub records_max: u64,
    /// Names that one record may give itself (aliases, related ids). The largest kernel notices name hundreds.
    pub ids_per_record_max: usize,
    /// Memory that an LZMA dictionary or a zstd window may ask for. `xz -9` asks for 65 MiB.
    pub window_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decoded_bytes_max: 16 << 30,
            record_bytes_max: 16 << 20,
            records_max: 10_000_000,
            ids_per_record_max: 10_000,
            window_bytes_max: 128 << 20,
        }
    }
}
