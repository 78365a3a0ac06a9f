//! DTM's ports, where the file asks for them.

use crate::node::port_taken;
use api::dtm::{Config, Error, Service, Sockets};
use base::{Code, Diagnostic, ErrorChain};
use manifest::{Dtm, System};
use ports::kv::Kv;
use runtime::Clock;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::sync::Mutex;
use tracing::{info, warn};

/// The façade, as long as the file asks for it. Cheap to clone.
#[derive(Clone)]
pub(in crate::node) struct Facade(Arc<Inner>);

struct Inner {
    transactions: transactions::Handle,
    kv: Arc<dyn Kv>,
    system: String,
    clock: Clock,
    running: Mutex<Option<Service>>,
}

impl Facade {
    /// Listens where the file says, on the sockets of an earlier node if they are these.
    ///
    /// # Errors
    /// When an address is taken.
    pub(super) async fn start(
        (transactions, kv, clock): (transactions::Handle, Arc<dyn Kv>, Clock),
        system: &System,
        sockets: Sockets,
    ) -> Result<Self, Box<Diagnostic>> {
        let running = Mutex::new(None);
        let name = system.name.clone();
        let facade = Self(Arc::new(Inner { transactions, kv, system: name, clock, running }));
        if let Some(wanted) = &system.transactions.dtm {
            let service = facade.listen(wanted, sockets).await.map_err(|e| taken(&e, wanted))?;
            *facade.0.running.lock().await = Some(service);
        }
        Ok(facade)
    }

    async fn listen(&self, wanted: &Dtm, sockets: Sockets) -> Result<Service, Error> {
        let Inner { transactions, kv, system, clock, .. } = &*self.0;
        let kv = Arc::clone(kv);
        let addresses = (wanted.http, wanted.grpc);
        let config = Config::new(addresses, transactions.clone(), kv, system.clone(), *clock);
        let service = Service::take_over(config, sockets).await?;
        info!(http = %service.http(), grpc = %service.grpc(), "DTM's clients are served");
        Ok(service)
    }

    /// Takes over another system. An address that is taken leaves its port shut and is said in the log.
    pub(in crate::node) async fn apply(&self, system: &System) {
        let mut running = self.0.running.lock().await;
        let now = running.as_ref().map(|service| (service.http(), service.grpc()));
        let wanted = system.transactions.dtm.as_ref();
        if wanted.map(|dtm| (dtm.http, dtm.grpc)) == now {
            return;
        }
        if let Some(before) = running.take() {
            before.shutdown().await;
        }
        let Some(wanted) = wanted else { return };
        match self.listen(wanted, Sockets::default()).await {
            Ok(service) => *running = Some(service),
            Err(error) => warn!(error = %ErrorChain(&error), "DTM's clients are not served"),
        }
    }

    /// Further descriptors of what listens, for a node that takes over.
    pub(in crate::node) async fn export(&self) -> io::Result<Sockets> {
        match &*self.0.running.lock().await {
            Some(service) => service.export(),
            None => Ok(Sockets::default()),
        }
    }

    /// Ends it; requests that are open may finish.
    pub(super) async fn end(&self) {
        if let Some(service) = self.0.running.lock().await.take() {
            service.shutdown().await;
        }
    }
}

fn taken(error: &Error, wanted: &Dtm) -> Box<Diagnostic> {
    let Error { address, cause } = error;
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            port_taken(*address, "DTM façade", "transactions.dtm", wanted.place.as_ref())
        }
        _ => Box::new(Diagnostic::error(Code::BAD_VALUE, ErrorChain(error).to_string())),
    }
}

/// Where a successor finds them.
pub(in crate::node) fn addresses(sockets: &Sockets) -> Option<(SocketAddr, SocketAddr)> {
    Some((sockets.http.as_ref()?.0, sockets.grpc.as_ref()?.0))
}
