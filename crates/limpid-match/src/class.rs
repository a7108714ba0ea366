//! Kernels and their headers as classes of packages: a container runs on its host's kernel, so what is found in them
//! may be shown or not.

use limpid_model::{Package, PackageClass, PackageType};

/// The class of a package, by the naming of its distribution family.
pub fn class(package: &Package) -> PackageClass {
    match package.kind {
        PackageType::Deb => deb(&package.name, &package.source_name),
        PackageType::Rpm => rpm(&package.name),
        PackageType::Apk => apk(&package.name),
        PackageType::Alpm => alpm(&package.name),
        _ => PackageClass::Ordinary,
    }
}

/// Debian and Ubuntu. `linux-libc-dev` is what C programs are built with; `linux-base` and `linux-firmware` are no kernel.
fn deb(name: &str, source: &str) -> PackageClass {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let is_kernel_source = source == "linux" || source.starts_with("linux-");
    if starts(&["linux-headers-", "linux-libc-dev", "linux-kbuild-"]) {
        PackageClass::KernelHeaders
    } else if starts(&[
        "linux-image",
        "linux-modules",
        "linux-generic",
        "linux-virtual",
        "linux-lowlatency",
        "linux-source",
        "linux-buildinfo-",
    ]) {
        PackageClass::Kernel
    } else if is_kernel_source && name.contains("-headers-") {
        // Ubuntu's flavours: linux-aws-headers-5.15.0-1026.
        PackageClass::KernelHeaders
    } else {
        PackageClass::Ordinary
    }
}

/// Names after `kernel-` that are no kernel of the container: programs and documents.
const RPM_NOT_KERNEL: &[&str] = &["tools", "srpm-macros", "rpm-macros", "doc", "abi", "patch"];
/// Flavours that stand between `kernel` and the part: `kernel-rt-core`, `kernel-64k-modules`, `kernel-uek-devel`.
const RPM_FLAVOURS: &[&str] =
    &["rt", "64k", "uek", "debug", "default", "azure", "automotive", "ml", "lt", "zfcpdump"];
const RPM_KERNEL_PARTS: &[&str] =
    &["core", "modules", "image", "livepatch", "default", "azure", "uki", "debug"];

/// Red Hat, Fedora, Amazon, Oracle, SUSE and those who follow them.
fn rpm(name: &str) -> PackageClass {
    if name == "kernel" {
        return PackageClass::Kernel;
    }
    // Amazon's later kernels have their version in the name: kernel6.12-headers.
    let Some(rest) = name.strip_prefix("kernel") else { return PackageClass::Ordinary };
    let rest = rest.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.');
    if rest.is_empty() {
        return PackageClass::Kernel;
    }
    let Some(rest) = rest.strip_prefix('-') else { return PackageClass::Ordinary };
    let mut parts = rest.split('-').filter(|part| !RPM_FLAVOURS.contains(part)).peekable();
    match parts.peek() {
        None => PackageClass::Kernel,
        Some(&("headers" | "devel")) => PackageClass::KernelHeaders,
        Some(part) if RPM_NOT_KERNEL.contains(part) => PackageClass::Ordinary,
        Some(part) if RPM_KERNEL_PARTS.contains(part) => PackageClass::Kernel,
        Some(_) => PackageClass::Ordinary,
    }
}

/// Alpine: `linux-lts`, `linux-virt`; `linux-headers` is for building, `linux-pam` and `linux-firmware` are neither.
fn apk(name: &str) -> PackageClass {
    match name {
        "linux-headers" => PackageClass::KernelHeaders,
        "linux-lts" | "linux-virt" | "linux-edge" | "linux-stable" | "linux-rpi" | "linux-vanilla"
        | "linux-hardened" | "linux-grsec" | "linux-virtgrsec" | "linux-openpax" => PackageClass::Kernel,
        _ if name.starts_with("linux-") && name.ends_with("-dev") && name != "linux-pam-dev" => {
            PackageClass::KernelHeaders
        }
        _ => PackageClass::Ordinary,
    }
}

