use crate::server::{Database, START_TIME_MAX, with, with_own};
use adapter_postgres::{Config, PostgresOutbox};
use ports::outbox::{Error, Outbox, Row};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

const TABLE: &str = "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype varchar(255) NOT NULL, aggregateid varchar(255) \
                     NOT NULL, type varchar(255) NOT NULL, payload jsonb, tenant text DEFAULT 'x')";

/// A relay of a table.
fn relay(database: &Database, table: &str) -> PostgresOutbox {
    PostgresOutbox::new(Config::parse(&database.url(), table).unwrap())
}

fn uuid(number: u32) -> String {
    // The first digits fall, so that the order of ids is not that of insertion.
    format!("{:08x}-0000-0000-0000-000000000000", u32::MAX - number)
}

async fn insert(service: &Client, number: u32) {
    let sql = format!(
        "INSERT INTO outbox VALUES ('{}', 'order', '42', 'Created', '{{\"n\": {number}}}')",
        uuid(number)
    );
    service.batch_execute(&sql).await.unwrap();
}

async fn ids(relay: &PostgresOutbox) -> Vec<String> {
    relay.fetch(500).await.unwrap().into_iter().map(|row| row.id).collect()
}

async fn problem(relay: &PostgresOutbox) -> String {
    match relay.fetch(500).await {
        Err(Error::Missing { problem, place, .. }) => {
            assert!(!place.contains("geheim"), "{place}");
            problem
        }
        other => panic!("it is not missing: {other:?}"),
    }
}

fn uuids(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(uuid).collect()
}

