//! Who is asked, how long, and who is asked next.
//!
//! One member is used until it fails; then the next one is, for all calls. A call is repeated only where that can do no
//! harm: when nothing was sent, when etcd said that it did nothing, or when doing it twice is doing it once.

use crate::{
    config::{Config, Credentials, Error},
    verdict::{Cause, Verdict, judge, late},
};
use proto::etcd::etcdserverpb::{
    AuthenticateRequest, auth_client::AuthClient, kv_client::KvClient, lease_client::LeaseClient,
    maintenance_client::MaintenanceClient, watch_client::WatchClient,
};
use std::{
    fs,
    future::Future,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tracing::{debug, warn};

/// How long a read may take, over all attempts: whoever waits for it has a caller who waits.
const READ_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a write may take: long enough for the election of a new leader, which takes about two seconds by default.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long one member may take for a read when there are others to ask.
const READ_ATTEMPT_TIME_MAX: Duration = Duration::from_millis(900);

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(800);

/// How often a call is tried beyond once per member: a member that had to be left may be the only one that works.
const EXTRA_ATTEMPTS: usize = 2;

/// Between attempts after every member was asked once.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a quiet connection with open calls is looked after. etcd closes those of clients that do it more often
/// than every 5 s, or without open calls.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long the answer to that may take.
const PING_TIME_MAX: Duration = Duration::from_secs(3);

/// What may be on the way to us unread, so that large values do not wait for the network's delay.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// What it does to call twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing is changed.
    Read,
    /// The second time changes nothing.
    Repeatable,
    /// It must not be done twice.
    Once,
}

/// Why a call ended without an answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nothing was applied.
    Unavailable(Cause),
    /// It may have been applied.
    Unknown(Cause),
    /// It will not be done.
    Refused(Cause),
    /// The lease does not exist.
    LeaseGone(Cause),
    /// The revision is forgotten.
    Compacted(Cause),
    /// The revision is not there yet.
    Future(Cause),
    /// The answer is longer than we take.
    TooLong(Cause),
}

type Token = MetadataValue<Ascii>;

/// The members of a cluster.
pub(crate) struct Members {
    channels: Vec<Channel>,
    current: AtomicUsize,
    credentials: Option<Credentials>,
    token: Mutex<Option<Token>>,
    /// Said already that etcd asks nobody who they are.
    has_warned: AtomicBool,
}

/// One attempt: a member, and who we are.
#[derive(Clone)]
pub(crate) struct Attempt {
    channel: Channel,
    token: Option<Token>,
}

impl Attempt {
    /// A request that says who we are.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(crate) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(crate) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }
}

