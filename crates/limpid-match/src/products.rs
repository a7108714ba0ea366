//! Products of Red Hat, which its advisories speak of and which an image's repositories serve.
//!
//! A statement on a product (`cpe:/a:redhat:openshift:4`) holds for every product that it is a prefix of, at the
//! boundary of a part or of a version (`cpe:/a:redhat:openshift:4.13::el8`): so Red Hat's own scanner guide and Clair
//! read the patterns. Whether the CPE says operating system (`/o`) or application (`/a`) is of no matter: the state
//! of what is not fixed is said of the release as a whole. The minor release of `enterprise_linux` is none
//! either: without a support stream, which is a product of its own, a release moves on from minor to minor.
//!
//! Extended life-cycle support (`rhel_els`) is the one stream that counts everywhere. It begins when a release's own
//! support has ended, and from then on nothing else is said of the release: a package that lacks its fix is affected,
//! and the verdict names the channel that has it.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Context;

/// Products that are support streams of a minor release.
const STREAMS: &[&str] = &[
    "rhel_eus",
    "enterprise_linux_eus",
    "rhel_eus_long_life",
    "rhel_aus",
    "rhel_e4s",
    "enterprise_linux_e4s",
    "rhel_tus",
];

/// The products that a context's repositories serve.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Products {
    /// Each with the repositories that serve it.
    cpes: BTreeMap<String, BTreeSet<String>>,
    /// Repositories whose products are not known.
    unknown: Vec<String>,
    /// Whether the image names any repository.
    is_named: bool,
}

impl Products {
    /// The products of a context's repositories by a map of what each serves. A repository may be named by its
    /// CPE itself.
    pub fn of(context: &Context, map: &BTreeMap<String, BTreeSet<String>>) -> Self {
        let mut products = Self { is_named: !context.repositories.is_empty(), ..Self::default() };
        for repository in &context.repositories {
            if repository.starts_with("cpe:/") {
                products.cpes.entry(repository.clone()).or_default().insert(repository.clone());
            } else if let Some(cpes) = map.get(repository) {
                for cpe in cpes {
                    products.cpes.entry(cpe.clone()).or_default().insert(repository.clone());
                }
            } else {
                products.unknown.push(repository.clone());
            }
        }
        products
    }

    /// Whether what is said of the product `cpe` holds here, for packages of the release `rhel:MAJOR`.
    pub(crate) fn include(&self, cpe: &str, major: &str) -> bool {
        let said = split(cpe);
        let is_main = Self::is_main(cpe, major);
        let is_extended = said.product == "rhel_els" && major_of(said.version) == major;
        if is_extended || (is_main && self.is_guessed()) {
            return true;
        }
        self.cpes.keys().any(|served| is_served(&said, &split(served), major))
    }

    /// The repositories that serve the product `cpe`, sorted.
    fn repositories_of(&self, cpe: &str, major: &str) -> BTreeSet<&str> {
        let said = split(cpe);
        let serving = self.cpes.iter().filter(|(served, _)| is_served(&said, &split(served), major));
        serving.flat_map(|(_, repositories)| repositories).map(String::as_str).collect()
    }

    /// The minor release that a support stream in use is of (2 for `rhel_eus:9.2`), the highest of several.
    pub(crate) fn stream_minor(&self, major: &str) -> Option<u32> {
        let minors = self.cpes.keys().filter_map(|cpe| {
            let served = split(cpe);
            let (of, minor) = served.version.split_once('.')?;
            (STREAMS.contains(&served.product) && of == major).then(|| minor.parse().ok()).flatten()
        });
        minors.max()
    }

    /// Whether `cpe` is a main product of the release.
    pub(crate) fn is_main(cpe: &str, major: &str) -> bool {
        let said = split(cpe);
        said.product == MAIN_PRODUCT && major_of(said.version) == major
    }

    /// Whether the main products of the release are taken for want of better knowledge.
    fn is_guessed(&self) -> bool {
        self.cpes.is_empty() || !self.unknown.is_empty()
    }

    /// Why what is said of the product `cpe` holds here, for the evidence.
    pub(crate) fn basis(&self, cpe: &str, major: &str) -> String {
        let serving = self.repositories_of(cpe, major);
        if !serving.is_empty() {
            let named: Vec<&str> = serving.iter().copied().take(REPOSITORIES_NAMED).collect();
            let more = match serving.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return format!("which the image has from {}{more}", named.join(", "));
        }
        if split(cpe).product == "rhel_els" {
            return "which goes on after the release's own support".to_owned();
        }
        match (self.is_named, self.unknown.first()) {
            (false, _) => {
                "the image names no repositories, so the release's main products are taken".to_owned()
            }
            (true, Some(unknown)) => format!(
                "the products of repository {unknown} are not known, so the release's main products are taken too"
            ),
            (true, None) => {
                "the release itself, whose word of that time holds for the image's support stream".to_owned()
            }
        }
    }
}

/// The release itself, as CPEs call it.
const MAIN_PRODUCT: &str = "enterprise_linux";

/// The evidence names no more repositories than these for one product.
const REPOSITORIES_NAMED: usize = 3;

