//! The parsers of the codec, reachable for the checks in `fuzz/`; only with the feature `fuzzing`.
//!
//! Plain functions from bytes to plain data: nothing here is used by the data plane.

#![expect(missing_docs, reason = "the names are those of the messages' parts")]

use crate::h1::{
    Bad, Chunks, Fields, Framing, RequestHead, ResponseHead, chunk, lines::HeadEnd,
    request::FIELDS_LIMIT,
};

/// What delimits a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Names and values, as sent.
pub type List = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path_and_query: String,
    pub host: String,
    pub minor: u8,
    pub fields: List,
    pub body: Body,
    pub keeps_alive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub reason: Vec<u8>,
    pub minor: u8,
    pub fields: List,
    pub body: Body,
    pub keeps_alive: bool,
}

/// A decoded body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub data: Vec<u8>,
    pub trailers: List,
    /// Bytes that belong to the body.
    pub used: usize,
}

/// Reads a request's head that comes in `parts`; `None` when it is not complete. With it comes its length.
///
/// # Errors
/// The status that the client gets.
pub fn request_head(parts: &[&[u8]]) -> Result<Option<(Request, usize)>, u16> {
    let Some(head) = head(parts)? else { return Ok(None) };
    let mut parsed = RequestHead::default();
    let framing = parsed.parse(&head, FIELDS_LIMIT).map_err(status)?;
    let request = Request {
        method: parsed.method().to_owned(),
        path_and_query: parsed.path_and_query().to_owned(),
        host: parsed.host().to_owned(),
        minor: parsed.version,
        fields: list(&parsed.fields),
        body: body(framing),
        keeps_alive: parsed.keeps_alive(),
    };
    Ok(Some((request, head.len())))
}

/// Reads a response's head that comes in `parts`, the answer to `HEAD` if `is_head`; `None` when it is not
/// complete. With it comes its length.
///
/// # Errors
/// When it is refused.
pub fn response_head(parts: &[&[u8]], is_head: bool) -> Result<Option<(Response, usize)>, u16> {
    let Some(head) = head(parts)? else { return Ok(None) };
    let mut parsed = ResponseHead::default();
    let framing = parsed.parse(&head, is_head).map_err(status)?;
    let response = Response {
        status: parsed.status,
        reason: parsed.reason().to_vec(),
        minor: parsed.version,
        fields: list(&parsed.fields),
        body: body(framing),
        keeps_alive: parsed.keeps_alive(),
    };
    Ok(Some((response, head.len())))
}

/// Decodes a chunked body that comes in `parts`; `None` when it is not complete.
///
/// # Errors
/// The status that the client gets.
pub fn chunked(parts: &[&[u8]]) -> Result<Option<Decoded>, u16> {
    let (mut chunks, mut waiting) = (Chunks::default(), Vec::new());
    let (mut data, mut used) = (Vec::new(), 0);
    for part in parts {
        waiting.extend_from_slice(part);
        let found = chunks.decode(&mut waiting).map_err(status)?;
        data.extend_from_slice(waiting.get(found.data).unwrap_or_default());
        used += found.used;
        let section = found.trailers.and_then(|at| waiting.get(at)).map(<[u8]>::to_vec);
        waiting.drain(..found.used);
        if found.is_end {
            let mut fields = Fields::default();
            if let Some(section) = section {
                chunk::trailers(&section, &mut fields).map_err(status)?;
            }
            return Ok(Some(Decoded { data, trailers: list(&fields), used }));
        }
    }
    Ok(None)
}

fn head(parts: &[&[u8]]) -> Result<Option<Vec<u8>>, u16> {
    let (mut end, mut bytes) = (HeadEnd::default(), Vec::new());
    for part in parts {
        bytes.extend_from_slice(part);
        if let Some(length) = end.find(&bytes).map_err(status)? {
            bytes.truncate(length);
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn status(bad: Bad) -> u16 {
    bad.status
}

fn list(fields: &Fields) -> List {
    fields.iter().map(|(_, name, value)| (name.to_vec(), value.to_vec())).collect()
}

const fn body(framing: Framing) -> Body {
    match framing {
        Framing::None => Body::None,
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked => Body::Chunked,
        Framing::UntilClose => Body::UntilClose,
    }
}
