//! What is said of vulnerabilities themselves: fetched when it is needed, shown with its source, missed by
//! nobody.

use std::fs;
use std::path::Path;

use limpid_testkit::{Encoding, ImageBuilder, Layer};
use serde_json::Value;

use crate::Context;

const SECDB: &str = "mirror/secdb.alpinelinux.org/v3.20";
const RECORDS: &str = "mirror/raw.githubusercontent.com/CVEProject/cvelistV5/main/cves";
const KEV: &str = "mirror/www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json";
const KEV_FALLBACK: &str =
    "mirror/raw.githubusercontent.com/cisagov/kev-data/develop/known_exploited_vulnerabilities.json";
const EPSS: &str = "mirror/epss.empiricalsecurity.com/epss_scores-current.csv.gz";
const NVD: &str = "mirror/nvd.nist.gov/feeds/json/cve/2.0";

fn write(context: &Context, path: &str, content: &str) {
    let path = context.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A record with a vector of the numbering authority, and one of CISA's.
fn record(id: &str, authority: &str, cisa: Option<&str>) -> String {
    let metric = |vector: &str| format!(r#""metrics":[{{"cvssV3_1":{{"vectorString":"{vector}"}}}}]"#);
    let adp =
        cisa.map(|vector| format!(r#"{{"providerMetadata":{{"shortName":"CISA-ADP"}},{}}}"#, metric(vector)));
    format!(
        r#"{{"cveMetadata":{{"cveId":"{id}","state":"PUBLISHED"}},"containers":{{
        "cna":{{"providerMetadata":{{"shortName":"acme"}},{}}},"adp":[{}]}}}}"#,
        metric(authority),
        adp.unwrap_or_default()
    )
}

const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
const MEDIUM: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N";

fn kev(id: &str) -> String {
    format!(
        r#"{{"dateReleased":"2026-01-01T00:00:00Z","vulnerabilities":[{{"cveID":"{id}","dateAdded":"2025-12-31","dueDate":"2026-01-21","knownRansomwareCampaignUse":"Known"}}]}}"#
    )
}

/// An Alpine image with one package, and a mirror whose secdb knows three vulnerabilities of it.
pub(crate) fn alpine() -> Context {
    let context = Context::new();
    let layer = Layer::new()
        .file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n")
        .file("lib/apk/db/installed", "P:a\nV:1.0-r0\nA:x86_64\no:a\n\n");
    ImageBuilder::new().layer("ADD", &layer).oci_layout(&context.path().join("image"), Encoding::Plain);
    let fixes = r#"{"1.1-r0":["CVE-2020-1001","CVE-2020-1002","CVE-2020-1003"]}"#;
    write(
        &context,
        &format!("{SECDB}/main.json"),
        &format!(r#"{{"distroversion":"v3.20","packages":[{{"pkg":{{"name":"a","secfixes":{fixes}}}}}]}}"#),
    );
    write(
        &context,
        &format!("{SECDB}/community.json"),
        r#"{"packages":[{"pkg":{"name":"b","secfixes":{"1":["CVE-2020-1"]}}}]}"#,
    );
    write(&context, KEV, &kev("CVE-2020-1001"));
    write(
        &context,
        EPSS,
        "#model_version:v1,score_date:2026-01-02T00:00:00Z\ncve,epss,percentile\nCVE-2020-1001,0.12345,0.9\n",
    );
    write(
        &context,
        &format!("{RECORDS}/2020/1xxx/CVE-2020-1001.json"),
        &record("CVE-2020-1001", MEDIUM, Some(CRITICAL)),
    );
    write(
        &context,
        &format!("{RECORDS}/2020/1xxx/CVE-2020-1002.json"),
        &record("CVE-2020-1002", MEDIUM, None),
    );
    context
}

fn scan(context: &Context, options: &[&str]) -> Value {
    let arguments =
        [&["--feeds-mirror", "mirror", "scan", "--format", "json", "oci:image"], options].concat();
    serde_json::from_str(&context.ok(&arguments)).unwrap()
}

/// `ID SEVERITY by SOURCE` of each finding.
fn severities(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|f| format!("{} {} by {}", text(&f["id"]), text(&f["severity"]), text(&f["severitySource"])))
        .collect()
}