impl Members {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let tls = tls(config)?;
        let channel = |address: &String| channel(config, address, tls.clone());
        let channels = config.endpoints.iter().map(channel).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            channels,
            current: AtomicUsize::new(0),
            credentials: config.credentials.clone(),
            token: Mutex::default(),
            has_warned: AtomicBool::new(false),
        })
    }

    /// Makes a call, at another member where the first one fails and it may be repeated.
    ///
    /// # Cancel safety
    /// As that of the call.
    pub(crate) async fn call<T, F>(
        &self,
        effect: Effect,
        act: impl Fn(Attempt) -> F,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let whole = if effect == Effect::Read { READ_TIME_MAX } else { WRITE_TIME_MAX };
        let deadline = Instant::now() + whole;
        let mut unsent = 0;
        let mut broken = None;
        let mut failed = None;
        let mut has_new_token = false;
        for attempt in 0..self.channels.len() + EXTRA_ATTEMPTS {
            if attempt >= self.channels.len() {
                sleep(PAUSE).await;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let limit = self.limit(effect).min(left);
            let index = self.current.load(Ordering::Relaxed);
            let (verdict, token) = match timeout(limit, self.attempt(index, &act)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err((verdict, token))) => (verdict, token),
                Err(_elapsed) => (late(limit), None),
            };
            debug!(member = index, attempt, ?verdict, "a call to etcd failed");
            match verdict {
                Verdict::Unsent(cause) => {
                    self.leave(index);
                    unsent += 1;
                    failed = Some(cause);
                    if unsent >= self.channels.len() {
                        break;
                    }
                }
                Verdict::Unapplied(cause) => {
                    self.leave(index);
                    failed = Some(cause);
                }
                Verdict::Broken(cause) => {
                    self.leave(index);
                    if effect == Effect::Once {
                        return Err(Trouble::Unknown(cause));
                    }
                    broken = Some(cause);
                }
                Verdict::Token(cause) if has_new_token || token.is_none() => {
                    return Err(Trouble::Refused(cause));
                }
                Verdict::Token(cause) => {
                    has_new_token = true;
                    self.forget(token).await;
                    failed = Some(cause);
                }
                Verdict::Refused(cause) => return Err(Trouble::Refused(cause)),
                Verdict::LeaseGone(cause) => return Err(Trouble::LeaseGone(cause)),
                Verdict::Compacted(cause) => return Err(Trouble::Compacted(cause)),
                Verdict::Future(cause) => return Err(Trouble::Future(cause)),
                Verdict::TooLong(cause) => return Err(Trouble::TooLong(cause)),
            }
        }
        match (broken, failed) {
            (Some(cause), _) if effect != Effect::Read => Err(Trouble::Unknown(cause)),
            (Some(cause), _) | (None, Some(cause)) => Err(Trouble::Unavailable(cause)),
            (None, None) => match late(whole) {
                Verdict::Broken(cause) => Err(Trouble::Unavailable(cause)),
                _ => unreachable!("a late answer is a broken call"),
            },
        }
    }

    fn limit(&self, effect: Effect) -> Duration {
        match effect {
            Effect::Read if self.channels.len() > 1 => READ_ATTEMPT_TIME_MAX,
            Effect::Read => READ_TIME_MAX,
            Effect::Repeatable if self.channels.len() > 1 => WRITE_TIME_MAX / 2,
            Effect::Repeatable | Effect::Once => WRITE_TIME_MAX,
        }
    }

    async fn attempt<T, F>(
        &self,
        index: usize,
        act: impl Fn(Attempt) -> F,
    ) -> Result<T, (Verdict, Option<Token>)>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let channel = self.channels[index].clone();
        let token = self.token(&channel).await.map_err(|verdict| (verdict, None))?;
        let attempt = Attempt { channel, token: token.clone() };
        act(attempt).await.map_err(|status| (judge(status), token))
    }

    /// Leaves a member for the next one, unless somebody else did already.
    fn leave(&self, index: usize) {
        let next = (index + 1) % self.channels.len();
        if next != index
            && self
                .current
                .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            debug!(left = index, next, "the next member of etcd is asked from here on");
        }
    }

    /// What says who we are; asked for when there is none.
    async fn token(&self, channel: &Channel) -> Result<Option<Token>, Verdict> {
        let Some(Credentials { user, password }) = &self.credentials else { return Ok(None) };
        // Held while one is asked for: etcd takes a tenth of a second to check a password, and once is enough.
        let mut token = self.token.lock().await;
        if token.is_none() {
            let (name, password) = (user.clone(), password.clone());
            let request = AuthenticateRequest { name, password };
            match AuthClient::new(channel.clone()).authenticate(request).await {
                Ok(response) => {
                    let text = response.into_inner().token;
                    let text =
                        text.parse::<Token>().map_err(|cause| Verdict::Refused(Arc::new(cause)))?;
                    *token = Some(text);
                }
                Err(status) if is_open(&status) => {
                    if !self.has_warned.swap(true, Ordering::Relaxed) {
                        warn!(user, "etcd asks nobody for a password: ours is not checked");
                    }
                    return Ok(None);
                }
                // Nothing was asked of it yet, whatever happened.
                Err(status) => {
                    return Err(match judge(status) {
                        Verdict::Broken(cause) => Verdict::Unapplied(cause),
                        other => other,
                    });
                }
            }
        }
        Ok(token.clone())
    }

    /// Drops a token that etcd does not know any more, unless there is a new one already.
    async fn forget(&self, used: Option<Token>) {
        let mut token = self.token.lock().await;
        if *token == used {
            *token = None;
        }
    }
}

/// Whether etcd has no users at all.
fn is_open(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message().contains("not enabled")
}

fn channel(config: &Config, address: &str, tls: Option<ClientTlsConfig>) -> Result<Channel, Error> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let wrong = |cause: tonic::transport::Error| Error::Encryption {
        place: config.place(),
        cause: Box::new(cause),
    };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|cause| {
        let problem = format!("`{address}` is no endpoint: {cause}");
        Error::Address { address: config.place(), problem }
    })?;
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls).map_err(wrong)?,
        None => endpoint,
    };
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIME_MAX)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME_MAX)
        .keep_alive_while_idle(false)
        .tcp_keepalive(Some(PING_INTERVAL))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    Ok(endpoint.connect_lazy())
}

fn tls(config: &Config) -> Result<Option<ClientTlsConfig>, Error> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let mut client = ClientTlsConfig::new();
    client = match &tls.ca {
        Some(path) => client.ca_certificate(Certificate::from_pem(read(path)?)),
        None => client.with_native_roots(),
    };
    if let Some((cert, key)) = &tls.identity {
        client = client.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(Some(client))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|cause| Error::File { path: path.to_owned(), cause })
}
