//! A streaming DEFLATE and gzip decoder, made for container image layers: fast, with bounded memory.
//!
//! Reads gzip (RFC 1952) with DEFLATE (RFC 1951) inside. Accepts and refuses the streams that zlib
//! accepts and refuses; RFC 1951 is silent on some of them. The output is handed over in place, in chunks
//! of the decoder's own window, so that nothing is copied between the decoder and its consumer.
//!
//! Left out: compression, zlib headers (RFC 1950), preset dictionaries, seeking.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut decoder = limpid_inflate::GzipDecoder::new(std::fs::File::open("layer.tar.gz")?);
//! let mut size = 0;
//! loop {
//!     let chunk = decoder.fill()?;
//!     if chunk.is_empty() {
//!         break;
//!     }
//!     size += chunk.len();
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod fast;
mod gzip;
mod header;
mod inflate;
mod input;
mod raw;
mod table;
mod window;

pub use error::Error;
pub use gzip::GzipDecoder;
pub use raw::inflate_raw;
