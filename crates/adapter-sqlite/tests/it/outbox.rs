use adapter_sqlite::{Config, SqliteOutbox};
use ports::outbox::{Error, Outbox, Row};
use rusqlite::{Connection, params};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// No wait takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

const TABLE: &str = "CREATE TABLE outbox (id TEXT PRIMARY KEY, aggregatetype TEXT NOT NULL, aggregateid TEXT NOT NULL, \
                     type TEXT NOT NULL, payload TEXT, tenant TEXT DEFAULT 'x')";
const INSERT: &str = "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES (?1, 'order', ?2, 'Created', ?3)";

struct Shop {
    dir: TempDir,
    outbox: SqliteOutbox,
}

impl Shop {
    /// A folder without a database.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("shop.db").display());
        let outbox = SqliteOutbox::new(Config::parse(&url, "outbox").unwrap());
        Self { dir, outbox }
    }

    fn with(sql: &str) -> (Self, Connection) {
        let shop = Self::new();
        let service = shop.service();
        service.execute_batch(sql).unwrap();
        (shop, service)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("shop.db")
    }

    /// The service's own connection.
    fn service(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }

    async fn ids(&self) -> Vec<String> {
        self.outbox.fetch(500).await.unwrap().into_iter().map(|row| row.id).collect()
    }

    async fn problem(&self) -> String {
        match self.outbox.fetch(500).await {
            Err(Error::Missing { problem, .. }) => problem,
            other => panic!("it is not missing: {other:?}"),
        }
    }
}

