//! The suite of the port: on a real folder, ended in order; and on a simulated disk with tiny bounds, ended by power cuts.

use async_trait::async_trait;
use ports::streams::{
    Streams,
    conformance::{Clause, Task, World},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;

use super::{open, run, tiny};
use crate::{
    disk::simulated::{Cut, Simulated},
    streams::{Config, Handle, Service},
};

mod in_a_folder {
    ports::streams_conformance!(super::in_a_folder);
}

mod with_power_cuts {
    ports::streams_conformance!(super::with_power_cuts);
}

/// A store and the engine on it.
struct Ground {
    place: Place,
    engine: Mutex<Option<(Service, Handle)>>,
    cuts: AtomicU64,
}

enum Place {
    Folder(tempfile::TempDir),
    Simulated(Mutex<Simulated>),
}

impl Ground {
    fn new(place: Place) -> Self {
        Self { place, engine: Mutex::new(None), cuts: AtomicU64::new(0) }
    }

    async fn start(&self) -> (Service, Handle) {
        match &self.place {
            Place::Folder(folder) => {
                Service::open(&Config { folder: folder.path().join("streams") }).unwrap()
            }
            Place::Simulated(disk) => open(&*disk.lock().await, tiny()).unwrap(),
        }
    }
}

#[async_trait]
impl World for Ground {
    async fn open(&self) -> Arc<dyn Streams> {
        let mut engine = self.engine.lock().await;
        if engine.is_none() {
            *engine = Some(self.start().await);
        }
        Arc::new(engine.as_ref().unwrap().1.clone())
    }

    async fn restart(&self) -> Option<Arc<dyn Streams>> {
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