/// Whether what is said of one product holds for another that a repository serves.
fn is_served(said: &Cpe<'_>, served: &Cpe<'_>, major: &str) -> bool {
    let is_main = said.product == MAIN_PRODUCT && major_of(said.version) == major;
    if is_main && served.product == said.product && major_of(served.version) == major {
        return is_prefix(said.rest, served.rest);
    }
    is_prefix(said.whole, served.whole)
}

struct Cpe<'a> {
    /// Vendor and all that follows.
    whole: &'a str,
    product: &'a str,
    version: &'a str,
    /// What follows the version.
    rest: &'a str,
}

fn split(cpe: &str) -> Cpe<'_> {
    // `cpe:/a:redhat:enterprise_linux:9::appstream`
    let whole = cpe.splitn(3, ':').nth(2).unwrap_or_default().trim_end_matches(':');
    let mut parts = whole.splitn(4, ':');
    let (_, product) = (parts.next(), parts.next().unwrap_or_default());
    let (version, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    Cpe { whole, product, version, rest }
}

fn major_of(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

fn is_prefix(prefix: &str, whole: &str) -> bool {
    whole
        .strip_prefix(prefix)
        .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with([':', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products(repositories: &[&str]) -> Products {
        let context = Context {
            release: "rhel:9".into(),
            repositories: repositories.iter().map(|name| (*name).to_owned()).collect(),
            ..Context::default()
        };
        let map = [
            ("baseos", "cpe:/o:redhat:enterprise_linux:9::baseos"),
            ("appstream", "cpe:/a:redhat:enterprise_linux:9::appstream"),
            ("eus", "cpe:/a:redhat:rhel_eus:9.2::appstream"),
            ("openshift", "cpe:/a:redhat:openshift:4.13::el9"),
            ("ten", "cpe:/o:redhat:enterprise_linux:10.0::baseos"),
        ];
        let map = map.map(|(name, cpe)| (name.to_owned(), BTreeSet::from([cpe.to_owned()]))).into();
        Products::of(&context, &map)
    }

    #[test]
    fn a_prefix_holds_for_what_it_begins() {
        let ubi = products(&["baseos", "appstream"]);
        assert!(ubi.include("cpe:/o:redhat:enterprise_linux:9", "9"));
        assert!(ubi.include("cpe:/a:redhat:enterprise_linux:9::appstream", "9"));
        assert!(!ubi.include("cpe:/a:redhat:enterprise_linux:9::crb", "9"));
        assert!(!ubi.include("cpe:/a:redhat:rhel_eus:9.2::appstream", "9"));
        assert!(!ubi.include("cpe:/o:redhat:enterprise_linux:8", "8"));
        assert!(!ubi.include("cpe:/a:redhat:openshift:4", "9"));
        let openshift = products(&["openshift"]);
        assert!(openshift.include("cpe:/a:redhat:openshift:4", "9"));
        assert!(openshift.include("cpe:/a:redhat:openshift:4.13::el9", "9"));
        assert!(!openshift.include("cpe:/a:redhat:openshift:4.1", "9"));
        assert!(!openshift.include("cpe:/o:redhat:enterprise_linux:9", "9"));
        assert!(products(&["eus"]).include("cpe:/a:redhat:rhel_eus:9.2::appstream", "9"));
        assert_eq!(products(&["eus", "baseos"]).stream_minor("9"), Some(2));
        assert_eq!((ubi.stream_minor("9"), products(&["eus"]).stream_minor("8")), (None, None));
        assert!(products(&["ten"]).include("cpe:/o:redhat:enterprise_linux:10.1", "10"));
        assert!(products(&["cpe:/a:redhat:openshift:4.13::el9"]).include("cpe:/a:redhat:openshift:4", "9"));
    }

    #[test]
    fn the_evidence_names_the_repositories_that_serve_the_product() {
        let both = products(&["baseos", "appstream", "nobody-knows"]);
        let basis = |cpe: &str| both.basis(cpe, "9");
        assert_eq!(
            basis("cpe:/a:redhat:enterprise_linux:9::appstream"),
            "which the image has from appstream"
        );
        assert_eq!(basis("cpe:/o:redhat:enterprise_linux:9"), "which the image has from appstream, baseos");
        assert!(basis("cpe:/a:redhat:enterprise_linux:9::crb").contains("nobody-knows are not known"));
        let stream = products(&["eus"]).basis("cpe:/o:redhat:enterprise_linux:9", "9");
        assert!(stream.contains("the image's support stream"), "{stream}");
        assert!(basis("cpe:/o:redhat:rhel_els:9").contains("after the release's own support"));
    }

    #[test]
    fn without_knowledge_the_main_products_are_taken() {
        for unknown in [products(&[]), products(&["nobody-knows"])] {
            assert!(unknown.include("cpe:/a:redhat:enterprise_linux:9::crb", "9"));
            assert!(unknown.include("cpe:/o:redhat:enterprise_linux:9", "9"));
            assert!(!unknown.include("cpe:/a:redhat:rhel_eus:9.2::appstream", "9"));
            assert!(!unknown.include("cpe:/a:redhat:openshift:4", "9"));
            assert!(unknown.include("cpe:/o:redhat:rhel_els:7", "7"));
            assert!(!unknown.include("cpe:/o:redhat:rhel_els:7", "9"));
            let basis = unknown.basis("cpe:/o:redhat:enterprise_linux:9", "9");
            assert!(basis.contains("main products"), "{basis}");
        }
    }
}
