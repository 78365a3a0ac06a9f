//! A host on the tests' engine, and waiting for states.

use adapter_docker::{
    Config, DockerHost, Lifetime, Service, sweep,
    testing::{self, Engine, IMAGE},
};
use base::{ErrorChain, InstanceId};
use ports::{
    host::{Container, Host, Limits, Program, Run, Spec},
    logs::{Line, Sink, Stream},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// No state takes this long to come, unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Collects lines.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<Line>>);

impl Sink for Lines {
    fn append(&self, lines: &[Line]) {
        self.0.lock().unwrap().extend_from_slice(lines);
    }
}

impl Lines {
    /// The text of what came on `stream`.
    pub(crate) fn of(&self, stream: Stream) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.stream == stream).map(|line| line.text.clone()).collect()
    }

    /// What came on standard output.
    pub(crate) fn out(&self) -> Vec<String> {
        self.of(Stream::Out)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn all(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }
}

/// A host for a system of its own.
pub(crate) struct Fixture {
    pub engine: Arc<Engine>,
    pub config: Config,
    pub host: Arc<DockerHost>,
    pub lines: Arc<Lines>,
    service: Option<Service>,
}

impl Fixture {
    /// `None` when the machine has no engine; that was said.
    pub(crate) async fn new() -> Option<Self> {
        let engine = runtime::blocking(testing::engine).await?;
        Some(Self::on(engine))
    }

    pub(crate) fn on(engine: Arc<Engine>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let system = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let state_dir = std::env::temp_dir().join(format!("flotilla-{system}"));
        let config = Config {
            docker_host: Some(engine.docker_host().to_owned()),
            system,
            state_dir,
            lifetime: Lifetime::Survives,
        };
        let lines = Arc::new(Lines::default());
        let (service, host) = DockerHost::connect(config.clone(), lines.clone()).unwrap();
        Self { engine, config, host, lines, service: Some(service) }
    }

    /// The node ends without a word, and another one begins; lines are collected on.
    pub(crate) fn replace_node(&mut self) {
        drop(self.service.take());
        let (service, host) = DockerHost::connect(self.config.clone(), self.lines.clone()).unwrap();
        self.service = Some(service);
        self.host = host;
    }

    /// The node stops as it should.
    pub(crate) async fn stop_node(&mut self) {
        if let Some(service) = self.service.take() {
            service.shutdown().await.unwrap();
        }
    }

    /// Removes what the test made.
    pub(crate) async fn end(mut self) {
        self.stop_node().await;
        sweep(&self.config).await.unwrap();
        drop(std::fs::remove_dir_all(&self.config.state_dir));
        // The engine's end blocks.
        runtime::blocking(move || drop(self)).await;
    }

    pub(crate) async fn start(&self, spec: &Spec) -> Run {
        self.host.start(spec).await.unwrap_or_else(|e| panic!("{:?}", ErrorChain(&e)))
    }

    pub(crate) async fn line(&self, text: &str) {
        until(&format!("line `{text}`"), async || self.lines.out().iter().any(|line| line == text))
            .await;
    }
}

/// A spec that runs `line` in the image's shell.
pub(crate) fn shell(instance: &str, line: &str) -> Spec {
    container(
        instance,
        Container {
            image: IMAGE.to_owned(),
            command: Some(["/bin/sh", "-c", line].map(str::to_owned).into()),
            ..Container::default()
        },
    )
}

pub(crate) fn container(instance: &str, container: Container) -> Spec {
    Spec {
        instance: InstanceId::parse(instance).unwrap(),
        program: Program::Container(container),
        dir: PathBuf::from("/"),
        env: BTreeMap::new(),
        port: None,
        limits: Limits::default(),
        labels: BTreeMap::new(),
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Waits for a state.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `GET /` at `address`; the whole answer, or nothing when there is none.
pub(crate) async fn get(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    runtime::blocking(move || {
        let timeout = Duration::from_secs(5);
        let mut text = String::new();
        let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, timeout) else {
            return text;
        };
        stream.set_read_timeout(Some(timeout)).unwrap();
        drop(stream.write_all(b"GET / HTTP/1.0\r\n\r\n"));
        drop(stream.read_to_string(&mut text));
        text
    })
    .await
}