fn insert(service: &Connection, id: &str) {
    service.execute(INSERT, params![id, "42", "{}"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_order_until_they_are_deleted() {
    let (shop, service) = Shop::with(TABLE);
    assert!(shop.ids().await.is_empty());
    ["z", "a", "m"].iter().for_each(|id| insert(&service, id));
    assert_eq!(shop.ids().await, ["z", "a", "m"]);
    assert_eq!(shop.outbox.fetch(2).await.unwrap().len(), 2);
    shop.outbox.delete(&["z".into(), "m".into(), "gone".into()]).await.unwrap();
    shop.outbox.delete(&["z".into()]).await.unwrap();
    shop.outbox.delete(&[]).await.unwrap();
    insert(&service, "b");
    assert_eq!(shop.ids().await, ["a", "b"]);
    let row = Row {
        id: "a".into(),
        aggregate_type: "order".into(),
        aggregate_id: "42".into(),
        kind: "Created".into(),
        payload: Some(b"{}".to_vec()),
    };
    assert_eq!(shop.outbox.fetch(1).await.unwrap(), [row]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_has_not_committed_is_not_there() {
    let (shop, mut service) = Shop::with(TABLE);
    let transaction = service.transaction().unwrap();
    insert(&transaction, "1");
    assert!(shop.ids().await.is_empty());
    transaction.rollback().unwrap();
    let transaction = service.transaction().unwrap();
    insert(&transaction, "2");
    transaction.commit().unwrap();
    assert_eq!(shop.ids().await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_are_read_and_deleted() {
    let (shop, service) =
        Shop::with("CREATE TABLE outbox (ID, AggregateType, aggregateid, type, payload)");
    let insert = "INSERT INTO outbox VALUES (?1, 'order', ?2, NULL, ?3)";
    let blob: Vec<u8> = (0..16).collect();
    service.execute(insert, params!["text", 7, blob]).unwrap();
    service.execute(insert, params![12, "k", 1.5]).unwrap();
    service.execute(insert, params![blob, 1, None::<String>]).unwrap();
    service.execute(insert, params![vec![255_u8], 1, "\u{fc}"]).unwrap();
    service.execute(insert, params![0.25, 1, 3]).unwrap();
    let rows = shop.outbox.fetch(10).await.unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["text", "12", "00010203-0405-0607-0809-0a0b0c0d0e0f", "ff", "0.25"]);
    let payloads: Vec<_> = rows.iter().map(|row| row.payload.as_deref()).collect();
    let expected: [Option<&[u8]>; 5] =
        [Some(&blob), Some(b"1.5"), None, Some("\u{fc}".as_bytes()), Some(b"3")];
    assert_eq!(payloads, expected);
    assert_eq!((rows[0].aggregate_id.as_str(), rows[0].kind.as_str()), ("7", ""));
    for row in rows {
        shop.outbox.delete(&[row.id]).await.unwrap();
    }
    assert!(shop.ids().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_named_like_columns_are_rows() {
    let (shop, service) = Shop::with(TABLE);
    insert(&service, "id");
    assert_eq!(shop.ids().await, ["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_yet_is_missing_and_then_found() {
    let shop = Shop::new();
    assert_eq!(shop.problem().await, "the file is not there yet");
    assert!(!shop.path().exists(), "the relay made a file");
    let service = shop.service();
    service.execute_batch("CREATE TABLE other (id)").unwrap();
    assert_eq!(shop.problem().await, "there is no such table");
    let delete = shop.outbox.delete(&["1".into()]).await;
    assert!(matches!(delete, Err(Error::Missing { .. })), "{delete:?}");
    service.execute_batch("CREATE TABLE outbox (id, aggregateid, type)").unwrap();
    assert_eq!(shop.problem().await, "it has no column `aggregatetype`, `payload`");
    service.execute_batch("INSERT INTO outbox VALUES (1, 2, 3)").unwrap();
    assert_eq!(shop.problem().await, "it has no column `aggregatetype`, `payload`");
    service.execute_batch("DROP TABLE outbox").unwrap();
    service.execute_batch(&format!("{TABLE} WITHOUT ROWID")).unwrap();
    assert!(shop.problem().await.contains("WITHOUT ROWID"));
    service.execute_batch("DROP TABLE outbox").unwrap();
    service.execute_batch(TABLE).unwrap();
    insert(&service, "1");
    assert_eq!(shop.ids().await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn great_payloads_come_in_several_fetches() {
    let (shop, service) = Shop::with(TABLE);
    for id in 0..20 {
        service.execute(INSERT, params![id.to_string(), "42", "x".repeat(1_000_000)]).unwrap();
    }
    let mut fetches = Vec::new();
    loop {
        let ids = shop.ids().await;
        shop.outbox.delete(&ids).await.unwrap();
        if ids.is_empty() {
            break;
        }
        fetches.push(ids.len());
    }
    assert_eq!(fetches, [9, 9, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_an_id_is_said_instead_of_sent_for_ever() {
    let (shop, service) = Shop::with(TABLE);
    service.execute(INSERT, params![None::<String>, "42", "{}"]).unwrap();
    assert_eq!(shop.problem().await, "a row has no `id`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_is_opened_anew() {
    let (shop, service) = Shop::with(TABLE);
    insert(&service, "old");
    assert_eq!(shop.ids().await, ["old"]);
    drop(service);
    for suffix in ["", "-wal", "-shm"] {
        let path = shop.dir.path().join(format!("shop.db{suffix}"));
        // The others may be gone with the last connection.
        std::fs::remove_file(path).unwrap_or_default();
    }
    assert_eq!(shop.problem().await, "the file is not there yet");
    let service = shop.service();
    service.execute_batch(TABLE).unwrap();
    insert(&service, "new");
    assert_eq!(shop.ids().await, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_refused_for_good() {
    let shop = Shop::new();
    std::fs::write(shop.path(), "x".repeat(4_096)).unwrap();
    let error = shop.outbox.fetch(1).await.expect_err("it is no database");
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("shop.db"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_somebody_commits_and_not_by_itself() {
    let (shop, service) = Shop::with(TABLE);
    insert(&service, "1");
    assert_eq!(shop.ids().await, ["1"]);
    // Its own deletion is no change.
    shop.outbox.delete(&["1".into()]).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(300), shop.outbox.wait(PATIENCE)).await;
    assert!(quiet.is_err(), "it ended although nothing changed");
    // Patience is what bounds it.
    shop.outbox.wait(Duration::from_millis(1)).await;

    let start = Instant::now();
    let wait = shop.outbox.wait(PATIENCE * 2);
    let commit = async { insert(&service, "2") };
    tokio::join!(wait, commit);
    assert!(start.elapsed() < PATIENCE, "the commit was not seen");
    assert_eq!(shop.ids().await, ["2"]);
    // A commit between a fetch and the wait is seen, too.
    insert(&service, "3");
    shop.outbox.wait(PATIENCE * 2).await;
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_file_and_when_the_table_comes_and_not_before() {
    let shop = Shop::new();
    let start = Instant::now();
    let is_quiet = async || {
        let wait = shop.outbox.wait(PATIENCE);
        tokio::time::timeout(Duration::from_millis(200), wait).await.is_err()
    };
    shop.problem().await;
    assert!(is_quiet().await);
    let (service, ()) = tokio::join!(async { shop.service() }, shop.outbox.wait(PATIENCE * 2));
    shop.problem().await;
    assert!(is_quiet().await);
    let create = async { service.execute_batch(TABLE).unwrap() };
    tokio::join!(create, shop.outbox.wait(PATIENCE * 2));
    assert!(start.elapsed() < PATIENCE);
    assert!(shop.ids().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_what_is_no_database_ends_when_it_is_replaced() {
    let shop = Shop::new();
    let start = Instant::now();
    std::fs::write(shop.path(), "x".repeat(4_096)).unwrap();
    shop.outbox.fetch(1).await.expect_err("it is no database");
    let quiet = tokio::time::timeout(Duration::from_millis(200), shop.outbox.wait(PATIENCE)).await;
    assert!(quiet.is_err(), "it ended although nothing changed");
    std::fs::rename(shop.path(), shop.dir.path().join("kept")).unwrap();
    shop.outbox.wait(PATIENCE * 2).await;
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_left_while_the_service_writes() {
    const ROWS: usize = 400;
    let (shop, service) = Shop::with(TABLE);
    let writer = runtime::thread("writer", move || {
        for number in 0..ROWS {
            insert(&service, &number.to_string());
        }
        service
    })
    .unwrap();
    let (mut seen, start) = (Vec::new(), Instant::now());
    while seen.len() < ROWS {
        assert!(start.elapsed() < PATIENCE, "only {} rows have come", seen.len());
        match shop.outbox.fetch(50).await {
            Ok(rows) if rows.is_empty() => shop.outbox.wait(Duration::from_secs(1)).await,
            Ok(rows) => {
                let ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
                shop.outbox.delete(&ids).await.unwrap();
                seen.extend(ids);
            }
            Err(Error::Unavailable { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let expected: Vec<String> = (0..ROWS).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
    let service = writer.join().unwrap();
    let left: i64 = service.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
