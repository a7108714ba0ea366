//! Which repository each rpm package came from, as dnf's history says.
//!
//! * dnf 4: `history.sqlite` (libdnf's `libdnf/transaction`). The last row of `trans_item` for a package that did
//!   not take it away names its repository; that is the answer `Swdb::getRPMRepo` gives.
//! * dnf 5: `nevras.toml` (libdnf5's `system/state.cpp`), which has the repository by package.
//!
//! Packages are named `NAME-[EPOCH:]VERSION-RELEASE.ARCH`, without an epoch of zero. Left out: what was installed by
//! other means (`@System`, `@commandline`), and why packages were installed.

use std::collections::{BTreeMap, HashMap};

use limpid_model::Record;

use crate::dpkg::is_printable_word;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor, Problems};
use crate::read_at::ReadAt;
use crate::sqlite::{Database, Table, Value};

/// Rows that are kept of one table. A machine that was updated daily for ten years has some hundred thousand.
const ROWS_MAX: usize = 1_000_000;

/// Bytes of one row of the tables that are read: a few words.
const ROW_BYTES_MAX: usize = 64 << 10;

/// dnf 4's history.
#[derive(Debug)]
pub(crate) struct DnfHistory;

impl Extractor for DnfHistory {
    fn name(&self) -> &'static str {
        "dnf-history"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Some megabytes after years; it also holds what transactions printed.
    fn limit(&self) -> u64 {
        128 << 20
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/dnf/history.sqlite")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("var/lib/dnf/history.sqlite")]
    }

    fn reads_in_pieces(&self) -> bool {
        true
    }

    fn extract(&self, path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        self.extract_in_pieces(path, &content)
    }

    fn extract_in_pieces(&self, _path: &str, content: &dyn ReadAt) -> Result<Extracted, ExtractError> {
        let mut problems = Problems::default();
        if content.size_bytes() == 0 {
            return Ok(origins(BTreeMap::new(), problems));
        }
        let mut database = Database::open(content, &["repo", "rpm", "trans_item"])?;
        let repository = database.table("repo")?;
        let package = database.table("rpm")?;
        let item = database.table("trans_item")?;
        let mut repositories: HashMap<i64, String> = HashMap::new();
        rows(&mut database, &repository, ["id", "repoid"], &mut problems, |[id, name]| {
            let name = word(name)?;
            repositories.insert(id.integer()?, name);
            Some(())
        })?;
        let mut packages: HashMap<i64, String> = HashMap::new();
        let columns = ["item_id", "name", "epoch", "version", "release", "arch"];
        rows(
            &mut database,
            &package,
            columns,
            &mut problems,
            |[id, name, epoch, version, release, arch]| {
                let (name, version, release, arch) =
                    (word(name)?, word(version)?, word(release)?, word(arch)?);
                let nevra = match epoch.integer()? {
                    0 => format!("{name}-{version}-{release}.{arch}"),
                    epoch => format!("{name}-{epoch}:{version}-{release}.{arch}"),
                };
                packages.insert(id.integer()?, nevra);
                Some(())
            },
        )?;
        // By package the last item and its repository.
        let mut last: HashMap<i64, (i64, i64)> = HashMap::new();
        let columns = ["id", "item_id", "repo_id", "action"];
        rows(&mut database, &item, columns, &mut problems, |[id, item, repository, action]| {
            let (id, item) = (id.integer()?, item.integer()?);
            // Downgraded, obsoleted, upgraded, removed, reinstalled: the package went away.
            if !matches!(action.integer()?, 3 | 5 | 7 | 8 | 10) {
                let entry = last.entry(item).or_insert((id, 0));
                if entry.0 <= id {
                    *entry = (id, repository.integer().unwrap_or_default());
                }
            }
            Some(())
        })?;
        let of_package = last.into_iter().filter_map(|(item, (_, repository))| {
            let repository = repositories.get(&repository).filter(|name| is_repository(name))?;
            Some((packages.get(&item)?.clone(), repository.clone()))
        });
        Ok(origins(of_package.collect(), problems))
    }
}

/// dnf 5's state.
#[derive(Debug)]
pub(crate) struct DnfState;

impl Extractor for DnfState {
    fn name(&self) -> &'static str {
        "dnf-state"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Some 80 bytes a package.
    fn limit(&self) -> u64 {
        16 << 20
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/libdnf5/nevras.toml")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[Anchor::File("usr/lib/sysimage/libdnf5/nevras.toml")]
    }

    fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        let text = std::str::from_utf8(content).map_err(|_| ExtractError::Unrecognised("a TOML file"))?;
        let document: toml::Table = toml::from_str(text)
            .map_err(|error| ExtractError::Damaged(crate::extractor::excerpt(error.message())))?;
        let packages = document.get("nevras").and_then(toml::Value::as_table);
        let packages =
            packages.ok_or(ExtractError::Unrecognised("dnf's list of packages: no table `nevras`"))?;
        let mut problems = Problems::default();
        let mut of_package = BTreeMap::new();
        for (nevra, state) in packages {
            let repository = state.get("from_repo").and_then(toml::Value::as_str).unwrap_or_default();
            if !is_printable_word(nevra) || !(repository.is_empty() || is_printable_word(repository)) {
                problems.push(|| format!("entry `{}` is no package", crate::extractor::excerpt(nevra)));
            } else if is_repository(repository) {
                of_package.insert(without_zero_epoch(nevra), repository.to_owned());
            }
        }
        Ok(origins(of_package, problems))
    }
}

fn origins(of_package: BTreeMap<String, String>, problems: Problems) -> Extracted {
    let record = Record::Origins(of_package.into_iter().collect());
    Extracted { record, owners: Vec::new(), problems: problems.into_vec() }
}

/// Names that begin with `@` stand for no repository.
fn is_repository(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('@')
}

/// `NAME-0:VERSION-RELEASE.ARCH` as rpm would write it.
fn without_zero_epoch(nevra: &str) -> String {
    let version = nevra.rmatch_indices('-').nth(1).map(|(dash, _)| dash + 1);
    match version.map(|at| nevra.split_at(at)) {
        Some((name, version)) => format!("{name}{}", version.strip_prefix("0:").unwrap_or(version)),
        None => nevra.to_owned(),
    }
}

fn word(value: Value<'_>) -> Option<String> {
    let text = std::str::from_utf8(value.bytes()?).ok()?;
    is_printable_word(text).then(|| text.to_owned())
}

/// Gives the values of some columns of each row to `take`, which says whether it could make sense of them.
fn rows<const N: usize>(
    database: &mut Database<'_>,
    table: &Table,
    columns: [&str; N],
    problems: &mut Problems,
    mut take: impl FnMut([Value<'_>; N]) -> Option<()>,
) -> Result<(), ExtractError> {
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        *place = table.column(column)?;
    }
    let mut seen = 0;
    database.rows(table, ROW_BYTES_MAX, &mut |number, row| {
        seen += 1;
        let what = || number.map_or_else(String::new, |number| format!("row {number}: "));
        match row {
            _ if seen > ROWS_MAX => {
                problems.push(|| format!("{}there are more than {ROWS_MAX} rows", what()))
            }
            Ok(row) => {
                let values = places.map(|place| row.get(place).copied().unwrap_or(Value::Null));
                if take(values).is_none() {
                    problems.push(|| format!("{}it is not a row of dnf's history", what()));
                }
            }
            Err(damage) => problems.push(|| format!("{}{damage}", what())),
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repositories(extracted: Extracted) -> Vec<(String, String)> {
        let Record::Origins(origins) = extracted.record else { panic!("origins") };
        assert!(extracted.problems.is_empty(), "{:?}", extracted.problems);
        origins
    }

    #[test]
    fn state_of_dnf5() {
        let text = "version = \"1.0\"\n[nevras]\n\"bash-0:5.2-1.fc41.x86_64\" = {from_repo = \"fedora\"}\n\
                    [nevras.\"dbus-1:1.14-2.fc41.x86_64\"]\nfrom_repo = \"updates\"\n\
                    [nevras.\"local-1-1.noarch\"]\nfrom_repo = \"@commandline\"\n\
                    [nevras.\"old-1-1.noarch\"]\nfrom_repo = \"\"\n";
        let origins = repositories(DnfState.extract("", text.as_bytes()).unwrap());
        let expected = [("bash-5.2-1.fc41.x86_64", "fedora"), ("dbus-1:1.14-2.fc41.x86_64", "updates")];
        assert_eq!(origins, expected.map(|(nevra, repository)| (nevra.to_owned(), repository.to_owned())));
        assert!(DnfState.extract("", b"[packages]\n").is_err());
        assert!(DnfState.extract("", b"[nevras\n").is_err());
        assert!(DnfState.extract("", b"\xff").is_err());
    }

    #[test]
    fn epochs_of_zero_are_left_out() {
        assert_eq!(without_zero_epoch("a-b-0:1-2.x"), "a-b-1-2.x");
        assert_eq!(without_zero_epoch("a-b-10:1-2.x"), "a-b-10:1-2.x");
        assert_eq!(without_zero_epoch("odd"), "odd");
    }
}
