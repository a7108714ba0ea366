use super::*;
use limpid_model::{AffectedState, PackageKind};

const RPM: &str = "pkg:rpm/redhat";

/// A document with three products and components as Red Hat writes them.
fn document(vulnerability: &str) -> String {
    let product = |id: &str, helper: &str| {
        format!(
            r#"{{"category":"product_name","name":"{id}","product":{{"name":"{id}","product_id":"{id}","product_identification_helper":{{{helper}}}}}}}"#
        )
    };
    let components = [
        ("curl-0:7.76.1-26.el9_3.2.x86_64", format!("{RPM}/curl@7.76.1-26.el9_3.2?arch=x86_64")),
        ("curl-0:7.76.1-26.el9_3.2.aarch64", format!("{RPM}/curl@7.76.1-26.el9_3.2?arch=aarch64")),
        ("curl-0:7.76.1-26.el9_3.2.src", format!("{RPM}/curl@7.76.1-26.el9_3.2?arch=src")),
        (
            "perl-X-1:0.78-11.module+el8.6.0+1.x86_64::perl-X:0.78",
            format!(
                "{RPM}/perl-X@0.78-11.module%2Bel8.6.0%2B1?arch=x86_64&epoch=1&rpmmod=perl-X:0.78:8060:51"
            ),
        ),
        ("curl.src", format!("{RPM}/curl?arch=src")),
        ("libcurl", format!("{RPM}/libcurl")),
        ("rhel9/curl@sha256:00_amd64", "pkg:oci/curl@sha256:00?arch=amd64".to_owned()),
    ];
    let mut branches: Vec<String> = [
        ("AppStream-9", "cpe:/a:redhat:enterprise_linux:9::appstream"),
        ("AppStream-9.2.EUS", "cpe:/a:redhat:rhel_eus:9.2::appstream"),
        ("red_hat_enterprise_linux_8", "cpe:/o:redhat:enterprise_linux:8"),
        ("openshift", "cpe:/a:redhat:openshift:4"),
    ]
    .iter()
    .map(|(id, cpe)| product(id, &format!(r#""cpe":"{cpe}""#)))
    .collect();
    let mut relationships = Vec::new();
    for (id, purl) in &components {
        branches.push(product(id, &format!(r#""purl":"{purl}""#)));
        for whole in ["AppStream-9", "AppStream-9.2.EUS", "red_hat_enterprise_linux_8", "openshift"] {
            relationships.push(format!(
                r#"{{"category":"default_component_of","full_product_name":{{"name":"n","product_id":"{whole}:{id}"}},"product_reference":"{id}","relates_to_product_reference":"{whole}"}}"#
            ));
        }
    }
    format!(
        r#"{{"document":{{"category":"csaf_vex","aggregate_severity":{{"text":"Important"}},
            "tracking":{{"id":"CVE-2023-1","current_release_date":"2026-01-02T00:00:00+00:00"}}}},
            "product_tree":{{"branches":[{{"category":"vendor","name":"Red Hat","branches":[{}]}}],"relationships":[{}]}},
            "vulnerabilities":[{vulnerability}]}}"#,
        branches.join(","),
        relationships.join(",")
    )
}

fn parse_bytes(mut content: &[u8], limits: &Limits) -> Result<(Vec<Advisory>, ParseSummary), FeedError> {
    let mut found = Vec::new();
    let document = Document::new("2023/cve-2023-1.json", "");
    let summary = RedHatVex.parse(&document, &mut content, limits, &mut |advisory| {
        found.push(advisory);
        Ok(())
    })?;
    Ok((found, summary))
}

fn parse(text: &str) -> (Vec<Advisory>, ParseSummary) {
    parse_bytes(text.as_bytes(), &Limits::default()).unwrap()
}

fn tar_of(members: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (number, content) in members.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("2023/cve-2023-{number}.json"), content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

const FIXED: &str = r#"{"cve":"CVE-2023-1","notes":[{"category":"summary","text":"s"},{"category":"description","text":"d"}],
    "release_date":"2023-01-01T00:00:00Z","cwe":{"id":"CWE-1"},
    "references":[{"url":"https://a.example"},{"url":"https://a.example"}],
    "product_status":{"fixed":["AppStream-9:curl-0:7.76.1-26.el9_3.2.x86_64","AppStream-9:curl-0:7.76.1-26.el9_3.2.aarch64",
        "AppStream-9:curl-0:7.76.1-26.el9_3.2.src","AppStream-9.2.EUS:curl-0:7.76.1-26.el9_3.2.x86_64",
        "red_hat_enterprise_linux_8:perl-X-1:0.78-11.module+el8.6.0+1.x86_64::perl-X:0.78",
        "AppStream-9:rhel9/curl@sha256:00_amd64","openshift","AppStream-9:nowhere"]},
    "remediations":[{"category":"workaround","details":"no","product_ids":["AppStream-9:curl-0:7.76.1-26.el9_3.2.x86_64"]},
        {"category":"vendor_fix","details":"x","url":"https://access.redhat.com/errata/RHSA-2023:1",
         "product_ids":["AppStream-9:curl-0:7.76.1-26.el9_3.2.x86_64","AppStream-9:curl-0:7.76.1-26.el9_3.2.aarch64","AppStream-9:curl-0:7.76.1-26.el9_3.2.src"]}],
    "scores":[{"cvss_v3":{"vectorString":"CVSS:3.1/AV:N"},"products":[]}],
    "threats":[{"category":"impact","details":"Low","product_ids":["AppStream-9.2.EUS:curl-0:7.76.1-26.el9_3.2.x86_64"]},
        {"category":"impact","details":"Important","product_ids":["AppStream-9:curl-0:7.76.1-26.el9_3.2.x86_64","AppStream-9:curl-0:7.76.1-26.el9_3.2.aarch64"]}]}"#;

#[test]
fn a_fix_is_one_row_for_each_product_and_package() {
    let (found, summary) = parse(&document(FIXED));
    assert_eq!(found.len(), 1);
    let details = &found[0].details;
    assert_eq!((found[0].id.as_str(), details.description.as_str()), ("CVE-2023-1", "d"));
    assert_eq!((details.severity_word.as_str(), details.links.len()), ("Important", 1));
    assert_eq!((details.cvss[0].vector.as_str(), details.weaknesses[0].as_str()), ("CVSS:3.1/AV:N", "CWE-1"));
    assert_eq!(details.modified, "2026-01-02T00:00:00+00:00");
    let rows: Vec<_> = found[0]
        .affected
        .iter()
        .map(|row| {
            let arches = row.arches.join(",");
            format!(
                "{} {} {} {} {arches} {} {}",
                row.package, row.release, row.channel, row.fixed, row.module, row.notice
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            "curl rhel:9  7.76.1-26.el9_3.2 aarch64,x86_64  RHSA-2023:1",
            "curl rhel:9 eus-9.2 7.76.1-26.el9_3.2 x86_64  ",
            "perl-X rhel:8  1:0.78-11.module+el8.6.0+1 x86_64 perl-X:0.78 ",
        ]
    );
    assert_eq!(found[0].affected[0].severity, None, "the vulnerability's own severity is not repeated");
    assert_eq!(found[0].affected[1].severity_word, "Low");
    // Of eight records the source, the image, the whole product and the unknown id are left out.
    assert_eq!(summary.records, 8);
    assert_eq!(summary.skipped.values().sum::<u64>(), 4, "{:?}", summary.skipped);
    assert_eq!(summary.skipped["component is a container image"], 1);
}

#[test]
fn states_are_red_hats_own() {
    let text = document(
        r#"{"product_status":{"known_affected":["openshift:curl.src","red_hat_enterprise_linux_8:libcurl","AppStream-9:libcurl","AppStream-9.2.EUS:libcurl"],
            "known_not_affected":["AppStream-9:curl.src"],"under_investigation":["AppStream-9.2.EUS:curl.src"],"first_affected":["openshift:libcurl"]},
            "remediations":[{"category":"no_fix_planned","details":"Will not fix","product_ids":["openshift:curl.src"]},
                {"category":"no_fix_planned","details":"Out of support scope","product_ids":["red_hat_enterprise_linux_8:libcurl"]},
                {"category":"none_available","details":"Fix deferred","product_ids":["AppStream-9:libcurl"]},
                {"category":"none_available","details":"Affected","product_ids":["AppStream-9.2.EUS:libcurl"]}],
            "flags":[{"label":"vulnerable_code_not_present","product_ids":["AppStream-9:curl.src"]}]}"#,
    );
    let (found, summary) = parse(&text);
    assert_eq!(found[0].id, "CVE-2023-1", "the document's id stands in for the vulnerability's");
    let of = |package: &str, cpe: &str| {
        let row = found[0].affected.iter().find(|row| row.package == package && row.cpe.ends_with(cpe));
        let row = row.unwrap_or_else(|| panic!("{package} {cpe}"));
        (row.package_kind, row.release.as_str(), row.state, row.state_word.as_str())
    };
    let (source, binary) = (PackageKind::Source, PackageKind::Binary);
    assert_eq!(
        of("curl", "openshift:4"),
        (source, "rhel", AffectedState::WillNotFix, "known_affected; no_fix_planned: Will not fix")
    );
    assert_eq!(
        of("libcurl", ":8"),
        (binary, "rhel:8", AffectedState::EndOfLife, "known_affected; no_fix_planned: Out of support scope")
    );
    assert_eq!(
        of("libcurl", ":9::appstream"),
        (binary, "rhel:9", AffectedState::Deferred, "known_affected; none_available: Fix deferred")
    );
    assert_eq!(of("libcurl", ":9.2::appstream").2, AffectedState::Open);
    assert_eq!(
        of("curl", ":9::appstream"),
        (source, "rhel:9", AffectedState::NotAffected, "known_not_affected; vulnerable_code_not_present")
    );
    assert_eq!(of("curl", ":9.2::appstream").2, AffectedState::Undetermined);
    assert_eq!(summary.skipped["status is not known"], 1);
}

#[test]
fn an_archive_is_read_and_what_is_damaged_in_it_is_counted() {
    let good = document(FIXED);
    let other = good.replace("csaf_vex", "csaf_security_advisory");
    let deep = format!("{{\"document\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    let archive = tar_of(&[&good, "{", &other, &deep, ""]);
    let (found, summary) =
        parse_bytes(&zstd::encode_all(&archive[..], 1).unwrap(), &Limits::default()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(summary.skipped["document is not of the known shape"], 3);
    assert_eq!(summary.skipped["document is not of category csaf_vex"], 1);
    assert_eq!(summary.date, "2026-01-02T00:00:00+00:00");
    let small = Limits { record_bytes_max: good.len() - 1, ..Limits::default() };
    assert!(matches!(parse_bytes(&archive, &small), Err(FeedError::Empty { .. })));
    let just = Limits { record_bytes_max: good.len() + 100, ..Limits::default() };
    assert_eq!(parse_bytes(&archive, &just).unwrap().0.len(), 1);
    assert!(parse_bytes(&archive[..archive.len() / 2], &Limits::default()).is_err());
    assert!(parse_bytes(&tar_of(&[]), &Limits::default()).is_err());
}

#[test]
fn a_single_document_that_is_hostile_is_refused() {
    let good = document(FIXED);
    let small = Limits { record_bytes_max: 1000, ..Limits::default() };
    assert!(matches!(parse_bytes(good.as_bytes(), &small), Err(FeedError::TooLarge { .. })));
    for cut in (1..good.len()).step_by(97) {
        assert!(parse_bytes(&good.as_bytes()[..cut], &Limits::default()).is_err(), "{cut}");
    }
    let few = Limits { records_max: 3, ..Limits::default() };
    assert!(matches!(parse_bytes(good.as_bytes(), &few), Err(FeedError::TooLarge { .. })));
    // A relation in a circle is no product.
    let circle = r#"{"document":{"category":"csaf_vex","tracking":{"id":"CVE-1-1","current_release_date":""}},
        "product_tree":{"relationships":[{"full_product_name":{"product_id":"a"},"product_reference":"b","relates_to_product_reference":"a"}]},
        "vulnerabilities":[{"product_status":{"fixed":["a"]}}]}"#;
    assert_eq!(parse(circle).1.skipped["product id is not in the product tree"], 1);
}
