//! Names that attack whoever reads a report come out harmless in every format.

use std::fs;

use limpid_model::{Digest, LayerProblem, PackageType, Problem, Report, VerdictState};
use limpid_report::{Edition, FORMATS, Subject};

use crate::sample::report;

/// Each attacks one kind of reader: terminals, runners, spreadsheets, browsers, Markdown, XML, JSON, SARIF's messages.
const ATTACKS: &[&str] = &[
    "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m",
    "\u{1b}]8;;http://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\",
    "a\r\n::error file=x::owned\n##[error]owned\n##vso[task.setvariable variable=x]y",
    "::add-mask::x",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1\t-1",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)\" x='",
    "]]></failure><failure>&xxe;<!--",
    "![x](http://evil.example/x.png) [x](javascript:alert(1)) @everyone #1 | `x` <b>",
    "\\u0022,\"x\":1}{0}{{1}}",
    "\u{202e}gnp.exe\u{2066}\u{200b}\u{feff}\u{e0041}",
    "\u{0}\u{fffe}\u{ffff}\u{7f}\u{85}\u{2028}",
    "javascript:alert(1)//https://",
    "../../etc/passwd%00%zz?#[]@!$&'()*+,;= ",
    "",
    " ",
    "ünïcödé 漢字 🦀",
];

/// The sample with an attack in the place of every text that an image or a feed can choose.
fn attacked(attack: &str) -> Report {
    let mut report = report();
    let set = |text: &mut String| attack.clone_into(text);
    set(&mut report.reference);
    for layer in &mut report.image.layers {
        set(&mut layer.command);
        set(&mut layer.created);
    }
    set(&mut report.image.created);
    set(&mut report.image.platform.architecture);
    report.image.environment = vec![attack.to_owned()];
    report.image.labels = vec![(attack.to_owned(), attack.to_owned())];
    for (index, package) in report.packages.iter_mut().enumerate() {
        package.package.kind = [PackageType::Deb, PackageType::Rpm, PackageType::Ebuild][index % 3];
        set(&mut package.package.name);
        set(&mut package.package.arch);
        package.package.version = format!("{attack}{index}");
        set(&mut package.package.source_name);
        set(&mut package.package.source_version);
        set(&mut package.path);
        set(&mut package.context.release);
    }
    for finding in &mut report.findings {
        let verdict = &mut finding.verdict;
        for text in [
            &mut verdict.vulnerability,
            &mut verdict.advisory,
            &mut verdict.channel,
            &mut verdict.severity_word,
            &mut verdict.state_word,
            &mut verdict.notice,
        ] {
            attack.clone_into(text);
        }
        if verdict.state == VerdictState::Fixable {
            verdict.fixed = format!("{attack}9");
        }
    }
    for (index, known) in report.vulnerabilities.iter_mut().enumerate() {
        known.id = format!("{attack}{index}");
        set(&mut known.description);
        known.aliases = vec![format!("{attack} "), "CVE-1-1".to_owned()];
        known.links =
            vec![attack.to_owned(), format!("https://{attack}"), "https://good.example/".to_owned()];
        known.weaknesses = vec![attack.to_owned(), format!("CWE-{attack}")];
        known.published = attack.to_owned();
        known.modified = attack.to_owned();
        for rated in &mut known.ratings {
            set(&mut rated.source);
            set(&mut rated.vector);
        }
        if let Some(exploited) = &mut known.exploited {
            for text in [&mut exploited.added, &mut exploited.due, &mut exploited.action] {
                attack.clone_into(text);
            }
        }
    }
    for finding in &mut report.findings {
        finding.verdict.vulnerability = report.vulnerabilities[finding.vulnerability].id.clone();
    }
    let coverage = &mut report.coverage;
    if let Some(distribution) = &mut coverage.distribution {
        for text in [
            &mut distribution.id,
            &mut distribution.version_id,
            &mut distribution.code_name,
            &mut distribution.id_like,
            &mut distribution.pretty_name,
            &mut distribution.cpe_name,
        ] {
            attack.clone_into(text);
        }
    }
    coverage.feeds.iter_mut().for_each(|feed| feed.error = attack.to_owned());
    coverage.unmatched.iter_mut().for_each(|unmatched| unmatched.reason = attack.to_owned());
    let problem = Problem { path: attack.to_owned(), reason: attack.to_owned() };
    coverage.problems = vec![LayerProblem { layer: None, problem }];
    report
}

