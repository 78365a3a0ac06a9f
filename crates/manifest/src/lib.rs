//! The file: `flotilla.yaml` and the formats read beside it.

#![warn(missing_docs)]

pub mod model;
pub use model::*;
