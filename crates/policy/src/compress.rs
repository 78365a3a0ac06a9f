//! Which answers are packed on their way to the client, and how.
//!
//! ```text
//!  request  ──► Compress::ask ──► Asked (a few words, kept until the response comes)
//!  response ──► Compress::answer(asked) ──► edits of its head, and a Coding ──► Encoder: push … finish
//! ```
//!
//! Packed is what is worth it: types that are not packed themselves, of 1 KiB or more, or of unknown length. Not
//! packed: what is encoded already, parts (206), answers without a body, what is marked `no-transform`, what carries
//! a digest of its bytes (RFC 9530), and streams of messages (`text/event-stream`, gRPC) that must not wait. Other
//! bodies that come slowly are flushed when the service pauses; that is the data plane's to see.
//!
//! A packed answer is another representation, so a strong `ETag` becomes weak: `If-None-Match` still works, while
//! `If-Match` with it gets 412 from the service, and ranges of it are no longer offered (RFC 9110 §8.8.1). Every
//! answer that would be packed for some client says `Vary: Accept-Encoding`, packed or not.
//!
//! Compression tells how long an answer is. Where one answer has both a secret and something that an attacker can
//! put into the request, over TLS, the length lets the secret be guessed (BREACH, 2013). So it is off unless a
//! route turns it on; leave it off where forms reflect input beside tokens.

mod accept;
mod encoder;
mod media;

pub use accept::{Accepted, MEMBERS_MAX};
pub use encoder::{
    BR_QUALITY, BR_STATE_LEN, BR_WINDOW_BITS, Encoder, Failed, GZIP_LEVEL, GZIP_STATE_LEN,
    GZIP_WINDOW_BITS, Settings, ZSTD_LEVEL, ZSTD_STATE_LEN, ZSTD_WINDOW_BITS,
};
pub use media::{InvalidType, TYPES_DEFAULT};

use crate::{Edit, Request};
use media::Pattern;
use std::fmt;

/// The shortest body that is packed unless said otherwise, in bytes. A shorter one fits into one packet
/// either way.
pub const MIN_LEN_DEFAULT: u64 = 1_024;

/// The most patterns of types; each is compared with every answer's type.
pub const TYPES_MAX: usize = 128;

/// A way to pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// Brotli, RFC 7932.
    Br,
    /// Zstandard, RFC 8878 and RFC 9659.
    Zstd,
}

impl Coding {
    /// All, the cheapest for what it saves first; see [`Encoder`].
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// Its name in `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `compress:` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is offered; of those that a client likes the same, the first is taken. Empty: [`Coding::ALL`].
    pub codings: Vec<Coding>,
    /// Types: `text/html`, `text/*` or `*+json`; empty: [`TYPES_DEFAULT`].
    pub types: Vec<String>,
    /// Shorter bodies are left as they are, in bytes.
    pub min_len: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { codings: Vec::new(), types: Vec::new(), min_len: MIN_LEN_DEFAULT }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A type is none.
    #[error("`{text}` cannot be packed")]
    Type {
        /// What is written.
        text: String,
        /// What is wrong.
        #[source]
        cause: InvalidType,
    },
    /// More than [`TYPES_MAX`].
    #[error("at most 128 types")]
    TooMany,
}

/// The compression of a route.
#[derive(Clone, Debug)]
pub struct Compress {
    codings: Vec<Coding>,
    types: Vec<Pattern>,
    min_len: u64,
}

/// What of a request is needed when its response comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    coding: Option<Coding>,
    /// `HEAD`: the response has the fields but no body.
    is_head: bool,
}

/// A response as compression looks at it.
pub trait Response {
    /// Its status.
    fn status(&self) -> u16;
    /// Calls `see` with the value of every field `name` (lowercase), in their order, until it returns false.
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> bool);
}

impl Compress {
    /// Checks `config`.
    ///
    /// # Errors
    /// When a type is none, or one that is never packed.
    pub fn new(config: Config) -> Result<Self, Error> {
        if config.types.len() > TYPES_MAX {
            return Err(Error::TooMany);
        }
        let types = if config.types.is_empty() {
            TYPES_DEFAULT.map(str::to_owned).to_vec()
        } else {
            config.types
        };
        let types = types.into_iter().map(|text| match media::parse(&text) {
            Ok(pattern) => Ok(pattern),
            Err(cause) => Err(Error::Type { text, cause }),
        });
        let codings = if config.codings.is_empty() { Coding::ALL.to_vec() } else { config.codings };
        Ok(Self { codings, types: types.collect::<Result<_, _>>()?, min_len: config.min_len })
    }

