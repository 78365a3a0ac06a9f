//! Parsers of `policy`.

pub(crate) mod accept;
pub(crate) mod basic;
pub(crate) mod json;
pub(crate) mod jwks;
pub(crate) mod jwt;
pub(crate) mod origin;
pub(crate) mod rate;
pub(crate) mod redirect;
mod view;
