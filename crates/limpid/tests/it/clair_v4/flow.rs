//! What Quay does, request by request, and what it makes of the answers.
//!
//! The rules are those of Quay's client: its schema (every key that it requires, as a string where it wants one, nothing
//! ever null) and the fields that it reads of a vulnerability report.

use limpid_testkit::Content;
use limpid_testkit::{ImageBuilder, Layer};
use serde_json::{Value, json};

use super::{NO_FEEDS, Service, debian_mirror, put, serve};
use crate::{Context, two_layers};

const INDEX: &str = "/indexer/api/v1/index_report";

fn object<'v>(value: &'v Value, key: &str) -> &'v serde_json::Map<String, Value> {
    value[key].as_object().unwrap_or_else(|| panic!("{key} is no object in {value}"))
}

fn strings(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value[*key].is_string(), "{key} is no string in {value}");
    }
}

fn no_null(value: &Value) {
    match value {
        Value::Null => panic!("there is a null"),
        Value::Array(values) => values.iter().for_each(no_null),
        Value::Object(values) => values.values().for_each(no_null),
        _ => {}
    }
}

fn package(value: &Value) {
    strings(value, &["id", "name", "version", "kind", "arch", "module", "cpe"]);
    assert!(["binary", "source"].contains(&value["kind"].as_str().unwrap()), "{value}");
    if let Some(source) = value.get("source") {
        package(source);
        assert!(source.get("source").is_none(), "a source of a source is a string to Quay");
    }
}

const DISTRIBUTION: [&str; 9] =
    ["id", "did", "name", "version", "version_code_name", "version_id", "arch", "cpe", "pretty_name"];

/// Quay's schema of what both reports share.
fn contents(report: &Value) {
    no_null(report);
    strings(report, &["manifest_hash"]);
    object(report, "packages").values().for_each(package);
    object(report, "distributions").values().for_each(|value| strings(value, &DISTRIBUTION));
    let environments = object(report, "environments");
    for id in object(report, "packages").keys() {
        let environments = environments[id].as_array().unwrap();
        strings(&environments[0], &["package_db", "introduced_in", "distribution_id"]);
    }
}

/// Quay's schema of a vulnerability report, and what its code reads of it.
fn vulnerabilities(report: &Value) {
    contents(report);
    let known = object(report, "vulnerabilities");
    for value in known.values() {
        strings(
            value,
            &[
                "id",
                "updater",
                "name",
                "description",
                "links",
                "severity",
                "normalized_severity",
                "fixed_in_version",
            ],
        );
        let severity = value["normalized_severity"].as_str().unwrap();
        assert!(["Unknown", "Negligible", "Low", "Medium", "High", "Critical"].contains(&severity));
        assert!(value.get("range").is_none(), "Quay and Clair disagree on what a range is");
        package(&value["package"]);
        strings(&value["distribution"], &DISTRIBUTION);
        strings(&value["repository"], &["name", "uri"]);
        let name = value["name"].as_str().unwrap();
        assert!(value["links"].as_str().unwrap().contains(name), "Quay finds the CVE in the links");
    }
    for (id, of_package) in object(report, "package_vulnerabilities") {
        assert!(object(report, "packages").contains_key(id));
        for vulnerability in of_package.as_array().unwrap() {
            assert!(known.contains_key(vulnerability.as_str().unwrap()));
        }
    }
    // Of the first enrichment every item of every list needs a number.
    if let Some(first) = object(report, "enrichments").values().next() {
        for scores in first[0].as_object().unwrap().values() {
            assert!(scores.as_array().unwrap().iter().all(|score| score["baseScore"].is_number()));
        }
    }
}

