//! The head of an instance's response, and what it means that there is none.

use super::{Call, Failed, Trouble};
use crate::{
    buffer::{Buffer, LARGE},
    config::HEAD_SIZE_MAX,
    h1::{Bad, Framing, ResponseHead, lines::HeadEnd},
    reply::Reply,
    transport::Transport,
};
use logic::retry::Failure;
use std::io;

/// Most informational responses before the final one.
const INFORMATIONAL_MAX: u32 = 16;

impl Call<'_> {
    /// Reads the head of the final response. Informational ones before it are passed on.
    pub(crate) async fn receive(
        &self,
        connection: &Transport,
        buffer: &mut Buffer,
        response: &mut ResponseHead,
        reply: &mut Reply<'_>,
    ) -> Result<Framing, Unread> {
        let mut end = HeadEnd::default();
        let mut informed = 0;
        loop {
            let Some(length) = end.find(buffer.filled()).map_err(Unread::Bad)? else {
                if buffer.is_full() {
                    if buffer.capacity() >= HEAD_SIZE_MAX.max(LARGE) {
                        return Err(Unread::Bad(Bad::request("its head is too long")));
                    }
                    buffer.grow(LARGE);
                }
                match connection.read(buffer).await {
                    Ok(0) => return Err(Unread::Ended { is_silent: buffer.is_empty() }),
                    Ok(_) => continue,
                    Err(error) => {
                        return Err(Unread::Broken { error, is_silent: buffer.is_empty() });
                    }
                }
            };
            let head = buffer.filled().get(..length).unwrap_or_default();
            let framing = response.parse(head, self.asked.is_head).map_err(Unread::Bad)?;
            buffer.skip_to(buffer.range().start + length);
            end = HeadEnd::default();
            match response.status {
                101 | 200.. => return Ok(framing),
                // The client was told to go on by us, when its body was wanted.
                100 => {}
                _ => reply.inform(response).await.map_err(|_gone| Unread::Client)?,
            }
            informed += 1;
            if informed > INFORMATIONAL_MAX {
                return Err(Unread::Bad(Bad::request("it sends one 1xx after the other")));
            }
        }
    }
}

/// Why the head of a response could not be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is none.
    Bad(Bad),
    /// The connection ended before it was there; silently: without a byte.
    Ended { is_silent: bool },
    /// The connection broke before it was there.
    Broken { error: io::Error, is_silent: bool },
    /// The client is gone.
    Client,
}

impl Unread {
    /// What that means for the request. The outer error is final.
    pub(crate) fn trouble(self, is_kept: bool) -> Result<Trouble, Failed> {
        let (detail, is_silent) = match self {
            Self::Client => return Err(Failed::Client),
            Self::Bad(bad) => return Err(Failed::Upstream(bad.why.to_owned())),
            Self::Ended { is_silent } => ("it closed the connection".to_owned(), is_silent),
            Self::Broken { error, is_silent } => (error.to_string(), is_silent),
        };
        // A kept connection that breaks is most often one that was closed while nobody used it.
        let is_endpoints = !(is_kept && is_silent);
        Ok(Trouble { failure: Failure::Broken, is_endpoints, detail })
    }
}

/// What it means that a request could not be written.
pub(crate) fn unsent(written: usize, error: &io::Error, is_kept: bool) -> Trouble {
    let failure = if written == 0 { Failure::NotSent } else { Failure::Broken };
    Trouble { failure, is_endpoints: !is_kept, detail: error.to_string() }
}
