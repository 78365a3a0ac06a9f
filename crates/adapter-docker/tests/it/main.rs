//! Containers on a real engine.

#[expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
mod conformance;
mod engine;
mod life;
mod output;
mod places;
#[expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
mod support;
