//! The address of a database: what `--store postgres://…` may say.
//!
//! Source: the PostgreSQL manual, "Connection Strings" and "The Password File". Of the parameters that concern TLS the
//! client library knows few; they are read here. Left out: service files, and certificates that identify the user.

use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::Config;
use postgres::config::{Host, SslMode};

use super::tls::Trust;
use crate::{Error, Result};

/// Bytes of a password file that are read; libpq's has a line for each database.
const PASSWORD_FILE_BYTES_MAX: u64 = 1 << 20;
/// How long a connection may take to be made, if the address does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that does not answer for so long is gone: the connection is broken instead of waited for.
const UNANSWERED_MAX: Duration = Duration::from_secs(30);
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(10);

/// What opens a database beside its address. Who opens it looks for them; this crate reads no environment.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The password, if the address has none (`PGPASSWORD`).
    pub password: Option<String>,
    /// A password file (`PGPASSFILE`, `~/.pgpass`), if there is no password yet.
    pub password_file: Option<PathBuf>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("password_file", &self.password_file)
            .finish_non_exhaustive()
    }
}

/// Whether a store's place is the address of a database.
pub fn is_address(place: &Path) -> bool {
    let place = place.as_os_str().as_encoded_bytes();
    [b"postgres://".as_slice(), b"postgresql://"].iter().any(|scheme| place.starts_with(scheme))
}

/// An address that can be connected to.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) trust: Trust,
    /// As it may be shown: without a password.
    pub(super) shown: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl Address {
    pub(super) fn parse(address: &str, credentials: &Credentials) -> Result<Self> {
        let (plain, parameters) = address.split_once('?').unwrap_or((address, ""));
        let (mut kept, mut mode, mut root) = (Vec::new(), String::from("prefer"), None);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = value.to_owned(),
                Some(("sslrootcert", value)) => root = Some(percent_decoded(value)?),
                _ => kept.push(parameter),
            }
        }
        let separator = if kept.is_empty() { "" } else { "?" };
        let mut config: Config = format!("{plain}{separator}{}", kept.join("&"))
            .parse()
            .map_err(|error: postgres::Error| wrong(&super::failure::words(&error)))?;
        let (ssl_mode, trust) = trust(&mode, root)?;
        config.ssl_mode(ssl_mode);
        if config.get_user().is_none() {
            return Err(wrong("it names no user"));
        }
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host"));
        }
        if config.get_dbname().is_none() {
            return Err(wrong("it names no database"));
        }
        if config.get_application_name().is_none() {
            config.application_name("limpid");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config
            .keepalives_idle(KEEPALIVES_IDLE)
            .keepalives_interval(KEEPALIVES_INTERVAL)
            .keepalives_retries(3);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNANSWERED_MAX);
        }
        let shown = shown(&config);
        if config.get_password().is_none() {
            let from_file = || credentials.password_file.as_deref().map(|file| password_of(file, &config));
            let password = match &credentials.password {
                Some(password) => Some(password.clone()),
                None => from_file().transpose()?.flatten(),
            };
            if let Some(password) = password {
                config.password(password);
            }
        }
        Ok(Self { config, trust, shown })
    }

    /// The failure to reach it.
    pub(super) fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable { address: self.shown.clone(), reason }
    }
}

fn wrong(reason: &str) -> Error {
    Error::Address { reason: reason.to_owned() }
}

fn trust(mode: &str, root: Option<String>) -> Result<(SslMode, Trust)> {
    let root = root.filter(|root| root != "system").map(PathBuf::from);
    Ok(match (mode, root) {
        ("disable", _) => (SslMode::Disable, Trust::Anybody),
        ("allow" | "prefer", _) => (SslMode::Prefer, Trust::Anybody),
        ("require", None) => (SslMode::Require, Trust::Anybody),
        // As libpq has it: who names an authority means it.
        ("require" | "verify-ca", root) => (SslMode::Require, Trust::Authority(root)),
        ("verify-full", root) => (SslMode::Require, Trust::Host(root)),
        _ => return Err(wrong("sslmode is one of disable, prefer, require, verify-ca and verify-full")),
    })
}

/// `postgres://user@host:port/database`.
fn shown(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(position, host)| {
        let port = ports.get(position).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let (user, name) = (config.get_user().unwrap_or_default(), config.get_dbname().unwrap_or_default());
    format!("postgres://{user}@{hosts}/{name}")
}

fn percent_decoded(value: &str) -> Result<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(wrong("sslrootcert has a % that begins no byte"));
        };
        decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(decoded).map_err(|_| wrong("sslrootcert is not UTF-8"))
}

