//! Red Hat's products and components: what CPEs, purls and ids say.
//!
//! Source of truth: CPE 2.2 URIs as Red Hat's VEX documents and its repository map have them, and
//! <https://github.com/package-url/purl-spec> for purls. A package of a module is named in three ways:
//! `?rpmmod=NAME:STREAM[:VERSION:CONTEXT]` in the purl, `...::NAME:STREAM` at the end of the id, or
//! `NAME:STREAM/...` at its beginning; older documents make it a component of a `pkg:rpmmod` component.

use limpid_model::PackageKind;

use crate::fetch::percent_decoded;

/// Products whose updates are a support stream of a release, and the stream's name.
const STREAMS: &[(&str, &str)] = &[
    ("rhel_eus", "eus"),
    ("enterprise_linux_eus", "eus"),
    ("rhel_eus_long_life", "eus-long-life"),
    ("rhel_aus", "aus"),
    ("rhel_mission_critical", "aus"),
    ("rhel_e4s", "e4s"),
    ("enterprise_linux_e4s", "e4s"),
    ("rhel_tus", "tus"),
    ("rhel_els", "els"),
];

/// What a CPE says of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    /// The major version of Red Hat Enterprise Linux, if the CPE says it.
    pub(crate) major: Option<String>,
    /// `eus-9.2`, empty for what is no support stream.
    pub(crate) channel: String,
}

impl Product {
    pub(crate) fn of_cpe(cpe: &str) -> Self {
        let parts: Vec<&str> = cpe.split(':').collect();
        let part = |at: usize| parts.get(at).copied().unwrap_or_default();
        let (product, version) = (part(3), part(4));
        let stream = STREAMS.iter().find(|(name, _)| *name == product);
        let major = if product == "enterprise_linux" || stream.is_some() {
            digits(version)
        } else {
            // `cpe:/a:redhat:openshift:4.13::el8`
            parts.iter().skip(5).find_map(|edition| digits(edition.strip_prefix("el")?))
        };
        let channel = stream.map(|(_, name)| format!("{name}-{version}")).unwrap_or_default();
        Self { major, channel }
    }
}

/// The major release in a build's dist tag (`1.1-2.el9_2.1`).
pub(crate) fn major_of_build(version: &str) -> Option<String> {
    let (_, release) = version.rsplit_once('-')?;
    release.match_indices(".el").chain(release.match_indices("+el")).find_map(|(at, _)| {
        let rest = release.get(at + 3..)?;
        digits(rest)
    })
}

fn digits(text: &str) -> Option<String> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (1..=2).contains(&end).then(|| text[..end].to_owned())
}

/// What a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) kind: PackageKind,
    /// `[epoch:]version-release`, empty for every version.
    pub(crate) version: String,
    /// Empty if it is not said.
    pub(crate) arch: String,
    /// `nodejs:18`, empty for none.
    pub(crate) module: String,
}

/// The component of that id; `Err` names why it is no rpm package.
pub(crate) fn component(id: &str, purl: Option<&str>) -> Result<Component, &'static str> {
    let Some(purl) = purl else { return unidentified(id) };
    let purl = Purl::of(purl).ok_or("component's purl is malformed")?;
    match purl.kind {
        "rpm" => {}
        "oci" => return Err("component is a container image"),
        _ => return Err("component is not an rpm package"),
    }
    let arch = purl.qualifier("arch");
    let epoch = purl.qualifier("epoch");
    let version = match epoch.as_str() {
        _ if purl.version.is_empty() => String::new(),
        "" | "0" => purl.version.clone(),
        epoch => format!("{epoch}:{}", purl.version),
    };
    let module = match purl.qualifier("rpmmod") {
        module if module.is_empty() => module_of_id(id),
        module => name_and_stream(&module),
    };
    let kind = if arch == "src" { PackageKind::Source } else { PackageKind::Binary };
    Ok(Component { name: purl.name, kind, version, arch, module })
}

/// Documents of before 2024 name components of a release by nothing but the source package's name.
fn unidentified(id: &str) -> Result<Component, &'static str> {
    let name = id.rsplit('/').next().unwrap_or(id);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
    let module = module_of_id(id);
    if name.is_empty() || !name.bytes().all(is_name) || (id.contains('/') && module.is_empty()) {
        return Err("component has no purl and is not a package's name");
    }
    let component = Component {
        name: name.to_owned(),
        kind: PackageKind::Source,
        version: String::new(),
        arch: String::new(),
        module,
    };
    Ok(component)
}

/// The module that a component of type `rpmmod` is.
pub(crate) fn module(purl: &str) -> Option<String> {
    let purl = Purl::of(purl).filter(|purl| purl.kind == "rpmmod")?;
    Some(name_and_stream(&format!("{}:{}", purl.name, purl.version)))
}

