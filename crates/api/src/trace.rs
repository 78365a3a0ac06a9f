//! The trace that a message belongs to (W3C Trace Context §3), from the request that publishes it to those that deliver it.
//!
//! ```text
//!  request ── publish ──► event ── delivery ──► request of the subscriber
//!  T-1        T-2         T-2      T-3          T-3
//! ```
//! All have the trace `T`, and each names its own step. An event keeps what it was published with, however often it is
//! delivered; so deliveries are siblings below it.

use events::Event;
use http::HeaderMap;

/// The field of requests and the extension of events (CloudEvents' distributed tracing extension) that carry a trace.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// See [`TRACEPARENT`].
pub(crate) const TRACESTATE: &str = "tracestate";

/// The lengths of a trace and of a step in hexadecimal digits.
const TRACE_LEN: usize = 32;
const STEP_LEN: usize = 16;

/// What an event is published with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) parent: String,
    pub(crate) state: Option<String>,
}

impl Trace {
    /// The next step of a request's trace, or the first one of a new trace.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok();
        match text(TRACEPARENT).and_then(step) {
            Some(parent) => Self { parent, state: text(TRACESTATE).map(str::to_owned) },
            None => Self { parent: begin(), state: None },
        }
    }

    /// Gives it to an event. One that was given a trace where it happened keeps that.
    pub(crate) fn put_on(&self, event: &mut Event) {
        if event.extensions.contains_key(TRACEPARENT) {
            return;
        }
        event.extensions.insert(TRACEPARENT.to_owned(), self.parent.clone());
        if let Some(state) = &self.state {
            event.extensions.insert(TRACESTATE.to_owned(), state.clone());
        }
    }
}

/// The first step of a new trace.
pub(crate) fn begin() -> String {
    let [trace, more] = [digits(), digits()];
    format!("00-{trace}{more}-{}-01", digits())
}

/// Another step of the trace that `parent` is of. `None`: it is no `traceparent`.
pub(crate) fn step(parent: &str) -> Option<String> {
    let (trace, flags) = read(parent)?;
    Some(format!("00-{trace}-{}-{flags}", digits()))
}

/// The trace and the flags of a `traceparent` (§3.2). A later version may have more at its end.
fn read(parent: &str) -> Option<(&str, &str)> {
    let is = |part: &str, len| {
        part.len() == len && part.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &str| part.bytes().all(|it| it == b'0');
    let mut parts = parent.trim().split('-');
    let (version, trace, step, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_whole = is(version, 2) && is(trace, TRACE_LEN) && is(step, STEP_LEN) && is(flags, 2);
    let is_valid = is_whole && version != "ff" && !is_zero(trace) && !is_zero(step);
    (is_valid && (version != "00" || parts.next().is_none())).then_some((trace, flags))
}

/// As many digits as a step has, never all of them zero.
fn digits() -> String {
    let mut bytes = [0; 8];
    // Without randomness from the system nothing secure runs at all; the clock then still tells two apart.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = runtime::Clock::wall().0.to_le_bytes();
    }
    format!("{:016x}", u64::from_le_bytes(bytes) | 1)
}

/// Whether both are steps of one trace, and not the same step.
#[cfg(test)]
pub(crate) fn are_steps_of_one(one: &str, other: &str) -> bool {
    let trace = |parent| read(parent).map(|(trace, _)| trace);
    one != other && trace(one).is_some() && trace(one) == trace(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    #[test]
    fn a_step_is_another_one_of_the_same_trace_and_flags() {
        let next = step(PARENT).unwrap();
        assert_eq!(read(&next), Some(("0af7651916cd43dd8448eb211c80319c", "00")));
        assert!(are_steps_of_one(&next, PARENT));
        assert!(are_steps_of_one(&next, &step(PARENT).unwrap()));
        // What a later version has at its end is not known here.
        let later = step(&format!("{}-more", PARENT.replacen("00", "01", 1))).unwrap();
        assert!(later.starts_with("00-") && are_steps_of_one(&later, PARENT), "{later}");
    }

    #[test]
    fn what_is_no_trace_has_no_next_step() {
        for parent in [
            "",
            "00-aa-bb-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert_eq!(step(parent), None, "{parent}");
        }
    }

    #[test]
    fn the_state_of_a_trace_goes_with_it_only() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        let new = Trace::of(&headers);
        assert_eq!((step(&new.parent).is_some(), new.state), (true, None));
        headers.insert(TRACEPARENT, HeaderValue::from_static(PARENT));
        let next = Trace::of(&headers);
        assert_eq!(
            (are_steps_of_one(&next.parent, PARENT), next.state.as_deref()),
            (true, Some("a=b"))
        );
    }
}
