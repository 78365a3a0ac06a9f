//! Until when what must have happened, for one request.
//!
//! The caller's fields may shorten what is set, never lengthen it (see [`logic::deadline`]). Those of plain
//! HTTP say how long it waits for the response's head; `grpc-timeout` counts for the whole call, as gRPC has
//! it. What is left is passed on when somebody asked for a limit: the caller, or a setting that is not the
//! default. Where nobody did, no field is added and no time is formatted.

use crate::{
    h1::{Fields, Known},
    settings::{Exchange, Timeouts},
};
use base::Moment;
use logic::deadline::{self, Deadline, Text};
use std::time::Duration;

/// The times of one request.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// What is set.
    pub(crate) said: Exchange,
    /// When the head of the response must be there.
    pub(crate) head: Deadline,
    /// When its last byte must be there.
    pub(crate) end: Deadline,
    /// Until when the caller waits for the head.
    caller: Deadline,
    /// The caller waits less long than is set; an instance is not to blame for that.
    pub(crate) is_callers: bool,
    /// How long until the head, in all.
    pub(crate) limit: Duration,
    /// What an instance is told.
    told: Deadline,
}

impl Times {
    /// The times of a request that came at `started`.
    pub(crate) fn new(started: Moment, said: Exchange, fields: &Fields, is_grpc: bool) -> Self {
        let caller = asked(fields, is_grpc);
        let Timeouts { response, overall, .. } = said.timeouts;
        let set = overall.map_or(response, |overall| overall.min(response));
        let end = Deadline::new(started, overall, caller.filter(|_| is_grpc));
        let head = Deadline::new(started, Some(set), caller);
        let is_asked =
            caller.is_some() || overall.is_some() || response != Timeouts::default().response;
        let told = match (is_grpc, is_asked) {
            (true, _) => end,
            (false, true) => head,
            (false, false) => Deadline::NONE,
        };
        Self {
            said,
            head,
            end,
            caller: Deadline::new(started, None, caller),
            is_callers: caller.is_some_and(|caller| caller < set),
            limit: caller.map_or(set, |caller| caller.min(set)),
            told,
        }
    }

    /// When the head must be there of a response to a request that was complete at `now`.
    pub(crate) fn head_from(&self, now: Moment) -> Moment {
        let latest = now + self.said.timeouts.response;
        let bounds = [self.caller.moment(), self.end.moment()];
        bounds.into_iter().flatten().fold(latest, Moment::min)
    }

    /// When a body that stands still at `now` is given up; `None`: never.
    pub(crate) fn idle_from(&self, now: Moment) -> Option<Moment> {
        let idle = self.said.timeouts.idle.map(|idle| now + idle);
        match (idle, self.end.moment()) {
            (Some(idle), Some(end)) => Some(idle.min(end)),
            (one, other) => one.or(other),
        }
    }

    /// Whether an instance is told how long it may take.
    pub(crate) fn is_told(&self) -> bool {
        self.told != Deadline::NONE
    }

    /// What `grpc-timeout` says of a call that goes out at `now`.
    pub(crate) fn grpc(&self, now: Moment) -> Option<Text> {
        self.told.left(now).map(deadline::format_grpc)
    }

    /// What ends a head for HTTP/1.1 in place of its empty line, when an instance is told how long it may take.
    pub(crate) fn tail(&self, now: Moment) -> Option<Tail> {
        self.told.left(now).map(|left| Tail::new(&deadline::format_ms(left)))
    }
}

/// The shortest time that a caller asks for.
fn asked(fields: &Fields, is_grpc: bool) -> Option<Duration> {
    let times = fields.iter().filter_map(|(known, _, value)| match known {
        Known::Timeout | Known::EnvoyTimeout => deadline::parse_ms(value),
        Known::GrpcTimeout if is_grpc => deadline::parse_grpc(value),
        _ => None,
    });
    times.min()
}

/// The field `flotilla-timeout-ms` and the end of the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    bytes: [u8; TAIL_LEN_MAX],
    length: usize,
}

/// The name, a colon, a space, at most 16 digits, two line ends.
const TAIL_LEN_MAX: usize = deadline::HEADER.len() + 2 + 16 + 4;

impl Tail {
    fn new(left: &Text) -> Self {
        let mut tail = Self { bytes: [0; TAIL_LEN_MAX], length: 0 };
        for part in [deadline::HEADER.as_bytes(), b": ", left.as_bytes(), b"\r\n\r\n"] {
            let end = tail.length + part.len();
            if let Some(room) = tail.bytes.get_mut(tail.length..end) {
                room.copy_from_slice(part);
                tail.length = end;
            }
        }
        tail
    }

