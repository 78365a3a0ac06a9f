//! What services and their instances are called.

use std::{fmt, sync::Arc};

/// Longest service name: a DNS label (RFC 1123 §2.1), so that every name can become a host name.
pub const SERVICE_NAME_LEN_MAX: usize = 63;

/// The name of a service or job: lowercase letters, digits and inner hyphens, 1 to 63 bytes.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text has more than [`SERVICE_NAME_LEN_MAX`] bytes.
    #[error("a name has at most {SERVICE_NAME_LEN_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// The text has a character that a DNS label may not have there.
    #[error("`{0}` is not allowed here: a name has lowercase letters, digits and inner hyphens")]
    Character(char),
    /// The text is not `service/number`.
    #[error("an instance is written `service/number`, for example `users/1`")]
    Instance,
}

impl ServiceName {
    /// Checks `text` and makes it a name.
    ///
    /// # Errors
    /// Says which rule of RFC 1123 labels (lowercase only) the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > SERVICE_NAME_LEN_MAX {
            return Err(InvalidName::TooLong(text.len()));
        }
        for (at, character) in text.char_indices() {
            let edge = at == 0 || at + character.len_utf8() == text.len();
            let fits = matches!(character, 'a'..='z' | '0'..='9') || (character == '-' && !edge);
            if !fits {
                return Err(InvalidName::Character(character));
            }
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The environment variable that carries this service's address to its callers: `users-next`
    /// becomes `USERS_NEXT_URL`.
    #[must_use]
    pub fn url_variable(&self) -> String {
        let mut name = self.0.to_ascii_uppercase().replace('-', "_");
        name.push_str("_URL");
        name
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of what a service runs before its instances: its build step.
pub const BUILD_NUMBER: u32 = 0;

/// One running copy of a service: `users/2`.
///
/// The number is 1 or more and unique among the service's living instances; a number that became
/// free is used again. [`BUILD_NUMBER`] stands for the service's build step, written `users/build`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// Whose copy it is.
    pub service: ServiceName,
    /// Which copy, from 1.
    pub number: u32,
}

impl InstanceId {
    /// Reads `users/2` or `users/build`.
    ///
    /// # Errors
    /// When the service part is no name or the rest neither `build` nor a number from 1.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let (service, number) = text.split_once('/').ok_or(InvalidName::Instance)?;
        let number = match number {
            "build" => BUILD_NUMBER,
            digits => digits.parse().ok().filter(|n| *n > 0).ok_or(InvalidName::Instance)?,
        };
        Ok(Self { service: ServiceName::new(service)?, number })
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            BUILD_NUMBER => write!(f, "{}/build", self.service),
            number => write!(f, "{}/{number}", self.service),
        }
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_is_a_lowercase_dns_label() {
        for good in ["a", "users", "users-next", "0", "a1-b2", &"x".repeat(63)] {
            assert_eq!(ServiceName::new(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", InvalidName::Empty),
            ("Users", InvalidName::Character('U')),
            ("-a", InvalidName::Character('-')),
            ("a-", InvalidName::Character('-')),
            ("a_b", InvalidName::Character('_')),
            ("ä", InvalidName::Character('ä')),
        ] {
            assert_eq!(ServiceName::new(bad), Err(why), "{bad}");
        }
        assert_eq!(ServiceName::new(&"x".repeat(64)), Err(InvalidName::TooLong(64)));
    }

    #[test]
    fn an_instance_reads_back_what_it_prints() {
        let id = InstanceId::parse("users-next/12").unwrap();
        assert_eq!(id.to_string(), "users-next/12");
        let build = InstanceId::parse("users/build").unwrap();
        assert_eq!((build.number, build.to_string().as_str()), (BUILD_NUMBER, "users/build"));
        for bad in ["users", "users/0", "users/-1", "users/x", "/1"] {
            assert!(InstanceId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_url_variable_is_a_legal_shell_name() {
        assert_eq!(ServiceName::new("users-next").unwrap().url_variable(), "USERS_NEXT_URL");
    }
}
