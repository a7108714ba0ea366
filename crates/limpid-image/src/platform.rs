//! Which image of an index is meant.

use limpid_model::Platform;

/// Linux on the architecture that this program runs on, in Go's words.
pub(crate) fn host() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
}

/// Whether an image for `offered` is one for `wanted`. A variant that nobody names is any; arm64's only
/// variant is v8, whether it is named or not.
pub(crate) fn matches(offered: &Platform, wanted: &Platform) -> bool {
    let variant = |platform: &Platform| match (platform.architecture.as_str(), platform.variant.as_str()) {
        ("arm64", "v8") => String::new(),
        (_, variant) => variant.to_owned(),
    };
    offered.os == wanted.os
        && offered.architecture == wanted.architecture
        && (variant(wanted).is_empty() || variant(offered) == variant(wanted))
}

/// BuildKit's attestations stand in an index as images for this platform.
pub(crate) fn is_attestation(platform: &Platform) -> bool {
    platform.os == "unknown"
}
