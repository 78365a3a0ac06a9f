//! PostgreSQL and MariaDB on this machine: servers on a free port of the loopback interface, which end with the last test that uses
//! them.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
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

/// How long a server may take to be ready, and anything else to happen, on a busy machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// A server with a folder of its own. Killed when the last test lets it go.
pub(crate) struct Server {
    kind: Kind,
    dir: TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl Kind {
    fn programs(self) -> [&'static str; 2] {
        match self {
            Self::Postgres => ["initdb", "postgres"],
            Self::MariaDb => ["mariadb-install-db", "mariadbd"],
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::MariaDb => "mariadb-server-core",
        }
    }

    /// Its programs. Debian has them beside the PATH.
    fn find(self) -> Option<[PathBuf; 2]> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
        folders.sort();
        folders.reverse();
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        folders.push("/usr/sbin".into());
        let find =
            |program: &str| folders.iter().map(|dir| dir.join(program)).find(|it| it.is_file());
        let [make, serve] = self.programs();
        Some([find(make)?, find(serve)?])
    }
}

/// Says on the terminal that a test did not run, or fails where everything has to be there.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED, {test} did not run: {reason}");
}

/// The server that all tests share. `None`, after having said so: there is none on this machine.
pub(crate) fn shared(kind: Kind) -> Option<Arc<Server>> {
    static SHARED: [Mutex<Weak<Server>>; 2] = [Mutex::new(Weak::new()), Mutex::new(Weak::new())];
    let [postgres, maria] = &SHARED;
    let shared = if kind == Kind::Postgres { postgres } else { maria };
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(own(kind, "")?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// One that nobody else uses, with more arguments.
pub(crate) fn own(kind: Kind, arguments: &str) -> Option<Server> {
    if let Some(programs) = kind.find() {
        return Some(Server::start(kind, programs, arguments));
    }
    let package = kind.package();
    let reason = format!("there is no server; install it with `apt-get install {package}`");
    skip(&format!("a test of {kind:?}"), &reason);
    None
}

impl Server {
    fn start(kind: Kind, [make, serve]: [PathBuf; 2], more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let user = (kind == Kind::Postgres).then(other_user).flatten();
        if let Some((user, group)) = user {
            chown(dir.path(), Some(user), Some(group)).unwrap();
        }
        let (at, data) = (dir.path().display(), dir.path().join("data").display().to_string());
        let (making, serving) = match kind {
            Kind::Postgres => (
                format!("--username flotilla --auth trust --encoding UTF8 --no-sync -D {data}"),
                format!(
                    "-D {data} -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={at} \
                     -c max_connections=100 -c max_prepared_transactions=50 -c fsync=off"
                ),
            ),
            Kind::MariaDb => (
                format!(
                    "--no-defaults --datadir={data} --auth-root-authentication-method=normal --skip-test-db --user={}",
                    user_name()
                ),
                format!(
                    "--no-defaults --datadir={data} --user={} --bind-address=127.0.0.1 --port={port} --socket={at}/socket \
                     --pid-file={at}/pid --skip-log-bin --skip-name-resolve --innodb-flush-log-at-trx-commit=0 \
                     --innodb-buffer-pool-size=16M --innodb-log-file-size=8M --max-connections=100",
                    user_name()
                ),
            ),
        };
        let command = |program: &Path, arguments: &str| {
            let mut command = as_user(program, user);
            command.args(arguments.split_whitespace()).current_dir(dir.path());
            command
        };
        let made = command(&make, &making).output().unwrap();
        let said =
            [made.stdout, made.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(made.status.success(), "{}", said.concat());
        let log = File::create(dir.path().join("log")).unwrap();
        let child = command(&serve, &format!("{serving} {more}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { kind, dir, port, child }
    }

    /// A name for a database that no other test has.
    pub(crate) fn fresh_name() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://flotilla@127.0.0.1:{}/{database}", self.port),
            Kind::MariaDb => format!("mysql://root@127.0.0.1:{}/{database}", self.port),
        }
    }

    /// Panics with the server's log when it has had time enough.
    pub(crate) fn not_ready(&self, start: Instant, error: &dyn std::fmt::Display) {
        if start.elapsed() > WAIT_MAX {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            panic!("{:?} does not serve: {error}\n{log}", self.kind);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // For PostgreSQL, to end at once with all its processes; MariaDB has only one.
        let signal = if self.kind == Kind::Postgres { Signal::QUIT } else { Signal::KILL };
        // One that has ended by itself cannot be told to.
        kill_process(Pid::from_child(&self.child), signal).unwrap_or_default();
        self.child.wait().unwrap();
    }
}

/// PostgreSQL's programs refuse to work for root.
fn as_user(program: &Path, user: Option<(u32, u32)>) -> Command {
    let Some((user, group)) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
    command.arg("--clear-groups").arg(program);
    command
}

/// The line of a user in the list of users.
fn user_line(is_wanted: impl Fn(&[&str]) -> bool) -> Option<Vec<String>> {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.len() > 3 && is_wanted(fields));
    line.map(|fields| fields.into_iter().map(str::to_owned).collect())
}

/// The user `postgres`, when this one is root.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let line = user_line(|fields| fields[0] == "postgres").expect("the user `postgres` is there");
    Some((line[2].parse().unwrap(), line[3].parse().unwrap()))
}

/// Who runs this test. MariaDB works for root only when it is told so.
fn user_name() -> String {
    let own = fs::metadata("/proc/self").unwrap().uid().to_string();
    user_line(|fields| fields[2] == own).map_or_else(|| "mysql".to_owned(), |line| line[0].clone())
}
