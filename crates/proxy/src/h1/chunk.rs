//! The chunked coding (RFC 9112 §7.1), decoded where it lies.
//!
//! Extensions are read over and not passed on: nobody uses them, and what is not passed on smuggles
//! nothing.

use super::{Bad, Fields, Span, fields::is_token, lines::HeadEnd};
use std::ops::Range;

/// Most digits of a chunk's size: 15 hexadecimal digits are more than any disk holds, and never overflow.
const SIZE_DIGITS_MAX: u8 = 15;

/// Most bytes of extensions in one body. One byte of data in each chunk with a long extension would
/// otherwise be a cheap way to keep a proxy busy.
const EXTENSIONS_SIZE_MAX: u32 = 16 * 1024;

/// Longest trailer section in bytes.
pub(crate) const TRAILERS_SIZE_MAX: usize = 8 * 1024;

const TOO_LONG: Bad = Bad { status: 431, why: "the trailers are too long" };

/// Most fields in a trailer section.
const TRAILERS_MAX: usize = 32;

/// Decodes one body, however it is split.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    extensions: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a size.
    #[default]
    Begin,
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        at: Extension,
    },
    SizeLineFeed {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataLineFeed,
    Trailers,
    Done,
}

/// Where in an extension: `;name`, `;name=token` or `;name="text"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    Begin,
    Name,
    Value,
    Token,
    Text,
    /// After a backslash.
    Quoted,
    End,
}

impl Extension {
    /// What follows `byte`; `None`: it may not stand there.
    fn step(self, byte: u8) -> Option<Self> {
        let is_token = is_token(&[byte]);
        match (self, byte) {
            (Self::Begin | Self::Name, _) if is_token => Some(Self::Name),
            (Self::Name, b'=') => Some(Self::Value),
            (Self::Value, b'"') => Some(Self::Text),
            (Self::Value | Self::Token, _) if is_token => Some(Self::Token),
            (Self::Text, b'"') => Some(Self::End),
            (Self::Text, b'\\') => Some(Self::Quoted),
            (Self::Text | Self::Quoted, b'\t' | b' '..=b'~') => Some(Self::Text),
            (Self::Name | Self::Token | Self::End, b';') => Some(Self::Begin),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::End)
    }
}

/// What a call of [`Chunks::decode`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Where in the input data lies, in one piece.
    pub(crate) data: Range<usize>,
    /// So many bytes of the input were read; the rest is for the next call, or after the body's end for
    /// the next message.
    pub(crate) used: usize,
    /// The body is complete.
    pub(crate) is_end: bool,
    /// Where in the input the trailer section is, with the empty line at its end.
    pub(crate) trailers: Option<Range<usize>>,
}

impl Chunks {
    /// Whether `input`, the beginning of a body, is valid as far as it goes.
    ///
    /// # Errors
    /// As [`Chunks::decode`].
    pub(crate) fn check(input: &[u8]) -> Result<(), Bad> {
        Self::default().decode(&mut input.to_vec()).map(|_| ())
    }

    /// Decodes as much as there is. The data of later chunks is moved to that of the first.
    ///
    /// # Errors
    /// When the coding is broken. The body cannot be read on then.
    pub(crate) fn decode(&mut self, input: &mut [u8]) -> Result<Decoded, Bad> {
        let mut decoded = Decoded::default();
        while decoded.used < input.len() && self.state != State::Done {
            match self.state {
                State::Data { left } => {
                    let here = input.len() - decoded.used;
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                    if decoded.data.is_empty() {
                        decoded.data = decoded.used..decoded.used + take;
                    } else {
                        input.copy_within(decoded.used..decoded.used + take, decoded.data.end);
                        decoded.data.end += take;
                    }
                    decoded.used += take;
                    let left = left - u64::try_from(take).unwrap_or(left);
                    self.state = if left == 0 { State::DataReturn } else { State::Data { left } };
                }
                State::Trailers => {
                    let rest = input.get(decoded.used..).unwrap_or_default();
                    match HeadEnd::default().find(rest)? {
                        Some(length) if length > TRAILERS_SIZE_MAX => return Err(TOO_LONG),
                        Some(length) => {
                            let end = decoded.used + length;
                            decoded.trailers = (length > 2).then_some(decoded.used..end);
                            decoded.used = end;
                            self.state = State::Done;
                        }
                        None if rest.len() > TRAILERS_SIZE_MAX => return Err(TOO_LONG),
                        None => break,
                    }
                }
                state => {
                    let byte = input[decoded.used];
                    decoded.used += 1;
                    self.state = self.step(state, byte)?;
                }
            }
        }
        decoded.is_end = self.state == State::Done;
        Ok(decoded)
    }

    /// The state after a byte that is no data.
    fn step(&mut self, state: State, byte: u8) -> Result<State, Bad> {
        let size_is_bad = Bad::request("the size of a chunk is not valid");
        match (state, byte) {
            (State::Begin, _) => {
                let digit = hex(byte).ok_or(size_is_bad)?;
                Ok(State::Size { size: digit, digits: 1 })
            }
            (State::Size { size, .. }, b'\r') => Ok(State::SizeLineFeed { size }),
            (State::Size { size, .. }, b';') => Ok(State::Extension { size, at: Extension::Begin }),
            (State::Size { size, digits }, _) => {
                let digit = hex(byte).filter(|_| digits < SIZE_DIGITS_MAX).ok_or(size_is_bad)?;
                Ok(State::Size { size: size << 4 | digit, digits: digits + 1 })
            }
            (State::Extension { size, at }, b'\r') if at.may_end() => {
                Ok(State::SizeLineFeed { size })
            }
            (State::Extension { size, at }, _) => {
                self.extensions += 1;
                if self.extensions > EXTENSIONS_SIZE_MAX {
                    return Err(Bad::request("the extensions of the chunks are too long"));
                }
                let not_valid = Bad::request("the extension of a chunk is not valid");
                Ok(State::Extension { size, at: at.step(byte).ok_or(not_valid)? })
            }
            (State::SizeLineFeed { size: 0 }, b'\n') => Ok(State::Trailers),
            (State::SizeLineFeed { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::Begin),
            (State::DataReturn | State::DataLineFeed, _) => {
                Err(Bad::request("a chunk is longer than its size says"))
            }
            _ => Err(Bad::request("the size of a chunk does not end with CR LF")),
        }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// Reads a trailer section into `fields`. Fields that frame, route or control a message are left out: they
/// come too late to be believed (RFC 9110 §6.5.1).
///
/// # Errors
/// When it is not well-formed.
pub(crate) fn trailers(section: &[u8], fields: &mut Fields) -> Result<(), Bad> {
    fields.start(section);
    let mut parsed = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    match httparse::parse_headers(section, &mut parsed) {
        Ok(httparse::Status::Complete((length, found))) if length == section.len() => {
            for header in found {
                let name = header.name.as_bytes();
                if may_trail(name) {
                    let name: Span = Fields::span_of(section, name);
                    fields.add_spans(name, Fields::span_of(section, header.value));
                }
            }
            Ok(())
        }
        _ => Err(Bad::request("the trailers are not valid")),
    }
}

/// Whether a field may be in a trailer section.
pub(crate) fn may_trail(name: &[u8]) -> bool {
    const NEVER: [&str; 24] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "location",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "www-authenticate",
    ];
    let is = |never: &&str| name.eq_ignore_ascii_case(never.as_bytes());
    let is_forwarding = name.len() >= 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-");
    !is_forwarding && !NEVER.iter().any(is)
}

#[cfg(test)]
mod tests;
