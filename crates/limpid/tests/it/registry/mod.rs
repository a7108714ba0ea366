//! Images in registries: Debian's `docker-registry`, filled by `skopeo`, and servers that break on purpose.

mod faults;
mod login;
mod pull;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use limpid_testkit::require_or_skip;

use crate::Context;

/// A `docker-registry` of the test's own.
struct Registry {
    process: Child,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the tests here need beside the binary.
fn tools() -> Option<()> {
    let tools = ["/usr/bin/docker-registry", "/usr/bin/skopeo", "/usr/bin/htpasswd", "/usr/bin/openssl"];
    let there = tools.iter().all(|tool| Path::new(tool).exists());
    require_or_skip(there.then_some(()), "docker-registry, skopeo, htpasswd or openssl")
}

impl Registry {
    /// Starts one on the folder's data; `more` are further lines of its configuration, `http` of its `http:`.
    fn start(folder: &Path, more: &str, http: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let data = folder.join("data").display().to_string();
        let config = folder.join(format!("config-{port}.yml"));
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {data}}}}}\nhttp:\n  addr: {address}\n{http}{more}"
        );
        fs::write(&config, text).unwrap();
        let process = Command::new("/usr/bin/docker-registry")
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { process, address };
        for _ in 0..600 {
            if TcpStream::connect(&registry.address).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not answer");
    }

    fn push(&self, from: &Path, to: &str, options: &[&str]) {
        let status = Command::new("/usr/bin/skopeo")
            .args(["copy", "-q", "--dest-tls-verify=false"])
            .args(options)
            .arg(format!("oci:{}", from.display()))
            .arg(format!("docker://{}/{to}", self.address))
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

/// The binary, away from the settings of whoever runs the tests.
fn command(context: &Context, arguments: &[&str]) -> Command {
    let mut command = context.command(arguments);
    command.env("HOME", context.path().join("home"));
    for name in ["XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG"] {
        command.env_remove(name);
    }
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "CONTAINERS_REGISTRIES_CONF"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.env("XDG_RUNTIME_DIR", context.path().join("run")).stdin(Stdio::null());
    command
}

fn packages(context: &Context, arguments: &[&str]) -> Output {
    let mut all = vec!["packages", "--format", "tsv"];
    all.extend(arguments);
    command(context, &all).output().unwrap()
}

/// A report, with a feed from a folder: `--offline` would forbid the registry too.
fn scan(context: &Context, arguments: &[&str]) -> String {
    let data = context.path().join("mirror/security-tracker.debian.org/tracker/data");
    fs::create_dir_all(&data).unwrap();
    let entry = r#"{"b":{"CVE-2001-0001":{"releases":{"bookworm":{"status":"open","urgency":"high"}}}}}"#;
    fs::write(data.join("json"), entry).unwrap();
    let mut all = vec!["--feeds-mirror", "mirror", "scan"];
    all.extend(arguments);
    ok(command(context, &all).output().unwrap())
}

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}
