//! The floors of a scan: hashing and decoding the same layers on the same cores, and nothing else.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use limpid_image::{Image, LayerContent, Limits, OpenOptions};
use limpid_model::Hasher;

#[derive(Debug, Args)]
pub(crate) struct Floor {
    /// The image, an OCI layout
    #[arg(long)]
    pub(crate) image: String,
    /// Whose decoder
    #[arg(long, value_enum)]
    pub(crate) decoder: Decoder,
    /// Threads
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decoder {
    /// ISA-L's `igzip`, the fastest there is, and SHA-256
    Igzip,
    /// The decoder that we ship, and SHA-256
    Own,
}

impl Floor {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let image = limpid_image::open(&self.image.parse()?, &OpenOptions::default())?;
        let layers = &image.metadata().layers;
        let mut queue: Vec<usize> = (0..layers.len()).collect();
        queue.sort_by_key(|index| std::cmp::Reverse(layers[*index].size_bytes));
        let next = AtomicUsize::new(0);
        let work = || -> anyhow::Result<()> {
            while let Some(index) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.decoder {
                    Decoder::Own => own(image.as_ref(), *index)?,
                    Decoder::Igzip => igzip(&blob_path(&self.image, &layers[*index].digest.hex())?)?,
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..self.threads).map(|_| scope.spawn(work)).collect();
            let first = work();
            for other in others {
                other.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
            }
            first
        })
    }
}

/// Decodes and hashes with the decoder that we ship: the same pass as a scan's, whose visitor wants nothing,
/// less the walk through the archive.
fn own(image: &dyn Image, index: usize) -> anyhow::Result<()> {
    let LayerContent::Blob(reader) = image.layer(index)? else { bail!("not a blob") };
    let stats = limpid_image::decode_layer(reader, &Limits::default())?;
    if stats.digest != image.metadata().layers[index].digest {
        bail!("layer {index} has another digest");
    }
    Ok(())
}

fn igzip(path: &PathBuf) -> anyhow::Result<()> {
    let status = Command::new("igzip")
        .args(["-d", "-c"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("igzip cannot be run: install Debian's package isal")?;
    if !status.success() {
        bail!("igzip ended with {status}");
    }
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    std::hint::black_box(hasher.finish());
    Ok(())
}

/// Where an OCI layout keeps a blob.
fn blob_path(reference: &str, hex: &str) -> anyhow::Result<PathBuf> {
    let directory = reference.strip_prefix("oci:").context("the floor is measured on an oci: layout")?;
    let whole = PathBuf::from(directory);
    let directory = match directory.rsplit_once(':') {
        Some((directory, _)) if !whole.is_dir() => PathBuf::from(directory),
        _ => whole,
    };
    Ok(directory.join("blobs/sha256").join(hex))
}
