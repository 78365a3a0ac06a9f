//! PostgreSQL on this machine: a server on a free port of the loopback interface, which ends with the last test that uses it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    future::Future,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// No test takes longer, unless it hangs.
const TEST_TIME_MAX: Duration = Duration::from_secs(240);

/// How long the server may take to be ready, on a busy machine.
pub(crate) const START_TIME_MAX: Duration = Duration::from_secs(60);

/// Runs a test on a database of its own of the server that all tests share, with a bound in time.
pub(crate) fn with<F: Future<Output = ()>>(test: impl FnOnce(Database) -> F) {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let Some(programs) = find() else { return };
    let server = {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let server = shared.upgrade().unwrap_or_else(|| Arc::new(Server::new(programs)));
        *shared = Arc::downgrade(&server);
        server
    };
    run(server, test);
}

/// The same on a server that nobody else uses, so that it may be killed.
pub(crate) fn with_own<F: Future<Output = ()>>(test: impl FnOnce(Database) -> F) {
    let Some(programs) = find() else { return };
    run(Arc::new(Server::new(programs)), test);
}

fn run<F: Future<Output = ()>>(server: Arc<Server>, test: impl FnOnce(Database) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::new(server).await;
        let end = tokio::time::timeout(TEST_TIME_MAX, test(database)).await;
        assert!(end.is_ok(), "the test hangs");
    });
}

/// The folder with PostgreSQL's programs. Debian has them beside the PATH, one folder a version.
fn find() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let found = folders
        .into_iter()
        .rev()
        .find(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()));
    if found.is_none() {
        let text = "there is no PostgreSQL server; install it with `apt-get install postgresql`";
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the PostgreSQL tests cannot run: {text}"
        );
        eprintln!("SKIPPED, a PostgreSQL test did not run: {text}");
    }
    found
}

/// A server with a folder of its own.
pub(crate) struct Server {
    programs: PathBuf,
    dir: TempDir,
    port: u16,
    child: Mutex<Option<Child>>,
}

impl Server {
    fn new(programs: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        if let Some((user, group)) = other_user() {
            chown(dir.path(), Some(user), Some(group)).unwrap();
        }
        let server = Self { programs, dir, port, child: Mutex::new(None) };
        let made = server
            .command("initdb")
            .args([
                "--username",
                "flotilla",
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.start();
        server
    }

    /// Starts the server on what it kept.
    pub(crate) fn start(&self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "max_connections=60",
                "-c",
                "fsync=off",
            ])
            .args(["-c", &format!("port={}", self.port)])
            .args(["-c", &format!("unix_socket_directories={}", self.dir.path().display())])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.child() = Some(child);
    }

    /// Ends the server at once, with all its processes, without finishing anything.
    pub(crate) fn end(&self) {
        if let Some(mut child) = self.child().take() {
            // One that has ended by itself cannot be told to.
            kill_process(Pid::from_child(&child), Signal::QUIT).unwrap_or_default();
            child.wait().unwrap();
        }
    }

    /// One of PostgreSQL's programs, which refuse to work for root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match other_user() {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
                command.arg("--clear-groups").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(self.dir.path());
        command
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://flotilla:geheim@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The user `postgres`, when this one is root.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("the user `postgres` is there").split(':').skip(2);
    let mut number = || fields.next().unwrap().parse().unwrap();
    Some((number(), number()))
}

/// A database of its own.
pub(crate) struct Database {
    pub(crate) server: Arc<Server>,
    name: String,
}

impl Database {
    async fn new(server: Arc<Server>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server, "postgres").await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Self { server, name }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// The folder of the server's socket.
    pub(crate) fn folder(&self) -> &Path {
        self.server.dir.path()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The service's own connection.
    pub(crate) async fn service(&self) -> tokio_postgres::Client {
        connect(&self.server, &self.name).await
    }
}

/// Connects as soon as the server is ready.
async fn connect(server: &Server, database: &str) -> tokio_postgres::Client {
    let start = Instant::now();
    loop {
        match tokio_postgres::connect(&server.url(database), NoTls).await {
            Ok((client, connection)) => {
                let mut task = tokio::task::JoinSet::new();
                task.spawn(async { drop(connection.await) });
                // It ends with the client.
                task.detach_all();
                return client;
            }
            Err(error) if start.elapsed() > START_TIME_MAX => {
                let log = fs::read_to_string(server.log()).unwrap_or_default();
                panic!("PostgreSQL does not serve: {error:?}\n{log}");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
