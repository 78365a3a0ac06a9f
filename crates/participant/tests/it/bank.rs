//! A service with one account, on each of the databases.

use crate::servers::{Kind, Server, WAIT_MAX, shared};
use flotilla_participant::{Answer, BoxError, Branch, Error, mysql, postgres, sqlite};
use mysql_async::prelude::Queryable as _;
use std::{
    future::Future,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// No test takes longer, unless it hangs.
const TEST_TIME_MAX: Duration = Duration::from_secs(240);

const ACCOUNT: &str = "CREATE TABLE account (balance integer)";
const BEGIN: &str = "INSERT INTO account VALUES (0)";
const READ: &str = "SELECT balance FROM account";

/// A database in which the account is. Cheap to clone; the last one takes it away.
#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(Arc<TempDir>),
    Postgres(Arc<Server>, String),
    MariaDb(Arc<Server>, String),
}

/// A connection to it.
pub(crate) enum Bank {
    Sqlite(rusqlite::Connection),
    Postgres(Client),
    MariaDb(mysql_async::Conn),
}

/// Runs a test with a bound in time.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let end = tokio::time::timeout(TEST_TIME_MAX, test).await;
        assert!(end.is_ok(), "the test hangs");
    });
}

/// A place of each kind that this machine has.
pub(crate) async fn places() -> Vec<Place> {
    let mut places = vec![Place::Sqlite(Arc::new(tempfile::tempdir().unwrap()))];
    if let Some(server) = shared(Kind::Postgres) {
        places.push(postgres_place(server).await);
    }
    if let Some(server) = shared(Kind::MariaDb) {
        let name = Server::fresh_name();
        let mut admin = maria(&server, "").await;
        admin.query_drop(format!("CREATE DATABASE {name}")).await.unwrap();
        places.push(Place::MariaDb(server, name));
    }
    for place in &places {
        place.open().await.make().await;
    }
    places
}

/// A database of its own on PostgreSQL.
pub(crate) async fn postgres_place(server: Arc<Server>) -> Place {
    let name = Server::fresh_name();
    let admin = client(&server, "postgres").await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    Place::Postgres(server, name)
}

