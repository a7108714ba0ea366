//! A page for people, in one file: the summary first, then what to do, findings, layers with their commands, coverage.
//!
//! It loads nothing and runs only its own script, whose digest its content security policy names; without the script it is
//! whole, only sorting and filtering are gone. Severities have words and differ in brightness, so nothing depends on
//! telling hues apart. It prints well. Everything from an image or a feed passes [`markup`].

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use limpid_model::{Digest, Finding, Report, Severity, Standing, VerdictState};

use crate::format::{Document, Format, Subject, Write};
use crate::image_name::ImageName;
use crate::scale::{affected, share};
use crate::source::{is_link, notice_page, page};
use crate::table::fixed_in;
use crate::text::{clip, markup};

pub(crate) const FORMAT: Format = Format {
    name: "html",
    about: "a page for people, in one file: sortable, printable",
    endings: &["html", "htm"],
    subject: Subject::Findings,
    write: Write::Many(|_| Box::new(Page::default())),
};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
/// Longer texts are for machines.
const TEXT_CHARS_MAX: usize = 500;
/// A description that a person reads in a table.
const DESCRIPTION_CHARS_MAX: usize = 1500;
/// More upgrades than one sees at a glance.
const UPGRADES_MAX: usize = 12;
/// Links of one finding.
const LINKS_MAX: usize = 6;

/// What is known of the images so far. The overview comes first, so nothing is written before the last image.
#[derive(Default)]
struct Page {
    title: String,
    overview: Vec<String>,
    articles: Vec<String>,
}

impl Document for Page {
    fn add(&mut self, reports: &[Report]) -> String {
        for report in reports {
            if self.articles.is_empty() {
                self.title = ImageName::of(report).short;
            }
            let anchor = format!("image-{}", self.articles.len() + 1);
            self.overview.push(overview_row(report, &anchor));
            self.articles.push(article(report, &anchor));
        }
        String::new()
    }

    fn end(&mut self, failed: &[(String, String)]) -> String {
        let title = match self.articles.len() {
            1 => format!("Vulnerabilities of {}", self.title),
            several => format!("Vulnerabilities of {several} images"),
        };
        let source =
            |text: &str| format!("'sha256-{}'", STANDARD.encode(Digest::of(text.as_bytes()).as_bytes()));
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            source(STYLE),
            source(SCRIPT),
            short(&title),
        );
        if self.articles.len() > 1 || !failed.is_empty() {
            page.push_str(&overview(&self.overview, failed));
        }
        page.extend(self.articles.drain(..));
        page.push_str(&format!(
            "<footer><p>Made by {} {}. A count is of findings: one for each vulnerability of each package.</p></footer>\n\
             <script>{SCRIPT}</script>\n</body>\n</html>\n",
            crate::tool::NAME,
            crate::tool::VERSION
        ));
        page
    }
}

fn short(text: &str) -> String {
    markup(&clip(text, TEXT_CHARS_MAX))
}

fn badge(severity: Severity) -> String {
    format!("<span class=\"severity s{}\">{}</span>", severity as u8, severity.name())
}

fn overview(rows: &[String], failed: &[(String, String)]) -> String {
    let failed = failed.iter().map(|(reference, reason)| {
        format!(
            "<tr><td>{}</td><td>no report</td><td colspan=\"3\">{}</td></tr>\n",
            short(reference),
            short(reason)
        )
    });
    format!(
        "<section><h1>Overview</h1>\n<table class=\"sortable\"><thead><tr><th>Image</th><th>Worst</th><th>Findings</th>\
         <th>With a fix</th><th>Answer</th></tr></thead><tbody>\n{}{}</tbody></table></section>\n",
        rows.concat(),
        failed.collect::<String>()
    )
}

fn overview_row(report: &Report, anchor: &str) -> String {
    let worst = report.worst_severity();
    let fixable = affected(report).filter(|finding| finding.verdict.state == VerdictState::Fixable).count();
    format!(
        "<tr><td><a href=\"#{anchor}\">{}</a> {}</td><td data-key=\"{}\">{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{fixable}</td><td>{}</td></tr>\n",
        short(&report.reference),
        short(&report.image.platform.to_string()),
        worst.map_or(0, |severity| 1 + severity as u8),
        worst.map_or_else(|| "none found".to_owned(), badge),
        affected(report).count(),
        report.coverage.standing.name(),
    )
}

