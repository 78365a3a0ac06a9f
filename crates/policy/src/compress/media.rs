//! Which media types are packed.

/// What is packed unless said otherwise: text in its many forms, and the binary formats that are not packed
/// themselves. Pictures, sound, films and archives are, and would only cost time.
pub const TYPES_DEFAULT: [&str; 24] = [
    "text/*",
    "*+json",
    "*+xml",
    "*+text",
    "*+yaml",
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/xml",
    "application/yaml",
    "application/toml",
    "application/graphql",
    "application/x-ndjson",
    "application/jsonl",
    "application/rtf",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "application/x-protobuf",
    "font/ttf",
    "font/otf",
    "font/collection",
    "image/bmp",
    "image/x-icon",
];

/// Why a text is no pattern of types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidType {
    /// Not of one of the three forms.
    #[error("a type is written text/html, text/* or *+json")]
    Form,
    /// Its messages must not wait for each other.
    #[error("it is a stream of messages that must arrive one by one, so it is never packed")]
    Stream,
}

/// A pattern, in lowercase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(String),
    /// `text/`.
    Main(String),
    /// `+json`.
    Suffix(String),
}

/// Reads a pattern: `text/html`, `text/*` or `*+json`.
pub(super) fn parse(text: &str) -> Result<Pattern, InvalidType> {
    let text = text.trim().to_ascii_lowercase();
    let is_token = |text: &str| crate::edits::is_token(text.as_bytes()) && !text.contains('*');
    if let Some(suffix) = text.strip_prefix("*+") {
        let is_fine = is_token(suffix);
        return is_fine.then(|| Pattern::Suffix(format!("+{suffix}"))).ok_or(InvalidType::Form);
    }
    let (main, sub) = text.split_once('/').ok_or(InvalidType::Form)?;
    match sub {
        "*" if is_token(main) => Ok(Pattern::Main(format!("{main}/"))),
        sub if !is_token(main) || !is_token(sub) => Err(InvalidType::Form),
        _ if is_stream(&text) => Err(InvalidType::Stream),
        _ => Ok(Pattern::Exact(text)),
    }
}

impl Pattern {
    pub(super) fn matches(&self, essence: &str) -> bool {
        match self {
            Self::Exact(text) => essence == text,
            Self::Main(start) => essence.starts_with(start),
            Self::Suffix(end) => essence.ends_with(end),
        }
    }
}

/// The type of a `Content-Type` without its parameters, in lowercase; `None` when it is none.
pub(super) fn essence(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let essence = text.split(';').next()?.trim().to_ascii_lowercase();
    essence.contains('/').then_some(essence)
}

/// Types that are never packed, whatever the configuration says. An encoder holds bytes back until it is worth
/// while: an event would wait for the next one. gRPC packs its messages itself.
pub(super) fn is_stream(essence: &str) -> bool {
    ["text/event-stream", "multipart/x-mixed-replace"].contains(&essence)
        || essence.starts_with("application/grpc")
        || essence.starts_with("application/connect+")
}
