//! References, one a line; `#` begins a comment.

use std::path::Path;

use limpid_image::Reference;

use super::ListOptions;
use crate::{ImageWork, Work};

/// The references of a list, each with its line.
pub fn references(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // A reference has no spaces, so a comment may also follow one.
    let lines = text.lines().map(|line| match line.trim_start().starts_with('#') {
        true => "",
        false => line.split_once(" #").map_or(line, |(before, _)| before).trim(),
    });
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}

/// The work that a reference asks for.
pub(super) fn work(text: &str, options: &ListOptions) -> Result<Work, String> {
    let reference: Reference =
        text.parse().map_err(|error: limpid_image::ReferenceError| error.to_string())?;
    reference.check().map_err(|error| error.to_string())?;
    let path = match &reference {
        Reference::OciLayout(path) | Reference::OciArchive(path) | Reference::DockerArchive(path) => {
            Path::new(path)
        }
        Reference::Directory(path) => path,
        Reference::DockerDaemon(_) | Reference::Podman(_) | Reference::Registry(_) => Path::new("/"),
    };
    if !path.is_absolute() {
        return Err(format!("`{reference}` is not an absolute path, and workers may run in another folder"));
    }
    Ok(Work::Image(ImageWork { platform: options.platform.clone(), ..ImageWork::new(text) }))
}
