//! The kv engine that the file asks for.
//!
//! ```text
//!  start ── opened ──────────────────────────► its own handle
//!      └── not opened ──► Late, refuses all ──► tried again and again ── opened ──► Late passes all on
//! ```

mod late;
mod source;

pub(crate) use source::kv_folder;

use base::Diagnostic;
use late::Late;
use manifest::System;
use ports::kv::Kv;
use runtime::TaskSet;
use source::{Opened, Source};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// An engine, and what must be closed in the end.
pub(super) struct Engine {
    pub(super) kv: Arc<dyn Kv>,
    /// Where it is, for people.
    pub(super) place: String,
    running: Running,
}

enum Running {
    Embedded(adapter_embedded::kv::Service),
    /// One that was not opened at the start.
    Late(Arc<Late>),
    /// One without tasks or files of its own.
    Nothing,
}

/// What is wrong with an engine at the moment. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Option<Arc<Late>>);

impl Trouble {
    /// Why there is no engine that works, as long as there is none.
    pub(super) fn problem(&self) -> Option<Diagnostic> {
        self.0.as_ref()?.problem()
    }
}

impl Engine {
    /// Opens it. One that cannot be opened refuses everything, with the reason, because traffic does not need it; `tasks`
    /// get one that tries again until it can.
    pub(super) async fn open(
        system: &System,
        state_dir: &Path,
        environment: &Arc<BTreeMap<String, String>>,
        tasks: &mut TaskSet,
    ) -> Self {
        let source = Source::of(system, state_dir, environment);
        let place = source.place();
        let first = source.clone();
        match runtime::blocking(move || first.open()).await {
            Ok(Opened { kv, service }) => {
                let running = service.map_or(Running::Nothing, Running::Embedded);
                Self { kv, place, running }
            }
            Err(failed) => {
                let late = Arc::new(Late::new(source, failed));
                let trying = Arc::clone(&late);
                tasks.spawn("kv engine opening", |stop| trying.try_on(stop));
                Self { kv: late.clone(), place, running: Running::Late(late) }
            }
        }
    }

    /// What is wrong with it.
    pub(super) fn trouble(&self) -> Trouble {
        match &self.running {
            Running::Late(late) => Trouble(Some(Arc::clone(late))),
            Running::Embedded(_) | Running::Nothing => Trouble(None),
        }
    }

    /// Closes it; what was acknowledged is kept whatever happens. One that is being opened at this moment is closed as
    /// soon as that is done, and not waited for.
    pub(super) async fn close(self) {
        let service = match self.running {
            Running::Embedded(service) => Some(service),
            Running::Late(late) => late.close(),
            Running::Nothing => None,
        };
        if let Some(service) = service {
            service.shutdown().await;
        }
    }
}
