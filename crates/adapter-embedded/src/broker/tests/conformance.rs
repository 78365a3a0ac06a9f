//! The suite of the port: on a real folder, ended in order; and on simulated disks with tiny bounds, ended by kills and by
//! power cuts.

use async_trait::async_trait;
use ports::broker::{
    Broker,
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
use crate::{
    broker::{Config, Handle, Service, limits::Limits},
    disk::simulated::{Cut, Simulated},
};

mod in_a_folder {
    ports::broker_conformance!(super::in_a_folder);
}

mod killed {
    ports::broker_conformance!(super::killed);
}

mod with_power_cuts {
    ports::broker_conformance!(super::with_power_cuts);
}

/// A store and the engine on it.
struct Ground {
    place: Place,
    engine: Mutex<Option<(Service, Handle)>>,
    start: Instant,
    ends: AtomicU64,
}

enum Place {
    Folder(tempfile::TempDir),
    Killed(Mutex<Simulated>),
    Cut(Mutex<Simulated>),
}

impl Ground {
    fn new(place: Place) -> Self {
        let (engine, start, ends) = (Mutex::new(None), Instant::now(), AtomicU64::new(0));
        Self { place, engine, start, ends }
    }

    async fn start(&self) -> (Service, Handle) {
        match &self.place {
            Place::Folder(folder) => {
                Service::open(&Config { folder: folder.path().join("broker") }).unwrap()
            }
            Place::Killed(disk) | Place::Cut(disk) => {
                // The suite has messages larger than what the other tests hold in memory.
                let limits = Limits {
                    journal_bytes: 1 << 20,
                    journal_bytes_max: 256 << 20,
                    unwritten_bytes_max: 64 << 20,
                    segment_bytes: 256 << 10,
                    ..tiny()
                };
                open(&*disk.lock().await, limits).unwrap()
            }
        }
    }
}

#[async_trait]
impl World for Ground {
    async fn open(&self) -> Arc<dyn Broker> {
        let mut engine = self.engine.lock().await;
        if engine.is_none() {
            *engine = Some(self.start().await);
        }
        Arc::new(engine.as_ref().unwrap().1.clone())
    }

    async fn restart(&self) -> Option<Arc<dyn Broker>> {
        let ended = self.engine.lock().await.take();
        match &self.place {
            Place::Folder(_) => {
                if let Some((service, _)) = ended {
                    service.shutdown().await;
                }
            }
            Place::Killed(disk) => {
                let mut disk = disk.lock().await;
                *disk = disk.kill();
            }
            Place::Cut(disk) => {
                let mut disk = disk.lock().await;
                let end = self.ends.fetch_add(1, Ordering::Relaxed);
                let cut = if end.is_multiple_of(2) { Cut::Strict } else { Cut::Lenient(end) };
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

fn killed(clause: Clause) {
    run(clause(&Ground::new(Place::Killed(Mutex::new(Simulated::default())))));
}

fn with_power_cuts(clause: Clause) {
    run(clause(&Ground::new(Place::Cut(Mutex::new(Simulated::default())))));
}
