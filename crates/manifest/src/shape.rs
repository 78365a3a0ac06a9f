//! What a value may look like.
//!
//! The file is described once, as data ([`crate::table`]); the strict check, the JSON Schema and the
//! reference page all come from that one table, so they cannot disagree.

use crate::engine;
use base::{ByteSize, ServiceName, units};
use logic::{condition::CompileError, schedule::Schedule, tx::target};
use policy::{allow::Allow, edits, rate};
use std::{ops::Range, str::FromStr};

pub(crate) mod events;
pub(crate) mod names;
mod values;

pub(crate) use events::EventForm;
pub(crate) use values::{address, cores, network, percent, publish};

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
    /// A map with known keys in which every other key is a name that the user chooses.
    Mixed {
        table: &'static Table,
        /// What such a key is.
        what: &'static str,
        value: &'static Self,
    },
    /// One of several, told apart by being text, a list or a map: at most one of each.
    Any(&'static [Self]),
    /// Any value, which becomes JSON.
    Data,
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
    /// Any text, also an empty one.
    Value,
    /// The value of an environment variable; `KEY:` without one takes the node's own variable.
    Variable,
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
    /// The name of a store.
    Store,
    /// What stands before keys: a word, or a text.
    KeyPrefix,
    /// The name of a key, or the beginning of one with `*`.
    KeyPattern,
    /// `embedded`, or the URL of an engine for keys and values.
    KvEngine,
    /// A text that is never shown and may be a `${secret:NAME}`.
    Credential,
    /// The name of a secret.
    SecretName,
    /// The name of an environment variable, or its beginning.
    VariableName,
    /// `true`, or an address.
    TrueOrAddress,
    /// What an app is called in its API.
    AppId,
    /// A form of what is said of events.
    Event(EventForm),
    /// A call of a transaction.
    Call,
    /// `true`, `false`, or a call of a transaction.
    SwitchOrCall,
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

    /// Whether `${secret:NAME}` may stand in it: it is kept there until the value is used.
    pub(crate) fn takes_secrets(self) -> bool {
        match self {
            Self::Event(form) => form.takes_secrets(),
            Self::Variable | Self::Assignment | Self::Database => true,
            Self::KvEngine | Self::Credential => true,
            _ => false,
        }
    }

    /// Whether messages must not show it.
    pub(crate) fn is_hidden(self) -> bool {
        match self {
            Self::Event(form) => form.is_hidden(),
            form => matches!(form, Self::Secret | Self::Credential | Self::KvEngine),
        }
    }

    /// What is expected, with an article.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Text | Self::Value | Self::Variable => "a text".to_owned(),
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
            Self::Store => "the name of a store".to_owned(),
            Self::KeyPrefix => "service, namespace, store, none or a text".to_owned(),
            Self::KeyPattern => "a key such as checkout.limit or checkout.*".to_owned(),
            Self::KvEngine => "an engine such as embedded or etcd://host:2379".to_owned(),
            Self::Credential => "a text".to_owned(),
            Self::SecretName => "the name of a secret".to_owned(),
            Self::VariableName => "the name of a variable".to_owned(),
            Self::AppId => "the name of an app".to_owned(),
            Self::TrueOrAddress => "true or an address such as 127.0.0.1:3000".to_owned(),
            Self::Event(form) => form.expected(),
            Self::Call => "a call such as POST items/reserve".to_owned(),
            Self::SwitchOrCall => "true, false or a call such as POST items/commit".to_owned(),
        }
    }

    /// Whether `text` has this form.
    pub(crate) fn check(self, text: &str) -> Result<(), Misfit> {
        let value = |fits: bool| {
            if fits { Ok(()) } else { Err(Misfit::Value(format!("must be {}", self.expected()))) }
        };
        match self {
            Self::Text | Self::Shell | Self::Secret | Self::SwitchOrPath | Self::Credential => {
                if text.trim().is_empty() {
                    Err(Misfit::Value("must not be empty".to_owned()))
                } else {
                    whole(text)
                }
            }
            Self::Value | Self::Variable => whole(text),
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
            Self::Database => value(text == "sqlite" || is_url(text)),
            Self::Cron => {
                Schedule::parse(text).map(drop).map_err(|why| Misfit::Value(why.to_string()))
            }
            Self::Signal => value(SIGNALS.contains(&text.strip_prefix("SIG").unwrap_or(text))),
            Self::Publish => value(publish(text).is_some()),
            Self::Volume => value(is_mount(text)),
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
            Self::Condition => Allow::new(text).map(drop).map_err(|why| misfit(text, why)),
            Self::Event(form) => form.check(text),
            Self::Call => call(text),
            Self::SwitchOrCall if matches!(text, "true" | "false") => Ok(()),
            Self::SwitchOrCall => call(text),
            Self::KvEngine => engine::kv(text).map(drop).map_err(Misfit::Value),
            Self::TrueOrAddress if text == "true" => Ok(()),
            Self::TrueOrAddress => address(text).map(drop).map_err(Misfit::Value),
            Self::Store
            | Self::KeyPrefix
            | Self::KeyPattern
            | Self::SecretName
            | Self::VariableName
            | Self::AppId => names::check(self, text).map_err(Misfit::Value),
        }
    }
}

fn whole(text: &str) -> Result<(), Misfit> {
    if text.contains('\0') {
        return Err(Misfit::Value("must not have a NUL character".to_owned()));
    }
    Ok(())
}

fn call(text: &str) -> Result<(), Misfit> {
    target::parse(text).map(drop).map_err(|why| Misfit::Value(why.to_string()))
}

fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
}

fn is_mount(text: &str) -> bool {
    let parts = text.split_once(':');
    parts.is_some_and(|(source, target)| !source.is_empty() && target.starts_with('/'))
}

fn unit<T>(result: Result<T, units::InvalidUnit>) -> Result<(), Misfit> {
    result.map(drop).map_err(|why| Misfit::Value(why.to_string()))
}

/// The word of `text` that begins at `start`.
fn word_from(text: &str, start: usize) -> Option<Range<usize>> {
    let word = text.get(start..)?.split(' ').next()?;
    (!word.is_empty()).then(|| start..start + word.len())
}

/// What is wrong with a condition, and where.
fn misfit(text: &str, wrong: CompileError) -> Misfit {
    // At the end there is nothing to point at but the last character.
    let end = text.len();
    let last = text.char_indices().next_back().map_or(0, |(at, _)| at);
    let at = if wrong.offset >= end { last..end } else { name_from(text, wrong.offset) };
    Misfit::Part { why: wrong.message, at }
}

/// The name that begins at `start`, or the one character there.
fn name_from(text: &str, start: usize) -> Range<usize> {
    let rest = text.get(start..).unwrap_or_default();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    start..start + name.max(first)
}
