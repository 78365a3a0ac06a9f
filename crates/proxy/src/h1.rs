//! HTTP/1.1 as bytes, without sockets: heads and bodies, parsed strictly (RFC 9110, RFC 9112).
//!
//! Strict means that nothing is accepted that two implementations could read differently: a bare line
//! feed, a folded line, two lengths, a chunk size with a sign. What is refused is refused whole; a
//! proxy that repairs a message decides for the next one how it would have read it.
//!
//! `httparse` splits heads into their parts. What it is lenient about is checked here before.

pub(crate) mod body;
pub(crate) mod chunk;
pub(crate) mod fields;
pub(crate) mod framing;
pub(crate) mod lines;
pub(crate) mod request;
pub(crate) mod response;

pub(crate) use body::BodyDecoder;
pub(crate) use chunk::Chunks;
pub(crate) use fields::{Fields, Known, Span};
pub(crate) use framing::Framing;
pub(crate) use request::RequestHead;
pub(crate) use response::ResponseHead;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    /// What a client gets for it; an instance's bad response is always a 502.
    pub(crate) status: u16,
    /// In words, without the message's own bytes.
    pub(crate) why: &'static str,
}

impl Bad {
    /// A message that breaks the rules.
    pub(crate) const fn request(why: &'static str) -> Self {
        Self { status: 400, why }
    }
}
