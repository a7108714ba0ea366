//! What one of Red Hat's documents says, gathered by product and package.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::{AdvisoryDetails, Affected, AffectedState, PackageKind};

use crate::csaf::{Products, Remediation, Vulnerability};
use crate::errata::severity;
use crate::feed::Emitter;
use crate::redhat_product::{Component, Product, component, major_of_build, module};

/// A row without its architectures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row(Affected);

impl Row {
    /// A severity that is the vulnerability's is not repeated.
    pub(crate) fn beside(self, details: &AdvisoryDetails) -> Affected {
        let mut row = self.0;
        if row.severity_word == details.severity_word {
            row.severity = None;
            row.severity_word = String::new();
        }
        row
    }
}

/// What one vulnerability's document says, gathered by row.
pub(crate) struct Rows<'t> {
    products: &'t Products<'t>,
    /// For each product id: what is done about it, how bad it is there, why it is not affected.
    remediations: HashMap<&'t str, &'t Remediation<'t>>,
    impacts: HashMap<&'t str, &'t str>,
    flags: HashMap<&'t str, &'t str>,
    rows: BTreeMap<Row, BTreeSet<String>>,
    /// How many product ids each row stands for.
    counts: BTreeMap<Row, u64>,
}

impl<'t> Rows<'t> {
    pub(crate) fn new(products: &'t Products<'t>, vulnerability: &'t Vulnerability<'t>) -> Self {
        let mut remediations: HashMap<&str, &Remediation<'_>> = HashMap::new();
        for remediation in &vulnerability.remediations {
            if remediation.category == "workaround" || remediation.category == "mitigation" {
                continue;
            }
            for id in &remediation.product_ids {
                remediations.entry(id).or_insert(remediation);
            }
        }
        let impacts = vulnerability.threats.iter().filter(|threat| threat.category == "impact");
        let impacts =
            impacts.flat_map(|threat| threat.product_ids.iter().map(|id| (&**id, &*threat.details)));
        let flags = vulnerability
            .flags
            .iter()
            .flat_map(|flag| flag.product_ids.iter().map(|id| (&**id, &*flag.label)));
        Self {
            products,
            remediations,
            impacts: impacts.collect(),
            flags: flags.collect(),
            rows: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Takes in the status of one product id, or says why not.
    pub(crate) fn take(&mut self, status: &str, id: &'t str) -> Result<(), &'static str> {
        let chain = self.products.chain(id).ok_or("product id is not in the product tree")?;
        let Some((innermost, between)) = chain.components.split_first() else {
            return Err("product is named as a whole");
        };
        let purl = |id: &str| self.products.identification(id).and_then(|known| known.purl.as_deref());
        let mut component = component(innermost, purl(innermost))?;
        if component.module.is_empty() {
            component.module = between.iter().find_map(|id| module(purl(id)?)).unwrap_or_default();
        }
        let cpe = self.products.identification(chain.product).and_then(|known| known.cpe.as_deref());
        let cpe = cpe.ok_or("product has no CPE")?;
        let (state, state_word) = self.state(status, id)?;
        if state == AffectedState::Fixed && component.version.is_empty() {
            return Err("fix names no version");
        }
        let (row, arch) = self.row(component, cpe, state, state_word, id);
        *self.counts.entry(row.clone()).or_default() += 1;
        let arches = self.rows.entry(row).or_default();
        if !arch.is_empty() {
            arches.insert(arch);
        }
        Ok(())
    }

    fn state(&self, status: &str, id: &str) -> Result<(AffectedState, String), &'static str> {
        let remediation = self.remediations.get(id);
        Ok(match status {
            "fixed" => (AffectedState::Fixed, status.to_owned()),
            "known_affected" => match remediation {
                Some(said) => {
                    let word = format!("{status}; {}: {}", said.category, said.details);
                    (affected_state(&said.category, &said.details), word)
                }
                None => (AffectedState::Open, status.to_owned()),
            },
            "known_not_affected" => {
                let flag = self.flags.get(id).map(|flag| format!("; {flag}")).unwrap_or_default();
                (AffectedState::NotAffected, format!("{status}{flag}"))
            }
            "under_investigation" => (AffectedState::Undetermined, status.to_owned()),
            _ => return Err("status is not known"),
        })
    }

    fn row(
        &self,
        component: Component,
        cpe: &str,
        state: AffectedState,
        state_word: String,
        id: &str,
    ) -> (Row, String) {
        let Component { name, kind, version, arch, module } = component;
        let Product { major, channel } = Product::of_cpe(cpe);
        let major = major.or_else(|| major_of_build(&version));
        let notice = match self.remediations.get(id) {
            Some(said) if said.category == "vendor_fix" => {
                let url = said.url.as_deref().unwrap_or_default();
                url.rsplit('/').next().unwrap_or_default().to_owned()
            }
            _ => String::new(),
        };
        let impact = self.impacts.get(id).copied().unwrap_or_default();
        let row = Affected {
            package: name,
            package_kind: kind,
            release: major.map_or_else(|| "rhel".to_owned(), |major| format!("rhel:{major}")),
            channel,
            state,
            fixed: if state == AffectedState::Fixed { version } else { String::new() },
            module,
            cpe: cpe.to_owned(),
            notice: if state == AffectedState::Fixed { notice } else { String::new() },
            state_word,
            severity: severity(impact),
            severity_word: impact.to_owned(),
            ..Affected::default()
        };
        // Of what is not fixed every architecture is meant, and `src` is none.
        let arch = if state == AffectedState::Fixed && arch != "src" { arch } else { String::new() };
        (Row(row), arch)
    }

    /// The rows, without those that others make needless.
    pub(crate) fn finish(self, emitter: &mut Emitter<'_, '_>) -> Vec<Row> {
        let mut with_binaries = BTreeSet::new();
        let mut strongest: BTreeMap<_, u8> = BTreeMap::new();
        for Row(row) in self.rows.keys() {
            if row.state == AffectedState::Fixed && row.package_kind == PackageKind::Binary {
                with_binaries.insert((row.cpe.clone(), row.module.clone(), row.notice.clone()));
            }
            let rank = strongest.entry(place(row)).or_insert(u8::MAX);
            *rank = (*rank).min(strength(row.state));
        }
        let mut rows = Vec::with_capacity(self.rows.len());
        for (Row(row), arches) in self.rows {
            let count = self.counts.get(&Row(row.clone())).copied().unwrap_or_default();
            let fix = (row.cpe.clone(), row.module.clone(), row.notice.clone());
            let reason = if strongest.get(&place(&row)).is_some_and(|rank| *rank < strength(row.state)) {
                "product says something stronger of the same package"
            } else if row.state == AffectedState::Fixed
                && row.package_kind == PackageKind::Source
                && with_binaries.contains(&fix)
            {
                "source package of a fix whose binary packages are named"
            } else {
                rows.push(Row(Affected { arches: arches.into_iter().collect(), ..row }));
                continue;
            };
            for _ in 0..count {
                emitter.skip(reason);
            }
        }
        rows
    }
}

/// What a row speaks of, whatever it says of it.
fn place(row: &Affected) -> (String, PackageKind, String, String) {
    (row.package.clone(), row.package_kind, row.cpe.clone(), row.module.clone())
}

/// A product that has a fix for a package is not at the same time unaffected in that package.
fn strength(state: AffectedState) -> u8 {
    match state {
        AffectedState::Fixed => 0,
        AffectedState::NotAffected => 2,
        _ => 1,
    }
}

fn affected_state(category: &str, details: &str) -> AffectedState {
    match (category, details) {
        (_, "Out of support scope") => AffectedState::EndOfLife,
        (_, "Fix deferred") => AffectedState::Deferred,
        ("no_fix_planned", _) | (_, "Will not fix") => AffectedState::WillNotFix,
        _ => AffectedState::Open,
    }
}
