//! A service whose outbox is a table of a real PostgreSQL.

use super::{Arrival, arrivals, until_done, until_settled};
use crate::kit::{System, end_of, free_port, skip, wait::eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    os::unix::fs::{MetadataExt, chown},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A writer takes a second for as many orders as are written at once here, unless it hangs.
const WRITING_MAX: Duration = Duration::from_secs(240);

/// A server with a folder of its own, which ends with the test.
struct Postgres {
    programs: PathBuf,
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// Starts one; `None`, and it is said, when there is none on this machine.
    fn start(test: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            skip(test, "there is no PostgreSQL server: `apt-get install postgresql`");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("flotilla-it-pg-").tempdir().unwrap();
        if let Some((user, group)) = other_user() {
            chown(dir.path(), Some(user), Some(group)).unwrap();
        }
        let mut server = Self { programs, dir, port: free_port(), child: None };
        let mut initdb = server.command("initdb");
        initdb.args(["--username", "flotilla", "--auth", "trust", "--encoding", "UTF8"]);
        let made = initdb.args(["--no-sync", "-D"]).arg(server.dir.path().join("data")).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = File::create(server.dir.path().join("log")).unwrap();
        let mut postgres = server.command("postgres");
        postgres.arg("-D").arg(server.dir.path().join("data"));
        for setting in [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            &format!("port={}", server.port),
            &format!("unix_socket_directories={}", server.dir.path().display()),
        ] {
            postgres.args(["-c", setting]);
        }
        postgres.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        server.child = Some(postgres.spawn().unwrap());
        eventually("PostgreSQL", || {
            let ready = server.psql(&["-c", "SELECT 1"]).output().unwrap();
            ready.status.success().then_some(())
        });
        Some(server)
    }

    /// One of the server's programs, which refuse to work for root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match other_user() {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
                command.arg("--clear-groups").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(self.dir.path());
        command
    }

    fn url(&self) -> String {
        format!("postgres://flotilla@127.0.0.1:{}/postgres", self.port)
    }

    fn psql(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", &self.url()]);
        command.args(arguments).env_remove("PGDATABASE");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It ends all its processes, at once. One that has ended by itself cannot be told to.
            kill_process(Pid::from_child(&child), Signal::QUIT).unwrap_or_default();
            child.wait().unwrap();
        }
    }
}

/// The folder with PostgreSQL's programs. Debian has them beside the PATH, one folder a version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
    };
    folders.into_iter().rev().find(has_all)
}

/// The user `postgres`, when this one is root.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("the user `postgres` is there").split(':').skip(2);
    let mut number = || fields.next().unwrap().parse().unwrap();
    Some((number(), number()))
}

/// What a service writes: an order and word of it, in one transaction. Every third order is taken back.
fn orders(first: usize, count: usize) -> String {
    let order = |n: usize| {
        let (key, end) = (n % 3, if n % 3 == 2 { "ROLLBACK" } else { "COMMIT" });
        // The ids fall, so that their order is not that of the rows.
        let id =
            format!("{:08x}-0000-0000-0000-000000000000", u32::MAX - u32::try_from(n).unwrap());
        format!(
            "BEGIN;\nINSERT INTO orders VALUES ({n});\n\
             INSERT INTO outbox VALUES ('{id}', 'order', 'k{key}', 'OrderMade', '{{\"n\": {n}}}');\n\
             INSERT INTO outbox VALUES (gen_random_uuid(), 'stock', 'k{key}', 'Taken', '{{\"n\": {n}}}');\n\
             {end};\nSELECT pg_sleep(0.005);\n"
        )
    };
    (first..first + count).map(order).collect()
}

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS orders (id integer PRIMARY KEY);
CREATE TABLE IF NOT EXISTS outbox (id uuid PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL,
                                   type text NOT NULL, payload jsonb);
";