#[test]
fn rows_come_in_order_until_they_are_deleted() {
    with(async |database| {
        let (service, relay) = (database.service().await, relay(&database, "outbox"));
        service.batch_execute(TABLE).await.unwrap();
        assert!(ids(&relay).await.is_empty());
        for number in 0..5 {
            insert(&service, number).await;
        }
        assert_eq!(ids(&relay).await, uuids(0..5));
        assert_eq!(relay.fetch(2).await.unwrap().len(), 2);
        relay.delete(&uuids([0, 2, 9])).await.unwrap();
        relay.delete(&uuids([0])).await.unwrap();
        relay.delete(&[]).await.unwrap();
        // One that takes the place of a deleted one is not before the others.
        service.batch_execute("VACUUM outbox").await.unwrap();
        insert(&service, 7).await;
        assert_eq!(ids(&relay).await, uuids([1, 3, 4, 7]));
        let row = Row {
            id: uuid(1),
            aggregate_type: "order".into(),
            aggregate_id: "42".into(),
            kind: "Created".into(),
            payload: Some(br#"{"n": 1}"#.to_vec()),
        };
        assert_eq!(relay.fetch(1).await.unwrap(), [row]);
    });
}

#[test]
fn rows_of_a_transaction_come_in_their_order_when_it_commits() {
    with(async |database| {
        let (mut service, relay) = (database.service().await, relay(&database, "outbox"));
        service.batch_execute(TABLE).await.unwrap();
        let transaction = service.transaction().await.unwrap();
        for number in [3, 1, 2] {
            let sql = format!(
                "INSERT INTO outbox VALUES ('{}', 'order', '42', 'Created', NULL)",
                uuid(number)
            );
            transaction.batch_execute(&sql).await.unwrap();
        }
        assert!(ids(&relay).await.is_empty());
        transaction.commit().await.unwrap();
        assert_eq!(ids(&relay).await, uuids([3, 1, 2]));
        assert_eq!(relay.fetch(1).await.unwrap()[0].payload, None);
    });
}

#[test]
fn values_of_every_type_are_read_and_deleted() {
    with(async |database| {
        let service = database.service().await;
        for (id, payload, first, second, bytes) in [
            (
                "bigserial PRIMARY KEY",
                "text",
                "DEFAULT, 'order', '1', 'A', 'ü'",
                "DEFAULT, 'order', '1', 'B', 'x'",
                "ü".as_bytes(),
            ),
            (
                "varchar(40)",
                "bytea",
                "'b', 'order', '1', 'A', '\\x00ff'",
                "'a', 'order', '1', 'B', NULL",
                &[0, 255][..],
            ),
            (
                "text",
                "json",
                "'b', 'order', '1', 'A', '{ }'",
                "'''\"a', 'order', '1', 'B', NULL",
                b"{ }",
            ),
            (
                "uuid",
                "integer",
                "gen_random_uuid(), 'order', '1', 'A', 7",
                "gen_random_uuid(), 'order', '1', 'B', 8",
                b"7",
            ),
            (
                "bytea",
                "text",
                "'\\xff', 'order', '1', 'A', 'x'",
                "'\\x00', 'order', '1', 'B', 'x'",
                b"x",
            ),
            ("char(5)", "text", "'b', 'order', '1', 'A', 'x'", "'a', 'order', '1', 'B', 'x'", b"x"),
        ] {
            let sql = format!(
                "DROP TABLE IF EXISTS outbox; CREATE TABLE outbox (id {id}, aggregatetype text, aggregateid text, type text, \
                 payload {payload}); INSERT INTO outbox VALUES ({first}); INSERT INTO outbox VALUES ({second})"
            );
            service.batch_execute(&sql).await.unwrap();
            let relay = relay(&database, "outbox");
            let rows = relay.fetch(10).await.unwrap();
            let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
            assert_eq!(kinds, ["A", "B"], "{id}");
            assert_eq!(rows[0].payload.as_deref(), Some(bytes), "{id}");
            relay.delete(&[rows[0].id.clone()]).await.unwrap();
            assert_eq!(ids(&relay).await, [rows[1].id.clone()], "{id}");
            relay.delete(&[rows[1].id.clone()]).await.unwrap();
            assert!(ids(&relay).await.is_empty(), "{id}");
        }
    });
}

#[test]
fn great_payloads_come_in_several_fetches() {
    with(async |database| {
        let (service, relay) = (database.service().await, relay(&database, "outbox"));
        let sql = "CREATE TABLE outbox (id serial, aggregatetype text, aggregateid text, type text, payload text); \
                   INSERT INTO outbox SELECT n, 'order', n, 'A', repeat('x', 1000000) FROM generate_series(1, 20) n";
        service.batch_execute(sql).await.unwrap();
        let mut fetches = Vec::new();
        loop {
            let ids = ids(&relay).await;
            relay.delete(&ids).await.unwrap();
            if ids.is_empty() {
                break;
            }
            fetches.push(ids.len());
        }
        assert_eq!(fetches, [9, 9, 2]);
    });
}

#[test]
fn a_table_that_is_not_there_yet_is_missing_and_then_found() {
    with(async |database| {
        let (service, relay) = (database.service().await, relay(&database, "my.outbox"));
        assert_eq!(problem(&relay).await, "there is no such table");
        let delete = relay.delete(&["1".into()]).await;
        assert!(matches!(delete, Err(Error::Missing { .. })), "{delete:?}");
        let run = async |sql: &str| service.batch_execute(sql).await.unwrap();
        run("CREATE SCHEMA my; CREATE TABLE outbox (id int)").await;
        assert_eq!(problem(&relay).await, "there is no such table");
        run("CREATE TABLE my.outbox (id int, aggregateid text, type text)").await;
        assert_eq!(problem(&relay).await, "it has no column `aggregatetype`, `payload`");
        run("ALTER TABLE my.outbox ADD aggregatetype text, ADD payload text").await;
        run("INSERT INTO my.outbox VALUES (NULL, '1', 'A', 'order', 'x')").await;
        assert_eq!(problem(&relay).await, "a row has no `id`");
        run("UPDATE my.outbox SET id = 1").await;
        assert_eq!(ids(&relay).await, ["1"]);
        // A migration while the relay works.
        run("ALTER TABLE my.outbox ALTER payload TYPE bytea USING 'y'").await;
        assert_eq!(relay.fetch(1).await.unwrap()[0].payload.as_deref(), Some(&b"y"[..]));
        run("ALTER TABLE my.outbox RENAME TO other; CREATE VIEW my.outbox AS SELECT * FROM my.other").await;
        assert!(problem(&relay).await.contains("it is no table"));
    });
}

#[test]
fn a_database_that_is_not_there_is_missing_and_a_user_that_may_not_is_refused() {
    with(async |database| {
        let other = |from: &str, to: &str| {
            let url = database.url().replace(from, to);
            PostgresOutbox::new(Config::parse(&url, "outbox").unwrap())
        };
        assert!(problem(&other(database.name(), "nowhere")).await.contains("nowhere"));
        let service = database.service().await;
        service
            .batch_execute(&format!("{TABLE}; CREATE ROLE guest_{} LOGIN", database.name()))
            .await
            .unwrap();
        let guest = other("flotilla", &format!("guest_{}", database.name()));
        let error = guest.fetch(1).await.expect_err("a guest may not read");
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("geheim"), "{error:?}");
    });
}

