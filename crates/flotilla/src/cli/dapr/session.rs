//! One run of apps: a folder with the file that says what runs, and a node in this process.
//!
//! The folder is in the user's state folder, named by the app or the template, so that what an app has stored is there when
//! it runs again. While one process uses it, another one of the same name gets a folder of its own.

use super::{listing, screen};
use crate::{
    cli::{
        Context,
        exit::{Exit, Failure, Outcome},
        locate::Place,
        no_runtime,
        ui::{Halt, NodeState},
        up::{log, signals},
    },
    node::{self, NodeEnd, NodeOptions},
    peers::{About, Entry, Folder, Published},
};
use manifest::{AppProtocol, Program, SecretSource, Service, StateKind};
use rustix::fs::{FlockOperation, flock};
use std::{
    env,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// How long the screen may take to print its last lines once the node has ended.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Most processes of one name at a time.
const COPIES_MAX: u32 = 32;

/// How long an app may take to open its port. There, nobody ends one that takes long.
const START_TIMEOUT: &str = "24h";

/// The variable that names an engine which several processes share.
pub(super) const SHARED_ENGINE: &str = "FLOTILLA_DAPR_KV";

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `dapr run` with one app.
    Single,
    /// `dapr run -f`.
    Several,
    /// `daprd`.
    Daemon,
}

/// An app of the session.
#[derive(Clone, Debug)]
pub(super) struct App {
    /// The service's name.
    pub(super) name: String,
    pub(super) app_id: String,
    pub(super) http_port: u16,
    pub(super) grpc_port: u16,
    address: Option<SocketAddr>,
    protocol: &'static str,
    command: String,
    /// Somebody else starts it.
    is_external: bool,
    listens: bool,
}

impl App {
    pub(super) fn new(service: &Service, http_port: u16, grpc_port: u16) -> Self {
        let command = match &service.program {
            Program::Shell(line) => line.clone(),
            Program::Exec(words) => words.join(" "),
            Program::Container(container) => container.image.clone(),
            Program::External(_) => String::new(),
        };
        let address = match &service.program {
            Program::External(external) => external.address,
            _ => service.port.filter(|_| service.listens).map(|port| ([127, 0, 0, 1], port).into()),
        };
        Self {
            name: service.name.to_string(),
            app_id: service.api.app_id.clone(),
            http_port,
            grpc_port,
            address,
            protocol: match service.api.protocol {
                AppProtocol::Http => "http",
                AppProtocol::Https => "https",
                AppProtocol::Grpc => "grpc",
                AppProtocol::Grpcs => "grpcs",
                AppProtocol::H2c => "h2c",
            },
            command,
            is_external: matches!(service.program, Program::External(_)),
            listens: service.listens,
        }
    }

    fn entry(&self, run_file: Option<&PathBuf>) -> Entry {
        Entry::new(About {
            app_id: self.app_id.clone(),
            address: self.address,
            protocol: self.protocol,
            http_port: self.http_port,
            grpc_port: self.grpc_port,
            command: self.command.clone(),
            run_file: run_file.cloned(),
        })
    }
}

/// What is needed to run.
pub(super) struct Session {
    style: Style,
    folder: PathBuf,
    /// Held while this process uses the folder.
    _lock: File,
    pub(super) apps: Vec<App>,
    pub(super) run_file: Option<PathBuf>,
    /// Nothing in its folder is worth keeping.
    pub(super) is_forgetful: bool,
}

