//! What Prometheus reads on DTM's port.

use super::desk::Desk;
use crate::answer::{Answer, bytes_of};
use http::StatusCode;
use std::fmt::Write as _;

/// Prometheus' text format, version 0.0.4.
const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn answer(desk: &Desk) -> Answer {
    let counts = desk.transactions.counts();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    family(
        "flotilla_transactions_unfinished",
        "gauge",
        "Transactions that this node drives.",
        &[("", counts.unfinished)],
    );
    family(
        "flotilla_transactions_attention",
        "gauge",
        "Transactions that wait for an operator.",
        &[("", counts.attention)],
    );
    family(
        "flotilla_transactions_ended_total",
        "counter",
        "Transactions that have ended since the start of the node.",
        &[
            ("{outcome=\"committed\"}", counts.committed),
            ("{outcome=\"aborted\"}", counts.aborted),
            ("{outcome=\"mixed\"}", counts.mixed),
        ],
    );
    bytes_of(StatusCode::OK, KIND, text.into_bytes())
}
