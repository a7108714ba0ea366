//! Whatever bytes come, a feed of an rpm distribution answers with advisories or with an error, within its limits.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;

use limpid_feeds::{
    AlmaLinux, Amazon, ChangeLists, Document, Feed, FeedError, Limits, Oracle, Pointer, RedHatVex,
    RepositoryCpes, Rocky,
};
use proptest::prelude::*;

const UPDATEINFO: &str = "<?xml version=\"1.0\"?><updates><update type=\"security\"><id>A-1</id><severity>low</severity><issued date=\"2023-01-02 03:04\"/>\
    <description>a &amp; b &#x41; <![CDATA[c]]></description><references><reference id=\"CVE-2023-1\" href=\"h\"/></references>\
    <pkglist><collection><module name=\"m\" stream=\"1\"/><package name=\"a\" version=\"1\" release=\"2\" epoch=\"3\" arch=\"x\"/></collection></pkglist></update></updates>";
const OVAL: &str = "<oval_definitions><definitions><definition id=\"d\"><metadata><reference source=\"elsa\" ref_id=\"E-1\"/></metadata>\
    <criteria><criterion comment=\"Oracle Linux 8 is installed\"/><criteria><criterion comment=\"Oracle Linux arch is x86_64\"/>\
    <criterion comment=\"Module a:1 is enabled\"/><criterion comment=\"a is earlier than 1:2-3\"/></criteria></criteria></definition></definitions></oval_definitions>";
const ERRATA: &str = r#"{"data":[{"id":"A-1","type":"security","severity":"Low","issued_date":1,"packages":[{"name":"a","epoch":"1","version":"2","release":"3","arch":"x","module":"m:1:2:3"}],"references":[{"id":"CVE-2023-1","href":"h"}]}]}"#;
const VEX: &str = r#"{"document":{"category":"csaf_vex","aggregate_severity":{"text":"Low"},"tracking":{"id":"CVE-2023-1","current_release_date":"2023-01-01T00:00:00Z"}},"product_tree":{"branches":[{"product":{"product_id":"p","product_identification_helper":{"cpe":"cpe:/o:redhat:enterprise_linux:9"}}},{"product":{"product_id":"c","product_identification_helper":{"purl":"pkg:rpm/redhat/a@1-2.el9?arch=x86_64&epoch=3&rpmmod=m:1:2:3"}}}],"relationships":[{"full_product_name":{"product_id":"p:c"},"product_reference":"c","relates_to_product_reference":"p"}]},"vulnerabilities":[{"cve":"CVE-2023-1","product_status":{"fixed":["p:c"]},"threats":[{"category":"impact","details":"High","product_ids":["p:c"]}]}]}"#;
const REPOSITORIES: &str = r#"{"data":{"a":{"cpes":["cpe:/a:b:c:1"]}},"last_updated":"2023"}"#;
const ROWS: &str = "\"2026/cve-2026-1.json\",\"2026-03-25T12:33:38+00:00\"\n";

fn documents() -> Vec<(&'static dyn Feed, &'static str)> {
    vec![
        (&Amazon, UPDATEINFO),
        (&Rocky, UPDATEINFO),
        (&Oracle, OVAL),
        (&AlmaLinux, ERRATA),
        (&RedHatVex, VEX),
    ]
}

fn parse(feed: &dyn Feed, mut content: &[u8], limits: &Limits) -> Result<u64, FeedError> {
    let document = Document { name: "8/x".to_owned(), url: String::new() };
    feed.parse(&document, &mut content, limits, &mut |_| Ok(())).map(|summary| summary.affected)
}

#[test]
fn the_documents_are_good_before_they_are_harmed() {
    for (feed, content) in documents() {
        assert_eq!(parse(feed, content.as_bytes(), &Limits::default()).unwrap(), 1, "{}", feed.name());
    }
    assert!(RepositoryCpes::parse(&mut REPOSITORIES.as_bytes(), &Limits::default()).is_ok());
    assert_eq!(ChangeLists::read("x", &mut ROWS.as_bytes()).unwrap().len(), 1);
}

#[test]
fn a_text_without_an_end_is_refused_before_it_is_held() {
    let limits = Limits { record_bytes_max: 1 << 20, decoded_bytes_max: 32 << 20, ..Limits::default() };
    for (feed, begin) in [
        (&Amazon as &dyn Feed, "<updates><update type=\"security\"><description>"),
        (&Amazon, "<updates><update type=\""),
        (&Amazon, "<updates><!-- "),
        (&Oracle, "<oval_definitions><definitions><definition><description>"),
        (&AlmaLinux, "{\"data\":[{\"id\":\""),
        (&RedHatVex, "{\"document\":\""),
    ] {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        bomb.write_all(begin.as_bytes()).unwrap();
        for _ in 0..64 {
            bomb.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        assert!(parse(feed, &bomb, &limits).is_err(), "{} {begin}", feed.name());
    }
}

/// Bytes changed, taken out and doubled.
fn harmed(content: &[u8], edits: &[(u16, u8, u8)]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    for (position, byte, kind) in edits {
        let at = usize::from(*position) % bytes.len();
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.drain(at..(at + usize::from(*byte)).min(bytes.len()))),
            2 => bytes.insert(at, *byte),
            _ => {
                let piece = bytes[at..(at + usize::from(*byte)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            bytes.push(*byte);
        }
    }
    bytes
}

proptest! {
    #[test]
    fn harm_is_an_error_or_another_document(edits in prop::collection::vec(any::<(u16, u8, u8)>(), 1..6)) {
        let limits = Limits::default();
        for (feed, content) in documents() {
            let _ = parse(feed, &harmed(content.as_bytes(), &edits), &limits);
        }
        let _ = RepositoryCpes::parse(&mut harmed(REPOSITORIES.as_bytes(), &edits).as_slice(), &limits);
        let _ = ChangeLists::read("x", &mut harmed(ROWS.as_bytes(), &edits).as_slice());
        let catalog = Amazon.catalog("amzn:2").unwrap();
        let _ = Amazon.catalogued(&catalog, &harmed(br#"{"topics":[{"n":"a"}]}"#, &edits));
    }

    #[test]
    fn a_pointer_never_leads_away(content in prop::collection::vec(any::<u8>(), 0..200), path in "[ -~]{0,60}") {
        let url = "https://cdn.example.com/a/repodata/repomd.xml";
        let metadata = format!("<repomd><data type='updateinfo'><location href='{path}'/></data></repomd>");
        for (pointer, content) in [
            (Pointer::MirrorList, content.as_slice()),
            (Pointer::RepositoryMetadata, metadata.as_bytes()),
            (Pointer::ArchiveName, path.as_bytes()),
            (Pointer::MirrorList, path.as_bytes()),
        ] {
            if let Ok(Some(next)) = pointer.follow(url, content) {
                let host = next.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
                prop_assert!(host == "example.com" || host.ends_with(".example.com"), "{next}");
                prop_assert!(!next.contains(".."), "{next}");
            }
        }
    }
}
