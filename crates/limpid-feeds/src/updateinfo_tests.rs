use super::*;
use limpid_model::{Advisory, AffectedState, Severity};

fn parse(text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
    let mut found = Vec::new();
    let document = Document::new("2/core", "");
    let origin = Origin { release: "amzn:2".into(), channel: "extras/x".into() };
    let summary =
        super::parse(&origin, &document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
            found.push(advisory);
            Ok(())
        })?;
    Ok((found, summary))
}

const UPDATES: &str = r#"<?xml version="1.0"?><updates>
  <update type="security"><id>ALAS-1</id><title>t</title><issued date="2023-02-17 20:41"/><updated date="2023-02-22 23:22:00"/>
    <severity>important</severity><description>a &lt; b</description>
    <references><reference href="https://x.example/CVE-2023-1" id="CVE-2023-1" type="cve"/>
      <reference href="https://x.example/CVE-2023-2" id="CVE-2023-2" type="cve"/>
      <reference href="https://x.example/other" id="other" type="self"/></references>
    <pkglist><collection short="c"><name>not an id</name><module name="nodejs" stream="18" version="8" context="c" arch="x86_64"/>
      <package name="a" version="1.2" release="3.el9" epoch="1" arch="x86_64"><filename>f</filename></package>
      <package name="a" version="1.2" release="3.el9" epoch="1" arch="noarch"/>
      <package name="a" version="1.2" release="3.el9" epoch="1" arch="src"/></collection>
      <collection><package name="b" version="2" release="1" epoch="0" arch="x86_64"/></collection></pkglist></update>
  <update type="bugfix"><id>ALBA-2</id></update>
  <update type="security"><id>ALAS-3</id><description>fixes CVE-2020-0001, CVE-2020-0001 and CVE-x</description>
    <pkglist><collection><package name="c" version="1" release="1"/></collection></pkglist></update>
  <update type="security"><id>ALAS-4</id><pkglist><collection><package name="d" version="1" release="1"/></collection></pkglist></update>
  <update type="security"><id>ALAS-5</id></update>
</updates>"#;

#[test]
fn an_update_becomes_an_advisory_for_each_vulnerability() {
    let (found, summary) = parse(UPDATES).unwrap();
    let ids: Vec<&str> = found.iter().map(|advisory| advisory.id.as_str()).collect();
    assert_eq!(ids, ["CVE-2023-1", "CVE-2023-2", "CVE-2020-0001", "ALAS-4"]);
    let details = &found[0].details;
    assert_eq!((details.severity, details.severity_word.as_str()), (Severity::High, "important"));
    assert_eq!((details.description.as_str(), details.links.len()), ("a < b", 1));
    assert_eq!(
        (details.published.as_str(), details.modified.as_str()),
        ("2023-02-17T20:41:00Z", "2023-02-22T23:22:00Z")
    );
    let rows: Vec<_> = found[0]
        .affected
        .iter()
        .map(|row| {
            assert_eq!((row.state, row.notice.as_str()), (AffectedState::Fixed, "ALAS-1"));
            assert_eq!((row.release.as_str(), row.channel.as_str()), ("amzn:2", "extras/x"));
            (row.package.as_str(), row.fixed.as_str(), row.module.as_str())
        })
        .collect();
    assert_eq!(rows, [("a", "1:1.2-3.el9", "nodejs:18"), ("b", "2-1", "")]);
    assert_eq!(summary.records, 5);
    assert_eq!(summary.skipped["update is not about security"], 1);
    assert_eq!(summary.skipped["erratum names no package"], 1);
}

#[test]
fn a_file_that_is_cut_or_is_something_else_is_refused() {
    for cut in (0..UPDATES.len()).step_by(61) {
        assert!(parse(&UPDATES[..cut]).is_err(), "{cut}");
    }
    assert!(parse("<html><body/></html>").is_err());
    assert!(parse("<!DOCTYPE updates><updates/>").is_err());
    assert_eq!(parse("<updates/>").unwrap().1, ParseSummary::default());
    let many = format!(
        "<updates><update type='security'><id>A</id>{}</update></updates>",
        "<package name='a' version='1'/>".repeat(PACKAGES_MAX + 1)
    );
    assert!(matches!(parse(&many), Err(FeedError::TooLarge { .. })));
}
