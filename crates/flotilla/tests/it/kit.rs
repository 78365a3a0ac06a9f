//! A system of its own for each test: a folder, a file, free ports, the real program, and an end that comes
//! whatever happens.

pub(crate) mod etcd;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod processes;
pub(crate) mod wait;

use http::{Answer, Request};
use processes::Process;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use wait::{eventually, within};

/// No command takes this long, unless it hangs.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(120);
/// How much of the node's log a failed test shows, in lines.
const LOG_LINES: usize = 40;

/// Held by tests that need the machine for themselves, because they measure or make a lot of work.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program that plays the services.
pub(crate) fn fixture() -> PathBuf {
    let folder = env::current_exe().unwrap().parent().and_then(Path::parent).map(Path::to_owned);
    let path = folder.unwrap().join("examples/fixture");
    assert!(path.is_file(), "{} is missing: `cargo build -p flotilla --examples`", path.display());
    path
}

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::canonicalize(top).unwrap()
}

/// Says on the terminal that a test did not run, or fails where everything has to be there.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    eprintln!("SKIPPED, {test} did not run: {reason}");
}

/// A port nobody listens on. It is outside the ranges from which the kernel and Flotilla give ports.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 9_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other test processes begin elsewhere.
    let seed = u16::try_from(std::process::id() % 90).unwrap() * 100;
    (0..COUNT)
        .map(|_| FIRST + (seed + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap()
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// # Panics
    /// When the exit code is another one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// # Panics
    /// When neither stream has `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        let found = self.out.contains(text) || self.err.contains(text);
        assert!(found, "`{text}` is not in\nstdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error} in {}\n{}", self.out, self.err))
    }
}

/// A folder with a file, and what runs because of it.
#[derive(Debug)]
pub(crate) struct System {
    dir: TempDir,
    mark: String,
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
}

impl System {
    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix("flotilla-it-").tempdir().unwrap();
        let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Self { dir, mark, gateway: address(), admin: address() }
    }

    /// A system with this file; see [`Self::write`].
    pub(crate) fn new(yaml: &str) -> Self {
        let system = Self::empty();
        system.write(yaml);
        system
    }

    /// Writes `flotilla.yaml`. `FIXTURE` stands for the fixture program, `GATEWAY` for the gateway's address,
    /// `DIR` for the folder; the admin address is added.
    pub(crate) fn write(&self, yaml: &str) {
        let text = yaml
            .replace("FIXTURE", &fixture().display().to_string())
            .replace("GATEWAY", &format!("\"{}\"", self.gateway))
            .replace("DIR", &self.dir().display().to_string());
        let admin = format!("admin: {{ listen: \"{}\" }}\n", self.admin);
        self.file("flotilla.yaml", &format!("{text}\n{admin}"));
    }

    /// Writes a file, with its folders.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A command of any program in the folder, with the system's mark.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir()).env(processes::MARK, &self.mark).stdin(Stdio::null());
        command
    }

    /// Runs `flotilla` with these words to its end.
    pub(crate) fn flotilla(&self, words: &str) -> Done {
        self.finish(self.command(env!("CARGO_BIN_EXE_flotilla")).args(words.split(' ')))
    }

    /// Runs a command to its end.
    pub(crate) fn finish(&self, command: &mut Command) -> Done {
        let path = |what: &str| {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            env::temp_dir().join(format!("flotilla-it-{}-{number}.{what}", self.mark))
        };
        // Files, because a pipe would stay open as long as any process that inherited it.
        let (out, err) = (path("out"), path("err"));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().unwrap();
        let code = end_of(&mut child, COMMAND_TIME_MAX);
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let done = Done { code: code.unwrap_or(-1), out: read(&out), err: read(&err) };
        fs::remove_file(out).and_then(|()| fs::remove_file(err)).unwrap();
        if code.is_none() {
            kill_child(&mut child);
            panic!("{command:?} did not end\nstdout: {}\nstderr: {}", done.out, done.err);
        }
        done
    }

    /// Starts the system in the background and waits until all is ready.
    #[track_caller]
    pub(crate) fn up(&self) -> Done {
        self.flotilla("up -d").expect(0)
    }

    /// Stops the system and checks that nothing is left of it.
    #[track_caller]
    pub(crate) fn down(&self) {
        self.flotilla("down").expect(0);
        self.assert_nothing_left();
    }

    /// # Panics
    /// When a process of the system lives or one of its ports is taken.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let left =
            within(Duration::from_secs(5), &mut || self.processes().is_empty().then_some(()));
        assert!(left.is_some(), "left behind: {:#?}", self.processes());
        for address in [self.gateway, self.admin] {
            TcpListener::bind(address)
                .unwrap_or_else(|error| panic!("{address} is still taken: {error}"));
        }
    }

    /// All living processes of the system.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::marked(&self.mark)
    }

    /// What `ps -o json` says.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        Status(self.flotilla("ps -o json").expect(0).json())
    }

    /// Waits until the status is as `is_so` wants it.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let mut last = None;
        let found = within(wait::DEADLINE, &mut || {
            let status = self.look()?;
            let is_so = is_so(&status);
            last = Some(status.clone());
            is_so.then_some(status)
        });
        found.unwrap_or_else(|| panic!("{what}: never, but {last:#?}"))
    }

    /// The status, when a node answers; quicker than a command.
    pub(crate) fn look(&self) -> Option<Status> {
        let token = fs::read_to_string(self.dir().join(".flotilla/token")).ok()?;
        let request =
            Request::get("/v1/status").header("Authorization", &format!("Bearer {}", token.trim()));
        let answer = request.send(self.admin).ok()?;
        (answer.status == 200).then(|| Status(answer.json()))
    }

    /// Waits until a service has as many ready instances, and no others.
    #[track_caller]
    pub(crate) fn until_ready(&self, service: &str, count: u64) -> Status {
        self.until(&format!("{count} of {service} ready"), |status| {
            let it = status.service(service);
            it["ready"] == count && it["instances"].as_array().unwrap().len() as u64 == count
        })
    }

    /// The node's process, from the API.
    pub(crate) fn node(&self) -> u32 {
        let text = fs::read_to_string(self.dir().join(".flotilla/node.lock")).unwrap();
        text.trim().parse().unwrap_or_else(|error| panic!("{error} in node.lock: {text:?}"))
    }

    /// Kills the node with SIGKILL and waits until it is gone.
    pub(crate) fn kill_node(&self) {
        let node = self.node();
        processes::kill(node, Signal::KILL);
        eventually("the end of the node", || (!processes::lives(node)).then_some(()));
    }

    /// Asks the gateway.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(self.gateway, path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Asks the admin API with its token.
    #[track_caller]
    pub(crate) fn api(&self, method: &'static str, path: &str, body: Option<&Value>) -> Answer {
        let token = fs::read_to_string(self.dir().join(".flotilla/token")).unwrap();
        let request = match body {
            Some(body) => Request::with_json(method, path, body),
            None => Request { method, ..Request::get(path) },
        };
        let request = request.header("Authorization", &format!("Bearer {}", token.trim()));
        request.send(self.admin).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The address in a `<NEED>_URL` of an instance, as that instance sees it.
    pub(crate) fn need(&self, caller: SocketAddr, variable: &str) -> SocketAddr {
        let env = http::get(caller, "/env").unwrap().json();
        let url = env[variable].as_str().unwrap_or_else(|| panic!("no {variable} in {env:#}"));
        url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// All lines that `flotilla logs` has of a service or an instance.
    #[track_caller]
    pub(crate) fn logs(&self, name: &str) -> Vec<String> {
        let done = self.flotilla(&format!("logs {name} -o json")).expect(0);
        let text = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["text"].as_str().unwrap().to_owned()
        };
        done.out.lines().map(text).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir().join(".flotilla/node.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
            eprintln!("--- the node's last words:\n{}", last.join("\n"));
        }
        if !processes::end_all(&self.mark) {
            eprintln!("left behind: {:?}", self.processes());
        }
    }
}

