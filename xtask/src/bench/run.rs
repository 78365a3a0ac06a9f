//! One scenario: start everything, run in turns, end everything.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use super::{
    client::Client,
    load::{self, Load},
    peers::{Certificate, Peer, Proxy, Setup},
    report::{Report, Row, Sample},
    scenario::{Kind, Scenario},
    server::{Folder, Server, free_addresses, pause},
    stats, steady,
    usage::{self, Machine},
};

const MIB: f64 = 1024.0 * 1024.0;

/// Connections of `idle`.
const IDLE_CONNECTIONS: u16 = 1_000;
/// How long they have been silent when the memory is read: longer than it takes any proxy to give back
/// what a request needed.
const IDLE_TIME: Duration = Duration::from_secs(2);

/// What all scenarios have in common.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) peers: Vec<Peer>,
    pub(super) origin: PathBuf,
    pub(super) runs: u32,
    pub(super) seconds: u32,
    pub(super) workers: usize,
}

/// A scenario under way.
struct Bench<'a> {
    plan: &'a Plan,
    scenario: &'static Scenario,
    origin: Server,
    upstream: SocketAddr,
    path: String,
}

/// # Errors
/// When the servers behind the proxies or a load generator fail. A proxy that fails is a note in the report.
pub(super) fn scenario(
    plan: &Plan,
    scenario: &'static Scenario,
    tell: &dyn Fn(&str),
) -> Result<Report> {
    let addresses = free_addresses::<3>()?;
    let mut command = vec![plan.origin.display().to_string()];
    command.extend(addresses.iter().map(SocketAddr::to_string));
    let origin = Server::start("origin", Folder::new()?, &command, &addresses)?;
    let certificate = scenario.needs_tls().then(|| Certificate::new(origin.folder()));
    let setup = Setup {
        upstreams: addresses.to_vec(),
        workers: plan.workers,
        chooses: scenario.chooses,
        certificate: certificate.transpose()?,
    };
    let bench = Bench {
        plan,
        scenario,
        origin,
        upstream: addresses[0],
        path: format!("/{}", scenario.size),
    };
    bench.run(&setup, tell)
}

/// A proxy, what is known of it, and what was measured.
struct Entry {
    proxy: Proxy,
    /// Requests per second of a constant load; 0 where there is none.
    rate: f64,
    row: Row,
}