/// Arch: `linux`, `linux-lts`, `linux-zen`, `linux-hardened`, each with `-headers`.
fn alpm(name: &str) -> PackageClass {
    match name {
        "linux" | "linux-lts" | "linux-zen" | "linux-hardened" | "linux-rt" | "linux-rt-lts" => {
            PackageClass::Kernel
        }
        "linux-api-headers" => PackageClass::KernelHeaders,
        _ if name.starts_with("linux") && name.ends_with("-headers") => PackageClass::KernelHeaders,
        _ => PackageClass::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_and_headers_are_told_from_their_namesakes() {
        use PackageClass::{Kernel, KernelHeaders, Ordinary};
        use PackageType::{Alpm, Apk, Deb, Generic, Rpm};
        for (kind, name, source, expected) in [
            (Deb, "linux-image-6.1.0-18-amd64", "linux-signed-amd64", Kernel),
            (Deb, "linux-modules-5.15.0-91-generic", "linux", Kernel),
            (Deb, "linux-generic", "linux-meta", Kernel),
            (Deb, "linux-libc-dev", "linux", KernelHeaders),
            (Deb, "linux-headers-6.1.0-18-amd64", "linux", KernelHeaders),
            (Deb, "linux-aws-headers-5.15.0-1026", "linux-aws", KernelHeaders),
            (Deb, "linux-base", "linux-base", Ordinary),
            (Deb, "linux-firmware", "linux-firmware", Ordinary),
            (Deb, "linux-perf", "linux", Ordinary),
            (Deb, "util-linux", "util-linux", Ordinary),
            (Deb, "libc6", "glibc", Ordinary),
            (Rpm, "kernel", "kernel", Kernel),
            (Rpm, "kernel-core", "kernel", Kernel),
            (Rpm, "kernel-modules-extra", "kernel", Kernel),
            (Rpm, "kernel-rt-core", "kernel-rt", Kernel),
            (Rpm, "kernel-uek", "kernel-uek", Kernel),
            (Rpm, "kernel-64k-debug-modules", "kernel", Kernel),
            (Rpm, "kernel-default", "kernel-default", Kernel),
            (Rpm, "kernel-livepatch-6.1.12-19.43", "kernel-livepatch-6.1.12-19.43", Kernel),
            (Rpm, "kernel6.12", "kernel6.12", Kernel),
            (Rpm, "kernel6.12-headers", "kernel6.12", KernelHeaders),
            (Rpm, "kernel-headers", "kernel", KernelHeaders),
            (Rpm, "kernel-devel", "kernel", KernelHeaders),
            (Rpm, "kernel-uek-devel", "kernel-uek", KernelHeaders),
            (Rpm, "kernel-tools-libs", "kernel", Ordinary),
            (Rpm, "kernel-srpm-macros", "kernel-srpm-macros", Ordinary),
            (Rpm, "kernelshark", "kernelshark", Ordinary),
            (Rpm, "glibc", "glibc", Ordinary),
            (Apk, "linux-lts", "linux-lts", Kernel),
            (Apk, "linux-headers", "linux-headers", KernelHeaders),
            (Apk, "linux-lts-dev", "linux-lts", KernelHeaders),
            (Apk, "linux-pam", "linux-pam", Ordinary),
            (Apk, "linux-firmware-none", "linux-firmware", Ordinary),
            (Alpm, "linux", "linux", Kernel),
            (Alpm, "linux-zen-headers", "linux-zen", KernelHeaders),
            (Alpm, "linux-firmware", "linux-firmware", Ordinary),
            (Generic, "kernel", "kernel", Ordinary),
        ] {
            let package = Package {
                kind,
                name: name.to_owned(),
                version: "1".to_owned(),
                arch: String::new(),
                source_name: source.to_owned(),
                source_version: "1".to_owned(),
                facts: Vec::new(),
            };
            assert_eq!(class(&package), expected, "{kind} {name}");
        }
    }
}
