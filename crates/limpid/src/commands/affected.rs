//! `limpid affected`

use crate::arguments::{Global, ReportFormat};
use crate::error::{Error, Exit};
use crate::fleet_arguments::Affected;
use crate::session::{Session, print, style};

pub(crate) fn run(global: &Global, command: &Affected) -> Result<Exit, Error> {
    let session = Session::open(global)?;
    let store = session.store.as_ref();
    let asked = command.scope.asked(store)?;
    let (scope, filter) = (command.scope.scope(&asked), command.verdicts.filter());
    let after = command.page.after.as_deref();
    let mut answer = limpid_index::fleet::affected(store, &command.id, &scope, &filter, after)?;
    if command.page.count {
        print(&match command.format {
            ReportFormat::Table => limpid_report::affected_table_end(&answer.head, None, false, style()),
            ReportFormat::Json => limpid_report::affected_summary_json(&answer.head),
        })?;
        return Ok(Exit::Success);
    }
    let mut listing = match command.format {
        ReportFormat::Table => None,
        ReportFormat::Json => {
            let (listing, text) = limpid_report::affected_json_begin(&answer.head);
            print(&text)?;
            Some(listing)
        }
    };
    let (mut left, mut any) = (command.page.limit.unwrap_or(usize::MAX), false);
    while left > 0 {
        let images = answer.take(store, left)?;
        if images.is_empty() {
            break;
        }
        left = left.saturating_sub(images.len());
        any = true;
        let text: String = match &mut listing {
            None => images.iter().map(limpid_report::affected_image_table).collect(),
            Some(listing) => {
                images.iter().map(|image| limpid_report::affected_image_json(listing, image)).collect()
            }
        };
        print(&text)?;
    }
    let cursor = answer.pages.cursor(store)?;
    print(&match listing {
        None => limpid_report::affected_table_end(&answer.head, cursor.as_deref(), any, style()),
        Some(listing) => limpid_report::affected_json_end(listing, cursor.as_deref()),
    })?;
    Ok(Exit::Success)
}
