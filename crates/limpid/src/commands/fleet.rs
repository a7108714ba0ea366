//! `limpid fleet`: questions about all images, and about two of them.

use limpid_index::fleet::{self, KnownImage, LayersQuestion, PackageQuestion, WidespreadQuestion};
use limpid_model::{Digest, LayerRank};

use crate::arguments::{Global, ReportFormat};
use crate::as_of::Asked;
use crate::error::{Error, Exit};
use crate::fleet_arguments::{
    Fleet, FleetDiff, FleetLayers, FleetPackage, FleetRebase, FleetStatus, FleetVulnerabilities, RankChoice,
};
use crate::session::{Session, print, style};

pub(crate) fn run(global: &Global, command: &Fleet) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    match command {
        Fleet::Status(command) => status(&session, command),
        Fleet::Vulnerabilities(command) => vulnerabilities(&session, command),
        Fleet::Package(command) => package(&session, command),
        Fleet::Layers(command) => layers(&session, command),
        Fleet::Rebase(command) => rebase(&session, command),
        Fleet::Diff(command) => difference(&session, command),
    }
}

/// Prints an answer as one text.
fn answer<T>(
    format: ReportFormat,
    answer: &T,
    table: fn(&T, limpid_report::Style) -> String,
    json: fn(&T) -> String,
) -> Result<Exit, Error> {
    print(&match format {
        ReportFormat::Table => table(answer, style()),
        ReportFormat::Json => json(answer),
    })?;
    Ok(Exit::Success)
}

fn status(session: &Session<'_>, command: &FleetStatus) -> Result<Exit, Error> {
    let asked = command.scope.asked(session.store.as_ref())?;
    let found = fleet::status(session.store.as_ref(), &command.scope.scope(&asked), command.kernels.kernels)?;
    answer(command.format, &found, limpid_report::fleet_status_table, limpid_report::fleet_status_json)
}

fn vulnerabilities(session: &Session<'_>, command: &FleetVulnerabilities) -> Result<Exit, Error> {
    let asked = command.scope.asked(session.store.as_ref())?;
    let question = WidespreadQuestion {
        verdicts: command.verdicts.filter(),
        exploited: command.kev,
        epss_min_e5: command.epss.unwrap_or(0),
        kernels: command.kernels.kernels,
        limit: usize::try_from(command.limit).unwrap_or(usize::MAX),
    };
    let found = fleet::vulnerabilities(session.store.as_ref(), &command.scope.scope(&asked), &question)?;
    answer(command.format, &found, limpid_report::widespread_table, limpid_report::widespread_json)
}

fn layers(session: &Session<'_>, command: &FleetLayers) -> Result<Exit, Error> {
    let asked = command.scope.asked(session.store.as_ref())?;
    let question = LayersQuestion {
        rank: match command.by {
            RankChoice::Vulnerabilities => LayerRank::Vulnerabilities,
            RankChoice::Packages => LayerRank::Packages,
        },
        verdicts: command.verdicts.filter(),
        kernels: command.kernels.kernels,
        limit: usize::try_from(command.limit).unwrap_or(usize::MAX),
    };
    let found = fleet::layers(session.store.as_ref(), &command.scope.scope(&asked), &question)?;
    answer(command.format, &found, limpid_report::fleet_layers_table, limpid_report::fleet_layers_json)
}

fn package(session: &Session<'_>, command: &FleetPackage) -> Result<Exit, Error> {
    let store = session.store.as_ref();
    let asked = command.scope.asked(store)?;
    let question = PackageQuestion {
        name: command.name.clone(),
        range: command.version.clone().unwrap_or_default(),
        kind: command.kind,
    };
    let scope = command.scope.scope(&asked);
    let mut found = fleet::package(store, &question, &scope, command.page.after.as_deref())?;
    if command.page.count {
        let table = |head: &_, style| limpid_report::holders_table_end(head, None, false, style);
        return answer(command.format, &found.head, table, limpid_report::holders_summary_json);
    }
    let mut listing = match command.format {
        ReportFormat::Table => None,
        ReportFormat::Json => {
            let (listing, text) = limpid_report::holders_json_begin(&found.head);
            print(&text)?;
            Some(listing)
        }
    };
    let (mut left, mut any) = (command.page.limit.unwrap_or(usize::MAX), false);
    while left > 0 {
        let images = found.take(store, left)?;
        if images.is_empty() {
            break;
        }
        left = left.saturating_sub(images.len());
        any = true;
        let text: String = match &mut listing {
            None => images.iter().map(limpid_report::holder_table).collect(),
            Some(listing) => images.iter().map(|image| limpid_report::holder_json(listing, image)).collect(),
        };
        print(&text)?;
    }
    let cursor = found.pages.cursor(store)?;
    print(&match listing {
        None => limpid_report::holders_table_end(&found.head, cursor.as_deref(), any, style()),
        Some(listing) => limpid_report::holders_json_end(listing, cursor.as_deref()),
    })?;
    Ok(Exit::Success)
}

fn rebase(session: &Session<'_>, command: &FleetRebase) -> Result<Exit, Error> {
    let asked = Asked::new(session.store.as_ref(), command.moment.as_of)?;
    let image = known(session, &command.image)?;
    let found = fleet::rebase(session.store.as_ref(), &image, asked.moment(), command.kernel.kernels())?;
    answer(command.format, &found, limpid_report::rebase_table, limpid_report::rebase_json)
}

fn difference(session: &Session<'_>, command: &FleetDiff) -> Result<Exit, Error> {
    let asked = Asked::new(session.store.as_ref(), command.moment.as_of)?;
    let (before, after) = (known(session, &command.before)?, known(session, &command.after)?);
    let kernels = command.kernel.kernels();
    let found = fleet::difference(session.store.as_ref(), &before, &after, asked.moment(), kernels)?;
    answer(command.format, &found, limpid_report::difference_table, limpid_report::difference_json)
}

/// An image of the store by a reference that it was scanned as, or by its digest.
fn known(session: &Session<'_>, name: &str) -> Result<KnownImage, Error> {
    let found = match name.parse::<Digest>() {
        Ok(digest) => session.store.image(&digest)?,
        Err(_) => session.store.image_by_reference(name)?,
    };
    let (id, record) = found.ok_or_else(|| Error::UnknownImage(name.to_owned()))?;
    Ok(KnownImage { id, record })
}