fn file(server: &Postgres) -> String {
    let url = server.url();
    let psql = server.programs.join("psql");
    format!(
        "
topics: {{ shop.order: {{ dedup: 1h }}, shop.stock: {{ dedup: 1h }} }}
services:
  shop:
    run: [sh, -c, '{} -X -q -v ON_ERROR_STOP=1 -d {url} -f DIR/tables.sql && exec FIXTURE serve']
    health: /ready
    outbox: {{ url: '{url}', topic: 'shop.{{aggregatetype}}' }}
  mail:
    run: FIXTURE serve
    health: /ready
    env: {{ LEDGER: DIR/mail }}
    subscribes: {{ shop.order: {{ to: POST /event, start: oldest }} }}
",
        psql.display()
    )
}

/// The numbers of orders that were not taken back.
fn kept(count: usize) -> Vec<usize> {
    (0..count).filter(|n| n % 3 != 2).collect()
}

/// Each order was published once, and those of a key were first delivered in order.
fn check(all: &[Arrival], count: usize) {
    let mut offsets: BTreeMap<u64, String> = BTreeMap::new();
    let mut first: Vec<(u64, u64)> = Vec::new();
    for arrival in all {
        let event = arrival.json();
        assert_eq!((&event["type"], &event["source"]), (&"OrderMade".into(), &"shop".into()));
        let (offset, n) = (arrival.header("flotilla-offset"), arrival.number("n"));
        if offsets.insert(n, offset.to_owned()).is_none_or(|before| before != offset) {
            first.push((n % 3, n));
        }
    }
    let expected: Vec<u64> = kept(count).into_iter().map(|n| u64::try_from(n).unwrap()).collect();
    let mut numbers: Vec<u64> = first.iter().map(|(_, n)| *n).collect();
    for key in 0..2 {
        let of_key: Vec<_> = first.iter().filter(|(of, _)| *of == key).map(|it| it.1).collect();
        assert!(of_key.is_sorted(), "{key}: {of_key:?}");
    }
    numbers.sort_unstable();
    assert_eq!(numbers, expected, "each order that was kept, each once");
}

#[test]
fn rows_of_a_postgres_table_are_published_once_and_in_order_however_the_node_ends() {
    let test = "rows_of_a_postgres_table_are_published_once_and_in_order_however_the_node_ends";
    let Some(server) = Postgres::start(test) else { return };
    let system = System::new(&file(&server));
    system.file("tables.sql", TABLES);
    system.up();
    // The service made the table after the node had begun to look for it.
    let log = fs::read_to_string(system.dir().join(".flotilla/node.log")).unwrap();
    assert!(!log.contains("is not relayed"), "{log}");

    let work = |first: usize, count: usize| {
        system.file("orders.sql", &orders(first, count));
        let mut psql = server.psql(&["-o", "/dev/null", "-f"]);
        psql.arg(system.dir().join("orders.sql")).stdin(Stdio::null());
        psql.spawn().unwrap()
    };
    let finish = |mut child: Child| assert_eq!(end_of(&mut child, WRITING_MAX), Some(0));
    finish(work(0, 30));
    let all = until_done(&system, "mail", 20);
    let got: Vec<_> = all.iter().map(|it| it.number("n")).collect();
    assert_eq!(got.len(), 20, "nothing comes twice while nobody dies: {got:?}");
    check(&all, 30);

    // The service goes on writing while the node is killed, and while there is none.
    for round in 0..3 {
        let writer = work(30 + round * 150, 150);
        until_done(&system, "mail", 20 + round * 100 + 30);
        system.kill_node();
        finish(writer);
        system.up();
    }
    until_settled(&system, "shop.order", "mail");
    let wanted = kept(480).len();
    eventually("all orders", || {
        let mut numbers: Vec<_> =
            arrivals(&system, "mail").iter().map(|it| it.number("n")).collect();
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len() >= wanted).then_some(())
    });
    until_settled(&system, "shop.order", "mail");
    check(&arrivals(&system, "mail"), 480);
    eventually("an empty table", || {
        let left = server.psql(&["-c", "SELECT count(*) FROM outbox"]).output().unwrap();
        (left.stdout == b"0\n").then_some(())
    });
    for topic in ["shop.order", "shop.stock"] {
        let shown = system.flotilla(&format!("topics show {topic} -o json")).expect(0).json();
        assert_eq!(shown["topic"]["messages"], wanted, "each row was published once: {shown:#}");
    }
    system.flotilla("topics relays").expect(0).says("shop").says("outbox");
    system.down();
}
