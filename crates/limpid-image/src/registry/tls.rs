//! Whom to trust, and what to show: certificates for each host.
//!
//! Source: containers-certs.d(5), which is Docker's layout: `certs.d/HOST[:PORT]/*.crt` are authorities,
//! `NAME.cert` with `NAME.key` a client's certificate. They add to the system's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use super::{RegistryError, RegistryOptions};

/// Bytes of a file of certificates; the system's own bundle has a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files looked at in a host's folder.
const FILES_MAX: usize = 256;

/// The system's authorities, read when they are first needed.
#[derive(Default)]
pub(crate) struct SystemRoots(OnceLock<Vec<Certificate<'static>>>);

impl SystemRoots {
    fn get(&self) -> &[Certificate<'static>] {
        self.0.get_or_init(|| {
            let native = rustls_native_certs::load_native_certs();
            native.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        })
    }
}

/// How TLS is spoken with `host` (`HOST[:PORT]`).
pub(crate) fn configuration(
    options: &RegistryOptions,
    system: &SystemRoots,
    host: &str,
    insecure: bool,
) -> Result<TlsConfig, RegistryError> {
    let mut roots = system.get().to_vec();
    for file in &options.ca_files {
        roots.extend(certificates(file)?);
    }
    let mut client = match &options.client_certificate {
        Some(pair) => Some(client_certificate(&pair.certificate, &pair.key)?),
        None => None,
    };
    for directory in &options.certificate_directories {
        for file in files(&directory.join(host)) {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => roots.extend(certificates(&file)?),
                Some("cert") if client.is_none() => {
                    client = Some(client_certificate(&file, &file.with_extension("key"))?);
                }
                _ => {}
            }
        }
    }
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(client)
        .disable_verification(insecure)
        .build())
}

/// The files of a folder that may not be there, sorted.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.take(FILES_MAX).map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn error(path: &Path, reason: impl std::fmt::Display) -> RegistryError {
    RegistryError::Configuration { path: path.display().to_string(), reason: reason.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let size = fs::metadata(path).map_err(|reason| error(path, reason))?.len();
    if size > FILE_BYTES_MAX {
        return Err(error(path, format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    fs::read(path).map_err(|reason| error(path, reason))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let mut found = Vec::new();
    for item in parse_pem(&read(path)?) {
        if let PemItem::Certificate(certificate) = item.map_err(|reason| error(path, reason))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(error(path, "it has no certificate in PEM form")) } else { Ok(found) }
}

fn client_certificate(certificate: &Path, key: &Path) -> Result<ClientCert, RegistryError> {
    let chain = certificates(certificate)?;
    for item in parse_pem(&read(key)?) {
        // What the parser says of a key is not repeated.
        if let Ok(PemItem::PrivateKey(key)) = item {
            return Ok(ClientCert::new_with_certs(&chain, key));
        }
    }
    Err(error(key, "it has no private key in PEM form"))
}
