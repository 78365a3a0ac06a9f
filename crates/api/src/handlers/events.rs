//! What happened, and what happens.

use crate::{
    answer::{Answer, Problem, json},
    backend::Backend,
    context::Context,
    sse::{self, Format, Source},
    wire,
};
use bytes::Bytes;
use http::StatusCode;
use std::sync::Arc;

pub(crate) async fn events(context: Context) -> Result<Answer, Problem> {
    let given = context.params.number("after");
    if context.wants_events() {
        let after = context.last_event_id()?.or(given).unwrap_or(0);
        let source = Happening { backend: context.backend.clone(), after };
        return context.stream(source, Format::Sse);
    }
    let after = given.unwrap_or(0);
    let events = context.backend.events(after);
    let next = events.last().map_or(after, |event| event.seq);
    std::future::ready(Ok(json(StatusCode::OK, &wire::Events { events, next }))).await
}

struct Happening {
    backend: Arc<dyn Backend>,
    after: u64,
}

impl Source for Happening {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let events = self.backend.events_after(self.after).await;
            let Some(last) = events.last() else { continue };
            self.after = last.seq;
            let pieces = events.iter().map(|event| sse::message(event.seq, "event", event));
            return Some(
                pieces
                    .fold(Vec::new(), |mut all, piece| {
                        all.extend_from_slice(&piece);
                        all
                    })
                    .into(),
            );
        }
    }
}
