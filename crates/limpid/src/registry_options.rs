//! How registries are reached: from flags, the environment, and the places where docker and podman keep
//! their settings. docs/registries.md says it for users.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use clap::Args;
use limpid_image::{AuthFile, AuthFileKind, ClientCertificate, Proxies, Reference, RegistryOptions, Secret};

use crate::error::Error;

/// Bytes of a password on standard input.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// Under which `--help` lists the flags. Named at each, since a heading of the whole would go on for what follows.
const HEADING: &str = "Registries";

/// Flags for images in registries.
#[derive(Default, Args)]
pub(crate) struct RegistryArguments {
    /// The user to log in to the image's registry as; with --password-stdin or LIMPID_REGISTRY_PASSWORD
    #[arg(help_heading = HEADING, long, value_name = "NAME", env = "LIMPID_REGISTRY_USERNAME")]
    username: Option<String>,
    /// Read the password to --username from standard input
    #[arg(help_heading = HEADING, long, requires = "username")]
    password_stdin: bool,
    #[arg(help_heading = HEADING, long, env = "LIMPID_REGISTRY_PASSWORD", hide = true, hide_env_values = true)]
    registry_password: Option<String>,
    /// A token to show to the image's registry as it is
    #[arg(help_heading = HEADING, long, value_name = "TOKEN", env = "LIMPID_REGISTRY_TOKEN", hide_env_values = true)]
    registry_token: Option<String>,
    /// Take credentials from this file alone [default: where docker and podman keep them]
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// Trust these certificate authorities too (PEM; can be given again)
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// Show this client certificate to registries that ask for one (PEM)
    #[arg(help_heading = HEADING, long, value_name = "FILE", requires = "registry_client_key")]
    registry_client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(help_heading = HEADING, long, value_name = "FILE", requires = "registry_client_cert")]
    registry_client_key: Option<PathBuf>,
    /// Speak to this host without checking its certificate, and without TLS if it has none (can be given again)
    #[arg(help_heading = HEADING, long, value_name = "HOST[:PORT]")]
    insecure_registry: Vec<String>,
    /// Take mirrors and short names from this file alone [default: where podman keeps them]
    #[arg(help_heading = HEADING, long, value_name = "FILE", env = "CONTAINERS_REGISTRIES_CONF")]
    registries_conf: Option<PathBuf>,
    /// Fetch layers that registries do not give away from where the manifest says
    #[arg(help_heading = HEADING, long)]
    foreign_layers: bool,
}

impl std::fmt::Debug for RegistryArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Some are secrets.
        f.debug_struct("RegistryArguments").finish_non_exhaustive()
    }
}

impl RegistryArguments {
    /// Refuses a password for several registries: each would be shown that of another.
    pub(crate) fn check(&self, references: &[(String, Reference)]) -> Result<(), Error> {
        if self.username.is_none() && self.registry_token.is_none() {
            return Ok(());
        }
        let hosts: BTreeSet<String> =
            references.iter().filter_map(|(_, reference)| reference.registry_host()).collect();
        if hosts.len() < 2 {
            return Ok(());
        }
        let hosts: Vec<String> = hosts.into_iter().collect();
        let message = format!(
            "--username and --registry-token are for one registry, and the references name {}; log in to each with \
             docker or podman, or scan each by itself",
            hosts.join(", ")
        );
        Err(Error::Usage { message })
    }

    /// Refuses a password where nobody knows yet which registries are asked.
    pub(crate) fn refuse_for_many(&self) -> Result<(), Error> {
        if self.username.is_none() && self.registry_token.is_none() {
            return Ok(());
        }
        let message = "--username and --registry-token are for one registry, and a worker reads from any; log in to \
                       each with docker or podman, or use --authfile";
        Err(Error::Usage { message: message.to_owned() })
    }

