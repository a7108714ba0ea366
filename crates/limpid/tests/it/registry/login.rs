//! Who asks, and who answers: passwords, tokens, certificates.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use limpid_testkit::{Answer, Encoding, Server};
use serde_json::{Value, json};

use super::{Registry, command, fails, ok, packages, tools};
use crate::{Context, two_layers};

fn openssl(arguments: &[&str], folder: &Path) {
    let status = Command::new("/usr/bin/openssl")
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "openssl {arguments:?}");
}

#[test]
fn basic_authentication_takes_credentials_from_where_they_are_kept() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let image = context.path().join("image");
    two_layers().oci_layout(&image, Encoding::Gzip);
    Registry::start(context.path(), "", "").push(&image, "private/a:1", &[]);
    let passwords = Command::new("/usr/bin/htpasswd").args(["-Bbn", "me", "secret"]).output().unwrap();
    fs::write(context.path().join("htpasswd"), passwords.stdout).unwrap();
    let file = context.path().join("htpasswd").display().to_string();
    let registry =
        Registry::start(context.path(), &format!("auth: {{htpasswd: {{realm: test, path: {file}}}}}\n"), "");
    let name = registry.name("private/a:1");
    let error = fails(&packages(&context, &[&name]));
    assert!(error.contains("wants credentials") && error.contains("podman login"), "{error}");
    // On the command line.
    let arguments = ["packages", "--username", "me", "--password-stdin", &name];
    let mut child =
        command(&context, &arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    assert!(ok(child.wait_with_output().unwrap()).contains("1.0-2"));
    // In files: of docker, of podman, for a part of the registry, for another host.
    let entry = |key: &str, password: &str| {
        json!({"auths": {key: {"auth": STANDARD.encode(format!("me:{password}"))}}}).to_string()
    };
    let places = [
        ("home/.docker/config.json", entry(&format!("https://{}/v1/", registry.address), "secret"), true),
        ("home/.config/containers/auth.json", entry(&registry.name("private"), "secret"), true),
        ("run/containers/auth.json", entry(&registry.address, "secret"), true),
        ("run/containers/auth.json", entry(&registry.address, "wrong-word"), false),
        ("run/containers/auth.json", entry("127.0.0.1:1", "secret"), false),
        ("run/containers/auth.json", entry(&registry.name("other"), "secret"), false),
    ];
    for (place, text, good) in places {
        let path = context.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let output = packages(&context, &[&name]);
        if good {
            assert!(ok(output).contains("1.0-2"), "{place}");
        } else {
            let error = fails(&output);
            assert!(error.contains(place) && !error.contains("wrong-word"), "{error}");
        }
        fs::remove_file(&path).unwrap();
    }
    // From a helper, and from one that never answers.
    let helpers = context.path().join("bin");
    fs::create_dir_all(&helpers).unwrap();
    let script = "#!/bin/sh\nread server\n[ \"$1 $server\" = \"get HOST\" ] || exit 1\n\
                  echo '{\"Username\":\"me\",\"Secret\":\"secret\"}'\n";
    let path = helpers.join("docker-credential-test");
    fs::write(&path, script.replace("HOST", &registry.address)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).unwrap();
    fs::write(context.path().join("helped.json"), r#"{"credsStore": "test"}"#).unwrap();
    let mut helped = command(&context, &["packages", "--authfile", "helped.json", &name]);
    let search = format!("{}:{}", helpers.display(), std::env::var("PATH").unwrap());
    assert!(ok(helped.env("PATH", search).output().unwrap()).contains("1.0-2"));
    let error = fails(&packages(&context, &["--authfile", "helped.json", &name]));
    assert!(error.contains("docker-credential-test"), "{error}");
}

/// `docker-registry`'s token authentication: tokens are signed with a key that it knows the certificate of.
struct Tokens {
    folder: PathBuf,
    expired: usize,
    given: AtomicUsize,
}

impl Tokens {
    /// A token for 60 seconds; the first few have expired an hour ago.
    fn answer(&self, scopes: &str) -> Answer {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let late = self.given.fetch_add(1, Ordering::Relaxed) < self.expired;
        let begin = if late { now - 3600 } else { now };
        let certificate = Command::new("/usr/bin/openssl")
            .args(["x509", "-in", "token.crt", "-outform", "DER"])
            .current_dir(&self.folder)
            .output()
            .unwrap()
            .stdout;
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [STANDARD.encode(certificate)]});
        let repository = scopes.split("repository%3A").nth(1).and_then(|rest| rest.split("%3A").next());
        let access = json!([{"type": "repository", "actions": ["pull"],
                             "name": repository.unwrap_or_default().replace("%2F", "/")}]);
        let claims = json!({"iss": "test", "sub": "", "aud": "registry", "exp": begin + 60, "nbf": begin,
                            "iat": begin, "jti": "1", "access": access});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let name = format!("signed-{}", self.given.load(Ordering::Relaxed));
        fs::write(self.folder.join(&name), &signed).unwrap();
        let signature = Command::new("/usr/bin/openssl")
            .args(["dgst", "-sha256", "-sign", "token.key", &name])
            .current_dir(&self.folder)
            .output()
            .unwrap()
            .stdout;
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        Answer::new(200, json!({"token": token, "expires_in": 60}).to_string())
    }
}

