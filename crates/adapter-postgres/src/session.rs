//! A connection, with what it has locked.

use crate::{
    Config,
    shape::{self, Shape},
    verdict,
};
use futures_util::TryStreamExt;
use ports::outbox::{Error, Row};
use runtime::TaskSet;
use std::{future::poll_fn, pin::pin, sync::Arc};
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Socket, tls::NoTlsStream};
use tracing::debug;

/// The first half of the advisory locks of outbox relays; the second is the table. Any number will do that others do not use.
const LOCK_CLASS: i32 = 0x0f10_7111;

/// When payloads of one fetch have so many bytes, no more rows are read: what a publish to a broker may have.
const FETCH_SIZE_MAX: usize = 8 << 20;

/// What the server is told when a session begins: to find out soon that the other end is gone, since what is gone keeps its lock.
/// Where the connection is no TCP, it has no effect.
const SETTINGS: &str =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4";

#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    shape: Option<Shape>,
    /// The table whose lock it holds.
    locked: Option<u32>,
    /// Drives the connection. Ends with the session.
    _task: TaskSet,
}

impl Session {
    /// Connects. `changed` is told what the service notifies.
    pub(crate) async fn start(config: &Config, changed: Arc<Notify>) -> Result<Self, Error> {
        let connected = config.server.connect(NoTls).await;
        let (client, connection) = connected.map_err(|cause| verdict::error(config, cause))?;
        let mut task = TaskSet::new("postgres outbox");
        task.spawn("postgres-connection", |_| drive(connection, changed));
        let begin = format!("{SETTINGS}; LISTEN {}", config.quoted_channel());
        client.batch_execute(&begin).await.map_err(|cause| verdict::error(config, cause))?;
        Ok(Self { client, shape: None, locked: None, _task: task })
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The oldest rows; none while another relay has the table.
    pub(crate) async fn fetch(&mut self, config: &Config, limit: i64) -> Result<Vec<Row>, Error> {
        // Each time, because a migration may have changed it: a payload that became `bytea` would be taken for text.
        let shape = shape::look(config, &self.client).await?;
        let shape = self.shape.insert(shape);
        if self.locked != Some(shape.oid) {
            let sql = "SELECT pg_catalog.pg_try_advisory_lock($1::int, ($2::oid::bigint & 2147483647)::int)";
            let answer = self.client.query_one(sql, &[&LOCK_CLASS, &shape.oid]).await;
            let has_lock = answer.and_then(|row| row.try_get(0));
            if !has_lock.map_err(|cause| verdict::error(config, cause))? {
                return Ok(Vec::new());
            }
            self.locked = Some(shape.oid);
        }
        let rows = oldest(&self.client, &shape.fetch, limit).await;
        let rows = rows.map_err(|cause| verdict::error(config, cause))?;
        rows.ok_or_else(|| verdict::missing(config, "a row has no `id`"))
    }

    pub(crate) async fn delete(&mut self, config: &Config, ids: &[String]) -> Result<(), Error> {
        let shape = match &self.shape {
            Some(shape) => shape,
            None => self.shape.insert(shape::look(config, &self.client).await?),
        };
        let deleted = self.client.execute(&shape.delete, &[&ids]).await;
        deleted.map(|_| ()).map_err(|cause| verdict::error(config, cause))
    }
}

/// Rows up to the bounds of a fetch. `None`: one has no id.
async fn oldest(
    client: &Client,
    sql: &str,
    limit: i64,
) -> Result<Option<Vec<Row>>, tokio_postgres::Error> {
    let mut found = pin!(client.query_raw(sql, [limit]).await?);
    let (mut rows, mut size) = (Vec::new(), 0);
    while size < FETCH_SIZE_MAX
        && let Some(row) = found.try_next().await?
    {
        let Some(row) = read(&row)? else { return Ok(None) };
        size += row.payload.as_ref().map_or(0, Vec::len);
        rows.push(row);
    }
    // What else the server sends of this answer is thrown away.
    Ok(Some(rows))
}

/// `None`: it has no id, by which it could be deleted.
fn read(row: &tokio_postgres::Row) -> Result<Option<Row>, tokio_postgres::Error> {
    let Some(id) = row.try_get(0)? else { return Ok(None) };
    let (aggregate_type, aggregate_id) = (row.try_get(1)?, row.try_get(2)?);
    let (kind, payload) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Some(Row { id, aggregate_type, aggregate_id, kind, payload }))
}

/// Moves what is sent and received, until the session or the connection ends.
async fn drive(mut connection: Connection<Socket, NoTlsStream>, changed: Arc<Notify>) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(_)) => changed.notify_one(),
            Ok(_) => {}
            // Whoever waits for an answer gets an error, too.
            Err(error) => {
                debug!(%error, "the connection to an outbox ended");
                break;
            }
        }
    }
    // So that a wait is not longer than the way to a new connection.
    changed.notify_one();
}
