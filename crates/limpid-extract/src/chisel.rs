//! Chisel's manifest, `var/lib/chisel/manifest.wall`: which slices of which Ubuntu packages an image was cut from.
//!
//! Source of truth: Chisel's `public/manifest` and `public/jsonwall`. Lines of JSON in zstd: first a header
//! (`{"jsonwall":"1.0","schema":"1.0","count":N}`), then one object a line, told apart by `kind`: `package` (name,
//! version, arch), `path` (with the slices that it is of), `slice`, `content`. A path belongs to the packages
//! of its slices, whose names are `PACKAGE_SLICE`.
//!
//! The manifest names no source packages. A package is taken for its own source, and the report says that some may
//! be missed by that.

use std::collections::BTreeMap;
use std::io::Read;

use limpid_model::{Package, PackageType, Record};
use serde::Deserialize;

use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, Problems, excerpt};
use crate::ownership::OwnedPaths;

/// Bytes of a manifest without its compression: that of an image with 10,000 paths has 3 MiB.
const PLAIN_BYTES_MAX: u64 = 64 << 20;

/// The manifest.
#[derive(Debug)]
pub(crate) struct ChiselManifest;

#[derive(Deserialize)]
struct Header {
    jsonwall: String,
    schema: String,
}

#[derive(Deserialize)]
struct Line {
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    arch: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    slices: Vec<String>,
}

impl Extractor for ChiselManifest {
    fn name(&self) -> &'static str {
        "chisel"
    }

    fn version(&self) -> u32 {
        1
    }

    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/chisel/manifest.wall")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("var/lib/chisel/manifest.wall")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let plain = decompress(content)?;
        let mut lines = plain.lines();
        let header: Option<Header> = lines.next().and_then(|line| serde_json::from_str(line).ok());
        let known = header.is_some_and(|header| header.jsonwall == "1.0" && header.schema.starts_with("1."));
        if !known {
            return Err(ExtractError::Unrecognised("a manifest of Chisel's in version 1"));
        }
        let mut packages = Vec::new();
        let mut files: BTreeMap<String, OwnedPaths> = BTreeMap::new();
        let mut problems = Problems::default();
        for (number, text) in lines.enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let Ok(line) = serde_json::from_str::<Line>(text) else {
                problems.push(|| format!("line {} is no entry: `{}`", number + 2, excerpt(text)));
                continue;
            };
            match line.kind.as_str() {
                "package" => match package(line) {
                    Some(package) => packages.push(package),
                    None => problems.push(|| format!("the package in line {} is not complete", number + 2)),
                },
                "path" => {
                    for slice in &line.slices {
                        let owner = slice.split('_').next().unwrap_or_default();
                        files.entry(owner.to_owned()).or_default().push(&line.path);
                    }
                }
                _ => {}
            }
        }
        if !packages.is_empty() {
            problems.push(|| {
                "it names no source packages: advisories that name a source of another name are not found"
                    .to_owned()
            });
        }
        packages.sort_unstable();
        packages.dedup();
        let owners = files.into_iter().filter_map(|(package, paths)| paths.owner(&package)).collect();
        Ok(Extracted { record: Record::Packages(packages), owners, problems: problems.into_vec() })
    }
}

fn package(line: Line) -> Option<Package> {
    let complete = is_printable_word(&line.name) && is_printable_word(&line.version);
    complete.then(|| Package {
        kind: PackageType::Deb,
        source_name: line.name.clone(),
        source_version: line.version.clone(),
        name: line.name,
        version: line.version,
        arch: if is_printable_word(&line.arch) { line.arch } else { String::new() },
        facts: Vec::new(),
    })
}

fn decompress(content: &[u8]) -> Result<String, ExtractError> {
    let mut plain = Vec::new();
    let read = zstd::stream::read::Decoder::new(content)
        .and_then(|decoder| decoder.take(PLAIN_BYTES_MAX + 1).read_to_end(&mut plain));
    if read.is_err() {
        return Err(ExtractError::Unrecognised("zstd data, or it is damaged"));
    }
    if plain.len() as u64 > PLAIN_BYTES_MAX {
        return Err(ExtractError::Unrecognised("a manifest: it unpacks to more than 64 MiB"));
    }
    String::from_utf8(plain).map_err(|_| ExtractError::Unrecognised("text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::path_hash;

    const WALL: &str = r#"{"jsonwall":"1.0","schema":"1.0","count":7}
{"kind":"content","slice":"libssl3t64_libs","path":"/usr/lib/x86_64-linux-gnu/libssl.so.3"}
{"kind":"package","name":"libssl3t64","version":"3.0.13-0ubuntu3.4","sha256":"00","arch":"amd64"}
{"kind":"package","name":"openssl","version":"3.0.13-0ubuntu3.4","sha256":"00","arch":"amd64"}
{"kind":"path","path":"/usr/bin/openssl","mode":"0755","slices":["openssl_bins"],"sha256":"00","size":1}
{"kind":"path","path":"/usr/lib/x86_64-linux-gnu/libssl.so.3","mode":"0644","slices":["libssl3t64_libs"]}
{"kind":"slice","name":"openssl_bins"}
"#;

    fn wall(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 3).unwrap()
    }

    #[test]
    fn packages_and_paths() {
        let extracted = ChiselManifest.extract("", &wall(WALL)).unwrap();
        let Record::Packages(packages) = extracted.record else { panic!("packages") };
        let shown: Vec<String> =
            packages.iter().map(|p| format!("{} {} {}", p.name, p.version, p.arch)).collect();
        assert_eq!(shown, ["libssl3t64 3.0.13-0ubuntu3.4 amd64", "openssl 3.0.13-0ubuntu3.4 amd64"]);
        assert_eq!(extracted.owners.len(), 1);
        assert_eq!(extracted.owners[0].package, "openssl");
        assert_eq!(extracted.owners[0].paths, [path_hash("usr/bin/openssl")]);
        assert_eq!(extracted.problems.len(), 1);
    }

    #[test]
    fn damage_and_bombs_end_in_an_error() {
        assert!(ChiselManifest.extract("", b"{}").is_err());
        assert!(ChiselManifest.extract("", &wall("{\"jsonwall\":\"2.0\",\"schema\":\"1.0\"}\n")).is_err());
        let whole = wall(WALL);
        assert!(ChiselManifest.extract("", &whole[..whole.len() / 2]).is_err());
        let bomb = zstd::encode_all(std::io::repeat(b'\n').take(PLAIN_BYTES_MAX + 1), 3).unwrap();
        let refused = ChiselManifest.extract("", &bomb).unwrap_err();
        assert!(refused.to_string().contains("64 MiB"), "{refused}");
        let odd = format!("{WALL}not json\n{{\"kind\":\"package\",\"name\":\"x\"}}\n");
        assert_eq!(ChiselManifest.extract("", &wall(&odd)).unwrap().problems.len(), 3);
    }
}
