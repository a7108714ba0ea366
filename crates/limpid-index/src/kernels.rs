//! Kernels and their headers in reports. A container runs on the kernel of its host and headers are no code that
//! runs, so what is found in such packages says nothing of a container. It does of an image that a machine boots.

use std::collections::BTreeMap;

use limpid_model::{Hidden, ImageMetadata, Occurrence, PackageClass, Verdict};
use limpid_store::OccurrenceId;

/// Whether a report lists what is found in kernels and their headers, or counts it only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernels {
    /// Listed if the image says that it is one to boot from, else counted.
    #[default]
    ByImage,
    /// Listed.
    Show,
    /// Counted.
    Hide,
}

/// Labels of images that a machine boots: bootc's, and that of its forerunner.
const BOOT_LABELS: &[&str] = &["containers.bootc", "ostree.bootable"];

impl Kernels {
    /// Whether what is found in kernels of this image is counted only.
    pub(crate) fn hides(self, image: &ImageMetadata) -> bool {
        match self {
            Self::Show => false,
            Self::Hide => true,
            Self::ByImage => !image.labels.iter().any(|(name, value)| {
                BOOT_LABELS.contains(&name.as_str()) && !["", "0", "false"].contains(&value.as_str())
            }),
        }
    }
}

/// Takes the verdicts on kernels and their headers out, and counts those of `installed` packages by class.
pub(crate) fn take_out<'a>(
    verdicts: &mut BTreeMap<OccurrenceId, Vec<Verdict>>,
    occurrences: &BTreeMap<OccurrenceId, Occurrence>,
    is_installed: impl Fn(&OccurrenceId) -> bool + 'a,
) -> Vec<Hidden> {
    let mut hidden: BTreeMap<PackageClass, Hidden> = BTreeMap::new();
    for (id, occurrence) in occurrences {
        let class = limpid_match::class(&occurrence.package);
        if class == PackageClass::Ordinary {
            continue;
        }
        let taken = verdicts.remove(id).unwrap_or_default();
        if taken.is_empty() || !is_installed(id) {
            continue;
        }
        let of_class =
            hidden.entry(class).or_insert(Hidden { class, packages: 0, vulnerabilities: 0, undetermined: 0 });
        of_class.packages += 1;
        for verdict in taken {
            match verdict.state.is_affected() {
                true => of_class.vulnerabilities += 1,
                false => of_class.undetermined += 1,
            }
        }
    }
    hidden.into_values().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use limpid_model::Digest;

    use super::*;

    #[test]
    fn an_image_to_boot_from_shows_its_kernel() {
        let hides = |kernels: Kernels, labels: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let image = ImageMetadata {
                manifest_digest: Digest::of(b""),
                config_digest: None,
                platform: "linux/amd64".parse().unwrap(),
                os_version: String::new(),
                created: String::new(),
                environment: Vec::new(),
                labels: labels.iter().map(owned).collect(),
                layers: Vec::new(),
            };
            kernels.hides(&image)
        };
        assert!(hides(Kernels::ByImage, &[("maintainer", "x")]));
        assert!(hides(Kernels::ByImage, &[("containers.bootc", "0")]));
        assert!(!hides(Kernels::ByImage, &[("containers.bootc", "1")]));
        assert!(!hides(Kernels::ByImage, &[("ostree.bootable", "true")]));
        assert!(hides(Kernels::Hide, &[("containers.bootc", "1")]));
        assert!(!hides(Kernels::Show, &[]));
    }
}
