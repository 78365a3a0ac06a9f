//! Transactions in the node: the coordinator over the node's kv engine, with participants behind the data plane.

mod dtm;
mod joins;
mod wanted;

pub(super) use self::dtm::{Facade, addresses};

use self::joins::Joins;
use super::events::Reach;
use ::ports::kv::Kv;
use api::{app::AppBackend, tx::Caller};
use base::{Code, Diagnostic, ErrorChain};
use manifest::System;
use runtime::Clock;
use std::{sync::Arc, time::Duration};
use tracing::warn;

/// How long calls that are under way may take when the node ends; what does not end in time is asked again.
const GRACE: Duration = Duration::from_secs(2);

/// The coordinator.
pub(super) struct Transactions {
    service: transactions::Service,
    steering: Steering,
}

/// What others need of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Steering {
    pub(super) handle: transactions::Handle,
    pub(super) facade: Facade,
}

/// What it stands on.
pub(super) struct Ground {
    pub(super) kv: Arc<dyn Kv>,
    pub(super) coordination: coordination::Handle,
    pub(super) events: events::Handle,
    pub(super) reach: Reach,
    pub(super) backend: Arc<dyn AppBackend>,
    pub(super) node: String,
    pub(super) clock: Clock,
}

impl Transactions {
    /// Starts it; what an earlier node left unfinished goes on.
    ///
    /// # Errors
    /// When the file asks for what cannot be meant so, or a port of the façade is taken.
    pub(super) async fn start(
        ground: Ground,
        system: &System,
        sockets: api::dtm::Sockets,
    ) -> Result<Self, Box<Diagnostic>> {
        let joins = Joins { coordination: ground.coordination, events: ground.events };
        let config = transactions::Config {
            kv: Arc::clone(&ground.kv),
            participants: Arc::new(Caller::new(ground.backend, Arc::new(ground.reach))),
            joined: Arc::new(joins),
            system: system.name.clone(),
            node: ground.node,
            clock: ground.clock,
            wanted: wanted::wanted(system),
        };
        let (service, handle) = transactions::Service::start(config).map_err(|e| {
            Box::new(Diagnostic::error(Code::BAD_VALUE, ErrorChain(&e).to_string()))
        })?;
        let stands_on = (handle.clone(), ground.kv, ground.clock);
        match Facade::start(stands_on, system, sockets).await {
            Ok(facade) => Ok(Self { service, steering: Steering { handle, facade } }),
            Err(problem) => {
                service.shutdown(GRACE).await;
                Err(problem)
            }
        }
    }

    pub(super) fn steering(&self) -> Steering {
        self.steering.clone()
    }

    /// Takes no more of them, and parks what runs.
    pub(super) async fn end(self) {
        self.steering.facade.end().await;
        self.service.shutdown(GRACE).await;
    }
}

impl Steering {
    /// Takes over another system. What cannot be meant so was told by the check of the file.
    pub(super) async fn apply(&self, system: &System) {
        if let Err(error) = self.handle.apply(wanted::wanted(system)) {
            warn!(error = %ErrorChain(&error), "what the file says of transactions is not in force");
        }
        self.facade.apply(system).await;
    }
}
