//! The fields of a message: one text, and where in it names and values are.
//!
//! A connection reuses its `Fields` for all its messages, so that a head costs no allocation. Fields that the
//! proxy has something to do with are recognised once, when they are added.

use std::ops::Range;

/// A part of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(range: Range<usize>) -> Self {
        // Heads are at most a few 100 KiB; see the limits.
        let at = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { start: at(range.start), end: at(range.end) }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) known: Known,
    name: Span,
    value: Span,
}

macro_rules! known {
    ($($variant:ident $name:literal,)*) => {
        /// Fields that mean something to a proxy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Known {
            /// No such field.
            Other,
            $(#[doc = $name] $variant,)*
        }

        impl Known {
            const NAMES: &[(&str, Self)] = &[$(($name, Self::$variant),)*];
        }
    };
}

known! {
    Connection "connection",
    ContentEncoding "content-encoding",
    ContentLength "content-length",
    ContentType "content-type",
    Cookie "cookie",
    Date "date",
    EnvoyTimeout "x-envoy-expected-rq-timeout-ms",
    Expect "expect",
    Forwarded "forwarded",
    ForwardedFor "x-forwarded-for",
    ForwardedHost "x-forwarded-host",
    ForwardedPort "x-forwarded-port",
    ForwardedProto "x-forwarded-proto",
    GrpcTimeout "grpc-timeout",
    Host "host",
    Http2Settings "http2-settings",
    KeepAlive "keep-alive",
    ProxyAuthenticate "proxy-authenticate",
    ProxyAuthorization "proxy-authorization",
    ProxyConnection "proxy-connection",
    RealIp "x-real-ip",
    RequestId "x-request-id",
    RetryAfter "retry-after",
    Te "te",
    Timeout "flotilla-timeout-ms",
    TraceParent "traceparent",
    Trailer "trailer",
    TransferEncoding "transfer-encoding",
    Upgrade "upgrade",
    Vary "vary",
    Via "via",
}

/// Places for names: so many that each has one of its own, which is checked when this is compiled.
const PLACES: usize = 128;

/// Where a name stands: its length and two of its letters say enough. The factors were found by trying; another name
/// may need others.
const fn place(name: &[u8]) -> usize {
    let (first, late) = (name[0] | 0x20, name[name.len().saturating_sub(4)] | 0x20);
    (name.len() + 7 * first as usize + 4 * late as usize) % PLACES
}

/// Names by their place. To recognise a name is to compare it with one other.
const KNOWN: [(&str, Known); PLACES] = {
    let mut places = [("", Known::Other); PLACES];
    let mut at = 0;
    while at < Known::NAMES.len() {
        let named = Known::NAMES[at];
        let to = place(named.0.as_bytes());
        assert!(places[to].0.is_empty(), "two names have one place");
        places[to] = named;
        at += 1;
    }
    places
};

impl Known {
    /// Recognises a name, a token, in any case.
    pub(crate) fn of(name: &[u8]) -> Self {
        if name.is_empty() {
            return Self::Other;
        }
        let (known, kind) = KNOWN[place(name)];
        if is_in_any_case(name, known.as_bytes()) { kind } else { Self::Other }
    }

    fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// Whether a token is `known`, which has only lowercase letters, digits and hyphens, in any case: eight letters at a
/// time. The bit that makes a letter lowercase makes none of those of anything else that a token may have.
fn is_in_any_case(token: &[u8], known: &[u8]) -> bool {
    const LOWER: u64 = u64::from_ne_bytes([0x20; 8]);
    let ((words, rest), (known_words, known_rest)) = (token.as_chunks(), known.as_chunks());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    token.len() == known.len()
        && words.iter().zip(known_words).all(|(a, b)| word(a) | LOWER == word(b))
        && rest.iter().zip(known_rest).all(|(a, b)| a | 0x20 == *b)
}

/// The fields of one message, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    text: Vec<u8>,
    list: Vec<Field>,
    /// A bit for each kind that there may be one of: most are asked for and not there.
    kinds: u64,
}