fn module_of_id(id: &str) -> String {
    let module = match (id.rsplit_once("::"), id.split_once('/')) {
        (Some((_, module)), _) => module,
        (None, Some((module, _))) => module,
        (None, None) => return String::new(),
    };
    if module.contains(':') && !module.contains('@') { name_and_stream(module) } else { String::new() }
}

fn name_and_stream(module: &str) -> String {
    let mut parts = module.split(':');
    match (parts.next(), parts.next()) {
        (Some(name), Some(stream)) => format!("{name}:{stream}"),
        _ => module.to_owned(),
    }
}

struct Purl<'p> {
    kind: &'p str,
    name: String,
    version: String,
    qualifiers: &'p str,
}

impl<'p> Purl<'p> {
    fn of(text: &'p str) -> Option<Self> {
        let (kind, rest) = text.strip_prefix("pkg:")?.split_once('/')?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let last = path.rsplit('/').next().unwrap_or(path);
        let (name, version) = last.split_once('@').unwrap_or((last, ""));
        let name = percent_decoded(name);
        (!name.is_empty()).then(|| Self { kind, name, version: percent_decoded(version), qualifiers })
    }

    fn qualifier(&self, key: &str) -> String {
        let pairs = self.qualifiers.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| percent_decoded(value))
            .next()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpes_say_release_and_stream() {
        for (cpe, major, channel) in [
            ("cpe:/o:redhat:enterprise_linux:9", "9", ""),
            ("cpe:/a:redhat:enterprise_linux:9::appstream", "9", ""),
            ("cpe:/o:redhat:enterprise_linux:10.1", "10", ""),
            ("cpe:/o:redhat:enterprise_linux_eus:10.0", "10", "eus-10.0"),
            ("cpe:/a:redhat:rhel_eus:9.2::appstream", "9", "eus-9.2"),
            ("cpe:/o:redhat:rhel_els:7", "7", "els-7"),
            ("cpe:/o:redhat:rhel_eus_long_life:8.4::baseos", "8", "eus-long-life-8.4"),
            ("cpe:/a:redhat:openshift:4.13::el8", "8", ""),
            ("cpe:/a:redhat:openshift:4", "", ""),
            ("cpe:/a:redhat:rhel_satellite_client:6::el7", "7", ""),
            ("cpe", "", ""),
        ] {
            let product = Product::of_cpe(cpe);
            assert_eq!(product.major.unwrap_or_default(), major, "{cpe}");
            assert_eq!(product.channel, channel, "{cpe}");
        }
        assert_eq!(major_of_build("7.76.1-14.el9_0.9").as_deref(), Some("9"));
        assert_eq!(major_of_build("0.78-11.module+el8.6.0+23193+83e23a7a.1").as_deref(), Some("8"));
        assert_eq!(major_of_build("1.25.8-1.1.hum1"), None);
    }

    #[test]
    fn components_say_name_version_and_module() {
        let read = |id: &str, purl: Option<&str>| {
            let c = component(id, purl)?;
            Ok((c.name, c.kind, c.version, c.arch, c.module))
        };
        let text = str::to_owned;
        let none: String = String::new();
        assert_eq!(
            read(
                "x",
                Some(
                    "pkg:rpm/redhat/perl-FCGI@0.78-11.module%2Bel8.6.0%2B1?arch=x86_64&epoch=1&rpmmod=perl-FCGI:0.78:8060:513b"
                )
            ),
            Ok((
                text("perl-FCGI"),
                PackageKind::Binary,
                text("1:0.78-11.module+el8.6.0+1"),
                text("x86_64"),
                text("perl-FCGI:0.78")
            ))
        );
        assert_eq!(
            read("openssl.src", Some("pkg:rpm/redhat/openssl?arch=src")),
            Ok((text("openssl"), PackageKind::Source, none.clone(), text("src"), none.clone()))
        );
        assert_eq!(
            read("python-nose-docs::python36:3.6", Some("pkg:rpm/redhat/python-nose-docs")),
            Ok((
                text("python-nose-docs"),
                PackageKind::Binary,
                none.clone(),
                none.clone(),
                text("python36:3.6")
            ))
        );
        assert_eq!(
            read("nodejs:18/nodejs", None),
            Ok((text("nodejs"), PackageKind::Source, none.clone(), none.clone(), text("nodejs:18")))
        );
        assert_eq!(read("vim", None).map(|c| c.1), Ok(PackageKind::Source));
        assert_eq!(
            read("rhel8/nodejs-18@sha256:00_amd64", Some("pkg:oci/nodejs-18@sha256:00?arch=amd64")),
            Err("component is a container image")
        );
        assert!(read("io.quarkus/quarkus-vertx-http", None).is_err());
        assert!(read("x", Some("pkg:")).is_err() && read("x", Some("pkg:maven/a/b@1")).is_err());
        assert_eq!(module("pkg:rpmmod/redhat/nodejs@18:8060020221:ad00").as_deref(), Some("nodejs:18"));
    }
}