impl Session {
    /// Finds the folder of `key`, called like `name`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn begin(name: &str, key: &str, style: Style) -> Result<Self, Failure> {
        let base = base();
        let plain = plain(name, key);
        for copy in 1..=COPIES_MAX {
            let folder =
                if copy == 1 { base.join(&plain) } else { base.join(format!("{plain}-{copy}")) };
            let cannot = |e: io::Error| {
                let text = format!("the folder {} cannot be used: {e}", folder.display());
                let help = "set XDG_STATE_HOME to a folder that you can write to";
                Failure::with_help(Exit::Failure, text, help)
            };
            let lock = claim(&folder).map_err(cannot)?;
            if let Some(lock) = lock {
                let (apps, run_file) = (Vec::new(), None);
                let is_forgetful = false;
                return Ok(Self { style, folder, _lock: lock, apps, run_file, is_forgetful });
            }
        }
        let text = format!("{COPIES_MAX} processes run `{name}` already");
        Err(Failure::with_help(Exit::Conflict, text, "`dapr list` shows them"))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file into the folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|e| {
            Failure::new(Exit::Failure, format!("{} cannot be written: {e}", path.display()))
        })
    }

    /// Runs until somebody asks for the end, or all apps have ended.
    pub(super) fn run(self, context: &Context, template: &str) -> Outcome {
        self.write("flotilla.yaml", &self.file(template))?;
        let file = self.folder.join("flotilla.yaml");
        let place = Place { file, root: self.folder.clone(), is_above: false };
        let log_file = log::open(&place).map_err(|e| {
            Failure::new(Exit::Failure, format!("{} cannot be used: {e}", place.state().display()))
        })?;
        log::start(log_file, context.verbose);
        let (peers, _published) = self.publish(context);
        if self.style != Style::Daemon {
            let folder = self.folder.display();
            context.out.say(&format!(
                "what runs here is a system of its own: `flotilla -f {folder}` with ps, logs, state, config, secrets acts on it"
            ));
        }
        let halt = watch::Sender::new(Halt::No);
        let state = watch::Sender::new(NodeState::Starting);
        let setup = screen::Setup {
            out: context.out,
            client: place.client(),
            logs: place.state().join("logs"),
            style: self.style,
            apps: self.apps.clone(),
            node: state.subscribe(),
            halt: halt.clone(),
        };
        let (sender, screen) = mpsc::sync_channel(1);
        let _thread = runtime::thread("screen", move || screen::thread(setup, &sender))
            .map_err(|e| no_runtime(&e))?;
        let end = run_node(context, &place, peers, &halt, &state);
        state.send_replace(NodeState::Ended);
        let ending = screen.recv_timeout(LAST_LINES);
        if self.is_forgetful {
            let _left_over = fs::remove_dir_all(&self.folder);
        }
        let failed = ending.unwrap_or_else(|_stuck| Ok(screen::Ending::default()))?.failed;
        match end? {
            NodeEnd::Failed => Ok(Exit::NotReady),
            NodeEnd::Stopped | NodeEnd::Replaced if failed => Ok(Exit::Failure),
            NodeEnd::Stopped | NodeEnd::Replaced => Ok(Exit::Success),
        }
    }

    /// Tells other processes of the apps. Without it these are not found by name, and everything else works.
    fn publish(&self, context: &Context) -> (Option<Folder>, Published) {
        let folder = match listing::folder() {
            Ok(folder) => folder,
            Err(failure) => {
                context
                    .out
                    .say(&format!("apps of other processes are not found: {}", failure.text()));
                return (None, Published::default());
            }
        };
        let entries: Vec<Entry> =
            self.apps.iter().map(|app| app.entry(self.run_file.as_ref())).collect();
        let published = folder.publish(&entries).unwrap_or_else(|e| {
            context.out.say(&format!("other processes do not find these apps: {e}"));
            Published::default()
        });
        (Some(folder), published)
    }

    /// The file that the node runs: the template, and what a session says differently.
    fn file(&self, template: &str) -> String {
        let is_set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty());
        let tokens = [("token", "DAPR_API_TOKEN"), ("app_token", "APP_API_TOKEN")];
        let tokens: String = tokens
            .iter()
            .filter(|(_, variable)| is_set(variable))
            .map(|(key, variable)| format!(", {key}: \"${{{variable}}}\""))
            .collect();
        let mut text = format!(
            "include: {}\nadmin: {{ listen: \"127.0.0.1:0\" }}\ngateway: {{ routes: {{}} }}\nservices:\n",
            serde_json::Value::from(template)
        );
        if is_set(SHARED_ENGINE) {
            // Keys begin with the system's name: to share them it must be one.
            let engine = format!("name: dapr\nengines: {{ kv: \"${{{SHARED_ENGINE}}}\" }}\n");
            text.insert_str(0, &engine);
        }
        for app in &self.apps {
            let App { name, http_port, grpc_port, .. } = app;
            // Nothing can fail in a text.
            let _ = writeln!(text, "  {name}:");
            if !app.is_external {
                let _ = writeln!(text, "    restart: never");
            }
            if app.listens {
                let _ = writeln!(text, "    health: {{ start_timeout: {START_TIMEOUT} }}");
            }
            let _ = writeln!(
                text,
                "    api: {{ http_port: {http_port}, grpc_port: {grpc_port}{tokens} }}"
            );
        }
        text
    }
}

