//! What a value may look like.
//!
//! The file is described once, as data ([`crate::table`]); the strict check, the JSON Schema and the
//! reference page all come from that one table, so they cannot disagree.

use base::{ByteSize, ServiceName, units};
use logic::schedule::Schedule;
use policy::{allow::Allow, edits, rate};
use std::{net::IpAddr, ops::Range, str::FromStr};

/// The shape of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Text of some form.
    Scalar(Form),
    /// A list whose items have one shape.
    List(&'static Self),
    /// A map with known keys.
    Keys(&'static Table),
    /// A map whose keys are names that the user chooses.
    Names {
        /// What a key is: `service`, `route`.
        what: &'static str,
        value: &'static Self,
    },
    /// One of several, told apart by being text, a list or a map: at most one of each.
    Any(&'static [Self]),
}

/// A map with known keys.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in the JSON Schema and in the reference.
    pub(crate) name: &'static str,
    /// One or two sentences for the reference.
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys that people write from habit, with what to write instead.
    pub(crate) hints: &'static [(&'static str, &'static str)],
    /// Keys of the format that this version does not support yet.
    pub(crate) later: &'static [&'static str],
}

/// One known key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: &'static Shape,
    pub(crate) doc: &'static str,
    /// In words or as a value; empty when there is none.
    pub(crate) default: &'static str,
    /// A value as it would be written; checked by a test.
    pub(crate) example: &'static str,
}

/// The form of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Any text that is not empty.
    Text,
    /// Any text, also an empty one; `KEY:` without a value takes the node's own variable.
    Value,
    /// A line for the shell: `${…}` in it is the shell's.
    Shell,
    Bool,
    Whole {
        min: u64,
        max: u64,
    },
    Duration,
    Size,
    /// Cores: `2`, `0.5`, `500m`.
    Cores,
    /// `127.0.0.1:8080`, `localhost:8080`, `8080`.
    Address,
    /// One of some words.
    Word(&'static [&'static str]),
    /// A URL path.
    UrlPath,
    Service,
    Database,
    /// Five fields.
    Cron,
    Signal,
    /// `8080:80` or `8080`.
    Publish,
    /// `source:target[:ro]`.
    Volume,
    /// `true`, or a port.
    TrueOrPort,
    /// `KEY=VALUE`.
    Assignment,
    /// A text that is never shown.
    Secret,
    /// The name of a header.
    Header,
    /// `true`, `false`, or a path.
    SwitchOrPath,
    /// `true`, `false`, or the name of a cookie.
    SwitchOrCookie,
    /// The name of a cookie.
    Cookie,
    /// `10.0.0.0/8`, or one address.
    Network,
    /// `10%`.
    Percent {
        /// `0.5%` too.
        fraction: bool,
    },
    /// `10/min per ip`, or `off`.
    Rate,
    /// A condition in CEL.
    Condition,
}

/// Why a text does not have its form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Another type altogether: `three` for a number.
    Type,
    /// Right type, wrong value; says why.
    Value(String),
    /// Right type, and what is wrong stands at these bytes of the text.
    Part { why: String, at: Range<usize> },
}

pub(crate) const SIGNALS: &[&str] = &["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"];

impl Form {
    /// Whether `${VAR}` in it is replaced from the node's environment.
    pub(crate) fn is_interpolated(self) -> bool {
        !matches!(self, Self::Shell)
    }

