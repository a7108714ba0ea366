//! The same image from a registry on loopback and from its layout.

use std::ffi::OsStr;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::figure::{Figure, median};
use crate::measure::{Usage, measure};

/// A `docker-registry` that ends with this value.
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

impl Registry {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let data = folder.join("data").display().to_string();
        let config = folder.join("config.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {data}}}}}\nhttp: {{addr: '{address}'}}\n"
            ),
        )?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().context("docker-registry cannot be run")?;
        let registry = Self { process, address };
        for _ in 0..200 {
            if TcpStream::connect(&registry.address).is_ok() {
                return Ok(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("docker-registry does not answer")
    }
}

/// Lists the packages of the image, cold, in turn from both; feeds have no part in it.
pub(crate) fn figures(limpid: &Path, image: &str, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::start(folder.path())?;
    let name = format!("{}/image:1", registry.address);
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "-q", "--dest-tls-verify=false", image, &format!("docker://{name}")]);
    ensure!(copy.status().context("skopeo cannot be run")?.success(), "the image was not pushed");
    let mut measured = Vec::new();
    // The first round fills the machine's file cache and is not counted.
    for round in 0..=rounds {
        let cold = |from: &str| -> anyhow::Result<Usage> {
            let store = folder.path().join(format!("{round}.db"));
            let arguments = ["--store".as_ref(), store.as_os_str(), "packages".as_ref(), from.as_ref()];
            let usage = measure(std::iter::once(limpid.as_os_str()).chain(arguments as [&OsStr; 4]))?;
            std::fs::remove_file(&store)?;
            Ok(usage)
        };
        let both = (cold(image)?, cold(&name)?);
        if round > 0 {
            measured.push(both);
        }
    }
    let of = |pick: fn(&(Usage, Usage)) -> f64| median(measured.iter().map(pick));
    let figure = |name: &str, value, unit, target_max| Figure::new(name, value, unit).at_most(target_max);
    Ok(vec![
        figure("cold from the layout, wall", of(|(layout, _)| layout.wall_seconds), "s", None),
        figure("cold from the registry, wall", of(|(_, registry)| registry.wall_seconds), "s", None),
        figure("registry / layout, wall", of(|(l, r)| r.wall_seconds / l.wall_seconds), "x", Some(1.15)),
        figure("registry / layout, processor", of(|(l, r)| r.cpu_seconds / l.cpu_seconds), "x", None),
        figure("cold from the registry, peak memory", of(|(_, r)| r.memory_mb), "MB", Some(100.0)),
    ])
}
