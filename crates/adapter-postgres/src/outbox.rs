//! The port, over one session at a time.

use crate::{Config, session::Session, verdict};
use async_trait::async_trait;
use ports::outbox::{Error, FETCH_MAX, Outbox, Row};
use std::{fmt, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};

/// How long a call may take. A server that is gone without a word is found out by it; a great backlog is sorted within.
const CALL_MAX: Duration = Duration::from_secs(60);

/// How often a waiting relay looks for rows that nobody notified it of.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// An outbox table in PostgreSQL.
pub struct PostgresOutbox {
    config: Config,
    session: Mutex<Option<Session>>,
    changed: Arc<Notify>,
}

impl PostgresOutbox {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, session: Mutex::new(None), changed: Arc::default() }
    }

    /// Runs a call on the session that there is, or a new one. One that failed is not used again.
    async fn with<T>(
        &self,
        call: impl AsyncFnOnce(&mut Session, &Config) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut place = self.session.lock().await;
        // Taken out: a call that is dropped midway takes its session with it.
        let kept = place.take().filter(|session| !session.is_closed());
        let work = async {
            let mut session = match kept {
                Some(session) => session,
                None => Session::start(&self.config, Arc::clone(&self.changed)).await?,
            };
            let answer = call(&mut session, &self.config).await?;
            Ok((session, answer))
        };
        let (session, answer) = bounded(&self.config, work).await?;
        *place = Some(session);
        Ok(answer)
    }
}

async fn bounded<T>(
    config: &Config,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(CALL_MAX, work).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(verdict::unavailable(config, elapsed)),
    }
}

impl fmt::Debug for PostgresOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOutbox").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Outbox for PostgresOutbox {
    async fn fetch(&self, limit: usize) -> Result<Vec<Row>, Error> {
        let limit = i64::try_from(limit.clamp(1, FETCH_MAX)).unwrap_or(i64::MAX);
        self.with(async |session, config| session.fetch(config, limit).await).await
    }

    async fn delete(&self, ids: &[String]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        self.with(async |session, config| session.delete(config, ids).await).await
    }

    async fn wait(&self, patience: Duration) {
        // Out of time is as good as a notification: the caller looks.
        timeout(patience.min(LOOK_PERIOD), self.changed.notified()).await.unwrap_or_default();
    }
}
