//! A Docker engine and an image for tests, without a network and without touching an engine of the machine.
//!
//! [`engine`] uses the engine at `DOCKER_HOST` when that is set; otherwise it starts a private one (`dockerd` from
//! Debian's `docker.io`, needs root) in a folder of its own. The image [`IMAGE`] is made of Debian's `busybox-static`.
//! Everything blocks; call it outside of async code or where blocking does not matter.
//!
//! The private engine is the child of a small shell (`testing/guard.sh`) that holds the other end of a pipe: when the
//! test process ends in whatever way, the pipe closes and the shell takes everything down.

mod http;
mod tar;

use serde_json::Value;
use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// The image every engine of [`engine`] has: a static busybox with all its applets in `/bin`.
pub const IMAGE: &str = "flotilla-test:1";

const BUSYBOX: &str = "/bin/busybox";

/// How long the engine may take to start; it takes one second on a free machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// How long it may take to go, containers included.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running engine that has [`IMAGE`].
pub struct Engine {
    docker_host: String,
    guard: Option<Mutex<Guard>>,
}

struct Guard {
    child: Child,
    orders: Option<ChildStdin>,
    dir: PathBuf,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("docker_host", &self.docker_host).finish_non_exhaustive()
    }
}

/// The engine of this test process, started with the first caller and stopped with the last. `None`, loudly, when the
/// machine cannot run one.
///
/// # Panics
/// When there is none and `CI` is `true`, with what to install; or when it does not start.
#[must_use]
pub fn engine() -> Option<Arc<Engine>> {
    static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
    // Held while it starts: the others wait for this one instead of starting their own.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = shared.upgrade() {
        return Some(engine);
    }
    let engine = Arc::new(Engine::start_first()?);
    *shared = Arc::downgrade(&engine);
    Some(engine)
}

impl Engine {
    fn start_first() -> Option<Self> {
        if let Some(reason) = missing() {
            let text = format!("{reason}; install with `apt-get install docker.io busybox-static`");
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "the Docker tests cannot run: {text}"
            );
            say(&format!("SKIPPED, the Docker tests did not run: {text}"));
            return None;
        }
        let engine = match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => Self { docker_host: host, guard: None },
            _ => return Some(Self::start_ready()),
        };
        engine.wait_until(true);
        engine.load_image();
        Some(engine)
    }

    /// One more private engine, for a test that kills it under others' feet.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_ready() -> Self {
        let engine = Self::start_private().expect("a private Docker engine starts");
        engine.wait_until(true);
        engine.load_image();
        engine
    }

    fn start_private() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // A socket's path has at most 107 bytes, also the ones the engine makes deep inside.
        let dir = PathBuf::from(format!("/tmp/flotilla-docker-{}-{count}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", include_str!("testing/guard.sh"), "guard"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C in the terminal is for the tests; the guard cleans up when they are gone.
            .process_group(0)
            .spawn()?;
        let orders = child.stdin.take();
        let docker_host = format!("unix://{}", dir.join("docker.sock").display());
        let guard = Some(Mutex::new(Guard { child, orders, dir }));
        Ok(Self { docker_host, guard })
    }

    /// Its address, for [`crate::Config::docker_host`].
    #[must_use]
    pub fn docker_host(&self) -> &str {
        &self.docker_host
    }

    /// Whether it is ours to kill.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.guard.is_some()
    }

    /// Kills a private engine with SIGKILL; its containers run on. Returns when it no longer answers.
    pub fn kill(&self) {
        self.order("kill");
        self.wait_until(false);
    }

    /// Starts a private engine that was killed. Returns when it answers.
    pub fn start(&self) {
        self.order("start");
        self.wait_until(true);
    }

    /// Asks the engine's API; gives the status and the answer (`Null` when it is not one JSON value).
    ///
    /// # Errors
    /// When there is no answer.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Value)> {
        let (status, body) = http::request(&self.docker_host, method, path, body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn order(&self, word: &str) {
        let guard = self.guard.as_ref().expect("only a private engine takes orders");
        let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = guard.orders.as_mut().expect("the guard lives as long as the engine");
        writeln!(orders, "{word}").expect("the guard reads its orders");
    }

    fn wait_until(&self, answers: bool) {
        let deadline = Instant::now() + START_TIME_MAX;
        while self.request("GET", "/_ping", &[]).is_ok() != answers {
            assert!(
                Instant::now() < deadline,
                "the Docker engine at {} did not {} in time:\n{}",
                self.docker_host,
                if answers { "start" } else { "end" },
                self.log()
            );
            pause();
        }
    }

    fn log(&self) -> String {
        let dir = self
            .guard
            .as_ref()
            .map(|guard| guard.lock().unwrap_or_else(PoisonError::into_inner).dir.clone());
        dir.map_or_else(String::new, |dir| fs::read_to_string(dir.join("log")).unwrap_or_default())
    }

    fn load_image(&self) {
        let (status, _) =
            self.request("GET", &format!("/images/{IMAGE}/json"), &[]).expect("the engine answers");
        if status == 200 {
            return;
        }
        let image = tar::busybox(Path::new(BUSYBOX)).expect("busybox can be read");
        let (name, tag) = IMAGE.split_once(':').expect("the name has a tag");
        let path = format!("/images/create?fromSrc=-&repo={name}&tag={tag}");
        let (status, answer) =
            self.request("POST", &path, &image).expect("the engine takes an image");
        assert_eq!(status, 200, "the engine refused the image: {answer}");
    }

    /// Removes all containers and networks of a private engine, which takes their interfaces away too.
    fn clear(&self) {
        for (list, one) in [("/containers/json?all=1", "/containers/"), ("/networks", "/networks/")]
        {
            let Ok((200, Value::Array(found))) = self.request("GET", list, &[]) else { continue };
            for id in found.iter().filter_map(|it| it.get("Id")?.as_str()) {
                // The networks that the engine itself has are refused, as they should be.
                let _ = self.request("DELETE", &format!("{one}{id}?force=1&v=1"), &[]);
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.guard.is_none() {
            return;
        }
        self.clear();
        let Some(guard) = self.guard.take() else { return };
        let mut guard = guard.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(guard.orders.take());
        let deadline = Instant::now() + STOP_TIME_MAX;
        while !matches!(guard.child.try_wait(), Ok(Some(_))) {
            if Instant::now() > deadline {
                say(&format!(
                    "a Docker engine of the tests did not end; see {}",
                    guard.dir.display()
                ));
                return;
            }
            pause();
        }
    }
}

/// Why the tests cannot run here.
fn missing() -> Option<String> {
    let has = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|dir: PathBuf| dir.join(name).is_file())
    };
    if !Path::new(BUSYBOX).exists() {
        return Some(format!("there is no {BUSYBOX}"));
    }
    if std::env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty()) {
        return None;
    }
    if !has("dockerd") {
        return Some("there is no dockerd".to_owned());
    }
    let is_root = rustix::process::geteuid().is_root();
    (!is_root)
        .then(|| "a private engine needs root (or set DOCKER_HOST to a running one)".to_owned())
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen, and this is test code")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::disallowed_methods, reason = "polls a child process from blocking test code")]
fn pause() {
    std::thread::sleep(POLL);
}
