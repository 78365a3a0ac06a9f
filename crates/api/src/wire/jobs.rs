//! Jobs: schedules of the file, and what apps have asked for.

use super::{Time, state::given};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Jobs by owner and name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Jobs {
    /// All of them, or those of one owner.
    pub jobs: Vec<Job>,
}

/// Something that is done at times.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Who asked for it: an app id, or `file` for schedules of the file.
    pub owner: String,
    /// Its name; unique for its owner.
    pub name: String,
    /// When it runs, as it was written; null: once.
    pub schedule: Option<String>,
    /// Its first run, as it was written.
    pub due: Option<String>,
    /// How many runs there are; null: without end.
    pub repeats: Option<u32>,
    /// When it is forgotten, as it was written.
    pub ttl: Option<String>,
    /// It is stopped for the time being.
    pub paused: bool,
    /// The next run; null: there is none.
    pub next_at: Option<Time>,
    /// Runs so far.
    pub runs: u64,
    /// The last run.
    pub last: Option<LastRun>,
    /// What it is about, when that is JSON.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub data: Option<Box<RawValue>>,
    /// What it is about, when that is other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it is about, when that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// The last run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobRun")]
pub struct LastRun {
    /// When it was due.
    pub due_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// How often it was tried.
    pub attempts: u32,
    /// How it went.
    pub outcome: Outcome,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "JobOutcome")]
pub enum Outcome {
    /// It is under way, or waits to be tried again.
    Running,
    /// It is done.
    Done,
    /// It was given up.
    Failed,
}

/// A run that is not the schedule's has been asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobStarted")]
pub struct Started {
    /// Always true.
    pub started: bool,
}