#[test]
fn quay_indexes_an_image_and_shows_its_vulnerabilities() {
    let context = Context::new();
    debian_mirror(&context);
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let (registry, settings) = serve(content);
    let service = Service::start(
        &context,
        &format!("{settings}\nfeeds: {{releases: [\"debian:12\"], enrichment: none}}"),
        &["--feeds-mirror", "mirror"],
    );
    service.until_ready();
    let state = service.get("/indexer/api/v1/index_state");
    assert_eq!(state.status, 200);
    let state = state.json()["state"].as_str().unwrap().to_owned();
    let of_image = format!("{INDEX}/{}", image.digest);
    assert_eq!(service.get(&of_image).error().0, 404);

    let indexed = service.index(&image.manifest(registry.address()));
    assert_eq!((indexed.status, indexed.header("location")), (201, of_image.as_str()));
    // Quay takes the quotes off, keeps the rest, and compares it with the state: a weak validator would never match.
    assert_eq!(indexed.header("etag"), format!("\"{state}\""));
    assert_eq!(indexed.headers["link"].len(), 2);
    assert!(indexed.headers["link"][1].contains("vulnerability_report"));
    let report = indexed.json();
    contents(&report);
    assert_eq!(report["state"], "IndexFinished");
    assert_eq!((report["success"].clone(), report["err"].clone()), (json!(true), json!("")));
    assert_eq!(report["manifest_hash"], json!(image.digest));
    let packages: Vec<[&Value; 3]> = object(&report, "packages")
        .values()
        .map(|package| [&package["name"], &package["version"], &package["source"]["name"]])
        .collect();
    assert_eq!(json!(packages), json!([["a", "1.0-2", "a"], ["c", "3", "c"]]));
    for (package, layer) in [("1", 1), ("2", 1)] {
        let environment = &report["environments"][package][0];
        assert_eq!(environment["introduced_in"], json!(image.layers[layer]));
        assert_eq!(environment["package_db"], "var/lib/dpkg/status");
    }
    assert_eq!(
        report["distributions"]["1"],
        json!({
            "id": "1", "did": "debian", "name": "Debian GNU/Linux", "version": "12 (bookworm)", "version_code_name": "bookworm",
            "version_id": "12", "arch": "", "cpe": "", "pretty_name": "Debian GNU/Linux 12 (bookworm)",
        })
    );
    let requests = registry.requests();
    assert!(
        requests.iter().all(|request| request.header("authorization") == "Bearer of-quay"),
        "{requests:?}"
    );

    let again = service.get(&of_image);
    assert_eq!((again.status, again.json()), (200, report));
    let tag = again.header("etag").to_owned();
    let conditional = [("If-None-Match", tag.as_str())];
    let unchanged = service.ask("GET", &of_image, &conditional, b"");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(service.ask("POST", INDEX, &conditional, b"{}").error().0, 412);
    let stale = [("If-None-Match", "\"earlier\"")];
    let again = service.ask("POST", INDEX, &stale, image.manifest(registry.address()).to_string().as_bytes());
    assert_eq!(again.status, 201);
    assert_eq!(registry.requests().len(), requests.len(), "what is known is not fetched again");

    let deleted = service.ask("DELETE", &of_image, &[], b"");
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_eq!(service.ask("DELETE", &of_image, &[], b"").status, 204);
    assert_eq!(service.get(&of_image).status, 404);
    assert_eq!(service.get(&format!("/matcher/api/v1/vulnerability_report/{}", image.digest)).status, 404);
}

/// The image's first layer alone, which has everything that the tracker knows.
fn vulnerable() -> ImageBuilder {
    let base = Layer::new().file("etc/os-release", crate::BOOKWORM).file(
        "var/lib/dpkg/status",
        limpid_testkit::dpkg_status(&[("a", "1.0-1", ""), ("b", "2.0-1", "bee (1.9-1)"), ("c", "3", "")]),
    );
    ImageBuilder::new().layer("ADD base", &base)
}

