//! Starting one run: what it needs is opened, made and looked up first.

use super::{Shared, effects::refusal};
use crate::{
    diagnose,
    recipe::{self, Surroundings},
};
use base::{Code, Diagnostic, ErrorChain, InstanceId, ServiceName};
use manifest::{Condition, Database, Need, Service};
use ports::{
    host::{self, Host, Spec},
    secrets,
    traffic::AppAddresses,
};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

/// What the name of a secret begins with.
const SECRET: &str = "${secret:";

/// What a start needs, taken along into its task.
pub(super) struct Start {
    pub(super) shared: Shared,
    pub(super) service: Arc<Service>,
    pub(super) host: Arc<dyn Host>,
    pub(super) instance: InstanceId,
    pub(super) program: host::Program,
    pub(super) port: Option<u16>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) env: BTreeMap<String, String>,
}

impl Start {
    /// Opens the listeners for its needs and its app API, makes its database's folder, looks its secrets up, and
    /// starts it.
    pub(super) async fn go(self) -> Result<host::Run, Box<Diagnostic>> {
        let on = self.host.reach();
        let needs = self.needs(on).await?;
        let app = self.app(on).await?;
        self.make_database_folder().await?;
        let env = recipe::environment(&Surroundings {
            service: &self.service,
            instance: &self.instance,
            port: self.port,
            needs: &needs,
            app,
            state_dir: &self.shared.config.state_dir,
        });
        let mut env = reveal(&self.shared, &self.service, env).await?;
        env.extend(self.env);
        let mut labels = self.labels;
        labels.insert(recipe::NEEDS.to_owned(), recipe::print_needs(&needs));
        labels.insert(recipe::APP.to_owned(), recipe::print_app(&app));
        let spec = Spec {
            instance: self.instance,
            program: self.program,
            dir: self.service.dir.clone(),
            env,
            port: self.port,
            limits: recipe::limits(&self.service),
            labels,
        };
        self.host.start(&spec).await.map_err(|e| {
            let container = matches!(spec.program, host::Program::Container(_));
            Box::new(refusal(&self.service, if container { "image" } else { "run" }, e))
        })
    }

    async fn needs(&self, on: IpAddr) -> Result<Vec<(ServiceName, SocketAddr)>, Box<Diagnostic>> {
        let mut needs = Vec::new();
        // A job listens nowhere; `completed` is what only jobs become.
        let listening = |need: &&Need| need.condition != Condition::Completed;
        for need in self.service.needs.iter().filter(listening) {
            let (caller, traffic) = (&self.service.name, &self.shared.config.traffic);
            match traffic.need_address(caller, &need.service, on).await {
                Ok(address) => needs.push((need.service.clone(), address)),
                Err(e) => {
                    let what =
                        format!("no listener for {} can be opened on {on}: {e}", need.service);
                    return Err(Box::new(Diagnostic::error(Code::PORT_TAKEN, what)));
                }
            }
        }
        Ok(needs)
    }

    async fn app(&self, on: IpAddr) -> Result<AppAddresses, Box<Diagnostic>> {
        let wish = recipe::app_wish(&self.service, on);
        let opened = self.shared.config.traffic.app_addresses(&self.instance, wish).await;
        opened.map_err(|e| {
            let what =
                format!("the app API of {} cannot be opened: {}", self.instance, ErrorChain(&e));
            let diagnostic = Diagnostic::error(Code::PORT_TAKEN, what);
            let is_taken = e.kind() == io::ErrorKind::AddrInUse;
            let wished = [(wish.http, "api.http_port"), (wish.grpc, "api.grpc_port")];
            let key = wished.iter().find_map(|(port, key)| port.map(|_| *key)).filter(|_| is_taken);
            Box::new(match key {
                Some(key) => {
                    let diagnostic = diagnostic
                        .help(format!("free the port, or leave `{key}` out and get another one"));
                    diagnose::place(diagnostic, &self.service, key, "")
                }
                None => diagnostic,
            })
        })
    }

    async fn make_database_folder(&self) -> Result<(), Box<Diagnostic>> {
        if self.service.db != Some(Database::Sqlite) {
            return Ok(());
        }
        let file = recipe::database_path(&self.shared.config.state_dir, &self.service.name);
        let folder = file.parent().map_or_else(PathBuf::new, ToOwned::to_owned);
        let made = runtime::blocking(move || std::fs::create_dir_all(folder)).await;
        made.map_err(|e| {
            let what = format!("the folder of the database {} cannot be made: {e}", file.display());
            Box::new(Diagnostic::error(Code::STATE_DIR, what))
        })
    }
}

/// Puts secrets where their names stand in `env`.
pub(super) async fn reveal(
    shared: &Shared,
    service: &Service,
    mut env: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Box<Diagnostic>> {
    for (name, value) in env.iter_mut().filter(|(_, value)| value.contains(SECRET)) {
        match shared.config.secrets.reveal(value).await {
            Ok(revealed) => *value = revealed.into_inner(),
            Err(error) => return Err(Box::new(unknown(service, name, &error))),
        }
    }
    Ok(env)
}

/// Why the variable `name` cannot be filled in.
fn unknown(service: &Service, name: &str, error: &secrets::Error) -> Diagnostic {
    let what = format!("{} cannot be started: {error}", service.name);
    let diagnostic = Diagnostic::error(Code::SECRET, what);
    let key = recipe::key_of(service, name);
    let diagnostic = match error {
        secrets::Error::Missing { name, .. } => diagnostic.help(format!(
            "set it with `flotilla secrets set {name}`; it is tried again in a moment"
        )),
        secrets::Error::Unavailable(_) => diagnostic.help("it is tried again in a moment"),
    };
    diagnose::place(diagnostic.note(format!("`{key}` names it")), service, &key, "")
}
