#![allow(clippy::unwrap_used)]

use super::*;

const DIGEST: &str = "sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";
const OTHER: &str = "sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730";

fn harbor() -> ListOptions {
    ListOptions { registry: "harbor.example".to_owned(), ..ListOptions::default() }
}

fn subjects(list: &ImageList) -> Vec<String> {
    list.work.iter().map(|work| work.job(0).unwrap().subject).collect()
}

fn wrong_lines(list: &ImageList) -> Vec<usize> {
    list.wrong.iter().map(|problem| problem.line).collect()
}

fn manifest(hash: &str) -> String {
    format!(
        r#"{{"hash":"{hash}","layers":[{{"hash":"{OTHER}","uri":"https://h/v2/a/blobs/x","headers":{{"Authorization":["Bearer t"]}}}}]}}"#
    )
}

#[test]
fn references_stand_one_a_line() {
    let text = "\u{feff}# images\ndebian:12\n\n  host:5000/a/b@nonsense\nalpine # small\noci:relative\noci:/absolute\n";
    let list = read_list(text, &ListOptions { platform: "all".to_owned(), ..ListOptions::default() });
    assert_eq!(subjects(&list), ["debian:12 (all)", "alpine (all)", "oci:/absolute (all)"]);
    assert_eq!(wrong_lines(&list), [4, 6]);
    assert!(list.wrong[1].reason.contains("absolute"), "{:?}", list.wrong);
}