#[test]
fn tokens_are_fetched_and_renewed_when_they_expire() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let image = context.path().join("image");
    two_layers().oci_layout(&image, Encoding::Gzip);
    Registry::start(context.path(), "", "").push(&image, "ns/a:1", &[]);
    let subject = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"];
    openssl(&[&subject[..], &["-keyout", "token.key", "-out", "token.crt"]].concat(), context.path());
    let given = AtomicUsize::new(0);
    let tokens = Arc::new(Tokens { folder: context.path().to_owned(), expired: 1, given });
    let answering = Arc::clone(&tokens);
    let server = Server::start(move |request| answering.answer(&request.target));
    let bundle = context.path().join("token.crt").display().to_string();
    let auth = format!(
        "auth: {{token: {{realm: 'http://{}/token', service: registry, issuer: test, rootcertbundle: {bundle}}}}}\n",
        server.address()
    );
    let registry = Registry::start(context.path(), &auth, "");
    // The first token is refused, and so the first image is: one renewal a request.
    let error = fails(&packages(&context, &[&registry.name("ns/a:1")]));
    assert!(error.contains("did not accept"), "{error}");
    assert!(ok(packages(&context, &[&registry.name("ns/a:1")])).contains("1.0-2"));
    let asked = server.requests();
    // One token serves the manifest, the config and both layers.
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].target.contains("service=registry") && asked[1].target.contains("ns%2Fa%3Apull"));
}

#[test]
fn certificates_are_checked_and_client_certificates_shown() {
    if tools().is_none() {
        return;
    }
    let context = Context::new();
    let image = context.path().join("image");
    two_layers().oci_layout(&image, Encoding::Gzip);
    Registry::start(context.path(), "", "").push(&image, "a:1", &[]);
    let new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj"];
    let authority = ["-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt"];
    openssl(&[&new[..], &["/CN=ca"], &authority[..]].concat(), context.path());
    fs::write(context.path().join("server.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    fs::write(context.path().join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for name in ["server", "client"] {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        openssl(&[&new[..], &["/CN=x", "-keyout", &key, "-out", &request]].concat(), context.path());
        let (certificate, extensions) = (format!("{name}.crt"), format!("{name}.ext"));
        let sign = ["x509", "-req", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
        let files = ["-in", &request, "-out", &certificate, "-extfile", &extensions];
        openssl(&[&sign[..], &files[..]].concat(), context.path());
    }
    let at = |name: &str| context.path().join(name).display().to_string();
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n    clientcas: [{}]\n",
        at("server.crt"),
        at("server.key"),
        at("ca.crt")
    );
    let registry = Registry::start(context.path(), "", &tls);
    let name = registry.name("a:1");
    let error = fails(&packages(&context, &[&name]));
    assert!(error.contains("no secure connection") && error.contains("--registry-ca"), "{error}");
    fails(&packages(&context, &["--registry-ca", "ca.crt", &name]));
    let client = ["--registry-client-cert", "client.crt", "--registry-client-key", "client.key"];
    let trusted = [&["--registry-ca", "ca.crt"][..], &client[..], &[&name]].concat();
    assert!(ok(packages(&context, &trusted)).contains("1.0-2"));
    let insecure = [&["--insecure-registry", &registry.address][..], &client[..], &[&name]].concat();
    assert!(ok(packages(&Context::new(), &absolute(&insecure, context.path()))).contains("1.0-2"));
    let folder = context.path().join("home/.docker/certs.d").join(&registry.address);
    fs::create_dir_all(&folder).unwrap();
    for (from, to) in [("ca.crt", "ca.crt"), ("client.crt", "me.cert"), ("client.key", "me.key")] {
        fs::copy(context.path().join(from), folder.join(to)).unwrap();
    }
    assert!(ok(packages(&context, &[&name])).contains("1.0-2"));
}

/// The same arguments for another folder.
fn absolute<'a>(arguments: &[&'a str], folder: &Path) -> Vec<&'a str> {
    let is_file = |argument: &str| argument.ends_with(".crt") || argument.ends_with(".key");
    let there = |argument: &'a str| -> &'a str {
        if is_file(argument) { folder.join(argument).display().to_string().leak() } else { argument }
    };
    arguments.iter().map(|argument| there(argument)).collect()
}