#[test]
fn a_source_that_names_no_severity_gets_that_of_the_cve_records() {
    let context = alpine();
    let report = scan(&context, &[]);
    assert_eq!(
        severities(&report),
        ["CVE-2020-1001 Critical by CISA-ADP", "CVE-2020-1002 Medium by acme", "CVE-2020-1003 Unknown by ",]
    );
    let known = &report["vulnerabilities"][0];
    assert_eq!(known["severities"].as_array().unwrap().len(), 2);
    assert_eq!(known["exploited"]["byRansomware"], true);
    assert_eq!(
        (&known["epss"]["score"], &known["epss"]["percentile"]),
        (&Value::from(0.12345), &Value::from(0.9))
    );
    // What is known is not asked for again, and what has no record neither.
    fs::remove_dir_all(context.path().join(RECORDS)).unwrap();
    assert_eq!(scan(&context, &[]), report);
    assert_eq!(severities(&scan(&context, &["--offline"])), severities(&report));
}

#[test]
fn nothing_of_it_is_fetched_if_it_is_not_wanted_and_nothing_fails_without_it() {
    let context = alpine();
    let report = scan(&context, &["--no-enrich"]);
    assert!(severities(&report).iter().all(|line| line.contains("Unknown")), "{report}");
    assert_eq!(report["coverage"]["feeds"].as_array().unwrap().len(), 2);
    assert_eq!(report["coverage"]["answer"], "complete");
    for path in [KEV, EPSS] {
        fs::remove_file(context.path().join(path)).unwrap();
    }
    write(&context, &format!("{RECORDS}/2020/1xxx/CVE-2020-1002.json"), "{\"a\"");
    let output = context.run(&["--feeds-mirror", "mirror", "scan", "oci:image"]);
    let (text, warnings) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{warnings}");
    assert!(
        warnings.contains("feed kev catalogue") && warnings.contains("1 CVE records could not be had"),
        "{warnings}"
    );
    assert!(text.contains("kev, never read:") && text.contains("Critical  CVE-2020-1001"), "{text}");
    assert!(
        text.contains("cve, revision") && text.contains("not updated: CVE-2020-1002 holds no advisories"),
        "{text}"
    );
}

#[test]
fn the_list_of_exploited_vulnerabilities_has_a_second_address() {
    let context = alpine();
    write(&context, KEV, "<html>Access denied</html>");
    write(&context, KEV_FALLBACK, &kev("CVE-2020-1002"));
    let report = scan(&context, &[]);
    assert_eq!(report["vulnerabilities"][1]["exploited"]["added"], "2025-12-31");
    let status: Value = serde_json::from_str(&context.ok(&["feeds", "status", "--format", "json"])).unwrap();
    let documents = status["documents"].as_array().unwrap();
    let kev = documents.iter().find(|document| document["feed"] == "kev").unwrap();
    assert!(kev["url"].as_str().unwrap().contains("cisagov/kev-data") && kev["error"].is_null(), "{kev}");
    fs::remove_file(context.path().join(KEV_FALLBACK)).unwrap();
    let (code, error) =
        context.fails(&["--feeds-mirror", "mirror", "--store", "new.db", "feeds", "update", "kev"]);
    assert!(
        code == 6 && error.contains("catalogue is not well-formed") && error.contains("does not exist"),
        "{error}"
    );
}

fn year(vector: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-01-13T00:00:00.000","vulnerabilities":[{{"cve":{{"id":"CVE-2020-1003","metrics":{{"cvssMetricV31":[
        {{"source":"nvd@nist.gov","type":"Primary","cvssData":{{"vectorString":"{vector}","baseSeverity":"MEDIUM"}}}}]}}}}}}]}}"#
    )
}

fn sha256(text: &str, folder: &Path) -> String {
    let path = folder.join("hashed");
    fs::write(&path, text).unwrap();
    let output = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_uppercase()
}