    /// The field and the empty line.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A head without its empty line.
pub(crate) fn open_ended(head: &[u8]) -> &[u8] {
    head.strip_suffix(b"\r\n").unwrap_or(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::START + Duration::from_millis(ms)
    }

    fn times(fields: &[(&str, &str)], is_grpc: bool, timeouts: Timeouts) -> Times {
        let mut all = Fields::default();
        fields.iter().for_each(|(name, value)| all.add(name.as_bytes(), value.as_bytes()));
        let said = Exchange { timeouts, ..Exchange::default() };
        Times::new(Moment::START, said, &all, is_grpc)
    }

    fn tail(times: &Times, now: Moment) -> Option<String> {
        times.tail(now).map(|tail| String::from_utf8(tail.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_caller_shortens_the_time_and_never_lengthens_it() {
        let short = Timeouts { response: Duration::from_secs(2), ..Timeouts::default() };
        let asked = times(&[("Flotilla-Timeout-Ms", "500")], false, short);
        assert_eq!((asked.head.moment(), asked.is_callers), (Some(at(500)), true));
        let asked = times(&[("flotilla-timeout-ms", "9000")], false, short);
        assert_eq!((asked.head.moment(), asked.is_callers), (Some(at(2_000)), false));
        let both = [("x-envoy-expected-rq-timeout-ms", "300"), ("flotilla-timeout-ms", "400")];
        assert_eq!(times(&both, false, short).head.moment(), Some(at(300)));
        let odd = times(&[("flotilla-timeout-ms", "soon")], false, short);
        assert_eq!(odd.head.moment(), Some(at(2_000)));
        // An upload starts the response's time anew, not the caller's.
        assert_eq!(times(&both, false, short).head_from(at(200)), at(300));
        assert_eq!(asked.head_from(at(200)), at(2_200));
    }

    #[test]
    fn only_a_limit_that_somebody_asked_for_is_passed_on() {
        assert!(!times(&[], false, Timeouts::default()).is_told());
        let asked = times(&[("flotilla-timeout-ms", "500")], false, Timeouts::default());
        assert_eq!(tail(&asked, at(100)).unwrap(), "flotilla-timeout-ms: 400\r\n\r\n");
        let set = Timeouts { response: Duration::from_secs(3), ..Timeouts::default() };
        assert_eq!(
            tail(&times(&[], false, set), at(0)).unwrap(),
            "flotilla-timeout-ms: 3000\r\n\r\n"
        );
        assert_eq!(tail(&times(&[], false, Timeouts::default()), at(0)), None);
        let forever = times(&[("flotilla-timeout-ms", "999999999999999")], false, set);
        assert!(tail(&forever, at(0)).unwrap().ends_with("\r\n\r\n"));
        assert_eq!(open_ended(b"GET / HTTP/1.1\r\na: b\r\n\r\n"), b"GET / HTTP/1.1\r\na: b\r\n");
    }

    #[test]
    fn the_time_of_a_grpc_call_counts_for_all_of_it_and_that_of_others_for_the_head() {
        let call = times(&[("grpc-timeout", "2S")], true, Timeouts::default());
        assert_eq!((call.head.moment(), call.end.moment()), (Some(at(2_000)), Some(at(2_000))));
        assert_eq!(call.grpc(at(500)).unwrap().as_str(), "1500000u");
        assert_eq!(call.idle_from(at(1_900)), Some(at(2_000)));
        let plain = times(&[("grpc-timeout", "2S")], false, Timeouts::default());
        assert_eq!((plain.head.moment(), plain.end.moment()), (Some(at(60_000)), None));
        // A time for the head alone would cut streams off.
        let set = Timeouts { response: Duration::from_secs(3), ..Timeouts::default() };
        assert_eq!(times(&[], true, set).grpc(at(0)), None);
        let forever = Timeouts { idle: None, ..Timeouts::default() };
        assert_eq!(times(&[], false, forever).idle_from(at(1)), None);
        let overall = Timeouts { overall: Some(Duration::from_secs(1)), ..Timeouts::default() };
        assert_eq!(times(&[], false, overall).idle_from(at(1)), Some(at(1_000)));
        assert_eq!(times(&[], false, overall).head.moment(), Some(at(1_000)));
    }
}
