//! Stable error codes, and printing an error with all its causes.

use std::{error::Error, fmt};

/// A stable code such as `F012`. Each has a page `docs/errors/F012.md` (cause, fix), which
/// `flotilla explain F012` prints; a test checks that page and code exist for each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{:03}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal;)*) => {
        impl Code {
            $(#[doc = $title] pub const $name: Self = Self($number);)*
            /// Every code with its one-line title, in order.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self($number), $title)),*];
        }
    };
}

codes! {
    SYNTAX = 1, "the file is not valid YAML";
    UNKNOWN_KEY = 2, "unknown key";
    WRONG_TYPE = 3, "wrong type of value";
    BAD_VALUE = 4, "a value that cannot be read";
    DUPLICATE = 5, "the same name or key twice";
    UNKNOWN_SERVICE = 6, "a service that does not exist is named";
    CYCLE = 7, "services need each other in a circle";
    ROUTE = 8, "a route that can never match";
    NO_COMMAND = 9, "how to start the service is not known";
    MISSING_FILE = 10, "a file or folder does not exist";
    VARIABLE = 11, "an environment variable is not set";
    NOT_READY = 12, "a service did not become ready";
    EXITED = 13, "a service ended at once";
    CRASH_LOOP = 14, "a service keeps crashing";
    WRONG_PORT = 15, "a service listens on another port";
    PORT_TAKEN = 16, "a port is taken by another process";
    START_FAILED = 17, "a program cannot be started";
    BUILD_FAILED = 18, "a build step failed";
    FORKED_AWAY = 19, "a service put itself into the background";
    IGNORED_STOP = 20, "a service ignored the stop signal";
    DOCKER = 21, "the Docker engine does not answer";
    NOT_HONOURED = 22, "a key of another format is not honoured";
    NO_SYSTEM = 23, "no system is running";
    ALREADY_RUNNING = 24, "another node already runs this system";
    NO_FILE = 25, "no file that describes a system was found";
    LIMITS = 26, "resource limits cannot be enforced";
    STATE_DIR = 27, "the state directory cannot be used";
    JOB_FAILED = 28, "a job failed";
    CAPABILITY = 29, "the host cannot do what the file asks for";
    LOG_DROPPED = 30, "old log lines were dropped to stay within the limit";
    CERTIFICATE = 31, "a certificate or its key cannot be used";
    CONDITION = 32, "a condition cannot be read";
    KEYS = 33, "the keys for tokens cannot be used";
    POLICY = 34, "keys of the gateway contradict each other";
    EXPOSED = 35, "the gateway lets more in than it seems";
    KV_STORE = 36, "the kv engine cannot be used";
    SECRET = 37, "a secret is not known or cannot be used";
    BROKER = 38, "the broker or the event store cannot be used";
}

impl Code {
    /// Reads `F012` or `f012`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_prefix(['F', 'f'])?.parse().ok()?;
        Self::ALL.iter().map(|(code, _)| *code).find(|code| code.0 == number)
    }
}

/// Prints an error and all its causes, joined by `: `.
///
/// Our errors do not repeat their source in their own text, so the chain says everything once.
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_what_it_prints_and_no_number_is_used_twice() {
        for (at, (code, _)) in Code::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.0), at + 1, "codes are numbered without gaps");
            assert_eq!(Code::parse(&code.to_string()), Some(*code));
        }
        assert_eq!(Code::parse("F999"), None);
        assert_eq!(Code::parse("12"), None);
    }
}
