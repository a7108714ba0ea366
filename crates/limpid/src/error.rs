//! What the user is told when something fails: one sentence, a remedy, an exit code.

use std::borrow::Cow;
use std::process::ExitCode;

use limpid_image::RegistryError;

/// How the program ends. Documented in `limpid --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    Failure,
    GateClosed,
    Usage,
    Image,
    Store,
    Feeds,
}

impl Exit {
    /// The worse of two, as `limpid --help` has their order: what says the most of what is wrong comes first.
    pub(crate) fn worse(self, other: Self) -> Self {
        const WORST_FIRST: [Exit; 7] = [
            Exit::Store,
            Exit::Feeds,
            Exit::Image,
            Exit::Usage,
            Exit::Failure,
            Exit::GateClosed,
            Exit::Success,
        ];
        WORST_FIRST.into_iter().find(|exit| [self, other].contains(exit)).unwrap_or(self)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::GateClosed => 2,
            Exit::Usage => 3,
            Exit::Image => 4,
            Exit::Store => 5,
            Exit::Feeds => 6,
        })
    }
}

/// A failure, with what could be done about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Reference(#[from] limpid_image::ReferenceError),
    #[error(transparent)]
    Index(#[from] limpid_index::Error),
    #[error(transparent)]
    Store(#[from] limpid_store::Error),
    #[error("the store has no image {0}")]
    UnknownImage(String),
    #[error("{0}")]
    Feeds(String),
    #[error("{message}")]
    Usage { message: String },
    #[error(transparent)]
    Serve(#[from] limpid_server::Error),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

impl From<limpid_notify::Error> for Error {
    fn from(error: limpid_notify::Error) -> Self {
        match error {
            limpid_notify::Error::Store(error) => Self::Store(error),
            limpid_notify::Error::Index(error) => Self::Index(error),
        }
    }
}

impl Error {
    pub(crate) fn io(what: &str) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            // The reader of our output has seen enough (`limpid … | head`): no failure.
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Serve(limpid_server::Error::Config(_)) => Exit::Usage,
            Self::Io { .. } | Self::Serve(_) => Exit::Failure,
            Self::Reference(_) | Self::Usage { .. } => Exit::Usage,
            Self::Feeds(_) => Exit::Feeds,
            Self::UnknownImage(_) => Exit::Image,
            Self::Store(_) | Self::Index(limpid_index::Error::Store(_) | limpid_index::Error::Stopped) => {
                Exit::Store
            }
            Self::Index(limpid_index::Error::Image(limpid_image::Error::Registry(RegistryError::Name {
                ..
            }))) => Exit::Usage,
            Self::Index(limpid_index::Error::Cursor(_)) => Exit::Usage,
            Self::Index(limpid_index::Error::Image(_) | limpid_index::Error::Changed { .. }) => Exit::Image,
            Self::Index(_) => Exit::Failure,
        }
    }

    /// What the user could do.
    fn hint(&self) -> Option<Cow<'static, str>> {
        use limpid_store::Error as Store;
        if let Self::UnknownImage(_) = self {
            return Some(Cow::Borrowed(
                "name it as it was scanned, or by the digest of its manifest (sha256:…)",
            ));
        }
        if let Self::Index(limpid_index::Error::Cursor(_)) = self {
            return Some(Cow::Borrowed("leave out --after, and take the cursor that the answer ends with"));
        }
        if let Self::Serve(error) = self {
            return serve_hint(error).map(Cow::Borrowed);
        }
        if let Self::Feeds(reason) = self {
            return reason.contains("cannot be reached").then_some(Cow::Borrowed(
                "check the network, or name a copy with --feeds-mirror; --offline goes by what the store has",
            ));
        }
        let (Self::Store(store) | Self::Index(limpid_index::Error::Store(store))) = self else {
            return self.image_hint();
        };
        let hint = match store {
            Store::Open { .. } => {
                Some("check the path and its permissions, or choose another file with --store")
            }
            Store::Address { .. } => {
                Some("an address is postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE]")
            }
            Store::Unreachable { .. } => Some(
                "check the address, and the password in PGPASSWORD or in ~/.pgpass; the database must exist",
            ),
            Store::Elsewhere(_) => Some("use pg_dump and pg_restore, or copy it with `limpid store copy`"),
            Store::NetworkFileSystem { .. } => Some(
                "choose a file on a disk of this machine with --store, or --store :memory: to keep nothing",
            ),
            Store::NotAStore { .. } => Some("choose another file with --store"),
            Store::TooOld { .. } => Some("move the file away; everything in it can be computed again"),
            Store::TooNew { .. } => Some("use the newer Limpid, or another file with --store"),
            Store::DiskFull => Some("free some space, or choose a file on another disk with --store"),
            Store::Gone(_) => Some("an image was forgotten just now; try again"),
            Store::NotEmpty(_) => Some("name a file that is not there yet, or an empty database"),
            Store::Exists { .. } => Some("choose another file; `restore` replaces a store only with --force"),
            Store::InUse { .. } => Some("try again when no other process has it open"),
            Store::Damaged { .. } => Some("restore another backup"),
            Store::Busy => Some("try again when the other process is done"),
            Store::Corrupt(_) => Some("move the file away; everything in it can be computed again"),
            Store::ReadOnly => Some("make the file and its folder writable, or choose another with --store"),
            _ => None,
        };
        hint.map(Cow::Borrowed)
    }

    fn image_hint(&self) -> Option<Cow<'static, str>> {
        use limpid_image::Error as Image;
        let Self::Index(limpid_index::Error::Image(error)) = self else { return None };
        let hint = match error {
            Image::Registry(error) => return registry_hint(error),
            Image::DigestMismatch { .. } => "the image is damaged or forged; get it again",
            Image::Malformed { .. } => "the image is damaged or incomplete; get it again",
            Image::EngineUnreachable { source, .. } => engine_hint(source.kind()),
            Image::NotInEngine { .. } => "pull or build it first; the engine's `images` lists all",
            Image::EngineFailed { .. } => "look at the engine's log, and try again",
            Image::StreamCut { .. } => "try again; if it happens again, look at the engine's log",
            Image::Limit { .. } => "the image is larger than Limpid reads; if it is genuine, report it",
            _ => return None,
        };
        Some(Cow::Borrowed(hint))
    }

    /// Prints the error and its remedy to standard error.
    pub(crate) fn tell(&self) {
        self.tell_of(None);
    }

    /// The same, and which of several images it is about.
    pub(crate) fn tell_of(&self, reference: Option<&str>) {
        if self.exit() == Exit::Success {
            return;
        }
        let about = reference.map(|reference| format!("{reference}: ")).unwrap_or_default();
        let message = limpid_report::terminal::printable(&format!("{about}{self}"));
        eprint_line(&format!("limpid: {message}"));
        if let Some(hint) = self.hint() {
            eprint_line(&format!("hint: {hint}"));
        }
    }
}

