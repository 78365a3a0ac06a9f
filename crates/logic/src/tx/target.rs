//! Where a call of a transaction goes, as people write it, and which keys of a step are calls.
//!
//! ```text
//! POST items/reserve                       a path of a service; POST when no method is said
//! PUT items/{{input.sku}}/stock?by=tx      place holders stand in paths and queries only
//! GET https://pay.example/v1/charges       any URL
//! grpc://orders/shop.Orders/Charge         a unary method of a service
//! grpc://127.0.0.1:50051/shop.Orders/Charge
//! ```
//!
//! A place holder never chooses whom is called: what a client sends in must not send calls elsewhere.

use super::{Mode, Op};
use base::ServiceName;

#[cfg(test)]
mod tests;

/// Methods of calls.
pub const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Longest target in bytes: request lines beyond it are refused by most servers.
pub const TARGET_LEN_MAX: usize = 4_096;

/// The method of calls that say none.
const METHOD: &str = "POST";

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// One of [`METHODS`]; `POST` of gRPC.
    pub method: &'static str,
    /// Where it goes.
    pub target: Target,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A path of a service.
    Service {
        /// The service.
        service: ServiceName,
        /// Begins with `/`, with its query; may have `{{…}}` in it.
        path: String,
    },
    /// An `http://` or `https://` URL; may have `{{…}}` behind the host.
    Url(String),
    /// A unary gRPC method of a service.
    GrpcService {
        /// The service.
        service: ServiceName,
        /// `pkg.Service/Method`.
        method: String,
    },
    /// A unary gRPC method anywhere, without TLS.
    Grpc {
        /// `host:port`.
        authority: String,
        /// `pkg.Service/Method`.
        method: String,
    },
}

/// Why a text says no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Nothing, or only a method.
    #[error("must say where to: a method, a service and a path such as POST items/reserve")]
    Empty,
    /// Longer than [`TARGET_LEN_MAX`].
    #[error("must not be longer than {TARGET_LEN_MAX} bytes")]
    TooLong,
    /// Another method, or one in lower case.
    #[error("`{0}` is none of the methods GET, POST, PUT, PATCH, DELETE")]
    Method(String),
    /// A path alone.
    #[error("before the path stands the name of a service, as in items/reserve")]
    NoService,
    /// What stands there cannot be a service.
    #[error("`{name}` is no service: {why}")]
    Service {
        /// What stands there.
        name: String,
        /// Why not.
        why: String,
    },
    /// What a request line cannot hold.
    #[error("the path must not have {0:?} in it; write it percent-encoded")]
    Character(char),
    /// Something that names no server.
    #[error("`{0}` is no host with or without a port")]
    Host(String),
    /// Targets are shown wherever the transaction is.
    #[error(
        "a URL must not have a name or password in it: everybody who sees the transaction would see it"
    )]
    Password,
    /// Place holders choose paths, never servers.
    #[error("place holders may stand in the path and the query only")]
    PlaceHolder,
    /// `{{` without `}}`.
    #[error("a place holder that begins with `{{{{` ends with `}}}}`")]
    Unclosed,
    /// A URL of another kind.
    #[error("`{0}://` is neither http, https nor grpc")]
    Scheme(String),
    /// Something else than a service and a method.
    #[error("a gRPC method is written as grpc://orders/package.Service/Method")]
    Grpc,
    /// gRPC has no methods of HTTP.
    #[error("a call by gRPC has no `{0}` before it")]
    GrpcMethod(String),
}

/// Reads a call.
///
/// # Errors
/// When the text says none; the error says what is wrong.
pub fn parse(text: &str) -> Result<Call, InvalidTarget> {
    let text = text.trim();
    if text.len() > TARGET_LEN_MAX {
        return Err(InvalidTarget::TooLong);
    }
    let (said, target) = match text.split_once(char::is_whitespace) {
        // A place holder may have blanks in it: what stands before the first blank is a method only when it is one word.
        Some((word, rest)) if word.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            (Some(word), rest.trim_start())
        }
        _ => (None, text),
    };
    let method = match said {
        None => METHOD,
        Some(word) => METHODS
            .into_iter()
            .find(|method| *method == word)
            .ok_or_else(|| InvalidTarget::Method(word.to_owned()))?,
    };
    if target.is_empty() || METHODS.contains(&target) {
        return Err(InvalidTarget::Empty);
    }
    let target = match target.split_once("://") {
        Some((scheme, _)) if !scheme.contains(['/', '{', '?']) => match scheme {
            "http" | "https" => url(target)?,
            "grpc" => match said {
                Some(word) => return Err(InvalidTarget::GrpcMethod(word.to_owned())),
                None => grpc(target)?,
            },
            other => return Err(InvalidTarget::Scheme(other.to_owned())),
        },
        _ => service(target)?,
    };
    Ok(Call { method, target })
}

fn service(text: &str) -> Result<Target, InvalidTarget> {
    let end = text.find(['/', '?']).unwrap_or(text.len());
    let (name, path) = text.split_at(end);
    if name.is_empty() {
        return Err(InvalidTarget::NoService);
    }
    let service = named(name)?;
    path_fits(path)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Target::Service { service, path })
}

