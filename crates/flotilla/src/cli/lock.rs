//! `flotilla lock`: who holds what, and commands that run while they hold one.

use super::{
    Context,
    args::{self, LockCommand},
    exit::{Exit, Failure, Outcome},
    locate,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    store::{self, Place, short, visible},
    words,
};
use api::{
    Client,
    wire::{
        locks::{Acquire, Acquired, Lock, Release, ReleaseOutcome, Renew},
        stores::StoreKind,
    },
};
use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::process::{Child, Command};

/// How often a lock is renewed in its time, so that one renewal may fail.
const RENEWALS: u32 = 3;

/// Longest wait that one request asks for: below what an answer may take.
const WAIT_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn run(context: &Context, command: &LockCommand) -> Outcome {
    let client = context.place()?.client();
    match command {
        LockCommand::Ls { prefix, store } => {
            let place = choose(client, store).await?;
            let found = place.client.locks(&place.store, prefix.as_deref()).await;
            let found = found.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&found)?)?;
            } else {
                print(context, &found.locks)?;
            }
            Ok(Exit::Success)
        }
        LockCommand::Show { lock, store } => {
            let place = choose(client, store).await?;
            let found = place.client.lock(&place.store, lock).await;
            let found = found.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&found)?)?;
            } else if let Some(holder) = found.holder {
                print(context, &[holder])?;
            } else {
                context.out.say("nobody holds it");
            }
            Ok(Exit::Success)
        }
        LockCommand::Release { lock, store } => {
            let place = choose(client, store).await?;
            let request = Release { owner: String::new(), token: None };
            let done = place.client.release_lock(&place.store, lock, &request).await;
            let done = done.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&done)?)?;
            } else {
                let is_done = done.outcome == ReleaseOutcome::Released;
                context.out.say(if is_done { "released" } else { "nobody held it" });
            }
            Ok(Exit::Success)
        }
        LockCommand::Run { lock, wait, ttl, store, command } => {
            let place = choose(client, store).await?;
            let held = acquire(context, &place, lock, *wait, *ttl).await?;
            held.run(command).await
        }
    }
}

async fn choose(client: Client, store: &args::Store) -> Result<Place, Failure> {
    store::choose(client, store, &[StoreKind::Lock], "lockstore").await
}

fn print(context: &Context, locks: &[Lock]) -> Result<(), Failure> {
    // A list does not ask the engine how long each lease still has; a column without heading and content disappears.
    let is_known = locks.iter().any(|lock| lock.remaining_ms.is_some());
    let left = if is_known { "LEFT" } else { "" };
    let head = [
        ("LOCK", Align::Left),
        ("OWNER", Align::Left),
        ("TOKEN", Align::Right),
        (left, Align::Right),
        ("VALUE", Align::Left),
        ("SINCE", Align::Left),
    ];
    let row = |lock: &Lock| -> Vec<Cell> {
        let left = lock.remaining_ms.map(|ms| words::duration(Duration::from_millis(ms)));
        vec![
            visible(&lock.resource).into(),
            visible(lock.instance.as_ref().unwrap_or(&lock.owner)).into(),
            lock.token.to_string().into(),
            left.unwrap_or_default().into(),
            short(&lock.value).into(),
            Cell::tinted(lock.since.to_string(), Tint::Dim),
        ]
    };
    let rows: Vec<Vec<Cell>> = locks.iter().map(row).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))
}

/// A lock that this process holds.
struct Held<'a> {
    context: &'a Context,
    place: &'a Place,
    lock: &'a str,
    owner: String,
    token: u64,
    ttl: Duration,
}

