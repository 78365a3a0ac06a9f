//! A bank that takes part in transactions of all protocols, keeps the barrier, and may be told to behave badly.

use crate::{CallRequest, Called, Participants, Target, random::Dice};
use async_trait::async_trait;
use logic::tx::{Answer, Mode, Op};
use runtime::TaskSet;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// What every account has at first.
pub(crate) const BALANCE: i64 = 100;

/// How calls fare. Chances are in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// Calls are lost before they come.
    pub(crate) lost: u64,
    /// Answers are lost after it is done.
    pub(crate) silent: u64,
    /// It says that it is still at work.
    pub(crate) working: u64,
    /// Nobody is there.
    pub(crate) away: u64,
    /// It refuses what it may refuse.
    pub(crate) refuses: u64,
    /// How long a call is on its way at most, in milliseconds. Who has called may be gone by then.
    pub(crate) slow_ms: u64,
}

/// What is known of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// Nothing.
    #[default]
    Unknown,
    /// Its money is put aside.
    Held,
    /// Its money has moved.
    Done,
    /// It was undone, or told never to begin.
    Undone,
}

#[derive(Default)]
struct Books {
    accounts: BTreeMap<String, i64>,
    /// How much each branch has moved: the account and the amount.
    parts: BTreeMap<(String, String), (Part, String, i64)>,
    calls: Vec<CallRequest>,
    manners: Manners,
    /// What is answered first, by path.
    script: BTreeMap<String, VecDeque<Answer>>,
    /// Paths whose answers are so long.
    long: BTreeMap<String, usize>,
    /// Paths whose next calls never end.
    hang: BTreeMap<String, usize>,
    violations: Vec<String>,
    under_way: usize,
    busiest: usize,
    late: Option<TaskSet>,
}

pub(crate) struct Bank {
    books: Mutex<Books>,
    dice: Mutex<Dice>,
    closed: watch::Sender<BTreeSet<String>>,
    me: Weak<Self>,
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bank")
    }
}

impl Bank {
    pub(crate) fn new() -> Arc<Self> {
        let books = Books { late: Some(TaskSet::new("late calls")), ..Books::default() };
        Arc::new_cyclic(|me| Self {
            books: Mutex::new(books),
            dice: Mutex::new(Dice::new()),
            closed: watch::Sender::default(),
            me: me.clone(),
        })
    }

    pub(crate) fn behave(&self, manners: Manners) {
        self.books.lock().unwrap().manners = manners;
    }

    /// What is answered to the next calls of this path, whatever they are.
    pub(crate) fn script(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.books.lock().unwrap().script.entry(path.to_owned()).or_default().extend(answers);
    }

    /// Calls of this path are answered at such length.
    pub(crate) fn answer_long(&self, path: &str, length: usize) {
        self.books.lock().unwrap().long.insert(path.to_owned(), length);
    }

    /// The next calls of this path never end.
    pub(crate) fn hang(&self, path: &str, count: usize) {
        self.books.lock().unwrap().hang.insert(path.to_owned(), count);
    }

