//! Databases that are cut, wrong or made to hurt: an error or a problem that is told, in bounded time.

use limpid_extract::{ExtractError, Extracted};
use limpid_model::Record;
use limpid_testkit::{BerkeleyDb, RpmHeader, rpm_berkeley_db, rpm_ndb};
use proptest::prelude::*;

use crate::extract;

const FORMS: [&str; 3] = ["rpm-bdb", "rpm-ndb", "rpm-sqlite"];
const BERKELEY: BerkeleyDb = BerkeleyDb { version: 9, page_bytes: 512, big_endian: false };

fn blobs() -> Vec<Vec<u8>> {
    let files: Vec<String> = (0..200).map(|number| format!("file-{number}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    (0..12u32)
        .map(|number| {
            RpmHeader::new(&format!("package-{number}"), "1.0", "1")
                .numbers(1003, &[number])
                .text(1022, "noarch")
                .texts(1117, &files[..number as usize * 16])
                .numbers(1116, &vec![0; number as usize * 16])
                .texts(1118, &["/usr/bin/"])
                .blob()
        })
        .collect()
}

/// A SQLite file with a table of two levels, written page by page.
fn sqlite(blobs: &[Vec<u8>], table: &str) -> Vec<u8> {
    crate::sqlite_file::write(blobs, table)
}

/// A small database of each form, with overflow pages.
fn sound(form: &str) -> Vec<u8> {
    match form {
        "rpm-bdb" => rpm_berkeley_db(BERKELEY, &blobs()),
        "rpm-ndb" => rpm_ndb(&blobs()),
        _ => sqlite(&blobs(), "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)"),
    }
}

fn count(extracted: &Extracted) -> usize {
    let Record::Packages(packages) = &extracted.record else { panic!("packages") };
    packages.len()
}

fn damaged(result: Result<Extracted, ExtractError>) -> String {
    match result {
        Err(error) => error.to_string(),
        Ok(extracted) => {
            assert_eq!(count(&extracted), 0);
            extracted.problems.join("; ")
        }
    }
}

#[test]
fn the_sound_ones_are_read() {
    for form in FORMS {
        let extracted = extract(form, &sound(form)).unwrap();
        assert_eq!((count(&extracted), extracted.problems), (12, Vec::new()), "{form}");
        assert_eq!(extracted.owners.len(), 11);
    }
}

#[test]
fn what_is_cut_is_told() {
    for form in FORMS {
        let file = sound(form);
        for part in 0..16 {
            let cut = &file[..file.len() * part / 16];
            match extract(form, cut) {
                // An empty SQLite file is an empty database.
                Ok(extracted) if cut.is_empty() => assert_eq!(form, "rpm-sqlite", "{extracted:?}"),
                Ok(extracted) => {
                    let lost = 12 - count(&extracted);
                    assert!(
                        lost > 0 && !extracted.problems.is_empty(),
                        "{form} cut at {part}/16: {extracted:?}"
                    );
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn what_is_something_else_is_refused() {
    for form in FORMS {
        for other in FORMS.into_iter().filter(|other| *other != form) {
            assert!(matches!(extract(form, &sound(other)), Err(ExtractError::Unrecognised(_))), "{form}");
        }
        for bytes in [&b"\x7fELF"[..], &[0; 4096], &[0xff; 4096]] {
            assert!(extract(form, bytes).is_err(), "{form}");
        }
    }
}

#[test]
fn chains_of_overflow_pages_do_not_go_in_circles() {
    let mut file = sound("rpm-bdb");
    // Every overflow page leads to itself.
    for page in 0..file.len() / 512 {
        if file[page * 512 + 25] == 7 {
            let number = u32::try_from(page).unwrap().to_le_bytes();
            file[page * 512 + 16..page * 512 + 20].copy_from_slice(&number);
        }
    }
    let extracted = extract("rpm-bdb", &file).unwrap();
    assert!(extracted.problems.iter().any(|problem| problem.contains("is used twice")), "{extracted:?}");
    // And every page of the hash.
    let mut file = sound("rpm-bdb");
    for page in 0..file.len() / 512 {
        if file[page * 512 + 25] == 13 {
            let number = u32::try_from(page).unwrap().to_le_bytes();
            file[page * 512 + 16..page * 512 + 20].copy_from_slice(&number);
        }
    }
    let extracted = extract("rpm-bdb", &file).unwrap();
    assert!(extracted.problems.iter().any(|problem| problem.contains("is used twice")), "{extracted:?}");
}

#[test]
fn lengths_are_not_believed() {
    let put = |file: &mut Vec<u8>, at: usize, bytes: [u8; 4]| file[at..at + 4].copy_from_slice(&bytes);
    let mut buckets = sound("rpm-bdb");
    put(&mut buckets, 72, [0xff; 4]);
    assert!(damaged(extract("rpm-bdb", &buckets)).contains("4294967295 buckets"));
    // Slots for sixteen terabytes, and a blob of as many.
    let mut slots = sound("rpm-ndb");
    put(&mut slots, 12, [0xff; 4]);
    let extracted = extract("rpm-ndb", &slots).unwrap();
    assert!(extracted.problems.last().unwrap().contains("more problems"), "{:?}", extracted.problems);
    let mut blob = sound("rpm-ndb");
    put(&mut blob, 32 + 12, [0xff; 4]);
    let extracted = extract("rpm-ndb", &blob).unwrap();
    assert_eq!(extracted.problems, ["header 1: it claims 68719476720 bytes"]);
    // All slots claim the same blob.
    let mut same = sound("rpm-ndb");
    for slot in 3..14 {
        same.copy_within(32..48, slot * 16);
    }
    let extracted = extract("rpm-ndb", &same).unwrap();
    assert_eq!(count(&extracted), 1);
}

#[test]
fn items_that_overlap_are_not_read_again_and_again() {
    // All items of a page of the hash are one and the same.
    let form = BerkeleyDb { page_bytes: 65536, ..BERKELEY };
    let small: Vec<Vec<u8>> =
        (0..400).map(|number| RpmHeader::new(&format!("p{number}"), "1", "1").blob()).collect();
    let mut file = rpm_berkeley_db(form, &small);
    let page = &mut file[65536..2 * 65536];
    let entries = usize::from(u16::from_le_bytes([page[20], page[21]]));
    assert!(entries > 100);
    page[1000] = 1;
    for item in 0..entries {
        let place: u16 = if item % 2 == 0 { 65000 } else { 1000 };
        page[26 + 2 * item..28 + 2 * item].copy_from_slice(&place.to_le_bytes());
    }
    let extracted = extract("rpm-bdb", &file).unwrap();
    assert!(extracted.problems.iter().any(|problem| problem.contains("overlap")), "{:?}", extracted.problems);
    // All cells of a leaf are one and the same: of the last page, with room for one.
    let blob = RpmHeader::new("a", "1", "1").text(1082, &"x".repeat(200)).blob();
    let mut file = sqlite(&[blob], "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)");
    let leaf = file.len() - 512;
    file[leaf + 3..leaf + 5].copy_from_slice(&[0, 9]);
    for cell in 1..9 {
        file.copy_within(leaf + 8..leaf + 10, leaf + 8 + 2 * cell);
    }
    let extracted = extract("rpm-sqlite", &file).unwrap();
    assert_eq!(count(&extracted), 1);
    assert!(
        extracted.problems.iter().all(|problem| problem.contains("overlaps")),
        "{:?}",
        extracted.problems
    );
    assert!(!extracted.problems.is_empty());
}

#[test]
fn hostile_schemas_are_refused() {
    for (schema, message) in [
        ("CREATE VIEW 'Packages' (hnum, blob) AS SELECT 1, 2", "has no table `packages`"),
        ("CREATE VIRTUAL TABLE Packages USING fts5(blob)", "has no table `packages`"),
        ("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob) WITHOUT ROWID", "has no table `packages`"),
        ("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blobb)", "has no column `blob`"),
        ("", "has no table `packages`"),
        ("CREATE TABLE Packages (", "has no table `packages`"),
    ] {
        let said = damaged(extract("rpm-sqlite", &sqlite(&blobs(), schema)));
        assert!(said.contains(message), "{schema}: {said}");
    }
}

#[test]
fn trees_of_sqlite_do_not_go_in_circles() {
    let file = sound("rpm-sqlite");
    // Page 2 is the root; its right-most child is at 8, the first cell at 12.
    for (target, message) in
        [(0u32, "page 0"), (1, "used twice"), (2, "used twice"), (u32::MAX, "not in the file")]
    {
        let mut circular = file.clone();
        circular[512 + 8..512 + 12].copy_from_slice(&target.to_be_bytes());
        let extracted = extract("rpm-sqlite", &circular).unwrap();
        assert!(extracted.problems.iter().any(|problem| problem.contains(message)), "{extracted:?}");
    }
    // The schema's page leads to itself: an inner page without cells.
    let mut schema = file.clone();
    schema[100] = 5;
    schema[103..105].copy_from_slice(&[0, 0]);
    schema[108..112].copy_from_slice(&1u32.to_be_bytes());
    assert!(damaged(extract("rpm-sqlite", &schema)).contains("page 1 is used twice"));
    // Pages of 64 KiB, in a file of 8.
    let mut large = file.clone();
    large[16..18].copy_from_slice(&[0, 1]);
    assert!(damaged(extract("rpm-sqlite", &large)).contains("page 1"));
    // Hardly a usable byte.
    let mut reserved = file;
    reserved[20] = 255;
    assert!(extract("rpm-sqlite", &reserved).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn flipped_bytes_give_an_answer(
        form in 0..3usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut file = sound(FORMS[form]);
        for (place, value) in flips {
            let place = place.index(file.len());
            file[place] = value;
        }
        if let Ok(extracted) = extract(FORMS[form], &file) {
            prop_assert!(count(&extracted) <= 12);
        }
    }

    #[test]
    fn flipped_bytes_where_structure_is_give_an_answer(
        form in 0..3usize,
        flips in prop::collection::vec((0..600usize, any::<u8>()), 1..8),
    ) {
        let mut file = sound(FORMS[form]);
        for (place, value) in flips {
            file[place] = value;
        }
        let _ = extract(FORMS[form], &file);
    }
}