    /// Looks at what `request` accepts.
    #[must_use]
    pub fn ask(&self, request: &dyn Request) -> Asked {
        let mut accepted = Accepted::default();
        request.each("accept-encoding", &mut |value| {
            accepted.add(value);
            true
        });
        let mut is_fixed = false;
        request.each("cache-control", &mut |value| {
            is_fixed |= has_member(value, b"no-transform");
            true
        });
        let coding = accepted.choose(&self.codings).filter(|_| !is_fixed);
        Asked { coding, is_head: request.method() == "HEAD" }
    }

    /// Decides about `response`: how its body is to be packed, `None`: not at all. What its head must say then is
    /// added to `edits`; the length of the body is not known any more, so the data plane frames it anew.
    pub fn answer(
        &self,
        asked: Asked,
        response: &dyn Response,
        edits: &mut Vec<Edit>,
    ) -> Option<Coding> {
        let status = response.status();
        // 304 has no type, but it refreshes what a cache knows, `Vary` too (RFC 9110 §15.4.5).
        if status == 304 {
            edits.push(Edit::Vary(ACCEPT_ENCODING));
            return None;
        }
        if status < 200 || matches!(status, 204..=206) || !self.is_packable(response) {
            return None;
        }
        edits.push(Edit::Vary(ACCEPT_ENCODING));
        let coding = asked.coding.filter(|_| !asked.is_head && self.is_long_enough(response))?;
        edits.push(Edit::Set("content-encoding".into(), coding.name().into()));
        edits.push(Edit::Remove("content-length".into()));
        edits.push(Edit::Remove("accept-ranges".into()));
        let strong = only(response, "etag").filter(|tag| tag.starts_with(b"\""));
        if let Some(tag) = strong.and_then(|tag| String::from_utf8(tag).ok()) {
            edits.push(Edit::Set("etag".into(), format!("W/{tag}").into()));
        }
        Some(coding)
    }

    /// Whether the response is of a kind that is packed for those who accept it.
    fn is_packable(&self, response: &dyn Response) -> bool {
        let essence = only(response, "content-type").and_then(|value| media::essence(&value));
        let is_listed = essence.is_some_and(|essence| {
            !media::is_stream(&essence) && self.types.iter().any(|it| it.matches(&essence))
        });
        is_listed && !is_untouchable(response)
    }

    fn is_long_enough(&self, response: &dyn Response) -> bool {
        let length = only(response, "content-length");
        let length = length.and_then(|value| std::str::from_utf8(&value).ok()?.trim().parse().ok());
        length.is_none_or(|length: u64| length >= self.min_len)
    }
}

const ACCEPT_ENCODING: &str = "Accept-Encoding";

/// Whether something forbids to change the bytes.
fn is_untouchable(response: &dyn Response) -> bool {
    let any = |name: &str, holds: &dyn Fn(&[u8]) -> bool| {
        let mut found = false;
        response.each(name, &mut |value| {
            found |= holds(value);
            !found
        });
        found
    };
    any("content-encoding", &|value| !value.trim_ascii().eq_ignore_ascii_case(b"identity"))
        || any("cache-control", &|value| has_member(value, b"no-transform"))
        || ["content-range", "content-md5", "digest", "content-digest", "repr-digest"]
            .iter()
            .any(|name| any(name, &|_| true))
}

fn has_member(list: &[u8], member: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|it| it.trim_ascii().eq_ignore_ascii_case(member))
}

/// The value of field `name` when there is exactly one.
fn only(response: &dyn Response, name: &str) -> Option<Vec<u8>> {
    let (mut found, mut count) = (None, 0_u32);
    response.each(name, &mut |value| {
        count += 1;
        found = Some(value.to_vec());
        count < 2
    });
    found.filter(|_| count == 1)
}

#[cfg(test)]
mod tests;
