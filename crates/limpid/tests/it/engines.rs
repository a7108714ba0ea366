//! Images of engines: of one that is played, and of the real Docker, Podman and containerd.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use limpid_model::Digest;
use limpid_store::{ImageRecord, SqliteStore, Store as _};
use limpid_testkit::{Encoding, Export, FakeEngine, ImageBuilder, Layer, dpkg_status};

use crate::{BOOKWORM, Context, two_layers};

/// Runs with both engines at `socket`.
fn run(context: &Context, socket: &Path, arguments: &[&str]) -> Output {
    let address = format!("unix://{}", socket.display());
    let mut command = context.command(arguments);
    command.env("DOCKER_HOST", &address).env("CONTAINER_HOST", &address).output().unwrap()
}

fn ok(context: &Context, socket: &Path, arguments: &[&str]) -> String {
    let output = run(context, socket, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn packages(context: &Context, socket: &Path, reference: &str) -> String {
    ok(context, socket, &["--offline", "packages", "--format", "tsv", reference])
}

/// What the store has of an image.
fn record(context: &Context, reference: &str) -> ImageRecord {
    let store = SqliteStore::open(&context.path().join("store.db")).unwrap();
    store.image_by_reference(reference).unwrap().unwrap().1
}

/// The packages of an engine's image are those of the same image in a layout and in an archive, with the same
/// nodes; and the archive's image is the same image.
fn same_as_elsewhere(image: &ImageBuilder, socket: &Path, reference: &str, first_tsv: bool) {
    let context = Context::new();
    image.oci_layout(&context.path().join("layout"), Encoding::Gzip);
    fs::write(context.path().join("saved.tar"), image.docker_archive()).unwrap();
    let streamed = packages(&context, socket, reference);
    assert!(!streamed.is_empty() || !first_tsv);
    context.ok(&["--offline", "packages", "oci:layout"]);
    let (engine, layout) = (record(&context, reference), record(&context, "oci:layout"));
    assert_eq!(engine.nodes, layout.nodes);
    assert_eq!((&engine.distribution, &engine.release), (&layout.distribution, &layout.release));
    assert_ne!(engine.metadata.manifest_digest, layout.metadata.manifest_digest);
    let saved = "docker-archive:saved.tar";
    let fresh = Context::new();
    fs::copy(context.path().join("saved.tar"), fresh.path().join("saved.tar")).unwrap();
    assert_eq!(fresh.ok(&["--offline", "packages", "--format", "tsv", saved]), streamed);
    assert_eq!(record(&fresh, saved).metadata.manifest_digest, engine.metadata.manifest_digest);
}

#[test]
fn a_streamed_image_has_the_nodes_of_the_same_image_elsewhere() {
    for order in [Export::LayersLast, Export::ManifestFirst, Export::Linked, Export::Blobs(Encoding::Plain)] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let engine = FakeEngine::with_image(&socket, &two_layers(), two_layers().export(order));
        for reference in ["docker-daemon:example:1", "podman:example:1"] {
            same_as_elsewhere(&two_layers(), &socket, reference, true);
        }
        assert_eq!(engine.exports(), 2, "{order:?}");
    }
}

#[test]
fn what_is_known_is_not_exported() {
    let context = Context::new();
    let socket = context.path().join("engine.sock");
    let engine = FakeEngine::with_image(&socket, &two_layers(), two_layers().export(Export::LayersLast));
    let first = packages(&context, &socket, "docker-daemon:example:1");
    assert_eq!(packages(&context, &socket, "docker-daemon:example:1"), first);
    assert_eq!(packages(&context, &socket, "podman:other-name"), first);
    assert_eq!(engine.exports(), 1);
    // Another image of the same layers: they are known, whatever its config says. What is exported is no image.
    let layers = two_layers();
    let renamed = ImageBuilder::new().layer("COPY . .", &Layer::new().file("etc/os-release", BOOKWORM));
    let socket = context.path().join("other.sock");
    let mut answers = FakeEngine::answers(&layers, b"not an export".to_vec());
    answers[0].body = layers.inspected().replace(&layers.id().hex(), &renamed.id().hex()).into_bytes();
    let other = FakeEngine::start(&socket, answers);
    assert_eq!(packages(&context, &socket, "docker-daemon:renamed"), first);
    assert_eq!(other.exports(), 0);
    let (of_engine, again) =
        (record(&context, "docker-daemon:example:1"), record(&context, "docker-daemon:renamed"));
    assert_eq!(of_engine.nodes, again.nodes);
    assert_eq!(again.metadata.layers[1].command, "apt-get upgrade");
    assert_eq!(again.metadata.config_digest, Some(renamed.id()));
}

#[test]
fn files_behind_links_cost_a_second_export() {
    let status = dpkg_status(&[("a", "1.0-1", "")]);
    let hardlinked = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("opt/copy", &status)
        .hardlink("var/lib/dpkg/status", "opt/copy");
    let hardlinked = ImageBuilder::new().layer("ADD", &hardlinked);
    let linked = ImageBuilder::new()
        .layer("ADD base", &Layer::new().file("etc/os-release", BOOKWORM).file("opt/db/status", &status))
        .layer("RUN touch", &Layer::new().file("x", "y"))
        .layer("RUN ln", &Layer::new().symlink("var/lib/dpkg", "../../opt/db"));
    for image in [hardlinked, linked] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let engine = FakeEngine::with_image(&socket, &image, image.export(Export::LayersLast));
        same_as_elsewhere(&image, &socket, "docker-daemon:example:1", true);
        assert_eq!(engine.exports(), 2);
        let context = Context::new();
        let tsv = packages(&context, &socket, "docker-daemon:example:1");
        assert!(tsv.starts_with("deb\ta\t1.0-1\t"), "{tsv}");
        packages(&context, &socket, "docker-daemon:again");
        assert_eq!(engine.exports(), 4);
    }
}