impl Fields {
    /// Forgets everything but the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.list.clear();
        self.kinds = 0;
    }

    /// Takes over the text of a head; its parts follow as spans.
    pub(crate) fn start(&mut self, head: &[u8]) {
        self.clear();
        self.text.extend_from_slice(head);
    }

    /// Adds text that is no field (a method, a target) and says where it is.
    pub(crate) fn note(&mut self, text: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        Span::new(start..self.text.len())
    }

    /// Where `part`, a slice of `head`, is when the text began as a copy of `head`.
    pub(crate) fn span_of(head: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).saturating_sub(head.as_ptr() as usize);
        Span::new(start..start + part.len())
    }

    pub(crate) fn add_spans(&mut self, name: Span, value: Span) {
        let known = Known::of(self.bytes(name));
        self.kinds |= known.bit();
        self.list.push(Field { known, name, value });
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.note(name), self.note(value));
        self.add_spans(name, value);
    }

    /// Replaces all fields `name` (lowercase) with one.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.add(name.as_bytes(), value);
    }

    /// Removes all fields `name`.
    pub(crate) fn remove(&mut self, name: &str) {
        let text = &self.text;
        self.list.retain(|field| !text[field.name.range()].eq_ignore_ascii_case(name.as_bytes()));
    }

    /// What a span stands for.
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.text.get(span.range()).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Kind, name and value of every field.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> {
        let part = |field: &Field| (field.known, self.bytes(field.name), self.bytes(field.value));
        self.list.iter().map(part)
    }

    /// The values of all fields of that kind.
    pub(crate) fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let list = if self.may_have(known) { self.list.as_slice() } else { &[] };
        let wanted = list.iter().filter(move |field| field.known == known);
        wanted.map(|field| self.bytes(field.value))
    }

    /// The values of all fields `name`.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |(_, known, _): &(Known, &[u8], &[u8])| {
            known.eq_ignore_ascii_case(name.as_bytes())
        };
        self.iter().filter(is_it).map(|(_, _, value)| value)
    }

    /// The first value of that kind.
    pub(crate) fn first(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// Whether there is one of that kind, or was before it was removed.
    fn may_have(&self, known: Known) -> bool {
        self.kinds & known.bit() != 0
    }

    pub(crate) fn has(&self, known: Known) -> bool {
        self.may_have(known) && self.list.iter().any(|field| field.known == known)
    }

    /// Whether a list field of that kind has `token`.
    pub(crate) fn has_token(&self, known: Known, token: &str) -> bool {
        self.all(known).flat_map(tokens).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Bytes that are held for later heads; see the buffers.
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity() + self.list.capacity() * size_of::<Field>()
    }
}

/// The items of a comma-separated list, without the white space around them.
pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// Whether `name` is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(name: &[u8]) -> bool {
    let is_token = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
    };
    !name.is_empty() && name.iter().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_in_any_case() {
        assert_eq!(Known::of(b"CONTENT-length"), Known::ContentLength);
        assert_eq!(Known::of(b"Content-Lengths"), Known::Other);
        assert_eq!(Known::of(b"x-forwarded-For"), Known::ForwardedFor);
        assert_eq!(Known::of(b""), Known::Other);
    }

    #[test]
    fn fields_can_be_set_added_and_removed() {
        let mut fields = Fields::default();
        fields.add(b"A", b"1");
        fields.add(b"Via", b"x");
        fields.add(b"a", b"2");
        let values: Vec<&[u8]> = fields.named("a").collect();
        assert_eq!(values, [b"1", b"2"]);
        fields.set("a", b"3");
        fields.remove("VIA");
        let all: Vec<(Known, &[u8], &[u8])> = fields.iter().collect();
        assert_eq!(all, [(Known::Other, &b"a"[..], &b"3"[..])]);
    }

    #[test]
    fn lists_are_searched_through_all_fields() {
        let mut fields = Fields::default();
        fields.add(b"connection", b"keep-alive , Upgrade");
        fields.add(b"connection", b",close");
        for token in ["keep-alive", "upgrade", "close"] {
            assert!(fields.has_token(Known::Connection, token), "{token}");
        }
        assert!(!fields.has_token(Known::Connection, "keep"));
    }

    #[test]
    fn tokens_are_what_the_rfc_allows() {
        assert!(is_token(b"x-Y_z!#$%&'*+.^`|~9"));
        for bad in [&b""[..], b"a b", b"a:", b"\xff", b"a\0", b"(x)", b"a=b"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
