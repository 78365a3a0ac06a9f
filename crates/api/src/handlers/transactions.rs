//! Transactions over several services: the same for the operator and for services.

mod access;
mod errors;
mod follow;

use super::Reach;
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    params::did_you_mean,
    sse::Format,
    trace::{self, TRACEPARENT},
    tx::{parse, view},
    wire::transactions::{
        Abort, Branches, Decision as WireDecision, Events, Resolve, Submit, Transactions,
    },
};
use base::{Timestamp, units};
use follow::Follow;
use http::{HeaderValue, StatusCode, header};
use logic::tx::{Mode, Outcome, Phase, Resolution};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use transactions::{Decision, Filter, Gid, Handle, LIST_MAX, View};

/// Longest time that an answer waits for a transaction's end.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Transactions of a page when nobody says how many.
const LIST: usize = 100;

const PREFER: &str = "prefer";
const PREFERENCE_APPLIED: &str = "preference-applied";

impl<B: Reach + ?Sized> Context<B> {
    fn transactions(&self) -> Result<Handle, Problem> {
        self.backend.transactions()
    }

    /// The transaction that the path names. It may not exist.
    fn gid(&self) -> Result<Gid, Problem> {
        Ok(Gid::new(self.value(0)).map_err(transactions::Error::from)?)
    }

    /// The body, or what stands for none.
    fn read_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        if self.body.is_empty() { Ok(T::default()) } else { self.read() }
    }

    /// How long `Prefer: wait=…` (RFC 7240 §4.3) lets the answer wait.
    fn wait(&self) -> Result<Option<Duration>, Problem> {
        let values = self.headers.get_all(PREFER).iter();
        for value in values.filter_map(|value| value.to_str().ok()) {
            for one in value.split(',').map(|one| one.split(';').next().unwrap_or_default()) {
                let (name, value) = one.split_once('=').unwrap_or((one, ""));
                if !name.trim().eq_ignore_ascii_case("wait") {
                    continue;
                }
                let seconds = value.trim().trim_matches('"').parse();
                let seconds = seconds.map_err(|_no_number| {
                    let message =
                        format!("`Prefer: {}` is no number of seconds", one.trim().escape_debug());
                    Problem::bad_request(message).help("write `Prefer: wait=5`")
                })?;
                return Ok(Some(Duration::from_secs(seconds).min(WAIT_MAX)));
            }
        }
        Ok(None)
    }
}

/// A transaction, and how long the answer would have waited for its end.
fn shown(status: StatusCode, view: View, wait: Option<Duration>) -> Answer {
    let id = view.gid.clone();
    let mut answer = json(status, &view::transaction(view));
    let headers = answer.headers_mut();
    if let Some(wait) = wait
        && let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))
    {
        headers.insert(PREFERENCE_APPLIED, value);
    }
    if status == StatusCode::CREATED
        && let Ok(value) = HeaderValue::from_str(&format!("/v1/tx/{id}"))
    {
        headers.insert(header::LOCATION, value);
    }
    answer
}

pub(crate) async fn submit<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let transactions = context.transactions()?;
    let wait = context.wait()?;
    let body: Submit = context.read()?;
    let text = |name: &str| context.headers.get(name)?.to_str().ok();
    let from = parse::From {
        caller: context.backend.instance().map(|instance| instance.service.to_string()),
        traceparent: text(TRACEPARENT).and_then(trace::step),
    };
    let parse::Submitted { gid, mut ask, is_open } =
        parse::submit(body, text("idempotency-key"), from)?;
    access::ask(&*context.backend, &mut ask)?;
    let taken = if is_open {
        transactions.open(gid, ask).await?
    } else {
        transactions.submit(gid, ask, wait).await?
    };
    let status = if taken.is_known { StatusCode::OK } else { StatusCode::CREATED };
    Ok(shown(status, taken.view, wait.filter(|_| !is_open)))
}

pub(crate) async fn show<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let wait = context.wait()?;
    let view = match wait {
        Some(wait) => transactions.wait(&gid, wait).await?,
        None => transactions.get(&gid).await?,
    };
    Ok(shown(StatusCode::OK, view, wait))
}

pub(crate) async fn list<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let transactions = context.transactions()?;
    let filter = filter(&context)?;
    let page = transactions.list(&filter).await?;
    let transactions = page.transactions.into_iter().map(view::transaction).collect();
    Ok(json(StatusCode::OK, &Transactions { transactions, next: page.next }))
}

fn filter<B: Reach + ?Sized>(context: &Context<B>) -> Result<Filter, Problem> {
    let params = &context.params;
    let phase = |word: &str| {
        let value = Value::String(word.to_owned());
        // The words are those that the table allows.
        serde_json::from_value::<Phase>(value).ok()
    };
    let mode = |word: &str| serde_json::from_value::<Mode>(Value::String(word.to_owned())).ok();
    let label = params.text("label").map(|text| {
        let (key, value) = text.split_once(':').ok_or_else(|| {
            let message = format!("`label={}` is no label", text.escape_debug());
            Problem::bad_request(message).help("write `label=key:value`")
        })?;
        Ok::<_, Problem>((key.to_owned(), value.to_owned()))
    });
    let now = runtime::Clock::wall();
    Ok(Filter {
        phases: params.all("status").filter_map(phase).collect(),
        attention: params.flag("attention"),
        mode: params.text("mode").and_then(mode),
        name: params.text("name").map(str::to_owned),
        label: label.transpose()?,
        since_ms: params.text("since").map(|text| moment("since", text, now)).transpose()?,
        until_ms: params.text("until").map(|text| moment("until", text, now)).transpose()?,
        cursor: params.text("cursor").map(str::to_owned),
        limit: Some(context.limit(LIST, LIST_MAX)),
    })
}

