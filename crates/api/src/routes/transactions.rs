//! Endpoints of transactions: the same in the admin API and in that of services.

use super::{Endpoint, param, repeated};
use crate::{
    handlers::{Reach, transactions},
    params::{Param, ParamKind},
    wire::transactions::{
        Abort, Branches, Decision, Event, Events, Resolve, Submit, Transaction, Transactions,
    },
};
use http::{Method, StatusCode};

type Headers = &'static [(&'static str, &'static str)];

/// What a change may be refused with.
const WRITE: &[u16] = &[403, 404, 409, 413, 429, 500, 501, 503, 504];
/// What a read may be refused with.
const READ: &[u16] = &[404, 500, 501, 503];

const WAIT: (&str, &str) = (
    "Prefer",
    "`wait=5`: the answer waits so many seconds, 60 at most, for the transaction's end; `Preference-Applied` says for how \
     many. How it stands then is the answer: also that it was aborted.",
);
const WAITS: Headers = &[WAIT];
const SUBMIT: Headers = &[
    WAIT,
    ("Idempotency-Key", "The transaction's id when the body has none."),
    ("traceparent", "The trace that the transaction belongs to."),
];
const RESUMES: Headers = &[("Last-Event-ID", "Go on after the event with this number.")];

const PHASES: &[&str] =
    &["open", "trying", "precommitting", "committing", "aborting", "committed", "aborted", "mixed"];
const MODES: &[&str] = &["saga", "tcc", "2pc", "3pc", "3pc_classic", "msg"];

const LIST: [Param; 9] = [
    repeated("status", ParamKind::Choice(PHASES), "Only those that stand so; may be repeated."),
    param("attention", ParamKind::Flag, "Only those that wait for an operator."),
    param("mode", ParamKind::Choice(MODES), "Only those of this protocol."),
    param("name", ParamKind::Text, "Only those made of this definition."),
    param("label", ParamKind::Text, "Only those with this label, `key:value`."),
    param(
        "since",
        ParamKind::Text,
        "Begun at this time or later: RFC 3339, or how long ago (`10m`).",
    ),
    param("until", ParamKind::Text, "Begun before this time: RFC 3339, or how long ago (`10m`)."),
    param("limit", ParamKind::Number, "Most transactions in the answer, 1 to 1000. Default 100."),
    param("cursor", ParamKind::Text, "Where the page before ended: its `next`."),
];

macro_rules! handler {
    ($path:path) => {
        |context| Box::pin($path(context))
    };
}

/// All of them, in the order of the document.
pub(crate) fn table<B: Reach + ?Sized>() -> Vec<Endpoint<B>> {
    let mut table = reading();
    table.extend(acting());
    table
}

fn reading<B: Reach + ?Sized>() -> Vec<Endpoint<B>> {
    vec![
        Endpoint::get::<Transactions>(
            "/v1/tx", "transactions", "Transactions, the newest first.", handler!(transactions::list),
        ).with(&LIST).fails(READ),
        Endpoint::get::<Transaction>(
            "/v1/tx/{id}", "transaction", "A transaction. One that has ended is kept for a while.",
            handler!(transactions::show),
        ).heeds(WAITS).fails(READ),
        Endpoint::get::<Events>(
            "/v1/tx/{id}/events", "transaction_events",
            "What has happened to a transaction. As an event stream: also what happens, as `event` events whose id is the number, \
             until it has ended; resumable by `Last-Event-ID`.",
            handler!(transactions::events),
        ).streams::<Event>(&[super::AFTER]).heeds(RESUMES).fails(READ),
        Endpoint::get::<Decision>(
            "/v1/tx/{id}/decision", "transaction_decision",
            "For participants in doubt: what is decided. A transaction that nobody knows is aborted.",
            handler!(transactions::decision),
        ).fails(READ),
    ]
}

fn acting<B: Reach + ?Sized>() -> Vec<Endpoint<B>> {
    vec![
        Endpoint {
            status: StatusCode::CREATED,
            ..Endpoint::method::<Transaction>(
                Method::POST, "/v1/tx", "submit_transaction",
                "Submits a transaction. It is durable when this answers, and is driven to its end: 201, or 200 when it was known \
                 already. 409 when the id is known with another content.",
                handler!(transactions::submit),
            )
        }.takes::<Submit>(true).heeds(SUBMIT).fails(WRITE),
        Endpoint::method::<Transaction>(
            Method::POST, "/v1/tx/{id}/branches", "add_branches",
            "Adds branches to an open transaction, all or none, before their participants are asked. The same again is no error.",
            handler!(transactions::enlist),
        ).takes::<Branches>(true).fails(WRITE),
        Endpoint::method::<Transaction>(
            Method::POST, "/v1/tx/{id}/commit", "commit_transaction",
            "The client's part of an open transaction went well: on to the rest.", handler!(transactions::commit),
        ).heeds(WAITS).fails(WRITE),
        Endpoint::method::<Transaction>(
            Method::POST, "/v1/tx/{id}/abort", "abort_transaction",
            "Gives a transaction up that is not decided; 409 when it is to be committed.", handler!(transactions::abort),
        ).takes::<Abort>(false).heeds(WAITS).fails(WRITE),
        Endpoint::method::<Transaction>(
            Method::POST, "/v1/tx/{id}/retry", "retry_transaction",
            "Tries at once what waits.", handler!(transactions::retry),
        ).heeds(WAITS).fails(WRITE),
        Endpoint::method::<Transaction>(
            Method::POST, "/v1/tx/{id}/resolve", "resolve_transaction",
            "Ends what does not end by itself, after it was put right by hand.", handler!(transactions::resolve),
        ).takes::<Resolve>(true).fails(WRITE),
    ]
}