#[test]
fn of_many_processes_one_has_the_image_exported() {
    let context = Context::new();
    let socket = context.path().join("engine.sock");
    let engine = FakeEngine::with_image(&socket, &two_layers(), two_layers().export(Export::LayersLast));
    let arguments = ["--offline", "packages", "--format", "tsv", "docker-daemon:example:1"];
    let start = || {
        let address = format!("unix://{}", socket.display());
        let mut command = context.command(&arguments);
        command.env("DOCKER_HOST", address).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..6).map(|_| start()).collect();
    let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in &outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, outputs[0].stdout);
    }
    assert_eq!(engine.exports(), 1);
}

#[test]
fn failures_are_told_with_a_remedy_and_keep_nothing() {
    let context = Context::new();
    let reference = "docker-daemon:example:1";
    let fails = |socket: &Path, words: &[&str]| {
        let output = run(&context, socket, &["--offline", "packages", reference]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(output.stdout.is_empty());
    };
    fails(
        Path::new("/nowhere.sock"),
        &["limpid: Docker cannot be reached at unix:///nowhere.sock", "hint: "],
    );
    let good = FakeEngine::answers(&two_layers(), two_layers().export(Export::LayersLast));
    let with = |change: &dyn Fn(&mut Vec<limpid_testkit::EngineAnswer>), words: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let mut answers = good.clone();
        change(&mut answers);
        let _engine = FakeEngine::start(&socket, answers);
        fails(&socket, words);
    };
    with(&|answers| answers.clear(), &["Docker has no image `example:1`", "hint: pull"]);
    with(&|answers| answers[2].status = 500, &["it answered 500", "hint: look at the engine's log"]);
    with(&|answers| answers[2].cut = Some(3000), &["breaks off after", "hint: try again"]);
    with(&|answers| answers[2].body[1030] ^= 1, &["has the digest", "hint: "]);
    // The same image, whole: what was kept of its layers is true.
    let socket = context.path().join("engine.sock");
    let _engine = FakeEngine::start(&socket, good.clone());
    same_as_elsewhere(&two_layers(), &socket, reference, true);
    assert!(packages(&context, &socket, reference).starts_with("deb\ta\t1.0-2"));
    let output = run(&context, &socket, &["packages", "--platform", "linux/arm64", reference]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is: linux/amd64"));
}

#[test]
fn engines_are_found_as_their_own_clients_find_them() {
    let context = Context::new();
    let socket = context.path().join("engine.sock");
    let _engine = FakeEngine::with_image(&socket, &two_layers(), two_layers().export(Export::Linked));
    let address = format!("unix://{}", socket.display());
    let command = |reference: &str| {
        let mut command = context.command(&["--offline", "packages", "--format", "tsv", reference]);
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "XDG_RUNTIME_DIR"] {
            command.env_remove(name);
        }
        command.env("HOME", context.path()).env("DOCKER_CONFIG", context.path().join("docker"));
        command
    };
    let finds = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.starts_with(b"deb\ta\t1.0-2\t"));
    };
    let docker = "docker-daemon:example:1";
    let context_id = Digest::of(b"mine").hex();
    let meta = context.path().join("docker/contexts/meta").join(context_id);
    fs::create_dir_all(&meta).unwrap();
    fs::write(meta.join("meta.json"), format!(r#"{{"Endpoints":{{"docker":{{"Host":"{address}"}}}}}}"#))
        .unwrap();
    finds(command(docker).env("DOCKER_CONTEXT", "mine"));
    finds(command(docker).env("DOCKER_CONTEXT", "other").env("DOCKER_HOST", &address));
    let output = command(docker).env("DOCKER_CONTEXT", "other").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Docker's context `other` has no endpoint"));
    fs::write(context.path().join("docker/config.json"), r#"{"currentContext":"mine"}"#).unwrap();
    finds(&mut command(docker));
    fs::create_dir_all(context.path().join("podman")).unwrap();
    std::os::unix::fs::symlink(&socket, context.path().join("podman/podman.sock")).unwrap();
    finds(command("podman:example:1").env("XDG_RUNTIME_DIR", context.path()));
    let output = command(docker).env("DOCKER_HOST", "tcp://127.0.0.1:1").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--offline: the engine would be asked"));
    let mut online = context.command(&["packages", docker]);
    let output = online.env("DOCKER_HOST", "ssh://host").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("opens no SSH connections"));
    assert_eq!(output.status.code(), Some(4));
}

/// A real engine in a folder of its own.
struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it listens; a plain word that the test skips, if it cannot be started.
    fn start(command: &mut Command, folder: &Path, socket: &Path) -> Option<Self> {
        let log = fs::File::create(folder.join("log")).unwrap();
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let Ok(child) = child else {
            eprintln!("skipped: {program} is not here");
            return None;
        };
        let mut daemon = Self { child };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if UnixStream::connect(socket).is_ok() {
                return Some(daemon);
            }
            if daemon.child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        let reason = if is_root { log.lines().last().unwrap_or_default() } else { "this needs root" };
        eprintln!("skipped: {program} does not start here: {reason}");
        None
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked to end, it ends what it has started too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Layers with all that an engine unpacks and packs again: links, whiteouts, an opaque directory, a copy.
fn lively() -> ImageBuilder {
    let base = Layer::new()
        .file("etc/os-release", BOOKWORM)
        .file("opt/db/status", dpkg_status(&[("a", "1.0-1", ""), ("b", "2.0-1", "bee (1.9-1)")]))
        .directory("var")
        .directory("var/lib")
        .symlink("var/lib/dpkg", "../../opt/db")
        .directory("etc/old")
        .file("etc/old/x", "x");
    let top = Layer::new()
        .file("opt/db/status", dpkg_status(&[("a", "1.0-2", ""), ("c", "3", "")]))
        .whiteout("etc/old/x")
        .hardlink("opt/db/status-old", "opt/db/status");
    ImageBuilder::new()
        .layer("ADD base", &base)
        .layer("RUN upgrade", &top)
        .layer("COPY", &Layer::new().file("copied", "x"))
        .layer("COPY", &Layer::new().file("copied", "x"))
}

#[test]
fn the_real_podman() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("podman.sock");
    let podman = || {
        let mut command = Command::new("podman");
        command.arg("--root").arg(folder.path().join("root")).arg("--runroot").arg(folder.path().join("run"));
        command.args(["--storage-driver", "vfs", "--events-backend", "none"]);
        command
    };
    let address = format!("unix://{}", socket.display());
    let mut service = podman();
    service.args(["system", "service", "--time", "0", &address]);
    let Some(_daemon) = Daemon::start(&mut service, folder.path(), &socket) else { return };
    let saved = folder.path().join("saved.tar");
    fs::write(&saved, lively().docker_archive()).unwrap();
    succeeds(podman().arg("load").arg("-i").arg(&saved));
    same_as_elsewhere(&lively(), &socket, "podman:example:1", true);
    same_as_elsewhere(&lively(), &socket, &format!("podman:{}", lively().id()), true);
    let output = run(&Context::new(), &socket, &["packages", "podman:none:1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("Podman has no image `none:1`"));
}

#[test]
fn the_real_docker() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let address = format!("unix://{}", socket.display());
    let mut dockerd = Command::new("dockerd");
    dockerd.args(["--iptables=false", "--bridge=none", "--storage-driver=vfs", "-H", &address]);
    dockerd
        .arg("--data-root")
        .arg(folder.path().join("data"))
        .arg("--exec-root")
        .arg(folder.path().join("x"));
    dockerd.arg("-p").arg(folder.path().join("pid"));
    let Some(_daemon) = Daemon::start(&mut dockerd, folder.path(), &socket) else { return };
    let saved = folder.path().join("saved.tar");
    fs::write(&saved, lively().docker_archive()).unwrap();
    succeeds(Command::new("docker").args(["-H", &address, "load", "-i"]).arg(&saved));
    same_as_elsewhere(&lively(), &socket, "docker-daemon:example:1", true);
    same_as_elsewhere(&lively(), &socket, &format!("docker-daemon:{}", lively().id()), true);
    let output = run(&Context::new(), &socket, &["packages", "docker-daemon:none:1"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("Docker has no image `none:1`"));
}

#[test]
fn the_real_containerd() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("containerd.sock");
    let mut containerd = Command::new("containerd");
    containerd.arg("--root").arg(folder.path().join("root")).arg("--state").arg(folder.path().join("state"));
    let Some(_daemon) = Daemon::start(containerd.arg("-a").arg(&socket), folder.path(), &socket) else {
        return;
    };
    let ctr = |arguments: &[&str]| {
        let mut command = Command::new("ctr");
        succeeds(command.arg("-a").arg(&socket).args(["images"]).args(arguments).current_dir(folder.path()))
    };
    let one = |name: &str, version: &str| {
        let layer = Layer::new().file("etc/os-release", BOOKWORM);
        let layer = layer.file("var/lib/dpkg/status", dpkg_status(&[(name, version, "")]));
        ImageBuilder::new().layer("ADD", &layer)
    };
    let platforms = [("amd64", one("a", "1")), ("arm64", one("a", "2"))];
    fs::write(folder.path().join("many.tar"), ImageBuilder::multi_platform("example.org/many:1", &platforms))
        .unwrap();
    ctr(&["import", "--all-platforms", "--no-unpack", "many.tar"]);
    fs::write(folder.path().join("single.tar"), one("b", "1").docker_archive()).unwrap();
    ctr(&["import", "--no-unpack", "--all-platforms", "single.tar"]);
    let names = ctr(&["list", "-q"]);
    let single = names.lines().find(|name| name.ends_with("example:1")).unwrap();
    ctr(&["export", "--all-platforms", "all.tar", "example.org/many:1", single]);
    ctr(&["export", "--platform", "linux/arm64", "arm.tar", "example.org/many:1"]);
    let context = Context::new();
    let package = |arguments: &[&str], reference: &str| {
        let reference = reference.replace("FOLDER", &folder.path().display().to_string());
        let arguments = [&["--offline", "packages", "--format", "tsv", &reference], arguments].concat();
        let output = context.run(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = text.split('\t').skip(1).take(2).collect();
        if output.status.success() {
            words.join(" ")
        } else {
            String::from_utf8_lossy(&output.stderr).into_owned()
        }
    };
    let (amd64, arm64) = (&["--platform", "linux/amd64"][..], &["--platform", "linux/arm64"][..]);
    assert_eq!(package(amd64, "oci-archive:FOLDER/all.tar:example.org/many:1"), "a 1");
    assert_eq!(package(arm64, "oci-archive:FOLDER/all.tar:example.org/many:1"), "a 2");
    assert_eq!(package(arm64, "oci-archive:FOLDER/all.tar:many:1"), "a 2");
    assert_eq!(package(&[], "oci-archive:FOLDER/all.tar:example:1"), "b 1");
    assert_eq!(package(&[], "docker-archive:FOLDER/all.tar:example:1"), "b 1");
    assert!(package(&[], "oci-archive:FOLDER/all.tar").contains("example.org/many:1"));
    assert!(package(&[], "oci-archive:FOLDER/all.tar:1").contains("where it names several"));
    // Of the other platform nothing was exported but its line in the index.
    assert_eq!(package(&[], "oci-archive:FOLDER/arm.tar"), "a 2");
    assert_eq!(package(&[], "docker-archive:FOLDER/arm.tar"), "a 2");
    let error = package(amd64, "oci-archive:FOLDER/arm.tar");
    assert!(error.contains("an image for linux/amd64 was not found (there is: linux/arm64)"), "{error}");
}

#[test]
fn archives_come_by_standard_input_too() {
    let context = Context::new();
    let archives = [
        ("docker-archive:-", two_layers().docker_archive()),
        ("docker-archive:-:example:1", Encoding::Gzip.encode(&two_layers().docker_archive())),
        ("oci-archive:-", two_layers().oci_archive(Encoding::Zstd)),
        ("oci-archive:-:latest", Encoding::Zstd.encode(&two_layers().oci_archive(Encoding::Gzip))),
    ];
    for (reference, bytes) in archives {
        fs::write(context.path().join("input"), &bytes).unwrap();
        let mut cat =
            Command::new("cat").arg(context.path().join("input")).stdout(Stdio::piped()).spawn().unwrap();
        let mut command = context.command(&["--offline", "packages", "--format", "tsv", reference]);
        let output = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
        cat.wait().unwrap();
        assert!(output.stdout.starts_with(b"deb\ta\t1.0-2\t"), "{reference}");
    }
}