/// A time or how long ago, in milliseconds since 1970.
fn moment(name: &str, text: &str, now: Timestamp) -> Result<u64, Problem> {
    if let Ok(ago) = units::parse_duration(text.strip_prefix('-').unwrap_or(text)) {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Ok(now.millis().saturating_sub(ago));
    }
    let time = crate::wire::Time::parse(text);
    time.map(|time| time.0.millis()).map_err(|_invalid| {
        let message = format!("`{name}={}` is no time", text.escape_debug());
        Problem::bad_request(message)
            .help("write a time like 2026-03-01T09:30:00Z, or how long ago: 15m")
    })
}

pub(crate) async fn events<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let after = context.last_event_id()?.or(context.params.number("after")).unwrap_or(0);
    let view = transactions.get(&gid).await?;
    if context.wants_events() {
        return context.stream(Follow::new(transactions, gid, after), Format::Sse);
    }
    let events = view.notes.into_iter().map(view::event).filter(|event| event.seq > after);
    Ok(json(StatusCode::OK, &Events { events: events.collect() }))
}

pub(crate) async fn decision<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let decision = match transactions.decision(&gid).await? {
        Decision::Commit => "commit",
        Decision::Abort => "abort",
        Decision::Undecided => "undecided",
    };
    let answer = WireDecision { gid: gid.into(), decision: decision.to_owned() };
    Ok(json(StatusCode::OK, &answer))
}

pub(crate) async fn enlist<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let body: Value = context.read()?;
    let steps = if body.get("steps").is_some() {
        let body: Branches = serde_json::from_value(body)
            .map_err(|e| Problem::bad_request(format!("the body cannot be read: {e}")))?;
        body.steps
    } else {
        vec![body]
    };
    if let Some(number) = steps.iter().position(|step| step.get("id").is_none_or(Value::is_null)) {
        let problem = parse::wrong(&format!("steps[{number}]"), "`id` is missing");
        return Err(
            problem.help("with a name of its own a branch can be added again when no answer came")
        );
    }
    let mode = transactions.get(&gid).await?.spec.mode;
    let mut steps = parse::steps(mode, true, steps)?;
    access::steps(&*context.backend, &mut steps)?;
    Ok(shown(StatusCode::OK, transactions.enlist(&gid, steps).await?, None))
}

pub(crate) async fn commit<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let wait = context.wait()?;
    Ok(shown(StatusCode::OK, transactions.commit(&gid, wait).await?, wait))
}

pub(crate) async fn abort<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let wait = context.wait()?;
    let Abort { reason } = context.read_or_default()?;
    let reason = reason.unwrap_or_else(|| format!("aborted by {}", context.backend.by()));
    Ok(shown(StatusCode::OK, transactions.abort(&gid, reason, wait).await?, wait))
}

pub(crate) async fn retry<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let wait = context.wait()?;
    let mut view = transactions.retry(&gid).await?;
    if let Some(wait) = wait {
        view = transactions.wait(&gid, wait).await?;
    }
    Ok(shown(StatusCode::OK, view, wait))
}

pub(crate) async fn resolve<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (transactions, gid) = (context.transactions()?, context.gid()?);
    let Resolve { branch, outcome, reason } = context.read()?;
    let resolution = match (branch, outcome.as_deref()) {
        (Some(branch), None) => {
            let steps = transactions.get(&gid).await?.spec.steps;
            let number = steps.iter().position(|step| step.id == branch);
            let number = number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| {
                let message =
                    format!("transaction `{gid}` has no branch `{}`", branch.escape_debug());
                let names = steps.iter().map(|step| step.id.as_str());
                Problem::not_found(message, did_you_mean(&branch, names))
            })?;
            Resolution::Branch(number)
        }
        (None, Some("committed")) => Resolution::All(Outcome::Committed),
        (None, Some("aborted")) => Resolution::All(Outcome::Aborted),
        (None, Some("mixed")) => Resolution::All(Outcome::Mixed),
        (None, Some(other)) => {
            let message = format!("`outcome: {}` means nothing", other.escape_debug());
            return Err(
                Problem::bad_request(message).help("write `committed`, `aborted` or `mixed`")
            );
        }
        _ => return Err(Problem::bad_request("give either `branch` or `outcome`")),
    };
    let by = context.backend.by();
    tracing::info!(%gid, ?resolution, by, reason, "a transaction is resolved by hand");
    let by = match reason {
        Some(reason) => format!("{by}: {reason}"),
        None => by,
    };
    Ok(shown(StatusCode::OK, transactions.resolve(&gid, resolution, by).await?, None))
}
