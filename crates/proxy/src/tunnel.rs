//! Upgraded connections (WebSocket): bytes both ways until one side ends.

use crate::{
    endpoint::InFlight,
    worker::{Active, Worker},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::rc::Rc;
use tracing::debug;

/// Joins both sides once they have switched. The instance works on it until then, so a drain waits.
pub(crate) fn join(worker: &Rc<Worker>, client: OnUpgrade, instance: OnUpgrade, held: InFlight) {
    let active = Active::new(worker);
    worker.local().spawn(async move {
        let (client, instance) = match (client.await, instance.await) {
            (Ok(client), Ok(instance)) => (client, instance),
            (Err(error), _) | (_, Err(error)) => {
                debug!(%error, "an upgrade came to nothing");
                return;
            }
        };
        let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
        let copied = tokio::io::copy_bidirectional(&mut client, &mut instance).await;
        if let Err(error) = copied {
            debug!(%error, instance = %held.endpoint().instance(), "a tunnel broke");
        }
        drop((held, active));
    });
}