/// What a terminal or a runner would act on.
fn harm(text: &str) -> Option<String> {
    for (number, line) in text.split(['\n', '\r']).enumerate() {
        let acts = |c: char| {
            c.is_control()
                || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        };
        // Between columns of tab-separated values and nowhere else there are tabs.
        let line = line.replace('\t', " ");
        if let Some(c) = line.chars().find(|c| acts(*c)) {
            return Some(format!("line {number} has {c:?}"));
        }
        if line.trim_start().starts_with("::") || line.contains("##[") || line.contains("##vso[") {
            return Some(format!("line {number} is a command: {line}"));
        }
    }
    None
}

#[test]
fn no_text_does_anything_in_any_format() {
    let folder = tempfile::tempdir().unwrap();
    for (number, attack) in ATTACKS.iter().enumerate() {
        let report = attacked(attack);
        for format in FORMATS {
            for packages_only in [false, true] {
                if (packages_only && format.subject == Subject::Findings)
                    || (!packages_only && format.subject == Subject::Packages)
                {
                    continue;
                }
                let text = format.document(&report, &Edition { packages_only, ..Edition::default() });
                assert_eq!(harm(&text), None, "{} of {attack:?}", format.name);
                let name = format!("attack-{number}-{packages_only}.{}", format.name);
                fs::write(folder.path().join(name), text).unwrap();
            }
        }
    }
    // That they are still documents, with nothing in them that their readers would run, says each format's own reader.
    limpid_testkit::validate(folder.path());
}

#[test]
fn long_texts_make_long_documents_and_no_longer_ones() {
    let long = "x".repeat(1 << 20);
    let mut report = report();
    report.reference.clone_from(&long);
    report.image.layers[0].command.clone_from(&long);
    report.packages[0].package.name.clone_from(&long);
    report.packages[1].path.clone_from(&long);
    report.vulnerabilities[0].description.clone_from(&long);
    report.vulnerabilities[1].id.clone_from(&long);
    report.findings[2].verdict.vulnerability.clone_from(&long);
    report.findings[2].verdict.channel.clone_from(&long);
    report.coverage.problems[0].problem.reason.clone_from(&long);
    for format in FORMATS {
        let edition = Edition { packages_only: format.subject == Subject::Packages, ..Edition::default() };
        let text = format.document(&report, &edition);
        // Each of nine texts may stand in a few places.
        assert!(text.len() < 60 << 20, "{}: {} bytes", format.name, text.len());
        if matches!(format.name, "html" | "markdown") {
            assert!(text.len() < 1 << 16, "{} is for people: {} bytes", format.name, text.len());
        }
    }
}

#[test]
fn no_layers_no_packages_no_distribution() {
    let mut report = report();
    report.packages.clear();
    report.findings.clear();
    report.vulnerabilities.clear();
    report.image.layers.clear();
    report.layers.clear();
    report.image.config_digest = None;
    report.image.manifest_digest = Digest::of(b"");
    report.coverage.distribution = None;
    report.coverage.feeds.clear();
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let text = format.document(&report, &Edition::default());
        fs::write(folder.path().join(format!("empty.{}", format.name)), text).unwrap();
    }
    // An empty list of packages is an empty file.
    fs::remove_file(folder.path().join("empty.tsv")).unwrap();
    limpid_testkit::validate(folder.path());
}