    fn hangs(&self, request: &CallRequest) -> bool {
        let Target::Service { path, .. } = &request.target else { return false };
        let mut books = self.books.lock().unwrap();
        let Some(left) = books.hang.get_mut(path).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    /// Nobody is there.
    pub(crate) fn close(&self, service: &str, is_closed: bool) {
        self.closed.send_modify(|closed| {
            if is_closed {
                closed.insert(service.to_owned())
            } else {
                closed.remove(service)
            };
        });
    }

    pub(crate) fn balance(&self, account: &str) -> i64 {
        self.books.lock().unwrap().accounts.get(account).copied().unwrap_or(BALANCE)
    }

    pub(crate) fn part(&self, gid: &str, branch: &str) -> Part {
        let books = self.books.lock().unwrap();
        let part = books.parts.get(&(gid.to_owned(), branch.to_owned()));
        part.map(|(part, ..)| part.clone()).unwrap_or_default()
    }

    /// What was called: branch and operation.
    pub(crate) fn calls(&self) -> Vec<String> {
        let books = self.books.lock().unwrap();
        books.calls.iter().map(|call| format!("{}:{}", call.branch, call.op)).collect()
    }

    pub(crate) fn requests(&self) -> Vec<CallRequest> {
        self.books.lock().unwrap().calls.clone()
    }

    pub(crate) fn busiest(&self) -> usize {
        self.books.lock().unwrap().busiest
    }

    pub(crate) fn under_way(&self) -> usize {
        self.books.lock().unwrap().under_way
    }

    /// Whether all money is there, nothing is held, and nobody was told two things.
    pub(crate) fn audit(&self) {
        let books = self.books.lock().unwrap();
        assert!(books.violations.is_empty(), "{:?}", books.violations);
        let all: i64 = books.accounts.values().sum();
        let count = i64::try_from(books.accounts.len()).unwrap();
        assert_eq!(all, count * BALANCE, "{:?}", books.accounts);
        let held = books.parts.iter().find(|(_, (part, ..))| *part == Part::Held);
        assert_eq!(held, None, "nothing is held");
    }

    /// Nobody has less than nothing. Sagas may bring that about: what they have paid in may be spent before they take it back.
    pub(crate) fn nobody_is_in_debt(&self) {
        let books = self.books.lock().unwrap();
        assert!(books.accounts.values().all(|balance| *balance >= 0), "{:?}", books.accounts);
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.lock().unwrap().roll() % sides.max(1)
    }

    fn is_so(&self, chance: u64) -> bool {
        self.roll(1_000) < chance
    }

    /// What becomes of a call that has come.
    fn act(&self, request: &CallRequest) -> Called {
        let mut books = self.books.lock().unwrap();
        let Target::Service { path, .. } = &request.target else { return called(Answer::Done) };
        if let Some(answer) = books.script.get_mut(path).and_then(VecDeque::pop_front) {
            return called(answer);
        }
        if let Some(length) = books.long.get(path) {
            let body = Value::from("x".repeat(*length));
            return Called { answer: Answer::Done, status: None, body };
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let account = body["account"].as_str().unwrap_or("nobody").to_owned();
        let amount = body["amount"].as_i64().unwrap_or_default();
        let by = if path.starts_with("/out") { -amount } else { amount };
        books.book(request, account, by)
    }
}

impl Books {
    fn book(&mut self, request: &CallRequest, account: String, by: i64) -> Called {
        let key = (request.gid.to_string(), request.branch.clone());
        let (part, ..) = self.parts.entry(key.clone()).or_default().clone();
        let balance = *self.accounts.entry(account.clone()).or_insert(BALANCE);
        let is_short = balance + by.min(0) < 0;
        let put = |books: &mut Self, part: Part, by: i64| {
            *books.accounts.entry(account.clone()).or_insert(BALANCE) += by;
            books.parts.insert(key.clone(), (part, account.clone(), by));
        };
        let answer = match (request.op, part) {
            (Op::Query, _) => Answer::Done,
            // A check that holds nothing.
            (Op::CanCommit, _) if request.mode == Mode::ThreePhase && is_short => refused(),
            (Op::CanCommit, _) if request.mode == Mode::ThreePhase => Answer::Done,
            (Op::Action | Op::CommitOnePhase, Part::Unknown) if is_short => refused(),
            (Op::Action | Op::CommitOnePhase, Part::Unknown) => {
                put(self, Part::Done, by);
                Answer::Done
            }
            // Too late: it was undone before it came.
            (Op::Action | Op::CommitOnePhase, _) => Answer::Done,
            (Op::Try | Op::Prepare | Op::PreCommit | Op::CanCommit, Part::Unknown) if is_short => {
                refused()
            }
            (Op::Try | Op::Prepare | Op::PreCommit | Op::CanCommit, Part::Unknown) => {
                put(self, Part::Held, by.min(0));
                Answer::Done
            }
            (Op::Try | Op::Prepare | Op::PreCommit | Op::CanCommit, Part::Undone) => {
                Answer::Refused("it was undone".to_owned())
            }
            (Op::Try | Op::Prepare | Op::PreCommit | Op::CanCommit, _) => Answer::Done,
            (Op::Confirm | Op::Commit, Part::Held) => {
                put(self, Part::Done, by.max(0));
                Answer::Done
            }
            (Op::Confirm | Op::Commit, Part::Done) => Answer::Done,
            (Op::Confirm | Op::Commit, part) => self.violate(request, &part),
            (Op::Cancel | Op::Rollback, Part::Held) => {
                put(self, Part::Undone, -by.min(0));
                Answer::Done
            }
            (Op::Compensate, Part::Done) => {
                put(self, Part::Undone, -by);
                Answer::Done
            }
            (Op::Cancel | Op::Rollback | Op::Compensate, Part::Unknown) => {
                put(self, Part::Undone, 0);
                Answer::Done
            }
            (Op::Cancel | Op::Rollback | Op::Compensate, Part::Undone) => Answer::Done,
            (Op::Cancel | Op::Rollback | Op::Compensate, part) => self.violate(request, &part),
        };
        called(answer)
    }

    fn violate(&mut self, request: &CallRequest, part: &Part) -> Answer {
        let CallRequest { gid, branch, op, .. } = request;
        self.violations.push(format!("{gid} {branch}: {op} of what is {part:?}"));
        Answer::Done
    }
}

fn refused() -> Answer {
    Answer::Refused("there is not enough money".to_owned())
}

fn called(answer: Answer) -> Called {
    Called { answer, status: None, body: json!({ "receipt": 7 }) }
}

/// Counts a call for as long as it is under way.
struct UnderWay<'a>(&'a Bank);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.books.lock().unwrap().under_way -= 1;
    }
}

