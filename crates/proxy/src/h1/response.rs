//! Heads of responses.

use super::{Bad, Fields, Framing, Known, Span, request::FIELDS_LIMIT};
use std::mem::MaybeUninit;

/// A response's head, of either protocol. A connection reuses it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseHead {
    pub(crate) fields: Fields,
    pub(crate) status: u16,
    reason: Span,
    /// 0 or 1 for HTTP/1, 2 for HTTP/2.
    pub(crate) version: u8,
    /// It announces a body that it must not have. If one comes, it would be taken for the next response.
    is_suspect: bool,
}

impl ResponseHead {
    /// Parses `head`, which ends with its empty line and has no bare line feed.
    ///
    /// # Errors
    /// When it is no response, or one that could be read in more than one way.
    pub(crate) fn parse(&mut self, head: &[u8], is_head: bool) -> Result<Framing, Bad> {
        let mut list = [const { MaybeUninit::uninit() }; FIELDS_LIMIT];
        let mut parsed = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        match parser.parse_response_with_uninit_headers(&mut parsed, head, &mut list) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Bad::request("its head is not complete")),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Bad::request("its head has too many fields"));
            }
            Err(_) => return Err(Bad::request("its head is not HTTP/1.1")),
        }
        let (Some(minor), Some(status)) = (parsed.version, parsed.code) else {
            return Err(Bad::request("its status line is not complete"));
        };
        if !(100..=599).contains(&status) {
            return Err(Bad::request("its status is none that HTTP has"));
        }
        self.fields.start(head);
        self.version = minor;
        self.status = status;
        self.reason = Fields::span_of(head, parsed.reason.unwrap_or_default().as_bytes());
        if parsed.reason.is_none_or(str::is_empty) {
            self.reason = Span::default();
        }
        for header in parsed.headers.iter() {
            let name = Fields::span_of(head, header.name.as_bytes());
            self.fields.add_spans(name, Fields::span_of(head, header.value));
        }
        let framing = Framing::of_response(&self.fields, minor, status, is_head)?;
        self.is_suspect = matches!(status, 100..=199 | 204)
            && (self.fields.has(Known::TransferEncoding)
                || self.fields.first(Known::ContentLength).is_some_and(|length| length != b"0"));
        Ok(framing)
    }

    /// Begins a head that came in parts, or is made here; fields are added to `fields`.
    pub(crate) fn begin(&mut self, status: u16, version: u8) {
        self.fields.clear();
        (self.status, self.version, self.reason) = (status, version, Span::default());
        self.is_suspect = false;
    }

    /// The words after the status; empty when there are none.
    pub(crate) fn reason(&self) -> &[u8] {
        self.fields.bytes(self.reason)
    }

    /// Whether the instance lets the connection live after its response.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.version {
            _ if self.is_suspect => false,
            0 => self.fields.has_token(Known::Connection, "keep-alive"),
            _ => {
                !self.fields.has(Known::Connection)
                    || !self.fields.has_token(Known::Connection, "close")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(ResponseHead, Framing), &'static str> {
        let mut head = ResponseHead::default();
        let framing = head.parse(text.as_bytes(), false).map_err(|bad| bad.why)?;
        Ok((head, framing))
    }

    #[test]
    fn a_head_falls_into_its_parts() {
        let (head, framing) =
            parse("HTTP/1.1 404 Not Here\r\nContent-Length: 2\r\nA: b\r\n\r\n").unwrap();
        assert_eq!((head.status, head.reason()), (404, &b"Not Here"[..]));
        assert_eq!(framing, Framing::Length(2));
        assert!(head.keeps_alive());
        let (head, framing) = parse("HTTP/1.0 200 \r\n\r\n").unwrap();
        assert_eq!((head.reason(), framing), (&b""[..], Framing::UntilClose));
        assert!(!head.keeps_alive());
    }

    #[test]
    fn a_connection_is_not_used_again_after_a_body_that_must_not_be() {
        let keeps = |text| parse(text).unwrap().0.keeps_alive();
        assert!(keeps("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(keeps("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"));
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for bad in [
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 999 Odd\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
