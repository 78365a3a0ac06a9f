//! etcd on this machine: members on free ports of the loopback interface, killed by their process ids.

use adapter_etcd::{Config, Etcd};
use ports::kv::Kv;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    future::Future,
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// No test takes longer, unless it hangs.
const TEST_TIME_MAX: Duration = Duration::from_secs(240);

/// How long members may take to be ready, on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// Runs a test of so many members, with a bound in time; says so when there is no etcd.
pub(crate) fn with<F: Future<Output = ()>>(members: usize, test: impl FnOnce(Cluster) -> F) {
    with_options(members, &[], "http", test);
}

/// The same with options for etcd.
pub(crate) fn with_options<F: Future<Output = ()>>(
    members: usize,
    options: &[&str],
    scheme: &'static str,
    test: impl FnOnce(Cluster) -> F,
) {
    let Some(program) = find() else {
        let text = "there is no `etcd` on the PATH; install it with `apt-get install etcd-server`";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the etcd tests cannot run: {text}");
        eprintln!("SKIPPED, an etcd test did not run: {text}");
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::start(program, members, options, scheme);
        let end = tokio::time::timeout(TEST_TIME_MAX, test(cluster)).await;
        assert!(end.is_ok(), "the test hangs");
    });
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file())
}

/// Members of one cluster.
pub(crate) struct Cluster {
    program: PathBuf,
    options: Vec<String>,
    scheme: &'static str,
    dir: TempDir,
    members: Vec<Member>,
}

struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

impl Cluster {
    fn start(program: PathBuf, count: usize, options: &[&str], scheme: &'static str) -> Self {
        // All are taken at once, so that none is given twice.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listeners: Vec<_> = (0..count).map(|_| (free(), free())).collect();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let member = |(client, peer): &(TcpListener, TcpListener)| Member {
            client: port(client),
            peer: port(peer),
            child: None,
        };
        let members = listeners.iter().map(member).collect();
        drop(listeners);
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { program, options, scheme, dir, members };
        for number in 0..count {
            cluster.revive(number);
        }
        cluster
    }

    /// Starts a member on what it kept.
    pub(crate) fn revive(&mut self, number: usize) {
        let name = |number: usize| format!("m{number}");
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let all = self.members.iter().enumerate();
        let all: Vec<_> =
            all.map(|(number, member)| format!("{}={}", name(number), url(member.peer))).collect();
        let member = &self.members[number];
        let client = format!("{}://127.0.0.1:{}", self.scheme, member.client);
        let log = File::options().create(true).append(true).open(self.log(number)).unwrap();
        let child = Command::new(&self.program)
            .args(["--name", &name(number)])
            .arg("--data-dir")
            .arg(self.dir.path().join(name(number)))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &url(member.peer)])
            .args(["--initial-advertise-peer-urls", &url(member.peer)])
            .args(["--initial-cluster", &all.join(",")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(&self.options)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[number].child = Some(child);
    }

    fn log(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("m{number}.log"))
    }

    /// Ends a member as nothing else does: it cannot finish anything.
    pub(crate) fn kill(&mut self, number: usize) {
        let mut child = self.members[number].child.take().expect("it is alive");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Lets a member stand still, with all its threads.
    pub(crate) async fn freeze(&self, number: usize) {
        self.signal(number, Signal::STOP);
        let id = self.members[number].child.as_ref().expect("it is alive").id();
        let is_still = |thread: io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_none_or(|(_, state)| state.starts_with(" T"))
        };
        let start = Instant::now();
        while !fs::read_dir(format!("/proc/{id}/task")).unwrap().all(is_still) {
            assert!(start.elapsed() < START_TIME_MAX, "it does not stand still");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self, number: usize) {
        self.signal(number, Signal::CONT);
    }

    fn signal(&self, number: usize, signal: Signal) {
        let child = self.members[number].child.as_ref().expect("it is alive");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// A folder for the test's own files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `host:port` of a member.
    pub(crate) fn address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.members[number].client)
    }

    /// All members as an address, with this before and after the hosts.
    pub(crate) fn url(&self, user: &str, path: &str) -> String {
        let all: Vec<_> = (0..self.members.len()).map(|number| self.address(number)).collect();
        let scheme = if self.scheme == "https" { "etcds" } else { "etcd" };
        format!("{scheme}://{user}{}{path}", all.join(","))
    }

    /// An engine below a prefix.
    pub(crate) fn engine(&self, prefix: &str) -> Etcd {
        Etcd::new(&Config::parse(&self.url("", prefix)).unwrap()).unwrap()
    }

    /// Waits until the cluster serves an engine.
    pub(crate) async fn ready(&self, kv: &dyn Kv) {
        let start = Instant::now();
        loop {
            match kv.status().await {
                Ok(_) => return,
                Err(error) => {
                    if start.elapsed() > START_TIME_MAX {
                        let log = fs::read_to_string(self.log(0)).unwrap_or_default();
                        let end: Vec<_> = log.lines().rev().take(20).collect();
                        panic!("etcd does not serve: {error:?}\n{}", end.join("\n"));
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(child) = &mut member.child {
                // One that has ended by itself cannot be killed, and need not be.
                child.kill().unwrap_or_default();
                child.wait().ok();
            }
        }
    }
}
