//! What JetStream writes beside a delivered message: where it stands, and where it is settled.

use std::time::Duration;

/// The subject on which a delivery is settled, read.
///
/// `$JS.ACK.<stream>.<consumer>.<attempt>.<stream sequence>.<consumer sequence>.<time>.<pending>`; servers with a domain put it
/// and an account in front of the stream, and may append a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp<'a> {
    pub(crate) stream: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) attempt: u32,
    pub(crate) offset: u64,
    /// Counts the deliveries of the consumer.
    pub(crate) delivery: u64,
    /// When the message was taken, since 1970.
    pub(crate) time: Duration,
    /// How many more the consumer had not delivered then.
    pub(crate) pending: u64,
}

impl<'a> Stamp<'a> {
    /// `None`: JetStream never wrote it.
    pub(crate) fn read(subject: &'a str) -> Option<Self> {
        if subject.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return None;
        }
        let words: Vec<&str> = subject.strip_prefix("$JS.ACK.")?.split('.').collect();
        let words = match words.len() {
            7 => words.as_slice(),
            9 | 10 => words.get(2..9)?,
            _ => return None,
        };
        let [stream, consumer, attempt, offset, delivery, time, pending] = words else {
            return None;
        };
        Some(Self {
            stream,
            consumer,
            attempt: attempt.parse().ok()?,
            offset: offset.parse().ok()?,
            delivery: delivery.parse().ok()?,
            time: Duration::from_nanos(time.parse().ok()?),
            pending: pending.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Stamp;

    #[test]
    fn both_ways_to_write_it_are_read() {
        let short = "$JS.ACK.s=t.g_1.2.30.40.1795276030600149925.5";
        let long = "$JS.ACK.hub.ACCOUNT.s=t.g_1.2.30.40.1795276030600149925.5.word";
        let stamp = Stamp::read(short).expect("it is one");
        assert_eq!((stamp.stream, stamp.consumer, stamp.attempt), ("s=t", "g_1", 2));
        assert_eq!((stamp.offset, stamp.delivery, stamp.pending), (30, 40, 5));
        assert_eq!(stamp.time.as_nanos(), 1_795_276_030_600_149_925);
        assert_eq!(Stamp::read(long), Some(stamp.clone()));
        assert_eq!(Stamp::read(long.trim_end_matches(".word")), Some(stamp));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "$JS.ACK.",
            "$JS.ACK.s.g.1.2.3.4",
            "$JS.ACK.s.g.1.2.3.4.x",
            "$JS.ACK.s.g.1.2.3.4.-5",
            "$JS.ACK.s g.1.1.2.3.4.5",
            "$JS.ACK.s.g.1.2.3.4.5\r\nPUB",
            "$JS.API.STREAM.DELETE.x",
            "$JS.ACK.a.s.g.1.2.3.4.5",
        ] {
            assert_eq!(Stamp::read(text), None, "{text:?}");
        }
    }
}