    /// What is expected, with an article.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Text | Self::Value => "a text".to_owned(),
            Self::Shell => "a command line".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Duration => "a duration such as 10s".to_owned(),
            Self::Size => "a size such as 512Mi".to_owned(),
            Self::Cores => "a number of cores such as 0.5".to_owned(),
            Self::Address => "an address such as 127.0.0.1:8080".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::UrlPath => "a path that begins with `/`".to_owned(),
            Self::Service => "the name of a service".to_owned(),
            Self::Database => "`sqlite` or a URL such as postgres://host/name".to_owned(),
            Self::Cron => "a schedule of five fields such as `0 3 * * *`".to_owned(),
            Self::Signal => format!("a signal: {}", SIGNALS.join(", ")),
            Self::Publish => "a port mapping such as 8080:80".to_owned(),
            Self::Volume => "a mount such as ./data:/data".to_owned(),
            Self::TrueOrPort => "true or a port".to_owned(),
            Self::Assignment => "KEY=VALUE".to_owned(),
            Self::Secret => "a text".to_owned(),
            Self::Header => "the name of a header".to_owned(),
            Self::SwitchOrPath => "true, false or a file".to_owned(),
            Self::SwitchOrCookie => "true, false or the name of a cookie".to_owned(),
            Self::Cookie => "the name of a cookie".to_owned(),
            Self::Network => "a network such as 10.0.0.0/8".to_owned(),
            Self::Percent { .. } => "a share such as 10%".to_owned(),
            Self::Rate => "a rate such as 10/min per ip".to_owned(),
            Self::Condition => "a condition".to_owned(),
        }
    }

    /// Whether `text` has this form.
    pub(crate) fn check(self, text: &str) -> Result<(), Misfit> {
        let value = |fits: bool| {
            if fits { Ok(()) } else { Err(Misfit::Value(format!("must be {}", self.expected()))) }
        };
        match self {
            Self::Text | Self::Shell | Self::Secret | Self::SwitchOrPath => {
                if text.trim().is_empty() {
                    Err(Misfit::Value("must not be empty".to_owned()))
                } else if text.contains('\0') {
                    Err(Misfit::Value("must not have a NUL character".to_owned()))
                } else {
                    Ok(())
                }
            }
            Self::Value if text.contains('\0') => {
                Err(Misfit::Value("must not have a NUL character".to_owned()))
            }
            Self::Value => Ok(()),
            Self::Bool if matches!(text, "true" | "false") => Ok(()),
            Self::Bool => Err(Misfit::Type),
            Self::Whole { min, max } => match text.parse::<i128>() {
                Ok(number) => value((i128::from(min)..=i128::from(max)).contains(&number)),
                Err(_) => Err(Misfit::Type),
            },
            Self::Duration => unit(units::parse_duration(text)),
            Self::Size => unit(ByteSize::from_str(text)),
            Self::Cores => value(cores(text).is_some()),
            Self::Address => address(text).map(drop).map_err(Misfit::Value),
            Self::Word(words) => value(words.contains(&text)),
            Self::UrlPath => value(text.starts_with('/') && !text.contains(char::is_whitespace)),
            Self::Service => {
                ServiceName::new(text).map(drop).map_err(|why| Misfit::Value(why.to_string()))
            }
            Self::Database => value(
                text == "sqlite"
                    || text
                        .split_once("://")
                        .is_some_and(|(s, rest)| !s.is_empty() && !rest.is_empty()),
            ),
            Self::Cron => {
                Schedule::parse(text).map(drop).map_err(|why| Misfit::Value(why.to_string()))
            }
            Self::Signal => value(SIGNALS.contains(&text.strip_prefix("SIG").unwrap_or(text))),
            Self::Publish => value(publish(text).is_some()),
            Self::Volume => value(
                text.split_once(':')
                    .is_some_and(|(source, target)| !source.is_empty() && target.starts_with('/')),
            ),
            Self::TrueOrPort => {
                value(text == "true" || text.parse::<u16>().is_ok_and(|port| port > 0))
            }
            Self::Assignment => value(text.split_once('=').is_some_and(|(key, _)| !key.is_empty())),
            Self::Header => {
                edits::field_name(text).map(drop).map_err(|why| Misfit::Value(why.to_string()))
            }
            Self::Cookie | Self::SwitchOrCookie => value(edits::is_token(text.as_bytes())),
            Self::Network => network(text).map(drop).map_err(Misfit::Value),
            Self::Percent { fraction } => percent(text, fraction).map(drop).map_err(Misfit::Value),
            Self::Rate if text == "off" => Ok(()),
            Self::Rate => rate::parse(text).map(drop).map_err(|why| {
                let end = text.len().max(why.offset);
                Misfit::Part {
                    why: why.to_string(),
                    at: word_from(text, why.offset).unwrap_or(why.offset..end),
                }
            }),
            Self::Condition => condition(text),
        }
    }
}