    /// The options. Reads standard input if the password is there, so it is asked once.
    pub(crate) fn options(&self, offline: bool) -> Result<RegistryOptions, Error> {
        let password = match (&self.registry_password, self.password_stdin) {
            (_, true) => Some(password_from_stdin()?),
            (password, false) => password.clone().map(Secret::new),
        };
        if self.username.is_some() && password.is_none() {
            let message =
                "--username needs a password: --password-stdin, or LIMPID_REGISTRY_PASSWORD".to_owned();
            return Err(Error::Usage { message });
        }
        let client_certificate = self.registry_client_cert.clone().zip(self.registry_client_key.clone());
        Ok(RegistryOptions {
            offline,
            username: self.username.clone(),
            password,
            token: self.registry_token.clone().map(Secret::new),
            auth_files: match &self.authfile {
                Some(path) => {
                    vec![AuthFile::Path { path: path.clone(), kind: AuthFileKind::Config, required: true }]
                }
                None => auth_files(),
            },
            registries_conf: registries_conf(),
            registries_conf_required: self.registries_conf.clone(),
            certificate_directories: certificate_directories(),
            ca_files: self.registry_ca.clone(),
            client_certificate: client_certificate
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
            insecure_registries: self.insecure_registry.clone(),
            proxies: proxies(),
            foreign_layers: self.foreign_layers,
            ..RegistryOptions::default()
        })
    }
}

fn password_from_stdin() -> Result<Secret, Error> {
    let mut text = String::new();
    let mut stdin = std::io::stdin().lock().take(PASSWORD_BYTES_MAX);
    stdin.read_to_string(&mut text).map_err(Error::io("cannot read the password"))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// A folder that a variable names, if it does.
fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn configuration_folder() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))
}

fn auth_files() -> Vec<AuthFile> {
    let home = folder("HOME");
    let mut files = Vec::new();
    let mut add = |path: Option<PathBuf>, kind| {
        files.extend(path.map(|path| AuthFile::Path { path, kind, required: false }));
    };
    let runtime = folder("XDG_RUNTIME_DIR").or_else(|| {
        let user = std::fs::metadata("/proc/self").ok()?.uid();
        Some(PathBuf::from(format!("/run/user/{user}")))
    });
    let user = std::fs::metadata("/proc/self").map(|process| process.uid()).ok();
    // What was named for this very run comes first.
    add(folder("REGISTRY_AUTH_FILE"), AuthFileKind::Config);
    let docker = folder("DOCKER_CONFIG").or_else(|| Some(home.clone()?.join(".docker")));
    add(docker.map(|folder| folder.join("config.json")), AuthFileKind::Config);
    add(runtime.map(|folder| folder.join("containers/auth.json")), AuthFileKind::Config);
    add(user.map(|user| format!("/run/containers/{user}/auth.json").into()), AuthFileKind::Config);
    add(configuration_folder().map(|folder| folder.join("containers/auth.json")), AuthFileKind::Config);
    add(home.map(|home| home.join(".dockercfg")), AuthFileKind::DockerCfg);
    add(Some("/etc/containers/auth.json".into()), AuthFileKind::Config);
    if let Ok(text) = std::env::var("DOCKER_AUTH_CONFIG") {
        files.insert(0, AuthFile::Content { name: "DOCKER_AUTH_CONFIG".to_owned(), text: Secret::new(text) });
    }
    files
}

/// The user's file or else the machine's, and the folders beside both.
fn registries_conf() -> Vec<PathBuf> {
    let machine = PathBuf::from("/etc/containers");
    let own = configuration_folder().map(|folder| folder.join("containers"));
    let own_file = own.as_ref().map(|folder| folder.join("registries.conf")).filter(|file| file.is_file());
    let mut files = vec![own_file.unwrap_or_else(|| machine.join("registries.conf"))];
    for folder in std::iter::once(machine).chain(own) {
        let entries = std::fs::read_dir(folder.join("registries.conf.d")).into_iter().flatten().flatten();
        let mut more: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        more.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        more.sort();
        files.extend(more);
    }
    files
}

fn certificate_directories() -> Vec<PathBuf> {
    let own = [
        configuration_folder().map(|folder| folder.join("containers/certs.d")),
        folder("HOME").map(|home| home.join(".docker/certs.d")),
    ];
    let machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(|path| Some(PathBuf::from(path)));
    own.into_iter().chain(machine).flatten().collect()
}

fn proxies() -> Proxies {
    let variable = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_ascii_lowercase()));
        value.ok().filter(|value| !value.is_empty())
    };
    let address = |name| variable(name).or_else(|| variable("ALL_PROXY")).map(Secret::new);
    Proxies {
        https: address("HTTPS_PROXY"),
        http: address("HTTP_PROXY"),
        exceptions: variable("NO_PROXY").unwrap_or_default(),
    }
}
