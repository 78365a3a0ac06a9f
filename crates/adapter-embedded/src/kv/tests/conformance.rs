//! The suite of the port: on a real folder, ended in order; and on a simulated disk with tiny bounds, ended by power cuts.

use async_trait::async_trait;
use ports::kv::{
    Kv,
    conformance::{Clause, Task, World},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

use super::{open, run, tiny};
use crate::kv::recovery::Limits;
use crate::{
    disk::simulated::{Cut, Simulated},
    kv::{Config, Handle, Service},
};

mod in_a_folder {
    ports::kv_conformance!(super::in_a_folder);
}

mod with_power_cuts {
    ports::kv_conformance!(super::with_power_cuts);
}

/// A store and the engine on it.
struct Ground {
    place: Place,
    engine: Mutex<Option<(Service, Handle)>>,
    start: Instant,
    cuts: AtomicU64,
}

enum Place {
    Folder(tempfile::TempDir),
    Simulated(Mutex<Simulated>),
}

impl Ground {
    fn new(place: Place) -> Self {
        let (engine, start, cuts) = (Mutex::new(None), Instant::now(), AtomicU64::new(0));
        Self { place, engine, start, cuts }
    }

    async fn start(&self) -> (Service, Handle) {
        match &self.place {
            Place::Folder(folder) => {
                Service::open(&Config { folder: folder.path().join("kv") }).unwrap()
            }
            Place::Simulated(disk) => {
                // The suite has changes larger than the history of the other tests.
                let limits = Limits { history_bytes: 64 << 20, ..tiny() };
                open(&*disk.lock().await, limits).unwrap()
            }
        }
    }
}

#[async_trait]
impl World for Ground {
    async fn open(&self) -> Arc<dyn Kv> {
        let mut engine = self.engine.lock().await;
        if engine.is_none() {
            *engine = Some(self.start().await);
        }
        Arc::new(engine.as_ref().unwrap().1.clone())
    }

    async fn restart(&self) -> Option<Arc<dyn Kv>> {
        let ended = self.engine.lock().await.take();
        match &self.place {
            Place::Folder(_) => {
                if let Some((service, _)) = ended {
                    service.shutdown().await;
                }
            }
            Place::Simulated(disk) => {
                let mut disk = disk.lock().await;
                let cut = self.cuts.fetch_add(1, Ordering::Relaxed);
                let cut = if cut.is_multiple_of(2) { Cut::Strict } else { Cut::Lenient(cut) };
                *disk = disk.cut(cut);
            }
        }
        Some(self.open().await)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    async fn together(&self, tasks: Vec<Task>) {
        let mut set = tokio::task::JoinSet::new();
        for task in tasks {
            set.spawn(task);
        }
        set.join_all().await;
    }
}

fn in_a_folder(clause: Clause) {
    let ground = Ground::new(Place::Folder(tempfile::tempdir().unwrap()));
    run(async {
        clause(&ground).await;
        if let Some((service, _)) = ground.engine.lock().await.take() {
            service.shutdown().await;
        }
    });
}

fn with_power_cuts(clause: Clause) {
    let ground = Ground::new(Place::Simulated(Mutex::new(Simulated::default())));
    run(clause(&ground));
}