impl Bench<'_> {
    fn run(&self, setup: &Setup, tell: &dyn Fn(&str)) -> Result<Report> {
        let mut notes = Vec::new();
        let mut entries = Vec::new();
        for peer in &self.plan.peers {
            match Proxy::start(peer, setup).and_then(|proxy| self.prepare(proxy)) {
                Ok(entry) => entries.push(entry),
                Err(error) => notes.push(format!("{}: not measured: {error:#}", peer.name())),
            }
        }
        let rounds = if self.scenario.kind == Kind::Idle { 1 } else { self.plan.runs };
        for round in 0..rounds {
            tell(&format!("{} {}/{rounds}", self.scenario.name, round + 1));
            // Each round begins with another one: none always runs after the same neighbour.
            let count = entries.len().max(1);
            for turn in 0..entries.len() {
                let at = (turn + usize::try_from(round)?) % count;
                let Some(entry) = entries.get_mut(at) else { continue };
                let sample = self.measure(&entry.proxy, entry.rate).with_context(|| {
                    let output = entry.proxy.server.output();
                    format!("{} failed, it said:\n{output}", entry.proxy.peer.name())
                })?;
                entry.row.runs.push(sample);
            }
        }
        let rows: Vec<Row> = entries.into_iter().map(|entry| entry.row).collect();
        let failing = rows.iter().filter(|row| self.has_failures(row));
        notes.extend(
            failing.map(|row| format!("{}: requests failed, its figures do not count", row.proxy)),
        );
        Ok(Report { scenario: self.scenario, rows, notes })
    }

    fn has_failures(&self, row: &Row) -> bool {
        let at = self.scenario.metrics().iter().position(|metric| metric.key == "failed");
        let failed = |run: &Sample| at.and_then(|at| run.get(at)).is_some_and(|count| *count > 0.0);
        row.runs.iter().any(failed)
    }

    /// The first second opens connections to the upstreams and warms caches; it is not counted.
    fn prepare(&self, proxy: Proxy) -> Result<Entry> {
        let mut rate = 0.0;
        match self.scenario.kind {
            Kind::Idle => {
                Client::open(proxy.http)?.get(&self.path)?;
            }
            Kind::HalfLoad => {
                let second = Duration::from_secs(1);
                steady::capacity(proxy.http, &self.path, second)?;
                rate = steady::capacity(proxy.http, &self.path, second)? / 2.0;
            }
            Kind::Http(_) | Kind::Https(_) | Kind::Handshake | Kind::H2 => {
                self.load(&proxy, 1)?;
            }
        }
        let row = Row { proxy: proxy.peer.name(), runs: Vec::new() };
        Ok(Entry { proxy, rate, row })
    }

    fn url(&self, scheme: &str, address: SocketAddr) -> String {
        format!("{scheme}://{address}{}", self.path)
    }

    fn load(&self, proxy: &Proxy, seconds: u32) -> Result<Load> {
        let folder = self.origin.folder().path();
        match self.scenario.kind {
            Kind::Http(wrk) => wrk.run(&self.url("http", proxy.http), seconds, folder),
            Kind::Https(_) | Kind::Handshake => {
                let address = proxy.https.context("it does not listen for TLS")?;
                let url = self.url("https", address);
                match self.scenario.kind {
                    Kind::Https(wrk) => wrk.run(&url, seconds, folder),
                    _ => load::handshakes(&url, seconds, folder),
                }
            }
            Kind::H2 => load::h2load(&self.url("http", proxy.h2), seconds, folder),
            Kind::Idle | Kind::HalfLoad => Ok(Load::default()),
        }
    }

    fn measure(&self, proxy: &Proxy, rate: f64) -> Result<Sample> {
        match self.scenario.kind {
            Kind::Http(_) | Kind::Https(_) | Kind::Handshake | Kind::H2 => self.measure_load(proxy),
            Kind::Idle => self.measure_idle(proxy),
            Kind::HalfLoad => self.measure_half_load(proxy, rate),
        }
    }

    fn measure_load(&self, proxy: &Proxy) -> Result<Sample> {
        let others = Others::begin(self, proxy)?;
        let before = usage::cpu(proxy.server.pid())?;
        let load = self.load(proxy, self.plan.seconds)?;
        let cpu = usage::cpu(proxy.server.pid())?.since(before);
        let others = others.end(self, proxy)?;
        let per_request = |seconds: f64| seconds * 1e6 / load.requests;
        Ok(vec![
            per_request(cpu.total()),
            per_request(cpu.user),
            per_request(cpu.system),
            load.per_second,
            load.p50_ms,
            load.p99_ms,
            usage::memory(proxy.server.pid())? / MIB,
            load.failed,
            others,
        ])
    }

    fn measure_idle(&self, proxy: &Proxy) -> Result<Sample> {
        let before = usage::memory(proxy.server.pid())?;
        let mut clients = Vec::new();
        for number in 1..=IDLE_CONNECTIONS {
            let mut client = Client::open(proxy.http)
                .with_context(|| format!("connection {number} (`ulimit -n` must be above it)"))?;
            client.get(&self.path).with_context(|| format!("connection {number}"))?;
            clients.push(client);
        }
        pause(IDLE_TIME);
        let after = usage::memory(proxy.server.pid())?;
        for client in &mut clients {
            client.get(&self.path).context("an idle connection was closed")?;
        }
        Ok(vec![(after - before) / f64::from(IDLE_CONNECTIONS), before / MIB, after / MIB])
    }

    fn measure_half_load(&self, proxy: &Proxy, rate: f64) -> Result<Sample> {
        let time = Duration::from_secs(self.plan.seconds.into());
        let mut direct = steady::run(self.upstream, &self.path, rate, time)?;
        let others = Others::begin(self, proxy)?;
        let mut proxied = steady::run(proxy.http, &self.path, rate, time)?;
        let others = others.end(self, proxy)?;
        let mut at = |part| {
            let direct = stats::quantile(&mut direct.times_ms, part);
            (direct, stats::quantile(&mut proxied.times_ms, part))
        };
        let ((direct_p50, p50), (direct_p99, p99)) = (at(0.50), at(0.99));
        Ok(vec![
            p50 - direct_p50,
            p99 - direct_p99,
            direct_p50,
            direct_p99,
            p50,
            p99,
            rate,
            f64::from(direct.failed + proxied.failed),
            others,
        ])
    }
}

/// How much of the machine other programs used: a run that shared it is worth less.
struct Others {
    machine: Machine,
    known: f64,
}

impl Others {
    fn begin(bench: &Bench<'_>, proxy: &Proxy) -> Result<Self> {
        Ok(Self { machine: Machine::now()?, known: known(bench, proxy)? })
    }

    /// In per cent of all cores.
    fn end(&self, bench: &Bench<'_>, proxy: &Proxy) -> Result<f64> {
        let machine = Machine::now()?;
        let known = known(bench, proxy)? - self.known;
        let busy = machine.busy - self.machine.busy;
        let all = machine.all - self.machine.all;
        Ok((100.0 * (busy - known) / all).clamp(0.0, 100.0))
    }
}

fn known(bench: &Bench<'_>, proxy: &Proxy) -> Result<f64> {
    let servers = [bench.origin.pid(), proxy.server.pid()].map(usage::cpu);
    let mut sum = usage::own_cpu()?;
    for server in servers {
        sum += server?.total();
    }
    Ok(sum)
}
