//! Sticky sessions: a cookie that brings a client back to the instance it was with.
//!
//! The cookie's value is a keyed hash (`SipHash-2-4`, Aumasson and Bernstein 2012) of the service and
//! the instance. So it says nothing about how instances are called or how many there are, cannot be
//! made for an instance by who does not know the key, and needs no memory here: all nodes with the
//! same key understand it, also after a restart. It is not a proof of anything and guards nothing.
//!
//! A client whose instance is gone, drains or is passed over goes where the balancer sends it, and is
//! bound to that one from then on.

mod cookie;
mod siphash;

pub use cookie::{SetCookie, is_name, value_in};

use siphash::siphash;

/// Names the instances of a service in cookies.
#[derive(Clone)]
pub struct Key([u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A key of 16 secret random bytes, which should outlive the node's restart.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self(secret)
    }

    /// What cookies call this instance of this service. Computed once per instance, not per request.
    #[must_use]
    pub fn token(&self, service: &str, instance: &str) -> Token {
        // A zero byte is in neither name, so no two pairs are hashed alike.
        let mut name = Vec::with_capacity(service.len() + instance.len() + 1);
        name.extend_from_slice(service.as_bytes());
        name.push(0);
        name.extend_from_slice(instance.as_bytes());
        Token(siphash(&self.0, &name))
    }
}

/// An instance's opaque name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// Length of a token in a cookie: 64 bits in hexadecimal.
const TOKEN_LENGTH: usize = 16;

impl Token {
    /// Reads a cookie's value: exactly 16 lowercase hexadecimal digits. What is something else names no
    /// instance.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.len() != TOKEN_LENGTH {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        value.iter().try_fold(0, |sum, byte| Some(sum << 4 | u64::from(digit(*byte)?))).map(Self)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a request of a sticky service should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To the instance at this index.
    Stay(usize),
    /// Where the balancer says; the response binds the client to who answered.
    Bind,
}

/// Finds the instance that the client's cookie names among `tokens`, if it `is_usable`.
#[must_use]
pub fn choose(
    value: Option<&[u8]>,
    mut tokens: impl Iterator<Item = Token>,
    is_usable: impl FnOnce(usize) -> bool,
) -> Choice {
    let named = value.and_then(Token::parse);
    match named.and_then(|named| tokens.position(|token| token == named)) {
        Some(at) if is_usable(at) => Choice::Stay(at),
        _ => Choice::Bind,
    }
}

#[cfg(test)]
mod tests;
