//! JetStream's interface: what it answers, and what its refusals mean.

use serde::Deserialize;
use serde_json::{Map, Value};

/// What JetStream refuses with.
#[derive(Clone, Debug, Deserialize, thiserror::Error)]
#[error("{description} (code {err_code})")]
pub(crate) struct Refusal {
    #[serde(default)]
    pub(crate) code: u32,
    #[serde(default)]
    pub(crate) err_code: u32,
    #[serde(default)]
    pub(crate) description: String,
}

pub(crate) const STREAM_NOT_FOUND: u32 = 10_059;
pub(crate) const CONSUMER_NOT_FOUND: u32 = 10_014;
/// There is a stream of this name with other settings.
pub(crate) const STREAM_NAME_IN_USE: u32 = 10_058;

/// JetStream is switched off, here or for the account: no time will heal that.
const SWITCHED_OFF: [u32; 2] = [10_039, 10_076];

/// Room is short: of the account, of the server's memory or disk, of one stream.
const NO_ROOM: [u32; 5] = [10_002, 10_023, 10_028, 10_047, 10_077];

/// The code for what a server cannot do at the moment.
const UNAVAILABLE: u32 = 503;

impl Refusal {
    pub(crate) fn is(&self, code: u32) -> bool {
        self.err_code == code
    }

    /// Whether it may be otherwise later, by itself or when there is room.
    pub(crate) fn is_passing(&self) -> bool {
        let is_passing = self.code == UNAVAILABLE || NO_ROOM.contains(&self.err_code);
        is_passing && !SWITCHED_OFF.contains(&self.err_code)
    }
}

/// A stream, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: StreamConfig,
    pub(crate) state: StreamState,
    /// When it was made: tells it from others of its name.
    #[serde(default)]
    pub(crate) created: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) max_age: u64,
    #[serde(default)]
    pub(crate) max_bytes: i64,
    #[serde(default)]
    pub(crate) duplicate_window: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    #[serde(default)]
    pub(crate) consumer_count: u64,
}

/// A consumer. Its settings are kept as they are, so that those we do not know stay when others are changed.
#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) delivered: Sequences,
    pub(crate) ack_floor: Sequences,
    pub(crate) num_ack_pending: u64,
    pub(crate) num_pending: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Sequences {
    #[serde(default)]
    pub(crate) stream_seq: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Purged {
    #[serde(default)]
    pub(crate) purged: u64,
}

/// A part of a list.
pub(crate) trait Page {
    type Item;

    /// How many there are in all.
    fn total(&self) -> usize;

    fn items(self) -> Vec<Self::Item>;
}

macro_rules! page {
    ($name:ident, $field:ident: $item:ty) => {
        #[derive(Debug, Deserialize)]
        pub(crate) struct $name {
            #[serde(default)]
            total: usize,
            $field: Option<Vec<$item>>,
        }

        impl Page for $name {
            type Item = $item;

            fn total(&self) -> usize {
                self.total
            }

            fn items(self) -> Vec<$item> {
                self.$field.unwrap_or_default()
            }
        }
    };
}

page!(StreamList, streams: StreamInfo);
page!(ConsumerList, consumers: ConsumerInfo);
page!(ConsumerNames, consumers: String);

/// The answer to a published message.
#[derive(Debug, Deserialize)]
pub(crate) struct Taken {
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        let is_passing =
            |code, err_code| Refusal { code, err_code, description: String::new() }.is_passing();
        assert!(is_passing(503, 10_008), "no leader");
        assert!(is_passing(503, 10_077), "the stream is full");
        assert!(is_passing(500, 10_047), "the disk is full");
        assert!(is_passing(400, 10_002), "the account is full");
        assert!(!is_passing(503, 10_076), "JetStream is not there");
        assert!(!is_passing(503, 10_039), "JetStream is not there for this account");
        assert!(!is_passing(400, 10_065), "subjects overlap");
        assert!(!is_passing(500, 10_074), "replicas without a cluster");
    }
}
