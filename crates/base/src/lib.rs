//! The vocabulary every other crate speaks: identifiers, units, time and the shape of an error.
//!
//! Nothing here does anything: no clock is read, no file opened. What is here is validated once,
//! at the edge, so that the inside can rely on it.
//!
//! Start with [`id`] (what things are called), then [`Diagnostic`] (how the user hears of trouble).

#![warn(missing_docs)]

pub mod diagnostic;
pub mod error;
pub mod id;
pub mod time;
pub mod units;

pub use diagnostic::{Diagnostic, Place, Severity};
pub use error::{Code, ErrorChain};
pub use id::{BUILD_NUMBER, InstanceId, InvalidName, ServiceName};
pub use time::{Moment, Timestamp};
pub use units::{ByteSize, InvalidUnit, Percent};
