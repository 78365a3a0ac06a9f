//! Where NATS is and how it is entered.

use std::{fmt, fs, io, path::PathBuf};

#[cfg(test)]
mod tests;

/// Longest prefix: with it, the sign between them and the longest name of a topic, the name of a stream has at most the 255
/// characters that JetStream allows.
const PREFIX_MAX: usize = 255 - 1 - ports::broker::NAME_LEN_MAX;

/// Most servers that are named; the others of a cluster are found by themselves.
const SERVERS_MAX: usize = 16;

/// Most replicas that JetStream keeps of a stream.
const REPLICAS_MAX: u8 = 5;

/// What the engine needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `host:port` of servers, at least one. Which of them is used says nothing: they are a cluster.
    pub servers: Vec<String>,
    /// How connections are encrypted; `None`: only if the server asks for it.
    pub tls: Option<Tls>,
    /// Who we are; `None`: NATS does not ask.
    pub credentials: Option<Credentials>,
    /// What the names of streams and subjects begin with, so that several systems share a NATS: 1 to 54 letters, digits, `-`
    /// and `_`.
    pub prefix: String,
    /// On how many servers each message is kept, 1 to 5. More than one needs a cluster.
    pub replicas: u8,
}

/// How connections are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities that may vouch for NATS; `None`: those of the machine.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate and its key, when NATS asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How NATS knows us.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// By a user's name.
    User {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// By a word that is enough by itself.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { user, .. } => {
                f.debug_struct("User").field("user", user).finish_non_exhaustive()
            }
            Self::Token(_) => f.debug_struct("Token").finish_non_exhaustive(),
        }
    }
}

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration says something that cannot be done.
    #[error("cannot use NATS at `{place}`: {problem}")]
    Config {
        /// Where, without credentials.
        place: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A file that the configuration names cannot be read.
    #[error("cannot read `{path}` for the connection to NATS", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl Config {
    /// Where NATS is, for people: without credentials.
    #[must_use]
    pub fn place(&self) -> String {
        let scheme = if self.tls.is_some() { "natss" } else { "nats" };
        format!("{scheme}://{}", self.servers.join(","))
    }

    /// What every configuration must hold to, and whether its files are there.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let problem = |problem: String| Err(Error::Config { place: self.place(), problem });
        if !(1..=SERVERS_MAX).contains(&self.servers.len()) {
            let count = self.servers.len();
            return problem(format!("it names {count} servers, 1 to {SERVERS_MAX} are needed"));
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let length = self.prefix.len();
        if !(1..=PREFIX_MAX).contains(&length) || !self.prefix.bytes().all(is_allowed) {
            return problem(format!(
                "the prefix `{}` must be 1 to {PREFIX_MAX} letters, digits, `-` and `_`",
                self.prefix.escape_debug()
            ));
        }
        if !(1..=REPLICAS_MAX).contains(&self.replicas) {
            let replicas = self.replicas;
            return problem(format!("{replicas} replicas: 1 to {REPLICAS_MAX} can be kept"));
        }
        let Some(tls) = &self.tls else { return Ok(()) };
        tls.ca.iter().try_for_each(|file| check_pem(file, "CERTIFICATE"))?;
        tls.identity.iter().try_for_each(|(certificate, key)| {
            check_pem(certificate, "CERTIFICATE")?;
            check_pem(key, "PRIVATE KEY")
        })
    }
}

/// The connection reads the files each time anew, and could only say then that one is missing.
fn check_pem(path: &PathBuf, kind: &str) -> Result<(), Error> {
    let failed = |cause| Error::File { path: path.clone(), cause };
    let text = fs::read_to_string(path).map_err(failed)?;
    let is_one = |line: &str| line.starts_with("-----BEGIN ") && line.contains(kind);
    if text.lines().any(is_one) {
        return Ok(());
    }
    let message = format!("there is no `{kind}` in it, as PEM has it");
    Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)))
}
