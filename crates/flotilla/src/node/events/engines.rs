//! The broker and the event store that the file asks for.

use super::{
    Failed,
    late::{Late, Opened},
    ports::{LateBroker, LateStreams},
};
use crate::node::stores;
use async_trait::async_trait;
use base::{Code, Diagnostic, ErrorChain, Place};
use manifest::{BrokerEngine, Coordination, Nats, System};
use ports::{
    broker::Broker,
    streams::{
        Append, Appended, Direction, Error as StreamsError, Page, Position, Query, Status,
        StreamStatus, Streams,
    },
};
use runtime::TaskSet;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Where the embedded engines keep their files, below the state folder.
const BROKER: &str = "data/broker";
const STREAMS: &str = "data/streams";

/// Opens both. One that cannot be opened refuses everything with the reason, because traffic does not need it; `tasks` get
/// one that tries again until it can.
pub(super) async fn open(
    system: &System,
    state_dir: &Path,
    environment: &Arc<BTreeMap<String, String>>,
    tasks: &mut TaskSet,
) -> (Arc<LateBroker>, Arc<LateStreams>) {
    let named_at = system.events.broker_place.clone();
    let folder = state_dir.join(BROKER);
    let broker = match &system.events.broker {
        BrokerEngine::Embedded => {
            let place = folder.display().to_string();
            let open = move || broker(adapter_embedded::broker::Config { folder: folder.clone() });
            late(place, named_at, open, tasks).await
        }
        BrokerEngine::Nats(asked) => {
            let login = Arc::new(Login {
                asked: asked.clone(),
                coordination: system.coordination.clone(),
                environment: Arc::clone(environment),
            });
            late(login.config(None).place(), named_at, move || login.open(), tasks).await
        }
    };
    let folder = state_dir.join(STREAMS);
    let streams = match &system.events.broker {
        BrokerEngine::Embedded => {
            let place = folder.display().to_string();
            let open =
                move || streams(adapter_embedded::streams::Config { folder: folder.clone() });
            late(place, None, open, tasks).await
        }
        // Streams in a folder of this node's would be others on each node.
        BrokerEngine::Nats(_) => {
            let port: Arc<dyn Streams> = Arc::new(NoStreams);
            Arc::new(Late::new("nats".to_owned(), Ok(Opened { port, service: None })))
        }
    };
    (broker, streams)
}

async fn late<P, S>(
    place: String,
    named_at: Option<Place>,
    open: impl Fn() -> Result<Opened<P, S>, Failed> + Clone + Send + 'static,
    tasks: &mut TaskSet,
) -> Arc<Late<P, S>>
where
    P: ?Sized + Send + Sync + 'static,
    S: Send + 'static,
{
    let open = move || {
        open().map_err(|failed| match named_at.clone() {
            Some(place) => Failed { problem: Box::new(failed.problem.at(place, "")), ..failed },
            None => failed,
        })
    };
    let first = open.clone();
    let late = Arc::new(Late::new(place, runtime::blocking(first).await));
    if !late.is_open() {
        let trying = Arc::clone(&late);
        tasks.spawn("engine opening", |stop| trying.try_on(open, stop));
    }
    late
}

fn failed<E: std::error::Error + Send + Sync + 'static>(what: &str, error: E) -> Failed {
    let message = format!("{what} cannot be opened: {}", ErrorChain(&error));
    let help = "it is tried again and again; until then nothing is published or delivered, and requests are served. \
        `flotilla explain F038` says more";
    Failed {
        problem: Box::new(Diagnostic::error(Code::BROKER, message).help(help)),
        cause: Arc::new(error),
    }
}

type OpenedBroker = Opened<dyn Broker, adapter_embedded::broker::Service>;
type OpenedStreams = Opened<dyn Streams, adapter_embedded::streams::Service>;

fn broker(config: adapter_embedded::broker::Config) -> Result<OpenedBroker, Failed> {
    let (service, handle) = adapter_embedded::broker::Service::open(&config)
        .map_err(|error| failed("the store of topics", error))?;
    Ok(Opened { port: Arc::new(handle), service: Some(service) })
}

fn streams(config: adapter_embedded::streams::Config) -> Result<OpenedStreams, Failed> {
    let (service, handle) = adapter_embedded::streams::Service::open(&config)
        .map_err(|error| failed("the event store", error))?;
    Ok(Opened { port: Arc::new(handle), service: Some(service) })
}

/// What it takes to reach NATS: the login may be a secret that its sources do not have yet.
struct Login {
    asked: Nats,
    coordination: Coordination,
    environment: Arc<BTreeMap<String, String>>,
}

impl Login {
    fn config(&self, credentials: Option<adapter_nats::Credentials>) -> adapter_nats::Config {
        let Nats { servers, tls, ca, certificate, prefix, replicas, user: _, token: _ } =
            &self.asked;
        let identity = certificate.clone();
        adapter_nats::Config {
            servers: servers.clone(),
            tls: tls.then(|| adapter_nats::Tls { ca: ca.clone(), identity }),
            credentials,
            prefix: prefix.clone(),
            replicas: *replicas,
        }
    }

    fn open(&self) -> Result<OpenedBroker, Failed> {
        let credentials = self.credentials().map_err(|e| failed("the login of NATS", e))?;
        let nats = adapter_nats::Nats::connect(&self.config(credentials));
        let nats = nats.map_err(|error| failed("NATS", error))?;
        Ok(Opened { port: Arc::new(nats), service: None })
    }

    fn credentials(&self) -> Result<Option<adapter_nats::Credentials>, coordination::Error> {
        let sources = stores::secrets(&self.coordination, &self.environment);
        let sources = sources.into_iter().next().map(|store| store.sources).unwrap_or_default();
        let reveal = |text: &str| {
            coordination::reveal_from(&sources, text).map(|secret| secret.expose().to_owned())
        };
        if let Some((user, password)) = &self.asked.user {
            let (user, password) = (reveal(user)?, reveal(password.reveal())?);
            return Ok(Some(adapter_nats::Credentials::User { user, password }));
        }
        let token = self.asked.token.as_ref().map(|token| reveal(token.reveal())).transpose()?;
        Ok(token.map(adapter_nats::Credentials::Token))
    }
}

/// The event store of an engine that has none.
#[derive(Debug)]
struct NoStreams;

const NONE: StreamsError = StreamsError::Unsupported("an event store (streams of events)");

#[async_trait]
impl Streams for NoStreams {
    async fn append(&self, _: Append) -> Result<Appended, StreamsError> {
        Err(NONE)
    }

    async fn read(
        &self,
        _: &str,
        _: Option<u64>,
        _: Direction,
        _: usize,
    ) -> Result<Page, StreamsError> {
        Err(NONE)
    }

    async fn read_all(
        &self,
        _: &Query,
        _: Option<Position>,
        _: Direction,
        _: usize,
    ) -> Result<Page, StreamsError> {
        Err(NONE)
    }

    async fn wait(&self, _: Position) -> Result<Position, StreamsError> {
        Err(NONE)
    }

    async fn stream(&self, _: &str) -> Result<Option<StreamStatus>, StreamsError> {
        Err(NONE)
    }

    async fn streams(
        &self,
        _: &str,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<StreamStatus>, StreamsError> {
        Err(NONE)
    }

    async fn status(&self) -> Result<Status, StreamsError> {
        Err(NONE)
    }
}
