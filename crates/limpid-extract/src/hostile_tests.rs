//! What hostile files do to extractors: nothing worse than an error, and nothing that grows beyond what was read.

use limpid_model::Record;
use proptest::prelude::*;

use super::*;

/// Lines that databases are made of, to be put together at random.
const LINES: &[&str] = &[
    "Package: a\n",
    "Status: install ok installed\n",
    "Version: 1\n",
    "Source: b (2)\n",
    "\n",
    " \n",
    ":\n",
    "P:a\n",
    "V:1-r0\n",
    "F:\n",
    "F:usr/bin\n",
    "R:x\n",
    "R:\n",
    "%NAME%\n",
    "%VERSION%\n",
    "%FILES%\n",
    "usr/bin/x\n",
    "obj /usr/bin/x 0 1\n",
    "obj\n",
    "sym a -> b 1\n",
    "a-1-r1\n",
    "-r1\n",
    "{\"content_sets\":[\"a\"]}",
    "{\"cpe\":\"cpe:/o:x\"}",
    "{\"kind\":\"package\"}\n",
    "{\"jsonwall\":\"1.0\",\"schema\":\"1.0\"}\n",
    "\u{0}",
    "é\n",
    "/usr/bin/x\t0755\n",
    "NAME=x\n",
    "ID='\n",
];

/// Composition relies on it to see what links lead to.
#[test]
fn every_extractor_reads_its_sample_in_its_directories() {
    for extractor in EXTRACTORS {
        for anchor in extractor.anchors() {
            if let Anchor::Directory(directory) = anchor {
                let path = format!("{directory}/{}", extractor.sample_name());
                assert!(extractor.reads(&path), "{}: {path}", extractor.name());
            }
        }
    }
}

fn check(content: &[u8]) {
    for extractor in EXTRACTORS {
        // The error's text must be writable too.
        match extractor.extract("var/lib/x/y/z", content) {
            Err(error) => assert!(error.to_string().len() < 500),
            Ok(extracted) => {
                assert!(extracted.problems.len() <= 21, "{}", extractor.name());
                let kept = extracted.owners.iter().map(|owner| owner.paths.len()).sum::<usize>();
                assert!(kept <= content.len(), "{}", extractor.name());
                if let Record::Packages(mut packages) = extracted.record {
                    assert!(packages.len() <= content.len() + 1);
                    packages.iter_mut().for_each(|package| extractor.complete("x", package));
                }
            }
        }
        let _ = extractor.lists_files_of("x");
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
        check(&content);
    }

    #[test]
    fn lines_of_databases_in_any_order(lines in proptest::collection::vec(proptest::sample::select(LINES), 0..60)) {
        let text = lines.concat();
        check(text.as_bytes());
        check(&zstd::encode_all(text.as_bytes(), 1).unwrap());
    }

    #[test]
    fn paths_of_any_kind(path in "[a-z/.%*-]{0,60}") {
        for extractor in EXTRACTORS {
            let _ = (extractor.reads(&path), extractor.lists_files_of(&path));
            let mut package = limpid_model::Package {
                kind: limpid_model::PackageType::Generic,
                name: String::new(),
                version: String::new(),
                arch: String::new(),
                source_name: String::new(),
                source_version: String::new(),
                facts: Vec::new(),
            };
            extractor.complete(&path, &mut package);
        }
    }
}
