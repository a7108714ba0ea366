//! Headers and databases that no tool makes any more.

use limpid_extract::ownership::path_hash;
use limpid_model::{FileOwner, PackageFact};
use limpid_testkit::{BerkeleyDb, RpmHeader, rpm_berkeley_db, rpm_ndb};

use crate::{extract, packages};

const LITTLE: BerkeleyDb = BerkeleyDb { version: 9, page_bytes: 4096, big_endian: false };

#[test]
fn whole_paths_of_rpm_3_have_owners() {
    let header = RpmHeader::new("old", "1", "1").texts(1027, &["/usr/bin/old", "/etc/old"]);
    let extracted = extract("rpm-bdb", &rpm_berkeley_db(LITTLE, &[header.blob()])).unwrap();
    let paths = vec![path_hash("usr/bin/old")];
    assert_eq!(extracted.owners, [FileOwner { package: "old".to_owned(), paths }]);
}

#[test]
fn entries_behind_the_region_take_the_place_of_those_in_it() {
    let header = RpmHeader::new("twice", "1", "1").text(1022, "i386").text(1022, "x86_64");
    assert_eq!(packages("rpm-ndb", &rpm_ndb(&[header.blob()]))[0].arch, "x86_64");
}

#[test]
fn keys_are_no_packages_and_signatures_name_theirs() {
    let key = RpmHeader::new("gpg-pubkey", "3135ce90", "5e6fda74");
    let signature = [&[0x88, 15, 3, 5, 0, 1, 2, 3, 4][..], &[0xab; 8]].concat();
    let signed = RpmHeader::new("signed", "1", "1").bytes(268, &signature).text(1011, "(none)");
    let found = packages("rpm-ndb", &rpm_ndb(&[key.blob(), signed.blob()]));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].facts, [(PackageFact::SigningKey, "abababababababab".to_owned())]);
    assert_eq!((found[0].source_name.as_str(), found[0].source_version.as_str()), ("", ""));
}

#[test]
fn a_bad_header_costs_itself_and_is_named() {
    let good = |name: &str| RpmHeader::new(name, "1", "1").text(1044, &format!("{name}-1-1.src.rpm")).blob();
    let nameless = RpmHeader::default().text(1001, "1").blob();
    let cut = good("cut")[..40].to_vec();
    let files = RpmHeader::new("files", "1", "1").texts(1117, &["a"]).texts(1118, &["/"]).blob();
    let blobs = [good("a"), nameless, good("b"), cut, files];
    for (extractor, file) in [("rpm-ndb", rpm_ndb(&blobs)), ("rpm-bdb", rpm_berkeley_db(LITTLE, &blobs))] {
        let extracted = extract(extractor, &file).unwrap();
        let limpid_model::Record::Packages(packages) = extracted.record else { panic!("packages") };
        assert_eq!(packages.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a", "b", "files"]);
        let mut problems = extracted.problems;
        problems.sort();
        assert_eq!(
            problems,
            [
                "header 2: it has no name",
                "header 4: it claims 4 entries and 24 bytes, but has 40",
                "header 5: package `files`: its list of files: a file in it has no directory",
            ],
            "{extractor}"
        );
    }
}

#[test]
fn a_package_of_a_damaged_checksum_is_lost_and_told() {
    let blobs: Vec<Vec<u8>> = ["a", "b"].iter().map(|name| RpmHeader::new(name, "1", "1").blob()).collect();
    let mut file = rpm_ndb(&blobs);
    let at = 4096 + 16 + 8 + 16;
    file[at] ^= 1;
    let extracted = extract("rpm-ndb", &file).unwrap();
    assert_eq!(extracted.problems, ["header 1: its data at byte 4096 does not match its checksum"]);
}