/// What to do about a service that does not start.
fn serve_hint(error: &limpid_server::Error) -> Option<&'static str> {
    use limpid_server::ConfigError as Config;
    Some(match error {
        limpid_server::Error::Listen { .. } => {
            "choose another address with `listen` or `introspection`, or end what is there"
        }
        limpid_server::Error::Config(Config::Open { .. }) => {
            "for a shared key: `auth: {psk: {key: BASE64, issuers: [quay]}}`, or LIMPID_SERVE_AUTH_PSK_KEY; to leave it open: \
             `auth: none`, or LIMPID_SERVE_AUTH=none"
        }
        limpid_server::Error::Config(_) => "`limpid config defaults` prints every key and what it means",
        limpid_server::Error::System(_) => return None,
    })
}

/// What to do about an engine that does not answer.
fn engine_hint(kind: std::io::ErrorKind) -> &'static str {
    match kind {
        std::io::ErrorKind::PermissionDenied => {
            "run Limpid as a user who may use the socket, for Docker one of the group `docker`"
        }
        _ => "start the engine, or say where it listens with DOCKER_HOST (Podman: CONTAINER_HOST)",
    }
}

/// What the user could do about a registry.
fn registry_hint(error: &RegistryError) -> Option<Cow<'static, str>> {
    use RegistryError as Registry;
    let hint = match error {
        Registry::OnDisk { path, .. } => {
            let (what, transports) = match path.is_dir() {
                true => ("folder", "oci: or dir:"),
                false => ("file", "oci-archive: or docker-archive:"),
            };
            return Some(Cow::Owned(format!(
                "there is a {what} {}; to read it, put {transports} before its name",
                path.display()
            )));
        }
        Registry::Everywhere { last, .. } => match last.as_ref() {
            limpid_image::Error::Registry(last) => return registry_hint(last),
            _ => return None,
        },
        Registry::Name { .. } => {
            "an image's name is [HOST[:PORT]/]PATH[:TAG][@DIGEST]; files and folders need oci:, oci-archive:, \
             docker-archive: or dir: before them"
        }
        Registry::Offline { .. } => {
            "leave out --offline, or save the image and use oci:, oci-archive:, docker-archive: or dir:"
        }
        Registry::Blocked { .. } => "remove the entry, or choose another file with --registries-conf",
        Registry::UnknownHost { .. } => {
            "check the name and the network; a file or folder needs oci:, oci-archive:, docker-archive: or dir:"
        }
        Registry::Unreachable { .. } => "check the network, and HTTPS_PROXY if there is a proxy",
        Registry::Tls { .. } => {
            "trust its authority with --registry-ca FILE, or name the host with --insecure-registry"
        }
        Registry::PlainHttp { .. } => "name the host with --insecure-registry if that is meant",
        Registry::Unauthorized { .. } | Registry::Token { .. } => {
            "log in with `docker login` or `podman login`, or use --username with --password-stdin; without an \
             account, check the name: registries say the same of what does not exist"
        }
        Registry::Forbidden { .. } => "the account may not pull this image; use another, or ask for access",
        Registry::NotFound { .. } => "check the name and the tag",
        Registry::TooManyRequests { .. } => "try again later, or log in for a higher limit",
        Registry::Status { .. } | Registry::Cut { .. } => "try again later",
        Registry::Protocol { .. } => "the registry, or something before it, is broken; try another",
        _ => return None,
    };
    Some(Cow::Borrowed(hint))
}

/// A line to standard error; if nobody can read it, there is nothing to be done.
pub(crate) fn eprint_line(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(anstream::stderr(), "{line}");
}
