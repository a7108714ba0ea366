use super::*;
use limpid_model::Advisory;

fn parse(text: &str) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
    let mut found = Vec::new();
    let document = Document::new("elsa-all", "");
    let summary = Oracle.parse(&document, &mut text.as_bytes(), &Limits::default(), &mut |advisory| {
        found.push(advisory);
        Ok(())
    })?;
    Ok((found, summary))
}

const OVAL: &str = r#"<oval_definitions><generator><oval:timestamp xmlns:oval="x">2022-04-27T06:35:16</oval:timestamp></generator><definitions>
<definition id="d1" class="patch"><metadata><title>t</title>
  <reference source="elsa" ref_id="ELSA-2023-1" ref_url="https://linux.oracle.com/errata/ELSA-2023-1.html"/>
  <reference source="CVE" ref_id="CVE-2023-1" ref_url="u"/><reference source="CVE" ref_id="CVE-2023-2" ref_url="u"/>
  <description>text</description>
  <advisory><severity>IMPORTANT</severity><issued date="2023-05-15"/>
    <cve cvss3="7.8/CVSS:3.1/AV:L/AC:L" href="h">CVE-2023-1</cve><cve cvss2="4.3/AV:N/AC:M" href="h">CVE-2023-2</cve></advisory></metadata>
  <criteria operator="OR">
    <criteria operator="AND"><criterion comment="Oracle Linux 8 is installed"/><criteria operator="OR">
      <criteria operator="AND"><criterion comment="Oracle Linux arch is aarch64"/><criterion comment="Module virt:kvm is enabled"/>
        <criteria operator="AND"><criterion comment="hivex is earlier than 0:1.3-21.module+el8"/><criterion comment="hivex is signed with the Oracle Linux 8 key"/></criteria></criteria>
      <criteria operator="AND"><criterion comment="Oracle Linux arch is x86_64"/>
        <criterion comment="bind is earlier than 32:9.16-1.el8"/></criteria>
      <criteria operator="AND"><criterion comment="Oracle Linux arch is aarch64"/>
        <criterion comment="bind is earlier than 32:9.16-1.el8"/></criteria></criteria></criteria>
    <criteria operator="AND"><criterion comment="Oracle Linux 9 is installed"/><criterion comment="bind is earlier than 32:9.18-1.el9"/>
      <criterion comment="the moon is full"/></criteria>
  </criteria></definition>
</definitions><tests/></oval_definitions>"#;

#[test]
fn criteria_hold_for_what_stands_within_them() {
    let (found, summary) = parse(OVAL).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].details.cvss[0].vector, "CVSS:3.1/AV:L/AC:L");
    assert_eq!(found[1].details.cvss[0].vector, "AV:N/AC:M");
    assert_eq!(
        (found[0].details.severity_word.as_str(), found[0].details.published.as_str()),
        ("IMPORTANT", "2023-05-15T00:00:00Z")
    );
    let rows: Vec<_> = found[0]
        .affected
        .iter()
        .map(|row| {
            format!("{} {} {} {} {}", row.package, row.release, row.fixed, row.arches.join(","), row.module)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "bind ol:8 32:9.16-1.el8 aarch64,x86_64 ",
            "bind ol:9 32:9.18-1.el9  ",
            "hivex ol:8 1.3-21.module+el8 aarch64 virt:kvm",
        ]
    );
    assert_eq!(summary.skipped["criterion is not of a known form"], 1);
    assert_eq!((summary.records, summary.date.as_str()), (1, "2022-04-27T06:35:16Z"));
}

#[test]
fn a_file_that_is_cut_or_deep_is_refused() {
    for cut in (0..OVAL.len()).step_by(53) {
        assert!(parse(&OVAL[..cut]).is_err(), "{cut}");
    }
    let deep = OVAL.replacen("<criteria operator=\"OR\">", &"<criteria>".repeat(100), 1);
    assert!(matches!(parse(&deep), Err(FeedError::TooLarge { .. })));
    assert!(matches!(parse("<oval_definitions/>"), Err(FeedError::Empty { .. })));
}
