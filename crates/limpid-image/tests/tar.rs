//! The tar walker against other writers and readers: GNU tar and Python's tarfile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::Command;

use limpid_image::{
    Entry, EntryKind, Error, FileContent, Interest, LayerContent, LayerVisitor, Limits, read_layer,
};

/// What a layer showed: each entry in words, and the content of every file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    entries: Vec<String>,
    problems: Vec<String>,
}

impl LayerVisitor for Seen {
    fn entry(&mut self, entry: &Entry<'_>) -> Interest {
        let kind = match entry.kind {
            EntryKind::File { size } => format!("file {size}"),
            EntryKind::Directory => "directory".to_owned(),
            EntryKind::Symlink(target) => format!("symlink {target}"),
            EntryKind::Hardlink(target) => format!("hardlink {target}"),
            EntryKind::Whiteout => "whiteout".to_owned(),
            EntryKind::Opaque => "opaque".to_owned(),
            EntryKind::Other => "other".to_owned(),
        };
        self.entries.push(format!("{} {kind}", entry.path));
        Interest::Read { limit_bytes: 1 << 20 }
    }

    fn file(&mut self, _: &str, content: FileContent<'_>) {
        let FileContent::Bytes(bytes) = content else { return };
        let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
        self.entries.last_mut().unwrap().push_str(&format!(" sum {sum}"));
    }

    fn problem(&mut self, path: &str, reason: String) {
        self.problems.push(format!("{path}: {reason}"));
    }
}

fn read(tar: &[u8]) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let content = LayerContent::Blob(Box::new(Cursor::new(tar.to_vec())));
    read_layer(content, None, &Limits::default(), &mut seen, &|_| {})?;
    Ok(seen)
}

/// Runs a Python program that writes `layer.tar`; nothing if there is no Python.
fn python(program: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new("python3").args(["-c", program]).current_dir(folder.path()).status();
    if !run.is_ok_and(|status| status.success()) {
        eprintln!("skipped: python3 is not here, or cannot run the program");
        return None;
    }
    Some(std::fs::read(folder.path().join("layer.tar")).unwrap())
}

const MEMBERS: &str = r"
import io, sys, tarfile
def write(format, long):
    t = tarfile.open('layer.tar', 'w', format=format)
    def add(name, data=b'', kind=tarfile.REGTYPE, link=''):
        i = tarfile.TarInfo(name); i.size = len(data); i.type = kind; i.linkname = link
        t.addfile(i, io.BytesIO(data))
    add('./etc/', kind=tarfile.DIRTYPE)
    add('./etc/os-release', b'ID=x')
    add('/abs', b'a')
    add('n' * long + '/f', b'bc')
    add('link', kind=tarfile.SYMTYPE, link='t' * long)
    add('hard', kind=tarfile.LNKTYPE, link='./etc/os-release')
    add('d/.wh.gone'); add('d/.wh..wh..opq')
    add('null', kind=tarfile.CHRTYPE)
    add('up/../x', b'd')
    add('../../evil', b'e')
    t.close()
";

#[test]
fn every_dialect_says_the_same() {
    for (format, long) in [("USTAR", 90), ("GNU", 300), ("PAX", 300)] {
        let Some(tar) = python(&format!("{MEMBERS}\nwrite(tarfile.{format}_FORMAT, {long})")) else { return };
        let seen = read(&tar).unwrap();
        let long_name = "n".repeat(long);
        let long_link = "t".repeat(long);
        assert_eq!(
            seen.entries,
            [
                "etc directory",
                "etc/os-release file 4 sum 322",
                "abs file 1 sum 97",
                &format!("{long_name}/f file 2 sum 197"),
                &format!("link symlink {long_link}"),
                "hard hardlink etc/os-release",
                "d/gone whiteout",
                "d opaque",
                "null other",
                "x file 1 sum 100",
            ],
            "{format}"
        );
        assert!(seen.problems.iter().any(|problem| problem.contains("evil")), "{:?}", seen.problems);
        assert!(seen.problems.iter().any(|problem| problem.contains("up/../x")), "{:?}", seen.problems);
    }
}

