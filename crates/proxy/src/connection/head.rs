//! Reading the head of a request, within the limits, and what is refused of it at once.

use super::Connection;
use crate::{
    buffer::{Buffer, LARGE},
    config::LINE_SIZE_MAX,
    exchange::Scratch,
    h1::{Bad, Chunks, Framing, Known, lines::HeadEnd},
    tls::Session,
};

/// What HTTP/2 with prior knowledge begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Connection {
    /// Reads a head; `None`: the client speaks HTTP/2.
    pub(super) async fn head(
        &self,
        buffer: &mut Buffer,
        scratch: &mut Scratch,
        is_first: bool,
    ) -> Result<Option<Framing>, Unread> {
        let limits = self.worker.limits(&self.listener);
        let mut end = HeadEnd::default();
        let mut is_timed = false;
        loop {
            // Over TLS the handshake has settled the protocol.
            let may_switch = is_first && self.session.is_none();
            if may_switch && buffer.filled().first() == Some(&b'P') {
                let known = buffer.len().min(PREFACE.len());
                let begins = buffer.filled().get(..known) == PREFACE.get(..known);
                if begins && known == PREFACE.len() {
                    return Ok(None);
                }
                if begins && known > 3 {
                    self.more(buffer, &mut is_timed).await?;
                    continue;
                }
            }
            // An empty line before a request is an old client's end of a body (RFC 9112 §2.2).
            if let [b'\r', b'\n', ..] = buffer.filled() {
                if end.is_spent() {
                    return Err(Unread::Bad(Bad::request(
                        "there are empty lines before a request",
                    )));
                }
                buffer.skip_to(buffer.range().start + 2);
                end = HeadEnd::spent();
            }
            if let Some(length) = end.find(buffer.filled()).map_err(Unread::Bad)? {
                let head = buffer.filled().get(..length).unwrap_or_default();
                if end.longest_line() > LINE_SIZE_MAX {
                    return Err(too_long(end.is_first_line_longest()));
                }
                if length > limits.head_size_max {
                    return Err(too_long(false));
                }
                let parsed = scratch.request.parse(head, limits.fields_max);
                let framing = parsed.map_err(Unread::Bad)?;
                expectation(scratch).map_err(Unread::Bad)?;
                misdirected(self.session.as_ref(), scratch.request.host()).map_err(Unread::Bad)?;
                buffer.skip_to(buffer.range().start + length);
                if framing == Framing::Chunked {
                    // What can be seen to be bad at once is refused before an instance hears of it.
                    Chunks::check(buffer.filled()).map_err(Unread::Bad)?;
                }
                return Ok(Some(framing));
            }
            if end.longest_line() > LINE_SIZE_MAX {
                return Err(too_long(end.is_first_line_longest()));
            }
            if buffer.len() > limits.head_size_max {
                return Err(too_long(false));
            }
            if buffer.is_full() {
                buffer.grow(if buffer.capacity() < LARGE { LARGE } else { 2 * buffer.capacity() });
            }
            self.more(buffer, &mut is_timed).await?;
        }
    }

    /// Reads on, within the time for one head.
    async fn more(&self, buffer: &mut Buffer, is_timed: &mut bool) -> Result<(), Unread> {
        if !*is_timed {
            *is_timed = true;
            let limits = self.worker.limits(&self.listener);
            self.alarm.set(self.worker.now() + limits.head_timeout);
        }
        match self.alarm.within(self.transport.read(buffer)).await {
            Ok(Ok(0)) | Ok(Err(_)) => Err(Unread::Gone),
            Ok(Ok(_)) => Ok(()),
            Err(_) => Err(Unread::Slow),
        }
    }
}

/// Why there is no head.
pub(super) enum Unread {
    /// The client ended or broke the connection.
    Gone,
    /// It took too long.
    Slow,
    Bad(Bad),
}

fn too_long(is_target: bool) -> Unread {
    Unread::Bad(if is_target {
        Bad { status: 414, why: "the target is too long" }
    } else {
        Bad { status: 431, why: "the head is too long" }
    })
}

/// Refuses requests for hosts that the connection's certificate does not speak for (RFC 9110 §15.5.20).
pub(crate) fn misdirected(session: Option<&Session>, host: &str) -> Result<(), Bad> {
    let Some(session) = session else { return Ok(()) };
    // Of `[::1]:443` the last colon is the port's, of `[::1]` it is not.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let why = "the connection is for another host";
    if session.serves(name) { Ok(()) } else { Err(Bad { status: 421, why }) }
}

/// The only expectation there is (RFC 9110 §10.1.1).
pub(crate) fn expectation(scratch: &Scratch) -> Result<(), Bad> {
    let fields = &scratch.request.fields;
    let is_known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    if fields.has(Known::Expect) && !fields.all(Known::Expect).all(is_known) {
        return Err(Bad { status: 417, why: "only 100-continue can be expected" });
    }
    Ok(())
}
