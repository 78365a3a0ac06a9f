//! Opens the databases in which services leave messages.

use async_trait::async_trait;
use base::ErrorChain;
use events::{Outboxes, Relay};
use ports::outbox::Outbox;
use std::sync::Arc;

/// SQLite and PostgreSQL, by the scheme of the URL.
#[derive(Debug)]
pub(super) struct Databases;

#[async_trait]
impl Outboxes for Databases {
    async fn open(&self, relay: &Relay) -> Result<Arc<dyn Outbox>, String> {
        let scheme = relay.url.split(':').next().unwrap_or_default();
        match scheme.split('+').next().unwrap_or_default() {
            "sqlite" => {
                let config = adapter_sqlite::Config::parse(&relay.url, &relay.table);
                let config = config.map_err(|e| ErrorChain(&e).to_string())?;
                Ok(Arc::new(adapter_sqlite::SqliteOutbox::new(config)))
            }
            "postgres" | "postgresql" => {
                let config = adapter_postgres::Config::parse(&relay.url, &relay.table);
                let config = config.map_err(|e| ErrorChain(&e).to_string())?;
                Ok(Arc::new(adapter_postgres::PostgresOutbox::new(config)))
            }
            // The rest may hold a password.
            _ => Err("an outbox is read from `sqlite:` and `postgres:` databases".to_owned()),
        }
    }
}
