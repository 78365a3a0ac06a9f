//! Finding the runs of an earlier node.

use crate::{
    members::{Role, Target},
    proc::Process,
    record::{self, Found, Record},
    running::Environment,
    shared::{KILL_MAX, Shared, unavailable},
};
use base::InstanceId;
use ports::host::{Error, Run, RunId};
use std::{path::PathBuf, sync::Arc};
use tracing::{info, warn};

/// A run whose main process is gone.
struct Dead {
    run: String,
    instance: InstanceId,
    cgroup: Option<PathBuf>,
}

/// Adopts what lives, and cleans up after what does not.
pub(crate) async fn adopt(shared: &Arc<Shared>) -> Result<Vec<Run>, Error> {
    let worker = Arc::clone(shared);
    let (runs, dead) = runtime::blocking(move || look(&worker)).await?;
    for Dead { run, instance, cgroup } in dead {
        shared.bury(&run, &instance, cgroup).await;
    }
    Ok(runs)
}

fn look(shared: &Arc<Shared>) -> Result<(Vec<Run>, Vec<Dead>), Error> {
    let found =
        record::read_all(&shared.places).map_err(|e| unavailable("read the run records", e))?;
    let (mut runs, mut dead) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Found::Record(record) => {
                if shared.runs().contains_key(&RunId(record.run.as_str().into())) {
                    continue;
                }
                match revive(shared, *record) {
                    Fate::Lives(run) => runs.push(*run),
                    Fate::Died(gone) => dead.extend(gone),
                    Fate::Unclear => {}
                }
            }
            Found::Broken { run, why } => {
                warn!(
                    run,
                    why, "a run record is broken, it is set aside and its processes are ended"
                );
                end(&Target { run: run.clone(), ..Target::default() });
                record::set_aside(&shared.places, &run);
            }
        }
    }
    Ok((runs, dead))
}

/// What became of a run.
enum Fate {
    Lives(Box<Run>),
    Died(Option<Dead>),
    /// It lives but cannot be taken over now; its record stays for the next try.
    Unclear,
}

/// Takes over the record's run when its main process lives. One that fails must not keep the others from it.
fn revive(shared: &Arc<Shared>, mut record: Record) -> Fate {
    let is_of_this_boot = record.boot == shared.boot;
    if is_of_this_boot && record.main.is_none() {
        record.main = leader(&record.run);
    }
    let open =
        record.main.filter(|main| is_of_this_boot && main.is_alive()).and_then(Process::open);
    if let (Some(open), Some(main)) = (open, record.main) {
        let environment = record::environment_of(main.pid).unwrap_or_default();
        record.node.clone_from(&shared.node);
        if let Err(e) = record.write(&shared.places) {
            warn!(run = record.run, error = %e, "the record of an adopted run cannot be renewed");
        }
        return match shared.take_over(&record, open, Environment::Exactly(environment)) {
            Ok(run) => {
                info!(instance = %run.instance, pid = main.pid, "adopted a running process");
                Fate::Lives(Box::new(run))
            }
            Err(e) => {
                warn!(run = record.run, error = %base::ErrorChain(&e), "a running process cannot be adopted");
                Fate::Unclear
            }
        };
    }
    if is_of_this_boot {
        // Its children may live on.
        end(&Target { run: record.run.clone(), main: record.main, cgroup: record.cgroup.clone() });
    }
    let instance = record::instance_of(&record.run);
    Fate::Died(instance.map(|instance| Dead { run: record.run, instance, cgroup: record.cgroup }))
}

/// The main process of a run whose node died before it could write it down: the one of its processes that
/// leads a group. When that is not clear, there is none, and what is there is ended.
fn leader(run: &str) -> Option<Process> {
    let target = Target { run: run.to_owned(), ..Target::default() };
    let mut leaders = target.members().into_iter().filter(|member| {
        member.role != Role::Probe
            && member.process.stat().is_some_and(|stat| stat.group == member.process.pid)
    });
    let first = leaders.next()?;
    leaders.next().is_none().then_some(first.process)
}

fn end(target: &Target) {
    match target.kill(KILL_MAX) {
        Ok(away) if away.is_empty() => {}
        Ok(away) => {
            info!(run = target.run, count = away.len(), "ended processes that a run left behind");
        }
        Err(left) => warn!(run = target.run, left, "processes of an ended run do not end"),
    }
}
