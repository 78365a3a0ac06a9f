//! Reads HTTP/1.1 as narrowly as RFC 9112 can be read, and says it in one line.
//!
//! What a server behind the data plane or a client before it gets goes through this, so a message that
//! two readers could read in two ways is `Malformed` and not one of the two. It shares no code with
//! what is tested.

/// What a buffer begins with.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A message, and how many bytes it takes.
    Whole(Message, usize),
    /// The beginning of one, its head if that is complete.
    Partial(Option<Message>),
    /// Something that must not be sent, in words.
    Malformed(String),
}

/// A request or response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
}

/// Name in lower case and value.
pub(crate) type Field = (String, Vec<u8>);

/// What the reader of a response knows of the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) is_http10: bool,
}

/// How long a body is.
enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilEnd,
}

impl Message {
    /// The only value of a field, as text.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let mut found = self.fields.iter().filter(|(own, _)| own == name);
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{name} is there twice: {self:?}");
        Some(show(value))
    }

    /// The status code of a response.
    pub(crate) fn status(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    fn is_interim(&self) -> bool {
        self.status().starts_with('1') && self.status() != "101"
    }

    fn framing(&self, is_response: bool, asked: Asked) -> Result<Framing, String> {
        let all = |name: &str| -> Vec<String> {
            self.fields.iter().filter(|(own, _)| own == name).map(|(_, v)| show(v)).collect()
        };
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        let framing = match (&lengths[..], &codings[..]) {
            ([], []) if is_response => Framing::UntilEnd,
            ([], []) => Framing::Empty,
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => Framing::Length(
                length.parse().map_err(|error| format!("length {length}: {error}"))?,
            ),
            ([], [coding]) if coding == "chunked" && !asked.is_http10 => Framing::Chunked,
            _ => return Err(format!("lengths {lengths:?}, codings {codings:?}")),
        };
        let status = self.status();
        let has_no_body =
            asked.is_head || self.is_interim() || ["101", "204", "304"].contains(&status);
        if !(is_response && has_no_body) {
            return Ok(framing);
        }
        let may_not = status == "204" || self.is_interim();
        if may_not && !matches!(framing, Framing::UntilEnd) {
            return Err(format!("{status} with a length"));
        }
        Ok(Framing::Empty)
    }
}

/// Reads a request.
pub(crate) fn request(bytes: &[u8]) -> Parsed {
    read(bytes, false, Asked::default(), false)
}

/// Reads a response; `ended` says that nothing comes after `bytes`.
pub(crate) fn response(bytes: &[u8], asked: Asked, ended: bool) -> Parsed {
    read(bytes, true, asked, ended)
}

fn read(bytes: &[u8], is_response: bool, asked: Asked, ended: bool) -> Parsed {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Parsed::Partial(None) };
    let mut message = match head(&bytes[..end], is_response, asked) {
        Ok(message) => message,
        Err(why) => return Parsed::Malformed(why),
    };
    let framing = match message.framing(is_response, asked) {
        Ok(framing) => framing,
        Err(why) => return Parsed::Malformed(why),
    };
    let rest = &bytes[end + 4..];
    let taken = match framing {
        Framing::Empty => Ok(Some(0)),
        Framing::Length(length) => {
            message.body = rest[..length.min(rest.len())].to_vec();
            Ok((rest.len() >= length).then_some(length))
        }
        Framing::Chunked => chunks(rest, &mut message),
        Framing::UntilEnd => {
            message.body = rest.to_vec();
            Ok(ended.then_some(rest.len()))
        }
    };
    match taken {
        Ok(Some(taken)) => Parsed::Whole(message, end + 4 + taken),
        Ok(None) => Parsed::Partial(Some(message)),
        Err(why) => Parsed::Malformed(why),
    }
}

