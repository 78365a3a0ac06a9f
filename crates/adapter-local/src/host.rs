//! The port.

use crate::{
    cgroup,
    members::Role,
    probe::Probe,
    proc::Stat,
    running::Running,
    shared::{Shared, unavailable},
    sockets, survivors,
};
use async_trait::async_trait;
use base::ByteSize;
use ports::host::{
    Capabilities, CommandOutcome, Error, Exit, Host, Leftovers, Program, Run, RunId, Signal, Spec,
    Usage,
};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Processes of this machine. Made by [`LocalHost::start`].
#[derive(Debug)]
pub struct LocalHost {
    pub(crate) shared: Arc<Shared>,
}

#[async_trait]
impl Host for LocalHost {
    fn capabilities(&self) -> Capabilities {
        let mut all = Capabilities { processes: true, ..Capabilities::default() };
        self.shared.cgroups.describe(&mut all);
        all
    }

    async fn start(&self, spec: &Spec) -> Result<Run, Error> {
        let (shared, spec) = (Arc::clone(&self.shared), spec.clone());
        runtime::blocking(move || shared.start(&spec)).await
    }

    async fn wait(&self, run: &RunId) -> Result<Exit, Error> {
        let mut exit = self.shared.find(run)?.exit.subscribe();
        // `running` owns the sender and this call does not keep it alive: forgotten and ended without a word
        // can only be a host that is being shut down.
        let told = exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone());
        told.ok_or_else(|| Error::Unknown(run.clone()))
    }

    async fn signal(&self, run: &RunId, signal: Signal) -> Result<(), Error> {
        let target = self.shared.find(run)?.target();
        let sent = runtime::blocking(move || -> io::Result<()> {
            if signal != Signal::Kill {
                return target.signal_group(kernel(signal));
            }
            let members = target.members();
            if let Some(group) = &target.cgroup {
                cgroup::kill(group);
            }
            target.signal_group(kernel(signal))?;
            members
                .iter()
                .filter(|m| m.role != Role::Group)
                .try_for_each(|m| m.process.signal(kernel(signal)))
        });
        sent.await.map_err(|e| unavailable("signal the run", e))
    }

    async fn forget(&self, run: &RunId) -> Result<Leftovers, Error> {
        self.shared.forget(run).await
    }

    async fn survivors(&self) -> Result<Vec<Run>, Error> {
        survivors::adopt(&self.shared).await
    }

    async fn usage(&self, run: &RunId) -> Result<Usage, Error> {
        let running = self.shared.find(run)?;
        let all = self.shared.all_processes().await;
        Ok(runtime::blocking(move || usage(&running, &all)).await)
    }

    async fn listening(&self, run: &RunId) -> Result<Vec<SocketAddr>, Error> {
        let target = self.shared.find(run)?.target();
        let look = move || {
            let members = target.members();
            let pids: Vec<u32> = members.iter().map(|member| member.process.pid).collect();
            sockets::listening(&pids)
        };
        Ok(runtime::blocking(look).await)
    }

    async fn command(
        &self,
        run: &RunId,
        command: &Program,
        timeout: Duration,
    ) -> Result<Option<CommandOutcome>, Error> {
        let running = self.shared.find(run)?;
        let (shared, command) = (Arc::clone(&self.shared), command.clone());
        let probe = runtime::blocking(move || Probe::start(shared, &running, &command)).await?;
        probe.outcome(timeout).await
    }

    fn reach(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

fn kernel(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as Kernel;
    match signal {
        Signal::Term => Kernel::TERM,
        Signal::Int => Kernel::INT,
        Signal::Quit => Kernel::QUIT,
        Signal::Hup => Kernel::HUP,
        Signal::Usr1 => Kernel::USR1,
        Signal::Usr2 => Kernel::USR2,
        Signal::Kill => Kernel::KILL,
    }
}

/// Adds up the processes of a run. No environment is read for it: one look at all processes serves many runs.
fn usage(running: &Running, all: &[Stat]) -> Usage {
    let known: HashMap<u32, Role> = running.target().known(all, false);
    let (mut ticks, mut pages, mut processes) = (0, 0, 0);
    for stat in all.iter().filter(|stat| known.contains_key(&stat.process.pid)) {
        ticks += stat.cpu_ticks;
        pages += stat.resident_pages;
        processes += u32::from(!stat.is_dead());
    }
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_millis(ticks.saturating_mul(1000) / per_second);
    let group = running.cgroup.as_deref();
    let page_len = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Usage {
        cpu: group.and_then(cgroup::cpu).unwrap_or(cpu),
        memory: ByteSize(group.and_then(cgroup::memory).unwrap_or(pages.saturating_mul(page_len))),
        processes,
    }
}
