//! A body as it comes out of a connection's buffer.

use super::{Bad, Chunks, Fields, Framing, chunk};
use crate::buffer::Buffer;
use std::ops::Range;

/// Takes a body out of the bytes of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BodyDecoder {
    /// It has been taken out wholly, or there is none.
    Done,
    /// So many bytes are missing.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// It ends with the connection.
    UntilClose,
}

/// What is there of a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Where in the buffer data lies. It must be used before the buffer is `skip`ped on.
    pub(crate) data: Range<usize>,
    /// Up to where the buffer is used up afterwards.
    pub(crate) next: usize,
    /// Fields after the data.
    pub(crate) trailers: Option<Fields>,
}

impl BodyDecoder {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes out what `buffer` has of the body.
    ///
    /// # Errors
    /// When chunks are broken.
    pub(crate) fn take(&mut self, buffer: &mut Buffer) -> Result<Part, Bad> {
        let here = buffer.range();
        match self {
            Self::Done => {
                Ok(Part { data: here.start..here.start, next: here.start, trailers: None })
            }
            Self::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(here.len());
                *left -= u64::try_from(take).unwrap_or(*left);
                if *left == 0 {
                    *self = Self::Done;
                }
                let data = here.start..here.start + take;
                Ok(Part { next: data.end, data, trailers: None })
            }
            Self::Chunked(chunks) => {
                let bytes = buffer.filled_mut();
                let found = chunks.decode(bytes)?;
                let trailers = match found.trailers {
                    Some(at) => {
                        let mut fields = Fields::default();
                        chunk::trailers(bytes.get(at).unwrap_or_default(), &mut fields)?;
                        Some(fields)
                    }
                    None => None,
                };
                if found.is_end {
                    *self = Self::Done;
                }
                Ok(Part {
                    data: here.start + found.data.start..here.start + found.data.end,
                    next: here.start + found.used,
                    trailers,
                })
            }
            Self::UntilClose => Ok(Part { data: here.clone(), next: here.end, trailers: None }),
        }
    }
}
