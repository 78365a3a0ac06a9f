//! Connections that switched protocols (WebSocket): bytes both ways until both sides end.

use crate::{buffer::Buffer, exchange::Switched, transport::Transport, worker::Worker};
use std::{io, rc::Rc};
use tracing::debug;

/// Joins both sides. The instance works on it until the end, so a drain waits. A side that ends is passed
/// on as such; the other may go on.
pub(crate) async fn join(
    worker: &Rc<Worker>,
    client: &Transport,
    mut from_client: Buffer,
    switched: Switched,
) {
    let Switched { connection, mut buffer, in_flight } = switched;
    let up = copy(client, &mut from_client, &connection);
    let down = copy(&connection, &mut buffer, client);
    let outcome = both(up, down).await;
    if let Err(error) = outcome {
        debug!(%error, instance = %in_flight.endpoint().instance(), "a tunnel broke");
    }
    worker.give(from_client);
    worker.give(buffer);
}

/// Runs both until both are done, or one fails.
async fn both(
    up: impl Future<Output = io::Result<()>>,
    down: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    tokio::try_join!(up, down).map(|_| ())
}

async fn copy(from: &Transport, buffer: &mut Buffer, to: &Transport) -> io::Result<()> {
    loop {
        if !buffer.is_empty() {
            to.write(&[buffer.filled()]).await.map_err(|(_, error)| error)?;
            buffer.skip_to(buffer.range().end);
        }
        if from.read(buffer).await? == 0 {
            return to.shut().await;
        }
    }
}