/// Whether stores of a system outlive its process but are not shared with others: worth saying where several processes
/// are used to sharing one.
pub(super) fn keeps_to_itself(system: &manifest::System) -> bool {
    let file = &system.coordination;
    let is_durable = |store: &manifest::StateStore| store.kind == StateKind::Durable;
    env::var_os(SHARED_ENGINE).is_none()
        && matches!(file.kv, manifest::KvEngine::Embedded)
        && (!file.locks.is_empty() || file.state.iter().any(is_durable))
}

/// Whether nothing that a system stores outlives its process.
pub(super) fn forgets(system: &manifest::System) -> bool {
    let file = &system.coordination;
    let is_durable = |store: &manifest::StateStore| store.kind == StateKind::Durable;
    let of_kv = |store: &manifest::SecretStore| store.sources.contains(&SecretSource::Kv);
    !file.state.iter().any(is_durable)
        && file.configuration.is_empty()
        && !file.secrets.iter().any(of_kv)
}

/// The user's folder for sessions.
fn base() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    state.unwrap_or_else(env::temp_dir).join("flotilla").join("dapr")
}

/// A name for a folder: readable, short (a socket below it has at most 107 bytes), and one for each key.
fn plain(name: &str, key: &str) -> String {
    const READABLE_MAX: usize = 20;
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let readable: String = name.chars().map(letter).take(READABLE_MAX).collect();
    let sum = key
        .bytes()
        .fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{readable}-{sum:08x}")
}

/// Makes the folder and takes its lock; nothing when another process has it.
fn claim(folder: &Path) -> io::Result<Option<File>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("session.lock"))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn run_node(
    context: &Context,
    place: &Place,
    peers: Option<Folder>,
    halt: &watch::Sender<Halt>,
    state: &watch::Sender<NodeState>,
) -> Result<NodeEnd, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| no_runtime(&e))?;
    let (ready, answers) = oneshot::channel();
    let options = NodeOptions {
        file: place.file.clone(),
        environment: None,
        detached: false,
        stop_survivors: false,
        ready: Some(ready),
        no_build: true,
        verbose: context.verbose,
        predecessor: None,
        sidecar: Some(node::Sidecar { peers }),
    };
    let node = node::run(
        options,
        signals::at_least(halt.subscribe(), Halt::Gently),
        signals::at_least(halt.subscribe(), Halt::AtOnce),
    );
    let announce = async {
        if answers.await.is_ok() {
            state.send_replace(NodeState::Answering);
        }
        std::future::pending::<()>().await;
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let end = runtime.block_on(async {
        tokio::select! {
            end = node => end,
            () = signals::watch(halt, &interrupted, true) => Ok(NodeEnd::Failed),
            () = announce => Ok(NodeEnd::Failed),
        }
    });
    // A signal is how such a program is ended: it is no failure.
    interrupted.store(false, Ordering::Relaxed);
    runtime.shutdown_background();
    Ok(end?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_readable_short_and_one_for_each_key() {
        assert_eq!(plain("Order_Processor", "x"), plain("Order_Processor", "x"));
        assert!(plain("Order_Processor", "x").starts_with("order-processor-"));
        assert_ne!(plain("a", "x"), plain("a", "y"));
        assert!(plain(&"é".repeat(300), "x").len() <= 32);
    }

    #[test]
    fn a_folder_in_use_is_not_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a");
        let lock = claim(&folder).unwrap().unwrap();
        assert!(claim(&folder).unwrap().is_none());
        drop(lock);
        assert!(claim(&folder).unwrap().is_some());
    }
}
