//! A real PostgreSQL for tests: a throwaway cluster of this machine's binaries, with a database for each test.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Attempts to reach a server that was just started, and the pause between: half a minute.
const ATTEMPTS_MAX: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);
/// The user that servers run as if the tests are run by root, for whom PostgreSQL refuses to run.
const USER: &str = "postgres";
/// The superuser of the cluster, and its password.
const NAME: &str = "limpid";
const PASSWORD: &str = "limpid-test";

/// A cluster that goes with the process that started it.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
    server: std::sync::Mutex<Child>,
    /// Ends the server when this process ends, however that is.
    _watch: Child,
}

impl Postgres {
    /// The cluster that all tests of a process share; `None` where PostgreSQL is not installed. Nothing of it is kept on
    /// the disk with care, since a test that crashes the machine has no use for it.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: std::sync::OnceLock<Option<Postgres>> = std::sync::OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["fsync=off", "full_page_writes=off"])).as_ref()
    }

    /// A cluster of its own, with settings (`NAME=VALUE`).
    pub fn start(settings: &[&str]) -> Option<Self> {
        let binaries = binaries()?;
        let folder = folder();
        let data = folder.join("data");
        std::fs::write(folder.join("password"), PASSWORD).unwrap();
        let mut init = unprivileged(&binaries.join("initdb"), &folder);
        init.args([
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--username",
            NAME,
        ]);
        init.arg("--pwfile").arg(folder.join("password")).arg("--pgdata").arg(&data);
        let output = init.output().unwrap();
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let port = free_port();
        let mut configuration = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nmax_connections = 200\n",
            folder.display()
        );
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap();
            configuration.push_str(&format!("{name} = '{value}'\n"));
        }
        let file = data.join("postgresql.auto.conf");
        std::fs::write(&file, configuration).unwrap();
        // Tests may add to it.
        let server = std::sync::Mutex::new(run(&binaries, &folder));
        let watch = watch(&folder);
        let postgres = Self { binaries, folder, port, server, _watch: watch };
        postgres.wait();
        Some(postgres)
    }

    /// A new, empty database: its address.
    pub fn database(&self) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.address(&name)
    }

    /// The address of a database.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://{NAME}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the cluster's files, which the server may read.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs SQL in a database (a name, or an address of [`Self::database`]), as `psql` does, and gives the bare answer.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, or what the server said.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let name = database.rsplit('/').next().unwrap();
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set",
            "ON_ERROR_STOP=1",
            "--command",
            sql,
        ])
        .arg(self.address(name));
        let output = psql.output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Kills every process of the server as a power cut would, and starts it again.
    pub fn crash(&self) {
        self.signal("QUIT");
        self.restart_after_end();
    }

    /// Shuts the server down, cutting all connections, and starts it again.
    pub fn restart(&self) {
        self.signal("INT");
        self.restart_after_end();
    }

    /// Ends all connections to a database but the server's own.
    pub fn cut(&self, database: &str) {
        let name = database.rsplit('/').next().unwrap();
        self.sql(
            "postgres",
            &format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
            ),
        );
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
    }

    fn restart_after_end(&self) {
        let mut server = self.server.lock().unwrap();
        server.wait().unwrap();
        *server = run(&self.binaries, &self.folder);
        drop(server);
        self.wait();
    }

    fn wait(&self) {
        for _ in 0..ATTEMPTS_MAX {
            let mut ready = Command::new(self.binaries.join("pg_isready"));
            ready.args(["--quiet", "--host", "127.0.0.1", "--port", &self.port.to_string()]);
            if ready.status().unwrap().success() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(mut server) = self.server.lock()
            && self.folder.join("data/postmaster.pid").exists()
        {
            self.signal("QUIT");
            let _ = server.wait();
        }
    }
}

/// The newest PostgreSQL that Debian's packages have put here, or the one on the path.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").is_file() && path.join("psql").is_file())
        .collect();
    found.sort();
    if let Some((_, path)) = found.pop() {
        return Some(path);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").is_file() && folder.join("psql").is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// A folder that the server's user owns.
fn folder() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("limpid-postgres-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    if is_root() {
        assert!(Command::new("chown").arg(USER).arg(&folder).status().unwrap().success());
    }
    folder
}

/// A command of the server's, as a user it accepts.
fn unprivileged(program: &Path, folder: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn run(binaries: &Path, folder: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut server = unprivileged(&binaries.join("postgres"), folder);
    server.arg("-D").arg(folder.join("data")).stdout(Stdio::null()).stderr(log);
    server.spawn().unwrap()
}

/// A process that outlives this one by a moment: it ends the server and removes its files.
fn watch(folder: &Path) -> Child {
    const SCRIPT: &str = "cat >/dev/null
        [ -f \"$1/data/postmaster.pid\" ] && kill -QUIT \"$(head -n 1 \"$1/data/postmaster.pid\")\"
        for _ in 1 2 3 4 5 6 7 8 9 10; do [ -f \"$1/data/postmaster.pid\" ] && sleep 0.2; done
        rm -rf \"$1\"";
    let mut watch = Command::new("setsid");
    watch.args(["sh", "-c", SCRIPT, "sh"]).arg(folder).stdin(Stdio::piped());
    watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A way to a server that can be cut: it passes bytes on until it is told to drop everything.
#[derive(Debug)]
pub struct Passage {
    port: u16,
    shared: std::sync::Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: std::sync::Mutex<Vec<std::net::TcpStream>>,
    /// How many more answers pass before everything is cut; negative for any number.
    answers: std::sync::atomic::AtomicI64,
}

impl Passage {
    /// Listens on a free port and leads to another.
    pub fn to(port: u16) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = std::sync::Arc::new(Shared::default());
        shared.answers.store(-1, Ordering::SeqCst);
        let passed = std::sync::Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = std::net::TcpStream::connect(("127.0.0.1", port)) else { continue };
                let copies = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                passed.streams.lock().unwrap().extend(copies);
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass(client, server, None));
                let counted = std::sync::Arc::clone(&passed);
                std::thread::spawn(move || pass(back.0, back.1, Some(&counted)));
            }
        });
        Self { port: own, shared }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Cuts every connection instead of passing on the answer after `answers` more.
    pub fn cut_after(&self, answers: i64) {
        self.shared.answers.store(answers, Ordering::SeqCst);
    }
}

impl Shared {
    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn pass(mut from: std::net::TcpStream, mut to: std::net::TcpStream, counted: Option<&Shared>) {
    use std::io::Write as _;
    let mut buffer = [0; 64 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        if let Some(shared) = counted
            && shared.answers.load(Ordering::SeqCst) >= 0
            && shared.answers.fetch_sub(1, Ordering::SeqCst) == 0
        {
            shared.cut();
            break;
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
