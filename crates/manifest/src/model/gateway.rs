//! The gateway: where it listens, its routes, and what they ask of requests.

use super::{Retries, Sticky, Timeouts};
use base::{ByteSize, Place, ServiceName};
use policy::{
    auth::{jwt, key::Algorithm},
    compress, cors, edits, fault, rate, redirect, rewrite,
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gateway {
    /// Where it listens. Default `127.0.0.1:8080`; `None` when there are no routes.
    pub listen: Option<SocketAddr>,
    /// Where `listen` was set, or nothing when it is the default.
    pub listen_place: Option<Place>,
    /// HTTPS instead of HTTP.
    pub tls: Option<Tls>,
    /// Where `tls` was set.
    pub tls_place: Option<Place>,
    /// Listens here too, without TLS, and sends every request to its `https` address. Only with [`Gateway::tls`].
    pub http_redirect: Option<SocketAddr>,
    /// Where `http_redirect` was set.
    pub http_redirect_place: Option<Place>,
    /// What clients may ask at most.
    pub limits: ClientLimits,
    /// Networks of load balancers in front, whose word about the client is taken.
    pub trusted_proxies: Vec<Network>,
    /// The file of the access log, absolute; `None`: none is written.
    pub access_log: Option<PathBuf>,
    /// Times of routes that, like their services, say nothing.
    pub timeouts: Timeouts,
    /// Retries of routes that, like their services, say nothing.
    pub retries: Retries,
    /// Routes in the order of the file.
    pub routes: Vec<Route>,
}

/// Certificates of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// One of an authority that is made on this machine.
    Dev,
    /// From files; at least one pair.
    Files(Vec<CertificateFiles>),
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM form, absolute.
    pub cert: PathBuf,
    /// The private key in PEM form, absolute.
    pub key: PathBuf,
}

/// What a client may ask of the gateway at most. `None`: the data plane's own value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Bytes of a request's head.
    pub head: Option<ByteSize>,
    /// Number of a request's headers.
    pub headers: Option<u32>,
    /// Bytes of a request's body; `None`: no bound.
    pub body: Option<ByteSize>,
    /// Connections at the same time.
    pub connections: Option<u32>,
    /// Requests at the same time on one HTTP/2 connection.
    pub streams: Option<u32>,
    /// How long a head may take.
    pub head_timeout: Option<Duration>,
    /// How long a connection is kept without a request.
    pub idle_timeout: Option<Duration>,
}

/// A network: all addresses whose first `bits` are those of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address of it.
    pub address: IpAddr,
    /// 0 to 32, or 0 to 128.
    pub bits: u8,
}

/// One route: what it matches, what it asks, and where it leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Host name, lowercase, `*.example.com` for all below; `None` for any.
    pub host: Option<String>,
    /// The path.
    pub path: PathMatch,
    /// Methods, uppercase; empty for any.
    pub methods: Vec<String>,
    /// All of these must hold.
    pub headers: Vec<HeaderMatch>,
    /// All of these must hold too.
    pub query: Vec<QueryMatch>,
    /// Where it leads, with weights; at least one, or none at all when [`Rules::redirect`] answers.
    pub to: Vec<Target>,
    /// The matched prefix is removed before forwarding.
    pub strip: bool,
    /// What it asks of requests and does to them; what the gateway says for all routes is in it.
    pub rules: Rules,
    /// Whether and how answers are compressed; the gateway's is in it.
    pub compress: Option<compress::Config>,
    /// Bytes of a request's body; `None`: no bound. The gateway's is in it.
    pub body_max: Option<ByteSize>,
    /// Its own times. What it leaves open its service says, then the gateway.
    pub timeouts: Timeouts,
    /// Its own retries. What it leaves open its service says, then the gateway.
    pub retries: Retries,
    /// Its own choice; `None`: its service's.
    pub sticky: Option<Sticky>,
    /// Where it stands.
    pub place: Place,
}