fn head(bytes: &[u8], is_response: bool, asked: Asked) -> Result<Message, String> {
    let mut lines = lines(bytes)?.into_iter();
    let start = lines.next().unwrap_or_default();
    let words: Vec<&[u8]> = start.splitn(3, |byte| *byte == b' ').collect();
    let is_good = match &words[..] {
        [version, status, _reason] if is_response => {
            let is_old = asked.is_http10 && *version == b"HTTP/1.0";
            (*version == b"HTTP/1.1" || is_old)
                && status.len() == 3
                && status.iter().all(u8::is_ascii_digit)
        }
        [method, target, version] if !is_response => {
            *version == b"HTTP/1.1"
                && is_token(method)
                && !target.is_empty()
                && target.iter().all(u8::is_ascii_graphic)
        }
        _ => false,
    };
    if !is_good {
        return Err(format!("start line {:?}", show(start)));
    }
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let hosts = fields.iter().filter(|(name, _)| name == "host").count();
    if !is_response && hosts != 1 {
        return Err(format!("{hosts} Host fields"));
    }
    Ok(Message { start: show(start), fields, ..Message::default() })
}

/// Splits at CRLF and lets no other control byte but the tab pass.
fn lines(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let is_odd = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    match lines.iter().find(|line| line.iter().any(is_odd)) {
        Some(line) => Err(format!("control byte in {:?}", show(line))),
        None => Ok(lines),
    }
}

fn field(line: &[u8]) -> Result<Field, String> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.ok_or_else(|| format!("field {:?}", show(line)))?);
    if !is_token(name) {
        return Err(format!("field name {:?}", show(name)));
    }
    let value = value[1..].trim_ascii().to_vec();
    Ok((show(name).to_ascii_lowercase(), value))
}

/// Reads chunks and trailers into `message`; gives the number of bytes they take, once complete.
fn chunks(bytes: &[u8], message: &mut Message) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(end) = find(rest, b"\r\n") else { return Ok(None) };
        let line = show(&rest[..end]);
        let is_size = (1..=16).contains(&line.len()) && line.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(&line, 16).ok().filter(|_| is_size);
        let size = size.ok_or_else(|| format!("chunk size {line:?}"))?;
        at += end + 2;
        if size == 0 {
            break;
        }
        let rest = &bytes[at..];
        message.body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(after) = rest.get(size..).and_then(|after| after.get(..2)) else {
            return Ok(None);
        };
        if after != b"\r\n" {
            return Err(format!("after a chunk {:?}", show(after)));
        }
        at += size + 2;
    }
    let rest = &bytes[at..];
    if rest.starts_with(b"\r\n") {
        return Ok(Some(at + 2));
    }
    let Some(end) = find(rest, b"\r\n\r\n") else { return Ok(None) };
    message.trailers = lines(&rest[..end])?.into_iter().map(field).collect::<Result<_, _>>()?;
    Ok(Some(at + end + 4))
}

fn is_token(name: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

/// Where `what` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Bytes as text that shows every one of them.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What the data plane adds and most cases do not care for, or what `framing` has checked.
const QUIET: &[&str] = &[
    "content-length",
    "date",
    "forwarded",
    "traceparent",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// A request in one line: `POST /x [x-field: value] "body" +trailer: value`. The host `s` and the length
/// are not said.
pub(crate) fn line_of_request(message: &Message) -> String {
    let start = message.start.trim_end_matches(" HTTP/1.1");
    line(start, message, |name, value| {
        QUIET.contains(&name)
            || (name == "host" && value == "s")
            || (name == "connection" && value.eq_ignore_ascii_case("keep-alive"))
    })
}

/// A response in one line: `200 [x-field: value] "body"`. Of what the data plane itself answers only the
/// status is said.
pub(crate) fn line_of_response(message: &Message) -> String {
    if message.body.starts_with(b"{\"error\":{\"code\":\"") {
        return message.status().to_owned();
    }
    line(message.status(), message, |name, _| QUIET.contains(&name) || name == "connection")
}

fn line(start: &str, message: &Message, is_quiet: impl Fn(&str, &str) -> bool) -> String {
    let mut line = start.to_owned();
    let mut fields = message.fields.clone();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in fields {
        let value = show(&value);
        // An HTTP/1.0 client may name no host; then it is the instance's own address.
        let is_own = name == "host" && value.starts_with("127.0.0.1:");
        let value = if is_own { "instance".to_owned() } else { value };
        if !is_quiet(&name, &value) {
            line.push_str(&format!(" [{name}: {value}]"));
        }
    }
    if !message.body.is_empty() {
        line.push_str(&format!(" \"{}\"", show(&message.body)));
    }
    for (name, value) in &message.trailers {
        line.push_str(&format!(" +{name}: {}", show(value)));
    }
    line
}
