//! Faults on purpose, so that tests and people can see what a slow or failing service does to the rest.
//!
//! A fault hits a share of the requests, and with `header` only those that carry that field, which lets one
//! tester break one request of a shared system. Chance comes as an argument: the same number gives the
//! same answer. After Envoy's `HTTPFault`; unlike there one draw decides over delay and abort
//! together, because `fault: { delay: 200ms, abort: 503 }` reads as one fault.

use crate::{Effects, Reply, Request, edits::InvalidName, edits::field_name};
use std::time::Duration;

/// The longest delay. A delayed request holds a connection and its buffers, so it may not hold it long.
pub const DELAY_MAX: Duration = Duration::from_secs(60);

/// What `fault:` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How long a hit request waits before it is forwarded or aborted: up to [`DELAY_MAX`].
    pub delay: Option<Duration>,
    /// The status it is answered with instead of being forwarded: 200 to 599.
    pub abort: Option<u16>,
    /// The share of requests that are hit, 0 to 100; 100 unless said otherwise.
    pub percent: f64,
    /// Only requests that have this field, with whatever value.
    pub header: Option<String>,
}

/// Why a fault cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// It would do nothing.
    #[error("a fault needs `delay`, `abort` or both")]
    Nothing,
    /// The delay is too long.
    #[error("a fault delays for at most 60 s")]
    Delay,
    /// No status of a final response.
    #[error("`{0}` is no status from 200 to 599")]
    Status(u16),
    /// No share.
    #[error("a percentage goes from 0 to 100")]
    Percent,
    /// The name of the field.
    #[error("`header` is no name of a field")]
    Header(#[source] InvalidName),
}

/// A fault, ready to hit.
#[derive(Clone, Debug)]
pub struct Fault {
    delay: Option<Duration>,
    abort: Option<u16>,
    /// A request whose random number is below this is hit; `None`: every one.
    below: Option<u64>,
    header: Option<String>,
}

impl Fault {
    /// Checks `config`.
    ///
    /// # Errors
    /// When a number is out of its range or nothing would happen; see [`Error`].
    pub fn new(config: Config) -> Result<Self, Error> {
        if config.delay.is_none() && config.abort.is_none() {
            return Err(Error::Nothing);
        }
        if config.delay.is_some_and(|delay| delay > DELAY_MAX) {
            return Err(Error::Delay);
        }
        if let Some(status) = config.abort.filter(|status| !(200..=599).contains(status)) {
            return Err(Error::Status(status));
        }
        if !(0.0..=100.0).contains(&config.percent) {
            return Err(Error::Percent);
        }
        let header = config.header.as_deref().map(field_name).transpose().map_err(Error::Header)?;
        Ok(Self {
            delay: config.delay.filter(|delay| !delay.is_zero()),
            abort: config.abort,
            below: threshold(config.percent),
            header,
        })
    }

    /// Hits `request`, or not. `random`: 64 bits drawn for this request.
    pub fn apply(
        &self,
        request: &dyn Request,
        random: u64,
        effects: &mut Effects,
    ) -> Option<Reply> {
        if self.below.is_some_and(|below| random >= below) {
            return None;
        }
        if let Some(name) = &self.header {
            let mut is_there = false;
            request.each(name, &mut |_| {
                is_there = true;
                false
            });
            if !is_there {
                return None;
            }
        }
        let Some(status) = self.abort else {
            effects.delay = self.delay;
            return None;
        };
        Some(Reply {
            status,
            code: "fault",
            message: "this request was aborted on purpose by the route's `fault`".to_owned(),
            headers: Vec::new(),
            delay: self.delay,
        })
    }
}

/// The number below which `percent` of all 64-bit numbers lie; `None` for all of them.
fn threshold(percent: f64) -> Option<u64> {
    // Millionths of a per cent: finer than anyone writes, and exact in integers.
    const PARTS: u128 = 100_000_000;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be from 0 to 100 by the caller"
    )]
    let parts = (percent * 1e6).round() as u64;
    u64::try_from((u128::from(parts) << 64) / PARTS).ok()
}

#[cfg(test)]
mod tests;