#[test]
fn a_year_of_nvd_is_read_again_only_if_its_checksum_changed_and_kept_only_if_it_holds() {
    let context = alpine();
    let put = |meta_of: &str, content: &str| {
        write(&context, &format!("{NVD}/nvdcve-2.0-2020.json.gz"), content);
        let meta = format!("lastModifiedDate:x\r\nsha256:{}\r\n", sha256(meta_of, context.path()));
        write(&context, &format!("{NVD}/nvdcve-2.0-2020.meta"), &meta);
    };
    let year_2020 = || {
        // The other years are missing here, which is told and keeps this one from nothing.
        assert_eq!(context.fails(&["--feeds-mirror", "mirror", "feeds", "update", "nvd"]).0, 6);
        let status: Value =
            serde_json::from_str(&context.ok(&["feeds", "status", "--format", "json"])).unwrap();
        let documents = status["documents"].as_array().unwrap();
        documents.iter().find(|document| document["document"] == "2020").unwrap().clone()
    };
    let first = year(MEDIUM);
    put(&first, &first);
    assert_eq!(year_2020()["severities"]["Medium"], 1);
    // The checksum is the old one: the document is not looked at.
    put(&first, &year(CRITICAL));
    let state = year_2020();
    assert!(state["error"].is_null() && state["severities"]["Medium"] == 1, "{state}");
    // The checksum is another's.
    put("something else", &year(CRITICAL));
    let state = year_2020();
    assert!(
        state["error"].as_str().unwrap().contains("SHA-256") && state["severities"]["Medium"] == 1,
        "{state}"
    );
    put(&first, &first);
    assert!(year_2020()["error"].is_null());
    assert!(severities(&scan(&context, &[])).contains(&"CVE-2020-1003 Medium by nvd".to_owned()));
}

/// What Ubuntu says of CVE-2020-1002, as its archive has it.
fn ubuntu_archive(context: &Context) {
    let record = format!(
        r#"{{"id":"UBUNTU-CVE-2020-1002","upstream":["CVE-2020-1002"],"modified":"2024-02-16T23:42:43Z",
        "severity":[{{"type":"CVSS_V3","score":"{CRITICAL}"}},{{"type":"Ubuntu","score":"low"}}],"affected":[
        {{"package":{{"ecosystem":"Ubuntu:24.04:LTS","name":"a"}},
        "ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}]}}]}}]}}"#
    );
    write(context, "osv/UBUNTU-CVE-2020-1002.json", &record);
    let archive = context.path().join("mirror/security-metadata.canonical.com/osv/osv-all.tar.xz");
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    let tar = std::process::Command::new("tar")
        .arg("-C")
        .arg(context.path())
        .arg("-cJf")
        .arg(&archive)
        .arg("osv")
        .status()
        .unwrap();
    assert!(tar.success());
}

#[test]
fn another_distributions_vector_does_not_keep_the_cve_record_from_being_fetched() {
    let context = alpine();
    ubuntu_archive(&context);
    let text = context.ok(&["--feeds-mirror", "mirror", "feeds", "update", "ubuntu:24.04"]);
    // What an update prints is about what it updated.
    assert!(text.contains("changed       1 new, 0 gone, 0 as before"), "{text}");
    assert_eq!(text.matches("  feed  ").count(), 1, "{text}");
    let report = scan(&context, &[]);
    assert_eq!(
        severities(&report),
        ["CVE-2020-1001 Critical by CISA-ADP", "CVE-2020-1002 Medium by acme", "CVE-2020-1003 Unknown by ",]
    );
    let ids = |severity: &Value| severity["source"].as_str().unwrap().to_owned();
    let beside = report["vulnerabilities"][1]["severities"].as_array().unwrap().iter().map(ids);
    assert_eq!(beside.collect::<Vec<_>>(), ["acme", "ubuntu", "ubuntu"]);
    // Where there is no record, it is better than nothing. `explain` says the same as the report.
    let explained = |store: &str| {
        context.ok(&["--store", store, "--feeds-mirror", "mirror", "explain", "oci:image", "CVE-2020-1002"])
    };
    let text = explained("store.db");
    assert!(text.contains("AFFECTED (fixable), severity Medium, says acme\n"), "{text}");
    fs::remove_dir_all(context.path().join(RECORDS)).unwrap();
    context.ok(&["--store", "other.db", "--feeds-mirror", "mirror", "feeds", "update", "ubuntu:24.04"]);
    let text = explained("other.db");
    assert!(text.contains("AFFECTED (fixable), severity Critical, says ubuntu\n"), "{text}");
}

#[test]
fn feeds_are_named_beside_releases_and_what_is_neither_is_refused() {
    let context = alpine();
    let text = context.ok(&["--feeds-mirror", "mirror", "feeds", "update", "epss", "alpine:3.20"]);
    assert!(text.contains("alpine-secdb v3.20/main") && text.contains("1 scores"), "{text}");
    let (code, error) = context.fails(&["--feeds-mirror", "mirror", "feeds", "update", "nonsense"]);
    assert!(code == 3 && error.contains("alpine-secdb") && error.contains("cve, nvd, kev, epss"), "{error}");
}