#[async_trait]
impl Participants for Bank {
    async fn call(&self, request: CallRequest) -> Called {
        let manners = {
            let mut books = self.books.lock().unwrap();
            books.calls.push(request.clone());
            books.under_way += 1;
            books.busiest = books.busiest.max(books.under_way);
            books.manners
        };
        let _under_way = UnderWay(self);
        if let Target::Service { service, .. } = &request.target
            && self.closed.borrow().contains(service)
        {
            return called(Answer::Away("nobody is there".to_owned()));
        }
        if self.hangs(&request) {
            std::future::pending::<()>().await;
        }
        if self.is_so(manners.away) {
            return called(Answer::Away("nobody was there".to_owned()));
        }
        if self.is_so(manners.lost) {
            return called(Answer::Failed("the connection broke".to_owned()));
        }
        if self.is_so(manners.working) {
            return called(Answer::Working);
        }
        if request.op.may_be_refused() && request.op != Op::Query && self.is_so(manners.refuses) {
            return called(Answer::Refused("not today".to_owned()));
        }
        let is_silent = self.is_so(manners.silent);
        let called_back = if manners.slow_ms == 0 {
            self.act(&request)
        } else {
            // It comes even if who has called does not live to hear the answer.
            let slow = Duration::from_millis(self.roll(manners.slow_ms));
            let (sender, receiver) = oneshot::channel();
            let me = self.me.clone();
            if let Some(late) = &mut self.books.lock().unwrap().late {
                late.spawn("late call", |_| async move {
                    tokio::time::sleep(slow).await;
                    if let Some(me) = me.upgrade() {
                        drop(sender.send(me.act(&request)));
                    }
                });
            }
            receiver.await.unwrap()
        };
        if is_silent {
            return called(Answer::Failed("no answer came".to_owned()));
        }
        called_back
    }

    async fn ready(&self, service: &str) {
        let mut closed = self.closed.subscribe();
        closed.wait_for(|closed| !closed.contains(service)).await.unwrap();
    }
}
