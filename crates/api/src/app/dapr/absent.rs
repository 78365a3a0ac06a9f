//! Building blocks that are not there: each answers in the words of the runtime for one that is not configured.

use super::{Answer, Ask};
use crate::app::fault::Fault;

async fn say(fault: Fault) -> Answer {
    // An `await` so that all handlers are of one shape.
    std::future::ready(Err(fault)).await
}

pub(super) async fn binding(ask: Ask) -> Answer {
    say(Fault::no_binding(ask.value(0))).await
}

pub(super) async fn actor(_: Ask) -> Answer {
    say(Fault::no_actors()).await
}

pub(super) async fn workflow(ask: Ask) -> Answer {
    say(Fault::no_workflow(ask.value(0))).await
}

pub(super) async fn crypto(_: Ask) -> Answer {
    say(Fault::no_crypto()).await
}

pub(super) async fn conversation(ask: Ask) -> Answer {
    say(Fault::no_conversation(ask.value(0))).await
}
