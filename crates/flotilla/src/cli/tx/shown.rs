//! Transactions, their branches and their history, as people read them.

use crate::cli::{
    Context,
    args::Format,
    exit::Failure,
    output::{Align, Cell, Tint, table},
    ps::now,
    state::value,
    store::{short, visible},
    words,
};
use api::wire::{
    Time,
    transactions::{Branch, Event, Transaction},
};

/// The colour of a status of a transaction.
fn tint(status: &str) -> Tint {
    match status {
        "committed" => Tint::Green,
        "mixed" => Tint::Red,
        "aborted" => Tint::Dim,
        _ => Tint::Yellow,
    }
}

/// What somebody should know first: what waits for them, or why it was given up.
fn trouble(transaction: &Transaction) -> Option<(&str, Tint)> {
    let attention = transaction.attention.as_deref().map(|text| (text, Tint::Red));
    attention.or_else(|| transaction.reason.as_deref().map(|text| (text, Tint::Dim)))
}

/// How far a transaction is: branches that are through, of all.
fn progress(transaction: &Transaction) -> String {
    let through = |branch: &&Branch| branch.op.is_none() && branch.status != "waiting";
    let count = transaction.branches.iter().filter(through).count();
    format!("{count}/{}", transaction.branches.len())
}

pub(super) fn list(context: &Context, all: &[Transaction]) -> String {
    let is_wide = context.out.format == Format::Wide;
    let wide = |title| if is_wide { title } else { "" };
    let head = [
        ("ID", Align::Left),
        ("NAME", Align::Left),
        ("MODE", Align::Left),
        ("STATUS", Align::Left),
        ("STEPS", Align::Right),
        ("AGE", Align::Right),
        (wide("NODE"), Align::Left),
        (wide("LABELS"), Align::Left),
        ("WHY", Align::Left),
    ];
    let now = now();
    let row = |one: &Transaction| -> Vec<Cell> {
        let labels = one.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let labels = labels.collect::<Vec<_>>().join(",");
        let only_wide = |text: &str| if is_wide { visible(text) } else { String::new() };
        let why = trouble(one);
        vec![
            visible(&one.id).into(),
            visible(one.name.as_deref().unwrap_or_default()).into(),
            Cell::tinted(visible(&one.mode), Tint::Dim),
            Cell::tinted(visible(&one.status), tint(&one.status)),
            progress(one).into(),
            words::age(one.begun, now).into(),
            only_wide(&one.node).into(),
            only_wide(&labels).into(),
            why.map_or_else(|| "".into(), |(text, tint)| Cell::tinted(short(text), tint)),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    table(context.out.paint, &head, &rows)
}

/// How it stands in one line: `checkout 01… is committed`.
pub(super) fn line(context: &Context, one: &Transaction) -> String {
    let paint = context.out.paint;
    let name = one.name.as_deref().map(|name| format!("{} ", visible(name))).unwrap_or_default();
    let status = paint.tint(tint(&one.status), &visible(&one.status));
    let mut line = format!("{name}{} is {status}", visible(&one.id));
    if let Some((why, tint)) = trouble(one) {
        line.push_str(&paint.tint(tint, &format!(": {}", visible(why))));
    }
    line
}

/// What is known of a transaction besides its branches.
pub(super) fn facts(context: &Context, one: &Transaction) -> Result<String, Failure> {
    let time = |time: Option<Time>| time.map(|time| time.to_string());
    let input = match one.input.is_null() {
        true => None,
        false => Some(short(&value::json_line(&one.input)?)),
    };
    let labels: Vec<String> =
        one.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let lasted = one.ended.map(|ended| {
        let ms = ended.0.millis().saturating_sub(one.begun.0.millis());
        words::duration(std::time::Duration::from_millis(ms))
    });
    let ended = time(one.ended).map(|at| format!("{at}, after {}", lasted.unwrap_or_default()));
    let mut rows: Vec<Vec<Cell>> = vec![
        fact("transaction", visible(&one.id).into()),
        fact("status", Cell::tinted(visible(&one.status), tint(&one.status))),
    ];
    let red = one.attention.as_deref();
    rows.extend(red.map(|text| fact("attention", Cell::tinted(visible(text), Tint::Red))));
    let texts = [
        ("why", one.reason.clone()),
        ("name", one.name.clone()),
        ("mode", Some(one.mode.clone())),
        ("safety", one.safety.clone()),
        ("begun", Some(one.begun.to_string())),
        (
            "given up at",
            time(one.deadline).filter(|_| one.decided.is_none() && one.ended.is_none()),
        ),
        ("decided", time(one.decided)),
        ("ended", ended),
        ("submitted by", one.caller.clone()),
        ("node", Some(one.node.clone())),
        ("labels", (!labels.is_empty()).then(|| labels.join(", "))),
        ("input", input),
        ("trace", one.traceparent.clone()),
    ];
    let told = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
    rows.extend(told.map(|(name, text)| fact(name, visible(&text).into())));
    Ok(table(context.out.paint, &[("", Align::Left); 2], &rows))
}

fn fact(name: &str, value: Cell) -> Vec<Cell> {
    vec![Cell::tinted(name, Tint::Dim), value]
}

pub(super) fn branches(context: &Context, all: &[Branch]) -> String {
    let is_wide = context.out.format == Format::Wide;
    let head = [
        ("BRANCH", Align::Left),
        ("STATUS", Align::Left),
        ("DONE", Align::Left),
        ("OP", Align::Left),
        ("ATTEMPTS", Align::Right),
        ("NEXT", Align::Left),
        (if is_wide { "TO" } else { "" }, Align::Left),
        ("ERROR", Align::Left),
    ];
    let now = now();
    let row = |one: &Branch| -> Vec<Cell> {
        let status_tint = match one.status.as_str() {
            "refused" => Tint::Red,
            "waiting" => Tint::Dim,
            _ if one.error.is_some() => Tint::Yellow,
            _ => Tint::Green,
        };
        let mut status = visible(&one.status);
        if let Some(alone) = &one.heuristic {
            status.push_str(&format!(", {} on its own", visible(alone)));
        }
        let next = one.next.map(|next| match next.0.millis().saturating_sub(now.0.millis()) {
            0..1_000 => "now".to_owned(),
            _ => format!("in {}", words::age(now, next)),
        });
        let to = one.op.as_ref().and_then(|op| one.calls.get(op)).or(one.joins.as_ref());
        vec![
            visible(&one.id).into(),
            Cell::tinted(status, status_tint),
            Cell::tinted(visible(&one.done.join(", ")), Tint::Dim),
            visible(one.op.as_deref().unwrap_or_default()).into(),
            (if one.attempts == 0 { String::new() } else { one.attempts.to_string() }).into(),
            next.unwrap_or_default().into(),
            to.filter(|_| is_wide).map(|to| short(to)).unwrap_or_default().into(),
            Cell::tinted(short(one.error.as_deref().unwrap_or_default()), Tint::Red),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    table(context.out.paint, &head, &rows)
}

pub(super) fn history(context: &Context, all: &[Event]) -> String {
    let head = [
        ("TIME", Align::Left),
        ("STATUS", Align::Left),
        ("BRANCH", Align::Left),
        ("OP", Align::Left),
        ("WHAT", Align::Left),
    ];
    let row = |one: &Event| -> Vec<Cell> {
        vec![
            Cell::tinted(one.at.to_string(), Tint::Dim),
            Cell::tinted(visible(&one.status), tint(&one.status)),
            visible(one.branch.as_deref().unwrap_or_default()).into(),
            visible(one.op.as_deref().unwrap_or_default()).into(),
            visible(&one.text).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    table(context.out.paint, &head, &rows)
}

/// What has happened, in a line; as JSON with all that is known of it.
pub(super) fn event(context: &Context, one: &Event) -> Result<(), Failure> {
    if context.out.is_json() {
        return context.out.line(&value::json_line(one)?);
    }
    let paint = context.out.paint;
    let about = [one.branch.as_deref(), one.op.as_deref(), Some(one.text.as_str())];
    let about = about.into_iter().flatten().map(visible).collect::<Vec<_>>().join(" ");
    context.out.line(&format!(
        "{}  {}  {about}",
        paint.tint(Tint::Dim, &one.at.to_string()),
        paint.tint(tint(&one.status), &visible(&one.status)),
    ))
}

#[cfg(test)]
mod tests;