#[test]
fn a_vulnerability_report_is_what_quay_expects() {
    let context = Context::new();
    debian_mirror(&context);
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &vulnerable());
    let (registry, settings) = serve(content);
    let service = Service::start(
        &context,
        &format!(
            "{settings}\nfeeds: {{releases: [\"debian:12\"], enrichment: none}}\nclair: {{cache_age: 5m}}"
        ),
        &["--feeds-mirror", "mirror"],
    );
    service.until_ready();
    assert_eq!(service.index(&image.manifest(registry.address())).status, 201);
    let path = format!("/matcher/api/v1/vulnerability_report/{}", image.digest);
    let reply = service.get(&path);
    assert_eq!((reply.status, reply.header("cache-control")), (200, "max-age=300"));
    assert_eq!(reply.header("content-type"), "application/vnd.clair.vulnerability_report.v1+json");
    assert_eq!(reply.header("limpid-standing"), "complete");
    let report = reply.json();
    vulnerabilities(&report);
    let mut found: Vec<String> = Vec::new();
    for (id, of_package) in object(&report, "package_vulnerabilities") {
        for vulnerability in of_package.as_array().unwrap() {
            let vulnerability = &report["vulnerabilities"][vulnerability.as_str().unwrap()];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            found.push(format!(
                "{} {} {} {} {} {}",
                text(&report["packages"][id]["name"]),
                text(&vulnerability["name"]),
                text(&vulnerability["updater"]),
                text(&vulnerability["severity"]),
                text(&vulnerability["normalized_severity"]),
                text(&vulnerability["fixed_in_version"]),
            ));
        }
    }
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "a CVE-2020-1001 debian-tracker medium Medium 1.0-2",
            "a CVE-2020-1002 debian-tracker unimportant Negligible ",
            "b CVE-2020-1003 debian-tracker not yet assigned Unknown ",
        ]
    );
    let bee =
        object(&report, "vulnerabilities").values().find(|value| value["name"] == "CVE-2020-1003").unwrap();
    assert_eq!((&bee["package"]["name"], &bee["package"]["kind"]), (&json!("bee"), &json!("source")));
    assert_eq!(bee["distribution"]["did"], "debian");
    let same = service.ask("GET", &path, &[("If-None-Match", reply.header("etag"))], b"");
    assert_eq!((same.status, same.body.len()), (304, 0));
}

#[test]
fn an_enrichment_has_the_scores_that_quay_shows() {
    let context = crate::enrichment::alpine();
    let mut content = Content::new();
    let layer = Layer::new()
        .file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n")
        .file("lib/apk/db/installed", "P:a\nV:1.0-r0\nA:x86_64\no:a\n\n");
    let image = put(&mut content, &context, "ns/alpine", &ImageBuilder::new().layer("ADD", &layer));
    let (registry, settings) = serve(content);
    // Nobody says beforehand which releases there will be: the image itself brings its feeds in.
    let service = Service::start(&context, &settings, &["--feeds-mirror", "mirror"]);
    assert_eq!(service.index(&image.manifest(registry.address())).status, 201);
    let path = format!("/matcher/api/v1/vulnerability_report/{}", image.digest);
    let reply = service.until(
        |service| service.get(&path),
        |reply| match reply.status {
            404 => {
                // Quay shows it as queued; an empty report would be taken for a clean one.
                assert!(reply.text().contains("no advisories for alpine:3.20 yet"), "{}", reply.text());
                false
            }
            _ => reply.json()["enrichments"].as_object().is_some_and(|all| !all.is_empty()),
        },
    );
    let report = reply.json();
    vulnerabilities(&report);
    assert_eq!(object(&report, "vulnerabilities").len(), 3);
    let (key, enrichment) = object(&report, "enrichments").iter().next().unwrap();
    assert_eq!(
        key,
        "message/vnd.clair.map.vulnerability; enricher=clair.cvss \
         schema=https://csrc.nist.gov/schema/nvd/api/2.0/cve_api_json_2.0.schema"
    );
    for (id, scores) in enrichment[0].as_object().unwrap() {
        let name = report["vulnerabilities"][id]["name"].as_str().unwrap();
        assert!(["CVE-2020-1001", "CVE-2020-1002"].contains(&name));
        for score in scores.as_array().unwrap() {
            strings(score, &["version", "vectorString", "baseSeverity", "attackVector"]);
        }
    }
}

