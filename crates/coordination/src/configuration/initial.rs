//! Writing the values that the file gives to keys that were never set.

use super::{Configuration, Next, Shared};
use crate::{config::Stores, error::Error, follow::Pause};
use base::ErrorChain;
use runtime::Stop;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;
use tracing::{debug, error};

/// Who sets what the file says.
const BY: &str = "file";

/// Writes them whenever the stores change, until it shall end; `done` is what the last ones were written of.
pub(crate) async fn write_initial(
    configuration: Configuration,
    mut stores: watch::Receiver<Arc<Stores>>,
    done: watch::Sender<Option<Arc<Stores>>>,
    mut stop: Stop,
) {
    loop {
        let wanted = Arc::clone(&stores.borrow_and_update());
        let work = async {
            write_all(&configuration.0, &wanted).await;
            done.send_replace(Some(wanted));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            changed = stores.changed() => if changed.is_err() { return },
            () = stop.wait() => return,
        }
    }
}

async fn write_all(shared: &Shared, stores: &Stores) {
    for store in &stores.configuration {
        for (key, value) in &store.values {
            let mut pause = Pause::default();
            while let Err(error) = write(shared, &store.name, key, value).await {
                if !error.is_outage() {
                    error!(store = store.name, key, error = %ErrorChain(&error), "not configured");
                    break;
                }
                debug!(store = store.name, key, error = %ErrorChain(&error), "not configured yet");
                pause.wait().await;
            }
        }
    }
}

/// Sets a key that was never set, not even deleted.
async fn write(shared: &Shared, store: &str, key: &str, value: &str) -> Result<(), Error> {
    let names = shared.names(store, key)?;
    shared.mirror.ready().await?;
    if shared.mirror.table().entries.contains_key(names.now.as_bytes()) {
        return Ok(());
    }
    let next = Next { value: Some(value.to_owned()), metadata: BTreeMap::new(), restores: None };
    shared.try_put(&names, &next, None, BY).await.map(|_| ())
}
