//! Every format of the sample, as files in `tests/golden` that a person can read. With `LIMPID_BLESS=1` they are
//! written anew.

use std::fs;
use std::path::Path;

use limpid_report::{Edition, FORMATS, Subject};

use crate::sample::report;

/// What changes without the format: the version, and the style and script of the page with their digests.
fn lasting(name: &str, text: &str) -> String {
    let mut text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION").replace("\r\n", "\n");
    if name == "html" {
        for (begin, end) in [("<style>", "</style>"), ("<script>", "</script>"), ("'sha256-", "'")] {
            let mut rest = text.as_str();
            let mut shown = String::new();
            while let Some((before, after)) = rest.split_once(begin) {
                shown.push_str(before);
                shown.push_str(begin);
                rest = after.split_once(end).map(|(cut, _)| &after[cut.len()..]).unwrap();
                let (kept, behind) = rest.split_at(end.len());
                shown.push_str(kept);
                rest = behind;
            }
            shown.push_str(rest);
            text = shown;
        }
    }
    text
}

#[test]
fn documents_are_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let report = report();
    let mut changed = Vec::new();
    for format in FORMATS {
        let edition = Edition { packages_only: format.subject == Subject::Packages, ..Edition::default() };
        let text = format.document(&report, &edition);
        assert_eq!(text, format.document(&report, &edition), "{} differs from run to run", format.name);
        let text = lasting(format.name, &text);
        let path = folder.join(format!("web.{}", format.name));
        if std::env::var_os("LIMPID_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n") != text {
            changed.push(format.name);
        }
    }
    assert!(changed.is_empty(), "{changed:?} differ from tests/golden; LIMPID_BLESS=1 writes them anew");
}

#[test]
fn several_images_stand_in_one_document_where_the_format_has_room() {
    let mut second = report();
    second.reference = "registry.example:5000/shop/db:3".to_owned();
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS.iter().filter(|format| format.holds_several()) {
        let edition = Edition { several: true, ..Edition::default() };
        let mut document = format.open(&edition);
        let mut text = document.begin();
        for report in [report(), second.clone()] {
            text.push_str(&document.add(&[report]));
        }
        text.push_str(&document.end(&[("oci:gone".to_owned(), "there is no <image>".to_owned())]));
        // A product of OpenVEX is named by its digest, which is the same here.
        for name in ["shop/web", "shop/db"].iter().filter(|_| format.name != "openvex") {
            assert!(text.contains(name), "{} lacks {name}", format.name);
        }
        fs::write(folder.path().join(format!("two.{}", format.name)), text).unwrap();
    }
    let judged = limpid_testkit::validate(folder.path());
    assert!(judged.is_none_or(|judged| judged.contains("\"sarif\": 1")));
}
