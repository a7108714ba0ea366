//! Reading rpm's database with ten thousand packages, in each of its forms.
//!
//! Headers are as large as those of real packages: of the 129 packages of a Mariner image they have 18 kB each, most
//! of it lists of files, digests and dependencies. The database lies in a file, as a large one does in a scan.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use limpid_extract::{EXTRACTORS, ReadAt};
use limpid_model::Record;
use limpid_testkit::{BerkeleyDb, RpmHeader, rpm_berkeley_db, rpm_ndb};

use crate::figure::{Figure, median, print};
use crate::measure::{Usage, measure};

const MILLISECONDS_MAX: f64 = 100.0;
const MEMORY_MB_MAX: f64 = 50.0;
/// Files of a package, and digits of the digest of one.
const FILES: usize = 90;
const DIGEST_DIGITS: usize = 64;
/// Bytes of changelogs, dependencies and descriptions.
const OTHER_BYTES: usize = 8000;

#[derive(Debug, Args)]
pub(crate) struct Rpmdb {
    /// Packages of each database
    #[arg(long, default_value_t = 10_000)]
    packages: usize,
    /// How often each is read
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    BerkeleyDb,
    Ndb,
    Sqlite,
}

#[derive(Debug, Args)]
pub(crate) struct ReadRpmdb {
    #[arg(long)]
    form: Form,
    /// How many packages must be found
    #[arg(long)]
    packages: usize,
    file: PathBuf,
}

impl Rpmdb {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut figures = Vec::new();
        for (form, name, [size, wall, processor, memory]) in [
            (
                Form::BerkeleyDb,
                "berkeley-db",
                [
                    "Berkeley DB, size",
                    "Berkeley DB, wall",
                    "Berkeley DB, processor",
                    "Berkeley DB, peak memory",
                ],
            ),
            (Form::Ndb, "ndb", ["ndb, size", "ndb, wall", "ndb, processor", "ndb, peak memory"]),
            (
                Form::Sqlite,
                "sqlite",
                ["SQLite, size", "SQLite, wall", "SQLite, processor", "SQLite, peak memory"],
            ),
        ] {
            let path = folder.path().join(name);
            write(form, self.packages, &path)?;
            let read =
                (0..=self.rounds).map(|_| self.read(name, &path)).collect::<anyhow::Result<Vec<Usage>>>()?;
            // The first round fills the machine's file cache and is not counted.
            let read = &read[1..];
            let figure =
                |name: &str, value, unit, target_max| Figure::new(name, value, unit).at_most(target_max);
            let milliseconds = |pick: fn(&Usage) -> f64| median(read.iter().map(pick)) * 1000.0;
            figures.extend([
                figure(size, fs::metadata(&path)?.len() as f64 / 1e6, "MB", None),
                figure(wall, milliseconds(|usage| usage.wall_seconds), "ms", Some(MILLISECONDS_MAX)),
                figure(processor, milliseconds(|usage| usage.cpu_seconds), "ms", None),
                figure(memory, median(read.iter().map(|usage| usage.memory_mb)), "MB", Some(MEMORY_MB_MAX)),
            ]);
            fs::remove_file(&path)?;
        }
        print(&figures, self.json);
        Ok(())
    }

    fn read(&self, form: &str, path: &Path) -> anyhow::Result<Usage> {
        let bench = std::env::current_exe()?;
        let packages = self.packages.to_string();
        measure([
            bench.as_os_str(),
            "read-rpmdb".as_ref(),
            "--form".as_ref(),
            form.as_ref(),
            "--packages".as_ref(),
            packages.as_ref(),
            path.as_os_str(),
        ])
    }
}

impl ReadRpmdb {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let name = match self.form {
            Form::BerkeleyDb => "rpm-bdb",
            Form::Ndb => "rpm-ndb",
            Form::Sqlite => "rpm-sqlite",
        };
        let extractor = EXTRACTORS.iter().find(|extractor| extractor.name() == name);
        let extractor = extractor.context("there is no such extractor")?;
        let file = File::open(&self.file)?;
        let database = DatabaseFile { size_bytes: file.metadata()?.len(), file };
        let extracted = extractor.extract_in_pieces("", &database)?;
        let Record::Packages(packages) = extracted.record else { anyhow::bail!("it lists no packages") };
        ensure!(extracted.problems.is_empty(), "problems: {:?}", extracted.problems);
        ensure!(packages.len() == self.packages, "{} packages were found", packages.len());
        ensure!(extracted.owners.len() == self.packages, "{} owners were found", extracted.owners.len());
        Ok(())
    }
}

struct DatabaseFile {
    file: File,
    size_bytes: u64,
}

impl ReadAt for DatabaseFile {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

fn write(form: Form, packages: usize, path: &Path) -> anyhow::Result<()> {
    let blobs = (0..packages).map(blob);
    match form {
        Form::BerkeleyDb => {
            let form = BerkeleyDb { version: 9, page_bytes: 4096, big_endian: false };
            fs::write(path, rpm_berkeley_db(form, &blobs.collect::<Vec<_>>()))?;
        }
        Form::Ndb => fs::write(path, rpm_ndb(&blobs.collect::<Vec<_>>()))?,
        Form::Sqlite => {
            let mut connection = rusqlite::Connection::open(path)?;
            connection.execute_batch(
                "PRAGMA journal_mode = OFF; CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, \
                 blob BLOB NOT NULL)",
            )?;
            let transaction = connection.transaction()?;
            for blob in blobs {
                transaction.execute("INSERT INTO Packages (blob) VALUES (?)", [blob])?;
            }
            transaction.commit()?;
        }
    }
    Ok(())
}

/// A package's header.
fn blob(number: usize) -> Vec<u8> {
    let name = format!("package-{number}");
    let files: Vec<String> = (0..FILES).map(|file| format!("a-file-of-the-package-{file}.conf")).collect();
    let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
    files[0] = "program";
    let mut directories = vec![1; FILES];
    directories[0] = 0;
    let digests = vec!["a".repeat(DIGEST_DIGITS); FILES];
    let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
    RpmHeader::new(&name, "1.2.3", "4.el9")
        .text(1022, "x86_64")
        .text(1011, "Example")
        .text(1044, &format!("{name}-1.2.3-4.el9.src.rpm"))
        .texts(1035, &digests)
        .numbers(1116, &directories)
        .texts(1117, &files)
        .texts(1118, &["/usr/bin/", "/usr/share/package/"])
        .text(1082, &"x".repeat(OTHER_BYTES))
        .blob()
}