#[test]
fn clairs_manifests_stand_in_arrays_in_lines_and_alone() {
    let (a, b) = (manifest(DIGEST), manifest(OTHER));
    for text in [
        format!("{a}\n{b}\n"),
        format!("[{a},\n{b}]"),
        format!("[[{a}],[{b}]]"),
        format!("{a}{b}"),
        format!("{}\n", a) + &b.replace(',', ",\n  "),
    ] {
        let list = read_list(&text, &ListOptions::default());
        assert_eq!(subjects(&list), [DIGEST, OTHER], "{text}");
        assert!(list.wrong.is_empty(), "{:?}", list.wrong);
    }
    // Go writes null for what is empty.
    let list = read_list(&a.replace(r#"{"Authorization":["Bearer t"]}"#, "null"), &ListOptions::default());
    assert_eq!(subjects(&list), [DIGEST]);
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_with_its_line() {
    let good = manifest(DIGEST);
    let list = [
        manifest(OTHER),
        manifest("sha256:12"),
        good.replace("https://h/v2", "file:///etc"),
        good.replace("Authorization", "Host"),
        good.replace("Bearer t", "Bearer t\\r\\nX: y"),
        format!(r#"{{"hash":"{DIGEST}","layers":null}}"#),
        r#"{"hash":"x"}"#.to_owned(),
        "17".to_owned(),
        "{\"hash\": broken".to_owned(),
        good.clone(),
    ];
    let read = read_list(&list.join("\n"), &ListOptions::default());
    assert_eq!(subjects(&read), [OTHER, DIGEST]);
    assert_eq!(wrong_lines(&read), [2, 3, 4, 5, 6, 7, 8, 9]);
    let reasons: Vec<&str> = read.wrong.iter().map(|problem| problem.reason.as_str()).collect();
    for (reason, word) in
        reasons.iter().zip(["sha256", "neither https", "`host`", "`authorization`", "no layers"])
    {
        assert!(reason.to_lowercase().contains(word), "{reason}: {word}");
    }
    assert!(!format!("{:?}", read.wrong).contains("Bearer"), "no secret is told");
    // In an array what follows broken text cannot be told apart.
    let read = read_list(&format!("[{good},\n{{\"hash\"]\n"), &ListOptions::default());
    assert_eq!((read.work.len(), wrong_lines(&read)), (0, vec![2]));
}

#[test]
fn harbors_artifacts_become_references_by_tag_and_digest() {
    let text = format!(
        r#"[{{"id":1,"type":"IMAGE","digest":"{DIGEST}","repository_name":"library/nginx",
             "tags":[{{"name":"1.27","id":1}},{{"name":"latest"}}],"references":null}},
            {{"type":"IMAGE","digest":"{OTHER}","tags":null,"addition_links":
              {{"vulnerabilities":{{"absolute":false,"href":"/api/v2.0/projects/team/repositories/a%252Fb/artifacts/x"}}}}}},
            {{"type":"CHART","digest":"{OTHER}","repository_name":"charts/x"}},
            {{"type":"IMAGE","digest":"{OTHER}"}},
            {{"type":"IMAGE","digest":"{OTHER}","repository_name":"Not/A Name"}},
            {{"name":"library/nginx","artifact_count":3}}]"#
    );
    let list = read_list(&text, &harbor());
    assert_eq!(
        subjects(&list),
        [
            format!("harbor.example/library/nginx:1.27@{DIGEST}"),
            format!("harbor.example/library/nginx:latest@{DIGEST}"),
            format!("harbor.example/team/a/b@{OTHER}"),
        ]
    );
    assert_eq!((list.left_out_count, list.left_out[0].line), (1, 5));
    assert_eq!(wrong_lines(&list), [6, 7, 8]);
    let named = ListOptions { repository: "team/app".to_owned(), ..harbor() };
    assert!(subjects(&read_list(&text, &named)).contains(&format!("harbor.example/team/app@{OTHER}")));
    let nowhere = read_list(&text, &ListOptions::default());
    assert!(nowhere.work.is_empty() && nowhere.wrong[0].reason.contains("--registry"));
}

#[test]
fn harbors_scan_requests_bring_their_credentials() {
    let request = |url: &str, authorization: &str, tag: &str| {
        format!(
            r#"{{"registry":{{"url":"{url}","authorization":"{authorization}","insecure":false}},
            "artifact":{{"repository":"library/mongo","digest":"{DIGEST}","tag":{tag},"size":3}},
            "enabled_capabilities":[{{"type":"vulnerability"}}]}}"#
        )
    };
    let read = |text: String| {
        let mut list = read_list(&text, &ListOptions::default());
        assert!(list.wrong.is_empty(), "{:?}", list.wrong);
        match list.work.pop() {
            Some(Work::Image(image)) => image,
            other => unreachable!("{other:?}"),
        }
    };
    let image = read(request("https://core.harbor.example:8443/", "Basic cm9ib3QkYTpi", r#""3.4""#));
    assert_eq!(image.reference, format!("core.harbor.example:8443/library/mongo:3.4@{DIGEST}"));
    assert_eq!((image.authorization.as_str(), image.insecure), ("Basic cm9ib3QkYTpi", false));
    let image = read(request("http://core:8080", "", "null"));
    assert_eq!(image.reference, format!("core:8080/library/mongo@{DIGEST}"));
    assert!(image.insecure && image.authorization.is_empty());
    for wrong in [
        request("core:8080", "", "null"),
        request("https://core/path", "", "null"),
        request("https://user@core", "", "null"),
        request("https://core", "Basic !", "null"),
        request("https://core", "", "17"),
    ] {
        assert_eq!(wrong_lines(&read_list(&wrong, &ListOptions::default())), [1], "{wrong}");
    }
}

#[test]
fn hostile_lists_end() {
    for text in
        ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 16), "{\n".repeat(1 << 12), "[[[[1]]]]".to_owned()]
    {
        let list = read_list(&text, &ListOptions::default());
        assert!(list.work.is_empty() && list.wrong_count >= 1 && list.wrong.len() <= 1000);
    }
    let many = format!("[{}1]", "1,".repeat(ENTRIES_MAX + 5));
    let list = read_list(&many, &ListOptions::default());
    assert_eq!((list.wrong_count, list.wrong.len()), (ENTRIES_MAX as u64 + 1, 1000));
    let large = format!("[\"{}\",\"alpine\"]", "x".repeat(ENTRY_BYTES_MAX));
    assert_eq!(subjects(&read_list(&large, &ListOptions::default())), ["alpine"]);
}
