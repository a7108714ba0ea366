//! Where engines listen, by the environment and the files that their own clients go by.
//!
//! Docker: `DOCKER_HOST`, else the context of `DOCKER_CONTEXT` or of `config.json`'s `currentContext`, else the
//! default sockets. Podman: `CONTAINER_HOST`, else its default sockets. Sources: docker/cli, containers/podman.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use limpid_image::{Endpoint, EngineOptions, Reference};
use limpid_model::Digest;
use serde_json::Value;

use crate::error::Error;

/// Bytes of a client's configuration.
const CONFIGURATION_BYTES_MAX: u64 = 4 << 20;

/// What opening `references` needs to know of engines: nothing, unless one names an engine's image. Offline only sockets
/// are asked.
pub(crate) fn options<'a>(
    references: impl Iterator<Item = &'a Reference>,
    offline: bool,
) -> Result<EngineOptions, Error> {
    let mut options = EngineOptions::default();
    for reference in references {
        match reference {
            Reference::DockerDaemon(_) => options.docker = docker()?,
            Reference::Podman(_) => options.podman = podman(),
            _ => {}
        }
    }
    for endpoint in [&options.docker, &options.podman] {
        if let Endpoint::Address { address, .. } = endpoint
            && offline
            && !address.starts_with("unix:")
        {
            return Err(Error::Usage {
                message: format!("--offline: the engine would be asked over the network, at {address}"),
            });
        }
    }
    Ok(options)
}

fn docker() -> Result<Endpoint, Error> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let folder = variable("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| home.as_ref().map(|home| home.join(".docker")));
    if let Some(address) = variable("DOCKER_HOST") {
        // Docker's client takes any value for yes.
        let secured = variable("DOCKER_TLS_VERIFY").is_some();
        let certificates = variable("DOCKER_CERT_PATH").map(PathBuf::from).or(folder).filter(|_| secured);
        return Ok(Endpoint::Address { address, certificates });
    }
    if let Some(folder) = &folder {
        let current = || {
            let configuration = read(&folder.join("config.json"))?;
            Some(configuration.get("currentContext")?.as_str()?.to_owned())
        };
        let context = variable("DOCKER_CONTEXT").or_else(current);
        if let Some(context) = context.filter(|name| !name.is_empty() && name != "default") {
            return in_context(folder, &context);
        }
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    sockets.extend(runtime().map(|runtime| runtime.join("docker.sock")));
    sockets.extend(home.map(|home| home.join(".docker/run/docker.sock")));
    Ok(Endpoint::Sockets(sockets))
}

/// The engine of a context of Docker's client, which keeps contexts under the digests of their names.
fn in_context(folder: &Path, name: &str) -> Result<Endpoint, Error> {
    let id = Digest::of(name.as_bytes()).hex();
    let path = folder.join("contexts/meta").join(&id).join("meta.json");
    let missing = || Error::Usage {
        message: format!("Docker's context `{}` has no endpoint: {} cannot be read", name, path.display()),
    };
    let meta = read(&path).ok_or_else(missing)?;
    let address = meta.pointer("/Endpoints/docker/Host").and_then(Value::as_str).ok_or_else(missing)?;
    let certificates = folder.join("contexts/tls").join(&id).join("docker");
    let certificates = Some(certificates).filter(|folder| folder.join("ca.pem").is_file());
    Ok(Endpoint::Address { address: address.to_owned(), certificates })
}

fn podman() -> Endpoint {
    if let Some(address) = variable("CONTAINER_HOST") {
        return Endpoint::Address { address, certificates: None };
    }
    let mut sockets: Vec<PathBuf> = Vec::new();
    sockets.extend(runtime().map(|runtime| runtime.join("podman/podman.sock")));
    sockets.push(PathBuf::from("/run/podman/podman.sock"));
    Endpoint::Sockets(sockets)
}

fn runtime() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(CONFIGURATION_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
