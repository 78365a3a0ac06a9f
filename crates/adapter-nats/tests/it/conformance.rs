//! The contract of the port, on one server.

use crate::cluster::{self, Cluster};
use async_trait::async_trait;
use ports::broker::{
    Broker,
    conformance::{Clause, Task, World},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, task::JoinSet};

struct OneServer {
    cluster: Mutex<Cluster>,
    start: Instant,
}

#[async_trait]
impl World for OneServer {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(self.cluster.lock().await.engine().await)
    }

    async fn restart(&self) -> Option<Arc<dyn Broker>> {
        {
            let mut cluster = self.cluster.lock().await;
            cluster.kill(0);
            cluster.revive(0);
        }
        Some(self.open().await)
    }

    /// The server writes what was settled a moment after it has answered.
    fn keeps_settlements(&self) -> bool {
        false
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
        let world = OneServer { cluster: Mutex::new(cluster), start: Instant::now() };
        clause(&world).await;
    });
}

ports::broker_conformance!(run);
