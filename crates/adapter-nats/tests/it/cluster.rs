//! NATS on this machine: servers on free ports of the loopback interface, killed by their process ids.

use adapter_nats::{Config, Nats};
use ports::broker::Broker;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fmt::Write,
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
const TEST_TIME_MAX: Duration = Duration::from_secs(300);

/// How long servers may take to be ready, on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// The first version that syncs before it acknowledges, when it is told to.
const SYNCS_SINCE: (u32, u32) = (2, 10);

/// Runs a test of so many servers, with a bound in time; says so when there is no nats-server.
pub(crate) fn with<F: Future<Output = ()>>(servers: usize, test: impl FnOnce(Cluster) -> F) {
    with_options(servers, "", test);
}

/// The same with more lines for the servers' configuration.
pub(crate) fn with_options<F: Future<Output = ()>>(
    servers: usize,
    options: &str,
    test: impl FnOnce(Cluster) -> F,
) {
    let Some(program) = find() else {
        let text =
            "there is no `nats-server` on the PATH; install it with `apt-get install nats-server`";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the NATS tests cannot run: {text}");
        eprintln!("SKIPPED, a NATS test did not run: {text}");
        return;
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::start(program, servers, options);
        let end = tokio::time::timeout(TEST_TIME_MAX, test(cluster)).await;
        assert!(end.is_ok(), "the test hangs");
    });
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
}

/// Whether it knows `sync_interval: always`.
fn can_sync(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.rsplit('v').next().unwrap_or_default().trim();
    let mut numbers = version.split('.').map(|word| word.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= SYNCS_SINCE
}

/// Servers of one cluster.
pub(crate) struct Cluster {
    program: PathBuf,
    options: String,
    can_sync: bool,
    dir: TempDir,
    servers: Vec<Server>,
}

struct Server {
    client: u16,
    route: u16,
    child: Option<Child>,
}

impl Cluster {
    fn start(program: PathBuf, count: usize, options: &str) -> Self {
        // All are taken at once, so that none is given twice.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listeners: Vec<_> = (0..count).map(|_| (free(), free())).collect();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let server = |(client, route): &(TcpListener, TcpListener)| Server {
            client: port(client),
            route: port(route),
            child: None,
        };
        let servers = listeners.iter().map(server).collect();
        drop(listeners);
        let can_sync = can_sync(&program);
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { program, options: options.to_owned(), can_sync, dir, servers };
        for number in 0..count {
            cluster.revive(number);
        }
        cluster
    }

    /// Starts a server on what it kept.
    pub(crate) fn revive(&mut self, number: usize) {
        let server = &self.servers[number];
        let file = |what: &str| self.dir.path().join(format!("n{number}.{what}"));
        let mut config = format!(
            "server_name: n{number}\nlisten: 127.0.0.1:{}\njetstream {{\n store_dir: \"{}\"\n",
            server.client,
            file("data").display()
        );
        if self.can_sync {
            config += " sync_interval: always\n";
        }
        config += "}\n";
        if self.servers.len() > 1 {
            let route = |server: &Server| format!("nats-route://127.0.0.1:{}", server.route);
            let routes: Vec<_> = self.servers.iter().map(route).collect();
            let (port, routes) = (server.route, routes.join(", "));
            let cluster = "cluster { name: test, listen: \"127.0.0.1:";
            writeln!(config, "{cluster}{port}\", routes: [{routes}] }}").unwrap();
        }
        config += &self.options;
        fs::write(file("conf"), config).unwrap();
        let log = File::options().create(true).append(true).open(file("log")).unwrap();
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(file("conf"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.servers[number].child = Some(child);
    }

    /// Ends a server as nothing else does: it cannot finish anything.
    pub(crate) fn kill(&mut self, number: usize) {
        let mut child = self.servers[number].child.take().expect("it is alive");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Lets a server stand still, with all its threads.
    pub(crate) async fn freeze(&self, number: usize) {
        self.signal(number, Signal::STOP);
        let id = self.servers[number].child.as_ref().expect("it is alive").id();
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
        let child = self.servers[number].child.as_ref().expect("it is alive");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// What the servers say of the cluster of a stream, once it satisfies `is_right`.
    async fn stream<T>(&self, stream: &str, is_right: impl Fn(&Value) -> Option<T>) -> T {
        let alive = (0..self.servers.len()).filter(|number| self.servers[*number].child.is_some());
        let servers: Vec<String> = alive.map(|number| self.address(number)).collect();
        let client = async_nats::connect(servers).await.unwrap();
        let start = Instant::now();
        loop {
            let asked = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into());
            let answer = asked.await.map(|message| message.payload).unwrap_or_default();
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            if let Some(right) = is_right(&answer["cluster"]) {
                return right;
            }
            assert!(start.elapsed() < START_TIME_MAX, "{stream}: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Which server leads a stream.
    pub(crate) async fn leader(&self, stream: &str) -> usize {
        let number = |cluster: &Value| cluster["leader"].as_str()?.strip_prefix('n')?.parse().ok();
        self.stream(stream, number).await
    }

    /// Waits until every server has all of a stream.
    pub(crate) async fn in_sync(&self, stream: &str) {
        let is_current = |replica: &Value| replica["current"] == json!(true);
        let all = self.servers.len() - 1;
        let is_right = |cluster: &Value| {
            let replicas = cluster["replicas"].as_array()?;
            (replicas.len() == all && replicas.iter().all(is_current)).then_some(())
        };
        self.stream(stream, is_right).await;
    }

    /// `host:port` of a server.
    pub(crate) fn address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.servers[number].client)
    }

    /// How to get to all servers.
    pub(crate) fn config(&self) -> Config {
        Config {
            servers: (0..self.servers.len()).map(|number| self.address(number)).collect(),
            tls: None,
            credentials: None,
            prefix: "suite".to_owned(),
            replicas: if self.servers.len() < 3 { 1 } else { 3 },
        }
    }

    /// An engine, once it serves.
    pub(crate) async fn engine(&self) -> Nats {
        let nats = Nats::connect(&self.config()).unwrap();
        self.ready(&nats).await;
        nats
    }

    /// Waits until NATS serves an engine.
    pub(crate) async fn ready(&self, nats: &Nats) {
        let start = Instant::now();
        while let Err(error) = nats.topics().await {
            if start.elapsed() > START_TIME_MAX {
                let log = fs::read_to_string(self.dir.path().join("n0.log")).unwrap_or_default();
                let end: Vec<_> = log.lines().rev().take(20).collect();
                panic!("NATS does not serve: {error:?}\n{}", end.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for server in &mut self.servers {
            if let Some(child) = &mut server.child {
                // One that has ended by itself cannot be killed, and need not be.
                child.kill().unwrap_or_default();
                child.wait().ok();
            }
        }
    }
}