/// The password that a password file has for the database. A file that others may read is not used, as libpq does.
fn password_of(file: &Path, config: &Config) -> Result<Option<String>> {
    use std::io::Read as _;
    let Ok(opened) = std::fs::File::open(file) else { return Ok(None) };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let is_private = opened.metadata().is_ok_and(|file| file.permissions().mode() & 0o077 == 0);
        if !is_private {
            return Err(wrong(&format!(
                "others than its owner may read the password file {}",
                file.display()
            )));
        }
    }
    let mut content = String::new();
    let read = opened.take(PASSWORD_FILE_BYTES_MAX).read_to_string(&mut content);
    read.map_err(|error| wrong(&format!("the password file {} cannot be read: {error}", file.display())))?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        _ => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let wanted =
        [&host, &port, config.get_dbname().unwrap_or_default(), config.get_user().unwrap_or_default()];
    for line in content.lines().filter(|line| !line.starts_with('#')) {
        let fields = fields(line);
        let matches = fields.len() == 5
            && fields.iter().zip(wanted).all(|((is_any, field), wanted)| *is_any || field == wanted);
        if matches {
            return Ok(fields.into_iter().next_back().map(|(_, password)| password));
        }
    }
    Ok(None)
}

/// The fields of a line, without the backslashes that quote; whether each is a lone `*`. What follows the fourth
/// colon is one field.
fn fields(line: &str) -> Vec<(bool, String)> {
    let (mut fields, mut field, mut raw) = (Vec::new(), String::new(), String::new());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => field.extend(characters.next()),
            ':' if fields.len() < 4 => {
                fields.push((raw == "*", std::mem::take(&mut field)));
                raw.clear();
                continue;
            }
            character => field.push(character),
        }
        raw.push(character);
    }
    fields.push((false, field));
    fields
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(address: &str) -> Address {
        Address::parse(address, &Credentials::default()).unwrap()
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = parse("postgres://me:s3cret%40@db.example:5433/fleet?sslmode=require");
        assert_eq!(address.shown, "postgres://me@db.example:5433/fleet");
        assert_eq!(address.config.get_password(), Some(b"s3cret@".as_slice()));
        assert!(!format!("{address:?}").contains("s3cret"));
        let credentials = Credentials { password: Some("s3cret".into()), password_file: None };
        assert!(!format!("{credentials:?}").contains("s3cret"));
        for broken in
            ["postgres://me:s3cret@host:x/db", "postgres://me:s3cret@host/db?port=s", "postgres://me:s3cret%"]
        {
            let error = Address::parse(broken, &Credentials::default()).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_is_trusted_is_what_libpq_trusts() {
        let of = |parameters: &str| parse(&format!("postgres://me@h/d?{parameters}")).trust;
        assert_eq!(of(""), Trust::Anybody);
        assert_eq!(of("sslmode=require"), Trust::Anybody);
        assert_eq!(
            of("sslmode=require&sslrootcert=%2Fetc%2Fca.pem"),
            Trust::Authority(Some("/etc/ca.pem".into()))
        );
        assert_eq!(of("sslmode=verify-ca&sslrootcert=ca.pem"), Trust::Authority(Some("ca.pem".into())));
        assert_eq!(of("sslmode=verify-full&sslrootcert=system"), Trust::Host(None));
        assert!(Address::parse("postgres://me@h/d?sslmode=full", &Credentials::default()).is_err());
    }

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        std::fs::write(
            &file,
            "#h:*:*:*:no\nother:*:*:*:no\nh:5433:d:me:no\n*:*:d:a\\:b:x\\\\:y\nh:*:*:me:yes:it is\n",
        )
        .unwrap();
        let password = |address: &str| {
            let credentials = Credentials { password: None, password_file: Some(file.clone()) };
            Address::parse(address, &credentials)
                .map(|address| address.config.get_password().map(<[u8]>::to_vec))
        };
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(password("postgres://me@h/d").unwrap_err().to_string().contains("others"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password("postgres://me@h/d").unwrap().unwrap(), b"yes:it is");
        assert_eq!(password("postgres://a%3Ab@x/d").unwrap().unwrap(), b"x\\:y");
        assert_eq!(password("postgres://me@h:5433/d").unwrap().unwrap(), b"no");
        assert_eq!(password("postgres://nobody@h/d").unwrap(), None);
        assert_eq!(password("postgres://me:own@h/d").unwrap().unwrap(), b"own");
    }
}