fn article(report: &Report, anchor: &str) -> String {
    let image = &report.image;
    let mut text = format!("<article id=\"{anchor}\">\n<header><h1>{}</h1>\n", short(&report.reference));
    text.push_str(&format!(
        "<p class=\"facts\">{} · {} · {}</p>\n<p class=\"facts\">As of {}, revision {} of the advisories</p></header>\n",
        short(&crate::coverage::distribution(&report.coverage)),
        short(&image.platform.to_string()),
        image.manifest_digest,
        short(&report.moment),
        report.revision,
    ));
    let class = match report.coverage.standing {
        Standing::Complete => "complete",
        Standing::Partial => "partial",
        Standing::None => "none",
    };
    text.push_str(&format!("<p class=\"lead {class}\">{}</p>\n", markup(&crate::summary::summary(report))));
    text.push_str(&tiles(report));
    text.push_str(&upgrades(report));
    text.push_str(&findings(report));
    text.push_str(&layers(report));
    text.push_str(&coverage(report));
    text.push_str("</article>\n");
    text
}

fn tiles(report: &Report) -> String {
    let counts = report.count_by_severity();
    let mut text = "<ul class=\"tiles\">\n".to_owned();
    for severity in Severity::ALL.into_iter().rev() {
        let count = counts[severity as usize];
        if severity == Severity::Defcon1 && count == 0 {
            continue;
        }
        let class = if count == 0 { " class=\"zero\"" } else { "" };
        text.push_str(&format!("<li{class}><strong>{count}</strong>{}</li>\n", badge(severity)));
    }
    let exploited: BTreeSet<usize> = affected(report)
        .map(|finding| finding.vulnerability)
        .filter(|index| report.vulnerabilities[*index].exploited.is_some())
        .collect();
    let fixable = affected(report).filter(|finding| finding.verdict.state == VerdictState::Fixable).count();
    text.push_str(&format!("<li><strong>{fixable}</strong>with a fix</li>\n"));
    text.push_str(&format!("<li><strong>{}</strong>known to be exploited</li>\n</ul>\n", exploited.len()));
    text
}