#[test]
fn sparse_files_of_gnu_tar_have_their_holes() {
    let folder = tempfile::tempdir().unwrap();
    for (format, version) in [("gnu", ""), ("pax", "0.0"), ("pax", "0.1"), ("pax", "1.0")] {
        let script = format!(
            "rm -f sparse; truncate -s 300000 sparse; printf abc | dd of=sparse bs=1 seek=100000 conv=notrunc status=none; \
             tar --sparse --format={format} {} -cf layer.tar sparse",
            if version.is_empty() { String::new() } else { format!("--sparse-version={version}") }
        );
        let made = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: GNU tar is not here");
            return;
        }
        let seen = read(&std::fs::read(folder.path().join("layer.tar")).unwrap()).unwrap();
        assert_eq!(seen.entries, ["sparse file 300000 sum 294"], "{format} {version}");
    }
}

#[test]
fn an_archive_cut_or_flipped_anywhere_is_an_error_or_an_answer_and_never_a_panic() {
    let Some(tar) = python(&format!("{MEMBERS}\nwrite(tarfile.PAX_FORMAT, 200)")) else { return };
    for end in (0..tar.len()).step_by(7) {
        let _ = read(&tar[..end]);
    }
    for at in (0..tar.len().min(6000)).step_by(3) {
        let mut damaged = tar.clone();
        damaged[at] ^= 0xff;
        let _ = read(&damaged);
    }
}

/// Reads everything in pieces; of each file its size, how it came, and its bytes.
#[derive(Debug, Default)]
struct InPieces(Vec<(bool, Vec<u8>)>);

impl LayerVisitor for InPieces {
    fn entry(&mut self, _: &Entry<'_>) -> Interest {
        Interest::ReadInPieces { limit_bytes: 1 << 20 }
    }

    fn file(&mut self, _: &str, content: FileContent<'_>) {
        match content {
            FileContent::Bytes(bytes) => self.0.push((false, bytes.to_vec())),
            FileContent::Spooled { mut file, size_bytes } => {
                let mut bytes = Vec::new();
                file.rewind().unwrap();
                file.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes.len() as u64, size_bytes);
                self.0.push((true, bytes));
            }
            FileContent::TooLarge { .. } => self.0.push((false, Vec::new())),
        }
    }

    fn problem(&mut self, path: &str, reason: String) {
        panic!("{path}: {reason}");
    }
}

#[test]
fn large_files_come_in_a_file_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let filler: Vec<u8> = (0..300_000u32).map(|number| (number % 253) as u8).collect();
    std::fs::write(folder.path().join("a-small"), &filler[..100]).unwrap();
    std::fs::write(folder.path().join("b-large"), &filler).unwrap();
    // Holes before, between and behind data.
    let sparse = std::fs::File::create(folder.path().join("c-sparse")).unwrap();
    for (offset, length) in [(100_000, 5000), (500_000, 7000)] {
        (&sparse).seek(SeekFrom::Start(offset)).unwrap();
        (&sparse).write_all(&filler[..length]).unwrap();
    }
    sparse.set_len(900_000).unwrap();
    std::fs::write(folder.path().join("d-too-large"), vec![1; 2 << 20]).unwrap();
    let expected: Vec<Vec<u8>> = ["a-small", "b-large", "c-sparse"]
        .iter()
        .map(|name| std::fs::read(folder.path().join(name)).unwrap())
        .chain([Vec::new()])
        .collect();
    let limits = Limits { spool_above_bytes: 1000, ..Limits::default() };
    for form in ["gnu", "pax"] {
        let tar = Command::new("tar")
            .args(["--sparse", "--format", form, "-cf", "-", "a-small", "b-large", "c-sparse", "d-too-large"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let content = LayerContent::Blob(Box::new(Cursor::new(tar.stdout)));
        let mut seen = InPieces::default();
        read_layer(content, None, &limits, &mut seen, &|_| {}).unwrap();
        assert_eq!(
            seen.0.iter().map(|(spooled, _)| *spooled).collect::<Vec<_>>(),
            [false, true, true, false]
        );
        assert!(seen.0.iter().map(|(_, bytes)| bytes).eq(&expected), "{form}");
    }
    let mut seen = InPieces::default();
    read_layer(LayerContent::Tree(folder.path().to_owned()), None, &limits, &mut seen, &|_| {}).unwrap();
    assert!(seen.0.iter().map(|(_, bytes)| bytes).eq(&expected));
}