/// Connects as soon as the server is ready.
pub(crate) async fn client(server: &Server, database: &str) -> Client {
    let start = Instant::now();
    loop {
        match tokio_postgres::connect(&server.url(database), NoTls).await {
            Ok((client, connection)) => {
                let mut task = tokio::task::JoinSet::new();
                task.spawn(async { drop(connection.await) });
                // It ends with the client.
                task.detach_all();
                return client;
            }
            Err(error) => server.not_ready(start, &error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn maria(server: &Server, database: &str) -> mysql_async::Conn {
    let start = Instant::now();
    loop {
        match mysql_async::Conn::from_url(server.url(database)).await {
            Ok(connection) => return connection,
            Err(error) => server.not_ready(start, &error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Place {
    pub(crate) async fn open(&self) -> Bank {
        match self {
            Self::Sqlite(dir) => Bank::Sqlite(open(dir.path())),
            Self::Postgres(server, name) => Bank::Postgres(client(server, name).await),
            Self::MariaDb(server, name) => Bank::MariaDb(maria(server, name).await),
        }
    }
}

fn open(dir: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(dir.join("bank.db")).unwrap();
    connection.busy_timeout(WAIT_MAX).unwrap();
    connection
}

impl Bank {
    pub(crate) async fn execute(&mut self, sql: &str) {
        match self {
            Self::Sqlite(it) => it.execute_batch(sql).unwrap(),
            Self::Postgres(it) => it.batch_execute(sql).await.unwrap(),
            Self::MariaDb(it) => it.query_drop(sql).await.unwrap(),
        }
    }

    async fn make(&mut self) {
        for _ in 0..2 {
            match self {
                Self::Sqlite(it) => sqlite::Barrier::new().create_table(it),
                Self::Postgres(it) => postgres::Barrier::new().create_table(it).await,
                Self::MariaDb(it) => mysql::Barrier::new().create_table(it).await,
            }
            .unwrap();
        }
        self.execute(ACCOUNT).await;
        self.execute(BEGIN).await;
    }

    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(it) => it.query_row(sql, [], |row| row.get(0)).unwrap(),
            Self::Postgres(it) => {
                let row = it.query_one(sql, &[]).await.unwrap();
                row.try_get(0).unwrap_or_else(|_| i64::from(row.get::<_, i32>(0)))
            }
            Self::MariaDb(it) => it.query_first(sql).await.unwrap().unwrap(),
        }
    }

    pub(crate) async fn balance(&mut self) -> i64 {
        self.number(READ).await
    }

    /// Changes the account behind the barrier, and answers what it is told to. `ran` counts how often it got so far.
    pub(crate) async fn change(
        &mut self,
        branch: &Branch,
        by: i64,
        answer: Result<Answer, &'static str>,
        ran: &AtomicU32,
    ) -> Result<Answer, Error> {
        let sql = format!("UPDATE account SET balance = balance + ({by})");
        let end = move || {
            ran.fetch_add(1, Relaxed);
            answer.map_err(BoxError::from)
        };
        match self {
            Self::Sqlite(it) => sqlite::Barrier::new().call(it, branch, |tx| {
                tx.execute(&sql, [])?;
                end()
            }),
            Self::Postgres(it) => {
                let work = async |tx: &tokio_postgres::Transaction<'_>| {
                    tx.execute(&sql, &[]).await?;
                    end()
                };
                postgres::Barrier::new().call(it, branch, work).await
            }
            Self::MariaDb(it) => {
                let work = async |tx: &mut mysql_async::Transaction<'_>| {
                    tx.query_drop(&sql).await?;
                    end()
                };
                mysql::Barrier::new().call(it, branch, work).await
            }
        }
    }

    /// The same until the database does not mind, as the coordinator does.
    pub(crate) async fn insist(&mut self, branch: &Branch, by: i64, ran: &AtomicU32) -> Answer {
        let start = Instant::now();
        loop {
            match self.change(branch, by, Ok(Answer::done()), ran).await {
                Ok(answer) => return answer,
                Err(error) => assert!(start.elapsed() < WAIT_MAX, "{}", error.chain()),
            }
        }
    }

    /// A local transaction that sends a message.
    pub(crate) async fn send(&mut self, gid: &str) -> Result<(), Error> {
        let sql = "UPDATE account SET balance = balance + 1";
        match self {
            Self::Sqlite(it) => {
                let tx = it.transaction().unwrap();
                tx.execute(sql, []).unwrap();
                sqlite::Barrier::new().message(&tx, gid)?;
                tx.commit().unwrap();
            }
            Self::Postgres(it) => {
                let tx = it.transaction().await.unwrap();
                tx.execute(sql, &[]).await.unwrap();
                postgres::Barrier::new().message(&tx, gid).await?;
                tx.commit().await.unwrap();
            }
            Self::MariaDb(it) => {
                let mut tx = it.start_transaction(mysql_async::TxOpts::default()).await.unwrap();
                tx.query_drop(sql).await.unwrap();
                mysql::Barrier::new().message(&mut tx, gid).await?;
                tx.commit().await.unwrap();
            }
        }
        Ok(())
    }

    pub(crate) async fn is_sent(&mut self, branch: &Branch) -> Answer {
        match self {
            Self::Sqlite(it) => sqlite::Barrier::new().message_query(it, branch),
            Self::Postgres(it) => postgres::Barrier::new().message_query(it, branch).await,
            Self::MariaDb(it) => mysql::Barrier::new().message_query(it, branch).await,
        }
        .unwrap()
    }

    pub(crate) async fn forget(&mut self, age: Duration) -> u64 {
        match self {
            Self::Sqlite(it) => {
                let count = sqlite::Barrier::new().forget(it, age).unwrap();
                u64::try_from(count).unwrap()
            }
            Self::Postgres(it) => postgres::Barrier::new().forget(it, age).await.unwrap(),
            Self::MariaDb(it) => mysql::Barrier::new().forget(it, age).await.unwrap(),
        }
    }
}