/// Which source packages to upgrade, those first that end the worst.
fn upgrades(report: &Report) -> String {
    let mut by_source: BTreeMap<(&str, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in affected(report).filter(|finding| finding.verdict.state == VerdictState::Fixable) {
        let package = &report.packages[finding.package].package;
        by_source.entry((&package.source_name, &finding.verdict.channel)).or_default().push(finding);
    }
    if by_source.is_empty() {
        return String::new();
    }
    let mut sources: Vec<_> = by_source.into_iter().collect();
    let worst = |findings: &[&Finding]| findings.iter().map(|finding| finding.rated.severity).max();
    sources.sort_by_key(|(_, findings)| std::cmp::Reverse((worst(findings), findings.len())));
    let mut text =
        "<section><h2>What to upgrade first</h2>\n<table><thead><tr><th>Ends</th><th>Source package</th>\
                    <th>Packages</th><th>Layers</th></tr></thead><tbody>\n"
            .to_owned();
    let more = sources.len().saturating_sub(UPGRADES_MAX);
    for ((source, channel), findings) in sources.into_iter().take(UPGRADES_MAX) {
        let packages: BTreeSet<&str> =
            findings.iter().map(|finding| report.packages[finding.package].package.name.as_str()).collect();
        let layers: BTreeSet<usize> =
            findings.iter().map(|finding| report.packages[finding.package].layer + 1).collect();
        let layers: Vec<String> = layers.into_iter().map(|layer| layer.to_string()).collect();
        let channel = if channel.is_empty() { String::new() } else { format!(" (from {})", short(channel)) };
        let packages: Vec<&str> = packages.into_iter().collect();
        text.push_str(&format!(
            "<tr><td>{}{}</td><td><code>{}</code>{channel}</td><td><code>{}</code></td><td>{}</td></tr>\n",
            crate::summary::plural(findings.len() as u64, "finding", "findings"),
            worst(&findings).map(|severity| format!(", up to {}", badge(severity))).unwrap_or_default(),
            short(source),
            short(&packages.join(", ")),
            layers.join(", "),
        ));
    }
    text.push_str("</tbody></table>\n");
    if more > 0 {
        text.push_str(&format!("<p class=\"facts\">And {more} more, in the findings below.</p>\n"));
    }
    text.push_str("</section>\n");
    text
}

fn findings(report: &Report) -> String {
    if report.findings.is_empty() {
        return String::new();
    }
    let options: String = Severity::ALL
        .into_iter()
        .map(|severity| format!("<option value=\"{}\">{} or worse</option>", severity as u8, severity.name()))
        .collect();
    let mut text = format!(
        "<section class=\"findings\"><h2>Findings</h2>\n<div class=\"controls\" hidden><label>Search <input type=\"search\" \
         autocomplete=\"off\"></label><label>Severity <select>{options}</select></label><label><input type=\"checkbox\"> only \
         with a fix</label><output></output></div>\n<table class=\"sortable\"><thead><tr><th>Severity</th>\
         <th>Vulnerability</th><th>Package</th><th>Installed</th><th>Fixed in</th><th>Layer</th><th>Exploited</th></tr></thead><tbody>\n"
    );
    text.extend(report.findings.iter().map(|finding| finding_row(report, finding)));
    text.push_str("</tbody></table></section>\n");
    text
}

fn finding_row(report: &Report, finding: &Finding) -> String {
    let verdict = &finding.verdict;
    let installed = &report.packages[finding.package];
    let known = &report.vulnerabilities[finding.vulnerability];
    let id = short(&verdict.vulnerability);
    let id = match page(&verdict.feed, &verdict.vulnerability) {
        Some(page) => format!("<a href=\"{}\" rel=\"noreferrer\">{id}</a>", markup(&page)),
        None => id,
    };
    let mut exploited = Vec::new();
    if let Some(exploit) = &known.exploited {
        exploited.push(format!("<span class=\"exploited\">known since {}</span>", short(&exploit.added)));
    }
    let chance = known.epss.map(|epss| share(epss.score) * 100.0);
    exploited.extend(chance.map(|chance| format!("EPSS {chance:.1} %")));
    format!(
        "<tr data-severity=\"{severity}\" data-fixable=\"{}\"><td data-key=\"{severity}\">{}</td><td data-key=\"{}\">{id}{}</td>\
         <td><code>{}</code></td><td><code>{}</code></td><td>{}</td><td data-key=\"{}\">{}</td><td data-key=\"{:.3}\">{}</td></tr>\n",
        u8::from(verdict.state == VerdictState::Fixable),
        badge(finding.rated.severity),
        short(&verdict.vulnerability),
        details(finding, known),
        short(&installed.package.name),
        short(&installed.package.version),
        short(&fixed_in(verdict)),
        installed.layer,
        short(&crate::table::layer(report, installed.layer)),
        chance.unwrap_or_default() + if known.exploited.is_some() { 100.0 } else { 0.0 },
        exploited.join("<br>"),
        severity = finding.rated.severity as u8,
    )
}

fn details(finding: &Finding, known: &limpid_model::Vulnerability) -> String {
    let notice = notice_page(&finding.verdict.notice);
    let links = notice.iter().chain(known.links.iter().filter(|link| is_link(link))).take(LINKS_MAX);
    let links: Vec<String> = links
        .map(|link| format!("<a href=\"{0}\" rel=\"noreferrer\"><code>{0}</code></a>", markup(link)))
        .collect();
    let mut parts = Vec::new();
    if !known.description.is_empty() {
        parts.push(format!("<p>{}</p>", markup(&clip(&known.description, DESCRIPTION_CHARS_MAX))));
    }
    if !finding.rated.source.is_empty() {
        let score = finding.rated.score.map(|score| format!(", CVSS {score}")).unwrap_or_default();
        parts.push(format!("<p>Severity by {}{score}</p>", short(&finding.rated.source)));
    }
    if !links.is_empty() {
        parts.push(format!("<p>{}</p>", links.join("<br>")));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("<details><summary>more</summary>{}</details>", parts.concat())
    }
}

fn layers(report: &Report) -> String {
    let mut found = vec![0_u64; report.image.layers.len()];
    for finding in affected(report) {
        if let Some(count) = found.get_mut(report.packages[finding.package].layer) {
            *count += 1;
        }
    }
    let mut text = "<section><h2>Layers</h2>\n<table class=\"sortable\"><thead><tr><th>Layer</th><th>Size</th><th>Installed</th>\
                    <th>Upgraded</th><th>Removed</th><th>Findings from here</th><th>Command</th></tr></thead><tbody>\n"
        .to_owned();
    for (index, (layer, change)) in report.image.layers.iter().zip(&report.layers).enumerate() {
        let command = match layer.command.is_empty() {
            true => "not known".to_owned(),
            false => format!("<code>{}</code>", short(&layer.command)),
        };
        text.push_str(&format!(
            "<tr><td data-key=\"{index}\">{}</td><td class=\"number\" data-key=\"{}\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{command}</td></tr>\n",
            short(&crate::table::layer(report, index)),
            layer.size_bytes,
            crate::layers::size(layer.size_bytes),
            change.installed,
            change.upgraded,
            change.removed,
            found[index],
        ));
    }
    text.push_str("</tbody></table></section>\n");
    text
}

fn coverage(report: &Report) -> String {
    let mut text = "<section><h2>What this rests on</h2>\n<table class=\"coverage\"><tbody>\n".to_owned();
    for (name, value) in crate::coverage::lines(report) {
        text.push_str(&format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", short(&value)));
    }
    text.push_str("</tbody></table></section>\n");
    text
}
