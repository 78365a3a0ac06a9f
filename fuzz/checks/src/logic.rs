//! Parsers of `logic`.

pub(crate) mod condition;
pub(crate) mod cookie;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod timeout;