async fn acquire<'a>(
    context: &'a Context,
    place: &'a Place,
    lock: &'a str,
    wait: Duration,
    ttl: Duration,
) -> Result<Held<'a>, Failure> {
    let random = getrandom::u64().map_err(|e| Failure::new(Exit::Failure, e.to_string()))?;
    let owner = format!("flotilla lock run, process {}, {random:016x}", std::process::id());
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut left = wait;
    loop {
        let now = left.min(WAIT_MAX);
        let request = Acquire {
            owner: owner.clone(),
            ttl_ms: millis(ttl),
            wait_ms: millis(now),
            value: String::new(),
            outlives: true,
        };
        let got = place.client.acquire_lock(&place.store, lock, &request).await;
        match got.map_err(|e| locate::unanswered(&e))? {
            Acquired { acquired: true, token: Some(token), ttl_ms, .. } => {
                let ttl = ttl_ms.map_or(ttl, Duration::from_millis);
                return Ok(Held { context, place, lock, owner, token, ttl });
            }
            other => {
                left = left.saturating_sub(now);
                if left.is_zero() {
                    let holder = other.holder.map_or_else(String::new, |holder| {
                        format!(", `{}` holds it", visible(&holder.owner))
                    });
                    let text =
                        format!("the lock was not free within {}{holder}", words::duration(wait));
                    return Err(Failure::new(Exit::TimeOut, text));
                }
            }
        }
    }
}

impl Held<'_> {
    /// Runs a command and gives the lock back. When the lock is lost the command is ended: somebody else may have it.
    async fn run(self, words: &[String]) -> Outcome {
        let mut child = match self.start(words) {
            Ok(child) => child,
            Err(failure) => {
                self.release().await;
                return Err(failure);
            }
        };
        let ended = tokio::select! {
            status = child.wait() => Some(status),
            () = self.lost() => None,
        };
        let Some(status) = ended else {
            // The command's own process only; what it started must watch its token.
            let _ended = child.kill().await;
            let text = format!("the lock `{}` was lost; the command was ended", visible(self.lock));
            return Err(Failure::new(Exit::Conflict, text));
        };
        self.release().await;
        let status = status.map_err(|e| Failure::new(Exit::Failure, e.to_string()))?;
        Ok(exit_of(status))
    }

    fn start(&self, words: &[String]) -> Result<Child, Failure> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| Failure::new(Exit::Usage, "there is no command to run"))?;
        let started = Command::new(program)
            .args(arguments)
            .env("FLOTILLA_LOCK", self.lock)
            .env("FLOTILLA_LOCK_TOKEN", self.token.to_string())
            .stdin(Stdio::inherit())
            .kill_on_drop(true)
            .spawn();
        started.map_err(|e| {
            Failure::new(Exit::Of(127), format!("`{}` cannot be run: {e}", visible(program)))
        })
    }

    /// Renews the lock until it is lost.
    async fn lost(&self) {
        let renew = Renew { owner: self.owner.clone(), token: self.token };
        let mut until = tokio::time::Instant::now() + self.ttl;
        loop {
            tokio::time::sleep(self.ttl / RENEWALS).await;
            let asked = tokio::time::Instant::now();
            let renewal = self.place.client.renew_lock(&self.place.store, self.lock, &renew);
            match tokio::time::timeout_at(until, renewal).await {
                Ok(Ok(renewed)) => until = asked + Duration::from_millis(renewed.ttl_ms),
                // Lost for certain, by the node's word or by our own clock.
                Ok(Err(api::client::Error::Api { status: 409, .. })) | Err(_) => return,
                Ok(Err(error)) => {
                    self.context.out.say(&format!("the lock was not renewed: {error}"));
                    if tokio::time::Instant::now() >= until {
                        return;
                    }
                }
            }
        }
    }

    async fn release(&self) {
        let request = Release { owner: self.owner.clone(), token: Some(self.token) };
        let released = self.place.client.release_lock(&self.place.store, self.lock, &request).await;
        if let Err(error) = released {
            let left = words::duration(self.ttl);
            self.context.out.say(&format!("the lock ends within {left} by itself: {error}"));
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Exit::Success,
        Some(code) => Exit::Of(code),
        None => Exit::Failure,
    }
}