/// Waits for the end of a child; its exit code, 128 and the signal for a signal, or nothing.
pub(crate) fn end_of(child: &mut Child, time: Duration) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    let status = within(time, &mut || child.try_wait().unwrap())?;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

/// Ends a child for certain.
pub(crate) fn kill_child(child: &mut Child) {
    let _gone = child.kill();
    child.wait().unwrap();
}

/// A picture of the system.
#[derive(Clone, Debug)]
pub(crate) struct Status(pub Value);

impl Status {
    /// # Panics
    /// When there is no such service.
    #[track_caller]
    pub(crate) fn service(&self, name: &str) -> &Value {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {:#}", self.0))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Value> {
        self.0["services"].as_array().unwrap().iter().find(|service| service["name"] == name)
    }

    #[track_caller]
    pub(crate) fn state(&self, service: &str) -> &str {
        self.service(service)["state"].as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn instances(&self, service: &str) -> &[Value] {
        self.service(service)["instances"].as_array().unwrap()
    }

    /// The processes of a service by instance.
    #[track_caller]
    pub(crate) fn pids(&self, service: &str) -> Vec<(String, u32)> {
        self.instances(service)
            .iter()
            .filter_map(|instance| {
                let pid = u32::try_from(instance["pid"].as_u64()?).unwrap();
                Some((instance["id"].as_str().unwrap().to_owned(), pid))
            })
            .collect()
    }

    /// Where an instance answers; `at` counts from 0.
    #[track_caller]
    pub(crate) fn address(&self, service: &str, at: usize) -> SocketAddr {
        self.instances(service)[at]["address"].as_str().unwrap().parse().unwrap()
    }

    /// The code of what is wrong with a service.
    #[track_caller]
    pub(crate) fn problem(&self, service: &str) -> &str {
        self.service(service)["problem"]["code"].as_str().unwrap_or_default()
    }
}
