//! Questions about all images, warm and in a handle that was just opened, as a new process has one.

use std::time::Instant;

use limpid_index::fleet::{self, AffectedAnswer, Scope, VerdictFilter, WidespreadQuestion};
use limpid_index::{Kernels, Moment, report};
use limpid_model::AffectedImage;
use limpid_store::{ImageFilter, ImageId, NEWEST, Store};

use super::updates::{History, RARE};
use super::world::World;
use crate::figure::{Figure, median};

/// The day of all answers.
const TODAY: &str = "2026-06-01";
const NOW: &str = "2026-06-01T00:00:00Z";
/// How often a question is asked, warm.
const ROUNDS: usize = 5;
/// How many images' reports are made.
const REPORTS: usize = 100;
/// Images on the first page.
const PAGE: usize = 50;
/// The most that an answer may take, in milliseconds.
const SHARE_MS_MAX: f64 = 50.0;
const PAGE_MS_MAX: f64 = 100.0;
const RARE_MS_MAX: f64 = 10.0;
const AS_OF_MS_MAX: f64 = 200.0;
const WIDESPREAD_MS_MAX: f64 = 500.0;
const REPORT_MS_MAX: f64 = 5.0;

/// The present, of all images.
pub(crate) fn present() -> Scope<'static> {
    let moment = Moment { revision: NEWEST, today: TODAY, as_of: "", now: NOW };
    Scope { moment, filter: ImageFilter::default() }
}

/// A moment of the past, written `as_of`, and the images that were there.
pub(crate) fn past<'a>(store: &dyn Store, time: i64, as_of: &'a str) -> anyhow::Result<Scope<'a>> {
    let moment = Moment { revision: store.revision_at(time)?, today: TODAY, as_of, now: NOW };
    Ok(Scope { moment, filter: ImageFilter { there_at: Some(time), ..ImageFilter::default() } })
}

/// The hundred most widespread vulnerabilities, whatever they are in.
pub(crate) fn most_widespread() -> WidespreadQuestion {
    WidespreadQuestion { kernels: true, limit: 100, ..WidespreadQuestion::default() }
}

/// Who is affected, with the first page.
fn ask(
    store: &dyn Store,
    id: &str,
    scope: &Scope<'_>,
    page: usize,
) -> anyhow::Result<(AffectedAnswer, Vec<AffectedImage>)> {
    let mut answer = fleet::affected(store, id, scope, &VerdictFilter::default(), None)?;
    let images = if page == 0 { Vec::new() } else { answer.take(store, page)? };
    Ok((answer, images))
}

/// A question that is measured.
struct Question<'a> {
    name: &'a str,
    id: &'a str,
    scope: Scope<'a>,
    page: usize,
    milliseconds_max: f64,
}

pub(crate) fn measure(
    world: &World,
    store: &dyn Store,
    history: &History,
    size: u32,
) -> anyhow::Result<Vec<Figure>> {
    let widespread = History::widespread(size);
    let before = history.before_last();
    let as_of = super::images::time(before);
    let question =
        |name, id, page, milliseconds_max| Question { name, id, scope: present(), page, milliseconds_max };
    let questions = [
        question("affected by the widespread one, share", &widespread, 0, SHARE_MS_MAX),
        question("affected by the widespread one, first page", &widespread, PAGE, PAGE_MS_MAX),
        question("affected by the rare one, first page", RARE, PAGE, RARE_MS_MAX),
        Question {
            scope: past(store, before, &as_of)?,
            ..question("affected by the widespread one as of a past date", &widespread, 0, AS_OF_MS_MAX)
        },
    ];
    let mut figures = Vec::new();
    for Question { name, id, scope, page, milliseconds_max } in &questions {
        let asked = |store: &dyn Store| -> anyhow::Result<f64> {
            let begun = Instant::now();
            ask(store, id, scope, *page)?;
            Ok(begun.elapsed().as_secs_f64() * 1e3)
        };
        // First in a new handle; the verdicts that are kept are there, but nothing in this process's memory.
        let fresh = world.open()?;
        figures.push(of(size, &format!("{name}, in a new handle"), asked(fresh.as_ref())?, "ms"));
        asked(store)?;
        let warm = (0..ROUNDS).map(|_| asked(store)).collect::<anyhow::Result<Vec<f64>>>()?;
        figures.push(of(size, &format!("{name}, warm"), median(warm), "ms").at_most(*milliseconds_max));
    }
    let asked = |store: &dyn Store| -> anyhow::Result<f64> {
        let begun = Instant::now();
        fleet::vulnerabilities(store, &present(), &most_widespread())?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    figures.push(of(size, "100 most widespread, in a new handle", asked(world.open()?.as_ref())?, "ms"));
    let warm = (0..ROUNDS).map(|_| asked(store)).collect::<anyhow::Result<Vec<f64>>>()?;
    figures.push(of(size, "100 most widespread, warm", median(warm), "ms").at_most(WIDESPREAD_MS_MAX));
    for (id, name) in [(widespread.as_str(), "widespread"), (RARE, "rare")] {
        let head = ask(store, id, &present(), 0)?.0.head;
        let share = head.affected as f64 / head.basis.answerable.max(1) as f64;
        figures.push(of(
            size,
            &format!("share of the answerable images that have the {name} one"),
            share * 100.0,
            "%",
        ));
    }
    figures.extend(reports(store, size)?);
    Ok(figures)
}

fn of(size: u32, name: &str, value: f64, unit: &'static str) -> Figure {
    Figure::new(format!("{size} images, {name}"), value, unit)
}

/// Reports of single images, spread over all that there are.
fn reports(store: &dyn Store, size: u32) -> anyhow::Result<Vec<Figure>> {
    let all: Vec<ImageId> = store.select(&ImageFilter::default())?.iter().collect();
    let (mut took, mut packages, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    let moment = present().moment;
    for position in 0..REPORTS {
        let Some(image) = all.get(position * all.len() / REPORTS) else { continue };
        let made = || -> anyhow::Result<_> {
            let record = store.image_by_id(*image)?;
            Ok(record.map(|record| report(store, &record, "", moment, Kernels::ByImage)).transpose()?)
        };
        made()?;
        let begun = Instant::now();
        let Some(report) = made()? else { continue };
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        packages.push(report.packages.len() as f64);
        findings.push(report.findings.len() as f64);
    }
    Ok(vec![
        of(size, "report of one image, warm, median", median(took), "ms").at_most(REPORT_MS_MAX),
        of(size, "packages of such an image, median", median(packages), ""),
        of(size, "findings of such an image, median", median(findings), ""),
    ])
}
