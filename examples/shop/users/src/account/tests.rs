use std::sync::{Arc, Mutex};

use axum::{
    http::{Method, StatusCode, Uri},
    response::IntoResponse,
};
use serde_json::{Value, json};
use shop_kit::{Client, Upstream};

use super::*;

/// A stream of events as the app API has it.
#[derive(Debug, Default)]
struct Stream {
    events: Vec<Value>,
    snapshot: Option<Value>,
    /// What others append just before us, each at another time.
    rivals: Vec<Value>,
    /// How many appends are done of which the answer gets lost.
    lost: usize,
    /// How many events were read.
    read: usize,
}

type Shared = Arc<Mutex<Stream>>;

async fn answer(
    State(stream): State<Shared>,
    method: Method,
    uri: Uri,
    body: String,
) -> impl IntoResponse {
    let mut stream = stream.lock().unwrap();
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let is_snapshot = uri.path() == "/v1/events/account-1/snapshot";
    assert!(is_snapshot || uri.path() == "/v1/events/account-1", "{uri}");
    let answer = match (method, is_snapshot) {
        (Method::GET, true) => match &stream.snapshot {
            Some(snapshot) => Ok(snapshot.clone()),
            None => Err(StatusCode::NOT_FOUND),
        },
        (Method::PUT, true) => {
            assert_eq!(uri.query(), Some(&*format!("revision={}", body["revision"])));
            stream.snapshot = Some(body);
            Ok(Value::Null)
        }
        (Method::GET, false) => {
            let from = uri.query().unwrap().strip_prefix("from=").unwrap().parse().unwrap();
            let events: Vec<_> = (0..).zip(&stream.events).skip(from).map(stored).collect();
            stream.read += events.len();
            Ok(json!({ "events": events, "next": null }))
        }
        _ => stream.append(&body),
    };
    match answer {
        Ok(answer) => (StatusCode::OK, Json(answer)),
        Err(status) => (status, Json(Value::Null)),
    }
}

fn stored((revision, event): (u64, &Value)) -> Value {
    let mut event = event.clone();
    event["revision"] = revision.into();
    event["position"] = (revision + 7).into();
    event
}

impl Stream {
    fn append(&mut self, body: &Value) -> std::result::Result<Value, StatusCode> {
        let rivals = self.rivals.pop();
        self.events.extend(rivals);
        let event = body["events"][0].clone();
        let before = self.events.iter().position(|known| known["id"] == event["id"]);
        if before.is_none() {
            let last = match self.events.len() {
                0 => "no_stream".to_owned(),
                count => (count - 1).to_string(),
            };
            if body["expected"] != last {
                return Err(StatusCode::CONFLICT);
            }
            self.events.push(event);
        }
        if self.lost > 0 {
            self.lost -= 1;
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        Ok(json!({ "revision": before.unwrap_or(self.events.len() - 1) }))
    }
}

/// Changes the account of user 1 over `stream`, and says what came of each change.
fn check(stream: Stream, changes: &[Event], expected: &[&str]) -> Stream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = Shared::new(Mutex::new(stream));
    let outcomes: Vec<_> = runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/users.db", folder.path().display());
        let db = Db::open(&url, store::SCHEMA).await.unwrap();
        let ann = store::NewUser { name: "Ann".into(), email: "ann@example.org".into() };
        db.write(move |db| store::insert(db, &ann)).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let flotilla = Flotilla::new(Upstream::new(&Client::default(), url));
        let accounts = Accounts { db, flotilla };
        let app = Router::new().fallback(answer).with_state(stream.clone());
        let work = async {
            let trace = Trace::of(&HeaderMap::new());
            let mut outcomes = Vec::new();
            for change in changes {
                outcomes.push(match accounts.change(1, *change, &trace).await {
                    Ok(account) => format!("{} {}", account.balance, account.revision.unwrap()),
                    Err(error) => error.code.to_owned(),
                });
            }
            outcomes
        };
        tokio::select! {
            outcomes = work => outcomes,
            ended = axum::serve(listener, app) => panic!("the neighbour ended: {ended:?}"),
        }
    });
    assert_eq!(outcomes, expected);
    std::mem::take(&mut *stream.lock().unwrap())
}

const fn deposit(amount: i64) -> Event {
    Event::Deposited { amount }
}

const fn withdraw(amount: i64) -> Event {
    Event::Withdrawn { amount }
}

#[test]
fn the_balance_is_what_the_events_add_up_to() {
    let changes = [deposit(500), withdraw(200), withdraw(301), withdraw(300), deposit(0)];
    let expected = ["500 0", "300 1", "too_little", "0 2", "invalid"];
    let stream = check(Stream::default(), &changes, &expected);
    let kinds: Vec<_> = stream.events.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["deposited", "withdrawn", "withdrawn"]);
    assert_eq!(stream.events[1]["data"], json!({ "amount": 200 }));
}

#[test]
fn when_another_event_was_quicker_the_decision_is_made_again() {
    let rival =
        |kind: &str, amount: i64| json!({ "id": "r", "type": kind, "data": { "amount": amount } });
    let slower = |rival| Stream { rivals: vec![rival], ..Stream::default() };
    check(slower(rival("deposited", 70)), &[deposit(5)], &["75 1"]);
    let mut stream = check(Stream::default(), &[deposit(100)], &["100 0"]);
    stream.rivals = vec![rival("withdrawn", 60)];
    check(stream, &[withdraw(50)], &["too_little"]);
}

#[test]
fn an_append_whose_answer_is_lost_counts_once() {
    let stream = Stream { lost: 1, ..Stream::default() };
    let stream = check(stream, &[deposit(5), deposit(6)], &["5 0", "11 1"]);
    assert_eq!(stream.events.len(), 2);
}

#[test]
fn reading_begins_at_the_last_snapshot() {
    let ones = vec![deposit(1); 101];
    let expected: Vec<_> = (0..101).map(|at| format!("{} {at}", at + 1)).collect();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    let mut stream = check(Stream::default(), &ones, &expected);
    let account = json!({ "balance": 100, "revision": 99 });
    assert_eq!(stream.snapshot, Some(account));
    stream.read = 0;
    assert_eq!(check(stream, &[withdraw(101)], &["0 101"]).read, 1);
}
