//! Calls participants, each through the way that leads to it.

use super::{ask, judge};
use crate::{
    app::{AppBackend, Reachable},
    pool::{self, Answered, Place, Pool, Version},
};
use async_trait::async_trait;
use base::ServiceName;
use logic::tx::Answer;
use std::sync::Arc;
use transactions::{CallRequest, Called, Participants, Target};

/// Largest answer that is read, in bytes. A longer one is judged by its status alone.
const ANSWER_LEN_MAX: usize = 1 << 20;

/// Connections to one place that are kept without work: as many as there are calls to one destination under load, so that
/// none is opened for a call.
const IDLE_MAX: usize = 128;

/// Calls participants: services through the data plane, so that their calls are balanced, watched and traced as any other,
/// and other servers directly.
pub struct Caller {
    backend: Arc<dyn AppBackend>,
    reachable: Arc<dyn Reachable>,
    pool: Pool,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller")
    }
}

/// The way to a participant.
pub(super) struct Way {
    pub(super) place: Place,
    pub(super) version: Version,
    /// What its requests carry as `dapr-api-token`.
    pub(super) token: Option<Arc<str>>,
}

impl Caller {
    /// One that asks the node about services.
    #[must_use]
    pub fn new(backend: Arc<dyn AppBackend>, reachable: Arc<dyn Reachable>) -> Self {
        Self { backend, reachable, pool: Pool::new(IDLE_MAX) }
    }

    /// The way to where a call goes; otherwise what becomes of it.
    fn way(&self, target: &Target) -> Result<Way, Answer> {
        match target {
            Target::Service { service, .. } => self.to(service, Version::Http1),
            Target::GrpcService { service, .. } => self.to(service, Version::Http2),
            Target::Url(url) => {
                let place = ask::server(url).map_err(Answer::Failed)?;
                Ok(Way { place, version: Version::Http1, token: None })
            }
            Target::Grpc { authority, .. } => {
                let place = ask::grpc_server(authority).map_err(Answer::Failed)?;
                Ok(Way { place, version: Version::Http2, token: None })
            }
        }
    }

    fn to(&self, service: &str, version: Version) -> Result<Way, Answer> {
        let Some(callee) = self.backend.service(service) else {
            // It can come back with another file; until then every attempt counts, so that somebody is asked at last.
            return Err(Answer::Failed(format!("the system has no service `{service}`")));
        };
        let address = self.reachable.address(&callee.name);
        let Some(address) = address else {
            return Err(Answer::Away(format!("no instance of {service} is known")));
        };
        Ok(Way { place: Place::Listener(address), version, token: callee.app_token })
    }

    async fn exchange(&self, call: &CallRequest, way: Way) -> Result<Answered, Answer> {
        let Way { place, version, token } = way;
        let timeout = call.timeout;
        let is_service = matches!(place, Place::Listener(_));
        let request = ask::request(call, &place, version, token.as_deref());
        let request = request.map_err(Answer::Failed)?;
        let work = async {
            let permit = self.pool.room(place, version).await;
            self.pool.exchange(&permit, request, ANSWER_LEN_MAX).await
        };
        match tokio::time::timeout(timeout, work).await {
            Ok(Ok(answered)) => Ok(answered),
            // The listener of a service is this node's own: it comes back, and nobody has heard anything.
            Ok(Err(e @ pool::Error::Connect(_))) if is_service => {
                Err(Answer::Away(format!("{} {e}", ask::Name(&call.target))))
            }
            Ok(Err(e)) => Err(Answer::Failed(format!("{}: {e}", ask::Name(&call.target)))),
            Err(_elapsed) => {
                let (name, seconds) = (ask::Name(&call.target), timeout.as_secs_f64());
                Err(Answer::Failed(format!("{name} did not answer within {seconds} s")))
            }
        }
    }
}

#[async_trait]
impl Participants for Caller {
    async fn call(&self, call: CallRequest) -> Called {
        let answered = match self.way(&call.target) {
            Ok(way) => self.exchange(&call, way).await,
            Err(answer) => Err(answer),
        };
        match answered {
            Ok(answered) => judge::judge(&call, &answered),
            Err(answer) => judge::unanswered(answer),
        }
    }

    async fn ready(&self, service: &str) {
        // A name that is none is no service that could become ready.
        if let Ok(service) = ServiceName::new(service) {
            self.reachable.ready(&service).await;
        }
    }
}