fn unit<T>(result: Result<T, units::InvalidUnit>) -> Result<(), Misfit> {
    result.map(drop).map_err(|why| Misfit::Value(why.to_string()))
}

/// Reads `2`, `0.5`, `500m`; at most 4096 cores, at least one thousandth.
pub(crate) fn cores(text: &str) -> Option<f64> {
    let (number, scale) = text.strip_suffix('m').map_or((text, 1.0), |number| (number, 0.001));
    let digits = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let cores = number.parse::<f64>().ok().filter(|_| digits)? * scale;
    (0.001..=4096.0).contains(&cores).then_some(cores)
}

/// Reads `8080:80` (host, container) or `8080` (both).
pub(crate) fn publish(text: &str) -> Option<(u16, u16)> {
    let (host, inside) = text.split_once(':').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    Some((port(host)?, port(inside)?))
}

/// Reads a listen address. A bare port means loopback: nothing is opened to the world by leaving something out.
pub(crate) fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port),
        None => ("127.0.0.1", text),
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err("must be an address such as 127.0.0.1:8080".to_owned());
    };
    let ip = match host.trim_start_matches('[').trim_end_matches(']') {
        "" => {
            return Err(format!(
                "write 127.0.0.1:{port} for this machine only, or 0.0.0.0:{port} for everybody"
            ));
        }
        "localhost" => "127.0.0.1",
        "*" => "0.0.0.0",
        host => host,
    };
    match ip.parse::<IpAddr>() {
        Ok(ip) => Ok((ip, port).into()),
        Err(_) => Err(format!(
            "`{ip}` is not an IP address of this machine; names are not looked up here"
        )),
    }
}

/// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
pub(crate) fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let bad = || format!("must be {}", Form::Network.expected());
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok().ok_or_else(bad)?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => whole,
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= whole).ok_or_else(bad)?,
    };
    let first = first_address(address, bits);
    if first == address {
        Ok((address, bits))
    } else {
        Err(format!("the network that this address is in is {first}/{bits}"))
    }
}

/// The first address of the network that `address` is in.
fn first_address(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// Reads `10%`, and `0.5%` where fractions are allowed.
pub(crate) fn percent(text: &str, fraction: bool) -> Result<f64, String> {
    let Some(number) = text.strip_suffix('%') else {
        return Err(format!("must be {}", Form::Percent { fraction }.expected()));
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || (fraction && byte == b'.'));
    let share = number.parse::<f64>().ok().filter(|share| is_number && *share <= 100.0);
    share.ok_or_else(|| {
        let whole = if fraction { "" } else { "whole " };
        format!("must be a {whole}number from 0% to 100%")
    })
}

/// The word of `text` that begins at `start`.
fn word_from(text: &str, start: usize) -> Option<Range<usize>> {
    let word = text.get(start..)?.split(' ').next()?;
    (!word.is_empty()).then(|| start..start + word.len())
}

/// Compiles a condition.
fn condition(text: &str) -> Result<(), Misfit> {
    let wrong = match Allow::new(text) {
        Ok(_) => return Ok(()),
        Err(wrong) => wrong,
    };
    // At the end there is nothing to point at but the last character.
    let end = text.len();
    let last = text.char_indices().next_back().map_or(0, |(at, _)| at);
    let at = if wrong.offset >= end { last..end } else { name_from(text, wrong.offset) };
    Err(Misfit::Part { why: wrong.message, at })
}

/// The name that begins at `start`, or the one character there.
fn name_from(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    start..start + name.max(first)
}