#[test]
fn types_are_negotiated_and_errors_have_clairs_form() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let (registry, settings) = serve(content);
    let service = Service::start(&context, &format!("{settings}\n{NO_FEEDS}"), &[]);
    let manifest = image.manifest(registry.address()).to_string();
    let post = |headers: &[(&str, &str)], body: &str| service.ask("POST", INDEX, headers, body.as_bytes());
    let of = |reply: &super::Reply| (reply.error().0, reply.error().1);
    let bad = (400, "bad-request".to_owned());
    let unsupported = (415, "unsupported-media-type".to_owned());
    assert_eq!(of(&post(&[], "{")), bad);
    assert_eq!(of(&post(&[], r#"{"hash":"sha256:zz","layers":[]}"#)), bad);
    assert_eq!(of(&post(&[], &manifest.replace("http://", "ftp://"))), bad);
    assert_eq!(of(&post(&[("Content-Type", "text/plain")], &manifest)), unsupported);
    assert_eq!(of(&post(&[("Accept", "text/html")], &manifest)), unsupported);
    let own =
        post(&[("Content-Type", "application/vnd.clair.manifest.v1+json"), ("Accept", "*/*")], &manifest);
    assert_eq!((own.status, own.header("content-type")), (201, "application/vnd.clair.index_report.v1+json"));
    let plain = post(&[("Content-Type", "application/json"), ("Accept", "application/json")], &manifest);
    assert_eq!((plain.status, plain.header("content-type")), (201, "application/json"));
    let at = format!("{INDEX}/{}", image.digest);
    for (coding, sent) in [("gzip", "gzip"), ("zstd", "zstd"), ("deflate", "deflate"), ("identity", "")] {
        let reply = service.ask("GET", &at, &[("Accept-Encoding", coding)], b"");
        assert_eq!((reply.status, reply.header("content-encoding")), (200, sent));
        assert!(reply.header("etag").starts_with('"'), "still a strong validator");
    }
    assert_eq!(of(&service.get(&format!("{INDEX}/nonsense"))), bad);
    assert_eq!(service.ask("PUT", INDEX, &[], b"").error().1, "method-not-allowed");
    assert_eq!(service.get("/nowhere").error().1, "not-found");
    let other = format!("sha256:{}", "0".repeat(64));
    let list = json!([image.digest, other]).to_string();
    let gone = service.ask("DELETE", INDEX, &[], list.as_bytes());
    assert_eq!((gone.status, gone.json()), (200, json!([image.digest])));
}

#[test]
fn an_image_that_cannot_be_read_says_so_and_a_name_is_not_taken_twice() {
    let context = Context::new();
    let mut content = Content::new();
    let image = put(&mut content, &context, "ns/image", &two_layers());
    let other = put(&mut content, &context, "ns/other", &vulnerable());
    let damaged = image.blob(1);
    let blob = content.object(damaged.strip_prefix("/v2/").unwrap());
    let last = blob.len() - 1;
    blob[last] ^= 1;
    let (registry, settings) = serve(content);
    let service = Service::start(&context, &format!("{settings}\n{NO_FEEDS}"), &[]);
    let reply = service.index(&image.manifest(registry.address()));
    let report = reply.json();
    contents(&report);
    assert_eq!(
        (reply.status, &report["state"], &report["success"]),
        (201, &json!("IndexError"), &json!(false))
    );
    assert!(report["err"].as_str().unwrap().contains(&image.layers[1].to_string()), "{report}");
    // What is not there may be there the next time.
    let mut missing = other.manifest(registry.address());
    missing["layers"][0]["uri"] = json!(format!("http://{}/v2/none", registry.address()));
    assert_eq!(service.index(&missing).error().0, 502);
    let mut forged = image.manifest(registry.address());
    forged["hash"] = json!(other.digest);
    assert_eq!(service.index(&other.manifest(registry.address())).status, 201);
    assert_eq!(service.index(&forged).error().0, 409, "another list of layers under a known digest");
    let report = service.get(&format!("{INDEX}/{}", other.digest)).json();
    assert_eq!(object(&report, "packages").len(), 3);
}

#[test]
fn layers_that_repeat_or_hold_nothing_are_indexed() {
    let context = Context::new();
    let layer = Layer::new().file("etc/os-release", crate::BOOKWORM);
    let mut content = Content::new();
    let image = ImageBuilder::new().layer("a", &layer).layer("b", &Layer::new()).layer("c", &layer);
    let image = put(&mut content, &context, "ns/image", &image);
    let (registry, settings) = serve(content);
    let service = Service::start(&context, &format!("{settings}\n{NO_FEEDS}"), &[]);
    let report = service.index(&image.manifest(registry.address())).json();
    contents(&report);
    assert_eq!((&report["state"], object(&report, "packages").len()), (&json!("IndexFinished"), 0));
    // Quay marks it as one that is not to be asked for again: there is nothing to be found.
    let none = service.index(&json!({"hash": format!("sha256:{}", "1".repeat(64)), "layers": []}));
    assert_eq!(none.error().0, 400);
}