impl Route {
    /// A route for every request to `path` that leads nowhere yet and asks nothing.
    #[must_use]
    pub fn new(path: PathMatch, place: Place) -> Self {
        Self {
            host: None,
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            to: Vec::new(),
            strip: false,
            rules: Rules::default(),
            compress: None,
            body_max: None,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            sticky: None,
            place,
        }
    }
}

/// What a route asks of its requests, and what it does to them and their answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Who may use it; empty: everybody.
    pub auth: Auth,
    /// A condition in CEL that must hold.
    pub allow: Option<String>,
    /// Scopes that a token must have, besides those of [`Jwt::scopes`]. Only with [`Auth::jwt`].
    pub scopes: Vec<String>,
    /// How many requests may come.
    pub rate: Rate,
    /// Which pages of other sites may call it.
    pub cors: Option<cors::Config>,
    /// Sends the client elsewhere.
    pub redirect: Option<redirect::Config>,
    /// What the service gets instead of path and host.
    pub rewrite: Option<rewrite::Config>,
    /// Changes of headers; the gateway's come first.
    pub edits: edits::Config,
    /// What is broken on purpose.
    pub fault: Option<fault::Config>,
}

/// How many requests may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// The limits; empty: none.
    pub limits: Vec<rate::Spec>,
    /// They are the gateway's: all routes that have none of their own count together.
    pub is_shared: bool,
}

/// Ways to prove who one is, of which one is enough. None: everybody may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// A signed token.
    pub jwt: Option<Jwt>,
    /// A secret in a header.
    pub api_keys: Option<ApiKeys>,
    /// A user and a password.
    pub basic: Option<Basic>,
    /// The header, lowercase, that tells the service who it is.
    pub subject_header: Option<String>,
}

impl Auth {
    /// Whether everybody may come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.jwt.is_none() && self.api_keys.is_none() && self.basic.is_none()
    }
}

/// What tokens must be like; see [`jwt::Config`], which this becomes once there are keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Where the keys come from.
    pub keys: KeySource,
    /// Signature algorithms; empty: all that the keys allow.
    pub algorithms: Vec<Algorithm>,
    /// `iss` is one of these; empty: any.
    pub issuers: Vec<String>,
    /// `aud` has one of these; empty: any.
    pub audiences: Vec<String>,
    /// Scopes that every token must have.
    pub scopes: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Whether a token without `exp` is refused.
    pub needs_expiry: bool,
    /// Where the token is.
    pub source: jwt::Source,
    /// Whether the service gets the token too.
    pub forward: bool,
    /// Header names, lowercase, with the claim that they tell.
    pub headers: Vec<(String, String)>,
}

/// Where keys for signatures come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeySource {
    /// `http` or `https`; a JSON Web Key Set.
    Url(String),
    /// A JSON Web Key Set or public keys in PEM form, absolute.
    File(PathBuf),
    /// A shared secret.
    Secret(Secret),
}

/// Secrets in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeys {
    /// The header, lowercase.
    pub header: String,
    /// A parameter of the query that may hold it too.
    pub query: Option<String>,
    /// The name of each client with the hash of its secret.
    pub keys: Vec<(String, Secret)>,
    /// Whether the service gets the secret too.
    pub forward: bool,
}

/// Users and passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basic {
    /// Users with the bcrypt hashes of their passwords.
    pub users: Vec<(String, Secret)>,
    /// Whether the service gets user and password too.
    pub forward: bool,
}

/// A text that no log and no message shows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for where it is used.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How a route matches the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// The path and everything below it, by whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    Prefix(String),
    /// Only this path. Written `= /path`.
    Exact(String),
}

/// A header condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderMatch {
    /// Lowercase name.
    pub name: String,
    /// Exact value; `None`: present with any value.
    pub value: Option<String>,
}

/// A condition on a parameter of the query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryMatch {
    /// Its name, decoded.
    pub name: String,
    /// Exact value, decoded; `None`: present with any value.
    pub value: Option<String>,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// Its share, relative to the other targets' weights.
    pub weight: u32,
}
