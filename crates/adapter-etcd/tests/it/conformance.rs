//! The contract of the port, on one member, below a prefix.

use crate::cluster::{self, Cluster};
use async_trait::async_trait;
use ports::kv::{
    Kv,
    conformance::{Clause, Task, World},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, task::JoinSet};

struct OneMember {
    cluster: Mutex<Cluster>,
    start: Instant,
}

#[async_trait]
impl World for OneMember {
    async fn open(&self) -> Arc<dyn Kv> {
        let cluster = self.cluster.lock().await;
        let kv = cluster.engine("/suite");
        cluster.ready(&kv).await;
        Arc::new(kv)
    }

    async fn restart(&self) -> Option<Arc<dyn Kv>> {
        {
            let mut cluster = self.cluster.lock().await;
            cluster.kill(0);
            cluster.revive(0);
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
        tasks.into_iter().collect::<JoinSet<()>>().join_all().await;
    }
}

fn run(clause: Clause) {
    cluster::with(1, |cluster| async move {
        let world = OneMember { cluster: Mutex::new(cluster), start: Instant::now() };
        clause(&world).await;
    });
}

ports::kv_conformance!(run);