fn named(name: &str) -> Result<ServiceName, InvalidTarget> {
    if name.contains("{{") {
        return Err(InvalidTarget::PlaceHolder);
    }
    let why = |why: base::id::InvalidName| why.to_string();
    ServiceName::new(name)
        .map_err(|error| InvalidTarget::Service { name: name.to_owned(), why: why(error) })
}

fn url(text: &str) -> Result<Target, InvalidTarget> {
    let (_, rest) = text.split_once("://").ok_or(InvalidTarget::Empty)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    authority_fits(authority)?;
    path_fits(path)?;
    Ok(Target::Url(text.to_owned()))
}

fn grpc(text: &str) -> Result<Target, InvalidTarget> {
    let (_, rest) = text.split_once("://").ok_or(InvalidTarget::Grpc)?;
    let (authority, method) = rest.split_once('/').ok_or(InvalidTarget::Grpc)?;
    if rest.contains("{{") {
        return Err(InvalidTarget::PlaceHolder);
    }
    let is_name = |text: &str, dots: bool| {
        let fits =
            |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (dots && byte == b'.');
        !text.is_empty() && text.bytes().all(fits)
    };
    match method.split_once('/') {
        Some((service, method)) if is_name(service, true) && is_name(method, false) => {}
        _ => return Err(InvalidTarget::Grpc),
    }
    let method = method.to_owned();
    // A service of the file has no port to be written; any other server has one.
    if !authority.contains([':', '@']) {
        return Ok(Target::GrpcService { service: named(authority)?, method });
    }
    authority_fits(authority)?;
    Ok(Target::Grpc { authority: authority.to_owned(), method })
}

/// Whether it is a host, with a port or without.
fn authority_fits(text: &str) -> Result<(), InvalidTarget> {
    if text.contains("{{") {
        return Err(InvalidTarget::PlaceHolder);
    }
    if text.contains('@') {
        return Err(InvalidTarget::Password);
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => {
            let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
            (if is_address { host } else { "" }, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let in_brackets = text.starts_with('[');
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let has_host = !host.is_empty() && (in_brackets || host.bytes().all(is_good));
    let has_port = match port.strip_prefix(':') {
        Some(number) => number.parse::<u16>().is_ok_and(|number| number > 0),
        None => port.is_empty(),
    };
    if has_host && has_port { Ok(()) } else { Err(InvalidTarget::Host(text.to_owned())) }
}

/// Whether a path with its query can stand in a request line once its place holders are filled.
fn path_fits(text: &str) -> Result<(), InvalidTarget> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        characters_fit(before)?;
        (_, rest) = after.split_once("}}").ok_or(InvalidTarget::Unclosed)?;
    }
    characters_fit(rest)
}

fn characters_fit(text: &str) -> Result<(), InvalidTarget> {
    let fits = |c: char| c.is_ascii_graphic() && !"#\"<>\\^`{|}".contains(c);
    match text.chars().find(|c| !fits(*c)) {
        Some(bad) => Err(InvalidTarget::Character(bad)),
        None => Ok(()),
    }
}

/// The keys of a step that say a call in this protocol, and the operation of each. [`PARTICIPANT`] and [`ONE_PHASE`] come to them.
#[must_use]
pub fn calls(mode: Mode) -> &'static [(&'static str, Op)] {
    match mode {
        Mode::Saga => &[("call", Op::Action), ("undo", Op::Compensate)],
        Mode::Tcc => &[("try", Op::Try), ("confirm", Op::Confirm), ("cancel", Op::Cancel)],
        Mode::TwoPhase => {
            &[("prepare", Op::Prepare), ("commit", Op::Commit), ("rollback", Op::Rollback)]
        }
        Mode::ThreePhase | Mode::ThreePhaseClassic => &[
            ("can_commit", Op::CanCommit),
            ("pre_commit", Op::PreCommit),
            ("commit", Op::Commit),
            ("rollback", Op::Rollback),
        ],
        Mode::Message => &[("call", Op::Action)],
    }
}

/// The key of a step of [`Mode::Tcc`], [`Mode::TwoPhase`] and the three phases that says one call for all of [`calls`]: the operation tells them apart.
pub const PARTICIPANT: &str = "participant";

/// The key of a step of [`Mode::TwoPhase`]: `true`: [`Op::CommitOnePhase`] goes where [`Op::Prepare`] goes; or a call of its own.
pub const ONE_PHASE: &str = "one_phase";

/// Every key of a step that says a call, with the protocols that have it. For hints.
#[must_use]
pub fn modes_of(key: &str) -> Vec<Mode> {
    const MODES: [Mode; 5] =
        [Mode::Saga, Mode::Tcc, Mode::TwoPhase, Mode::ThreePhase, Mode::Message];
    let has = |mode: &Mode| match key {
        PARTICIPANT => matches!(mode, Mode::Tcc | Mode::TwoPhase | Mode::ThreePhase),
        ONE_PHASE => *mode == Mode::TwoPhase,
        key => calls(*mode).iter().any(|(known, _)| *known == key),
    };
    MODES.into_iter().filter(has).collect()
}
