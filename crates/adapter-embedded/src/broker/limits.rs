//! What bounds the engine.

use std::time::Duration;

use crate::log::SEGMENT_BYTES;

/// What bounds the engine. Tests have smaller ones.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// How long a file of the journal gets.
    pub(super) journal_segment_bytes: u64,
    /// How much of the journal a start may have to read: above that there is a checkpoint.
    pub(super) journal_bytes: u64,
    /// When checkpoints do not succeed, nothing is taken any more above that.
    pub(super) journal_bytes_max: u64,
    /// How long a file of a topic gets: short enough that retention is not much late, long enough that a large backlog
    /// has few of them.
    pub(super) segment_bytes: u64,
    /// And at least, however few bytes the topic keeps.
    pub(super) segment_bytes_min: u64,
    /// How many files a topic's retention is spread over at least, by time and by bytes.
    pub(super) segments_min: u32,
    /// What of one topic is written to its files at once.
    pub(super) flush_bytes: u64,
    /// What of all topics is not in files: above that it is written, and above the other one publishers wait for that.
    pub(super) unwritten_bytes: u64,
    pub(super) unwritten_bytes_max: u64,
    /// What of one topic is kept in memory for those who follow it, and of all of them.
    pub(super) tail_bytes: u64,
    pub(super) tail_bytes_max: u64,
    /// What of the messages that a group will give next is kept in memory.
    pub(super) group_bytes: usize,
    /// When even a short journal is followed by a checkpoint, so that an engine that got quiet starts quickly and gives
    /// its memory back.
    pub(super) checkpoint_age: Duration,
    /// How often it is looked at what may go.
    pub(super) upkeep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            journal_segment_bytes: SEGMENT_BYTES,
            journal_bytes: 64 << 20,
            journal_bytes_max: 512 << 20,
            segment_bytes: 16 << 20,
            segment_bytes_min: 64 << 10,
            segments_min: 8,
            flush_bytes: 256 << 10,
            unwritten_bytes: 16 << 20,
            unwritten_bytes_max: 64 << 20,
            tail_bytes: 1 << 20,
            tail_bytes_max: 24 << 20,
            group_bytes: 1 << 20,
            checkpoint_age: Duration::from_secs(60),
            upkeep: Duration::from_secs(1),
        }
    }
}