#[test]
fn only_one_relay_gets_rows_until_it_ends() {
    with(async |database| {
        let service = database.service().await;
        service.batch_execute(TABLE).await.unwrap();
        insert(&service, 1).await;
        let (first, second) = (relay(&database, "outbox"), relay(&database, "outbox"));
        assert_eq!(ids(&first).await, uuids([1]));
        assert!(ids(&second).await.is_empty());
        assert_eq!(ids(&first).await, uuids([1]));
        drop(first);
        let start = Instant::now();
        while ids(&second).await.is_empty() {
            assert!(start.elapsed() < START_TIME_MAX, "the lock of a relay that ended is kept");
            second.wait(Duration::from_secs(1)).await;
        }
        assert_eq!(ids(&second).await, uuids([1]));
    });
}

#[test]
fn a_notification_ends_a_wait() {
    with(async |database| {
        let (service, relay) = (database.service().await, relay(&database, "outbox"));
        service.batch_execute(TABLE).await.unwrap();
        assert!(ids(&relay).await.is_empty());
        // By itself a wait ends after a quarter of a second, so one of half of that was ended by the notification. A machine
        // may be too busy for that at times, not for ever.
        let begin = Instant::now();
        loop {
            let start = Instant::now();
            tokio::join!(relay.wait(START_TIME_MAX), async {
                service.batch_execute("NOTIFY outbox").await.unwrap();
            });
            if start.elapsed() < Duration::from_millis(125) {
                break;
            }
            assert!(begin.elapsed() < START_TIME_MAX, "nobody hears notifications");
        }
    });
}

#[test]
fn the_socket_of_the_machine_will_do() {
    with(async |database| {
        let service = database.service().await;
        service.batch_execute(TABLE).await.unwrap();
        insert(&service, 1).await;
        let folder = database.folder().display().to_string().replace('/', "%2F");
        let (address, name) = (database.url(), database.name());
        let port = address.rsplit_once(':').unwrap().1.split_once('/').unwrap().0;
        let url = format!("postgres://flotilla@{folder}:{port}/{name}?sslmode=prefer&pool=3");
        let relay = PostgresOutbox::new(Config::parse(&url, "outbox").unwrap());
        assert_eq!(ids(&relay).await, uuids([1]));
    });
}

#[test]
fn a_server_that_was_killed_is_unavailable_and_then_found_again() {
    with_own(async |database| {
        let service = database.service().await;
        let relay = relay(&database, "outbox");
        service.batch_execute(TABLE).await.unwrap();
        insert(&service, 1).await;
        assert_eq!(ids(&relay).await, uuids([1]));
        database.server.end();
        for _ in 0..2 {
            let error = relay.fetch(1).await.expect_err("the server is gone");
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        }
        let error = relay.delete(&uuids([1])).await.expect_err("the server is gone");
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        database.server.start();
        let start = Instant::now();
        let rows = loop {
            match relay.fetch(10).await {
                Ok(rows) => break rows,
                Err(Error::Unavailable { .. }) if start.elapsed() < START_TIME_MAX => {
                    relay.wait(Duration::from_secs(1)).await;
                }
                Err(error) => panic!("it does not come back: {error:?}"),
            }
        };
        assert_eq!(rows.len(), 1);
        relay.delete(&[rows[0].id.clone()]).await.unwrap();
        assert!(ids(&relay).await.is_empty());
    });
}

#[test]
fn nothing_is_lost_or_left_while_services_write() {
    const WRITERS: u32 = 4;
    const ROWS: u32 = 100;
    with(async |database| {
        let relay = relay(&database, "outbox");
        database.service().await.batch_execute(TABLE).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let service = database.service().await;
            writers.spawn(async move {
                for row in 0..ROWS {
                    insert(&service, writer * ROWS + row).await;
                }
            });
        }
        let (mut seen, start) = (Vec::new(), Instant::now());
        while seen.len() < usize::try_from(WRITERS * ROWS).unwrap() {
            assert!(start.elapsed() < START_TIME_MAX * 3, "only {} rows have come", seen.len());
            let rows = ids(&relay).await;
            if rows.is_empty() {
                relay.wait(Duration::from_secs(1)).await;
            }
            relay.delete(&rows).await.unwrap();
            seen.extend(rows);
        }
        assert!(writers.join_all().await.len() == 4);
        assert!(ids(&relay).await.is_empty());
        // Each writer's in its order, each once.
        for writer in 0..WRITERS {
            let all = uuids(writer * ROWS..(writer + 1) * ROWS);
            let found: Vec<_> = seen.iter().filter(|id| all.contains(id)).cloned().collect();
            assert_eq!(found, all);
        }
        assert_eq!(seen.len(), usize::try_from(WRITERS * ROWS).unwrap());
    });
}
