//! How a command ends: the documented exit codes, and the ways not to reach the first of them.

use base::{Code, Diagnostic, Severity};
use std::process::ExitCode;

/// The exit code of a command. The numbers are part of the interface (`docs/guide/cli.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Success,
    /// It failed, for a reason without a code of its own.
    Failure,
    /// The command line makes no sense.
    Usage,
    /// The file that describes the system is missing or wrong.
    InvalidFile,
    /// Something did not start or did not become ready.
    NotReady,
    /// It did not happen within the time given.
    TimeOut,
    /// No system is running here.
    NoSystem,
    /// A port or a lock is held by somebody else.
    Conflict,
    /// The user interrupted it.
    Interrupted,
    /// What the command that was run returned.
    Of(u8),
}

impl Exit {
    /// The number the shell sees. 7 stays free for a roll-out that was rolled back.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::InvalidFile => 3,
            Self::NotReady => 4,
            Self::TimeOut => 5,
            Self::NoSystem => 6,
            Self::Conflict => 8,
            Self::Interrupted => 130,
            Self::Of(number) => number,
        }
    }

    /// The exit code that belongs to an error code.
    pub(crate) fn of_code(code: Code) -> Self {
        match code {
            Code::SYNTAX
            | Code::UNKNOWN_KEY
            | Code::WRONG_TYPE
            | Code::BAD_VALUE
            | Code::DUPLICATE
            | Code::UNKNOWN_SERVICE
            | Code::CYCLE
            | Code::ROUTE
            | Code::NO_COMMAND
            | Code::MISSING_FILE
            | Code::VARIABLE
            | Code::NO_FILE
            | Code::CERTIFICATE
            | Code::CONDITION
            | Code::KEYS
            | Code::POLICY => Self::InvalidFile,
            Code::NOT_READY
            | Code::EXITED
            | Code::CRASH_LOOP
            | Code::WRONG_PORT
            | Code::START_FAILED
            | Code::BUILD_FAILED
            | Code::FORKED_AWAY
            | Code::DOCKER
            | Code::JOB_FAILED
            | Code::CAPABILITY
            | Code::SECRET => Self::NotReady,
            Code::PORT_TAKEN | Code::ALREADY_RUNNING => Self::Conflict,
            Code::NO_SYSTEM => Self::NoSystem,
            _ => Self::Failure,
        }
    }

    /// The exit code for several problems: that of the first error, success when there are only warnings.
    pub(crate) fn of(diagnostics: &[Diagnostic]) -> Self {
        diagnostics
            .iter()
            .find(|d| d.severity == Severity::Error)
            .map_or(Self::Success, |d| Self::of_code(d.code))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Problems with codes; printed in full.
    Problems(Vec<Diagnostic>),
    /// A plain sentence, with how to mend it.
    Message {
        /// The exit code.
        exit: Exit,
        /// What is wrong: lowercase, no full stop.
        text: String,
        /// How to mend it.
        help: Option<String>,
    },
    /// Whoever read our output has gone (`| head`): nothing is wrong and nobody listens.
    Closed,
}

impl Failure {
    /// A sentence with an exit code.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self::Message { exit, text: text.into(), help: None }
    }

    /// A sentence with an exit code and a remedy.
    pub(crate) fn with_help(exit: Exit, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Message { exit, text: text.into(), help: Some(help.into()) }
    }

    /// What is wrong in one line.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Problems(problems) => {
                let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
                messages.join("; ")
            }
            Self::Message { text, .. } => text.clone(),
            Self::Closed => String::new(),
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Problems(problems) => match Exit::of(problems) {
                Exit::Success => Exit::Failure,
                exit => exit,
            },
            Self::Message { exit, .. } => *exit,
            Self::Closed => Exit::Success,
        }
    }
}

impl From<Diagnostic> for Failure {
    fn from(problem: Diagnostic) -> Self {
        Self::Problems(vec![problem])
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(problems: Vec<Diagnostic>) -> Self {
        Self::Problems(problems)
    }
}

/// What every command returns.
pub(crate) type Outcome = Result<Exit, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_the_documented_table() {
        let table = [
            (Exit::Success, 0),
            (Exit::Failure, 1),
            (Exit::Usage, 2),
            (Exit::InvalidFile, 3),
            (Exit::NotReady, 4),
            (Exit::TimeOut, 5),
            (Exit::NoSystem, 6),
            (Exit::Conflict, 8),
            (Exit::Interrupted, 130),
            (Exit::Of(42), 42),
        ];
        let page = include_str!("../../../../docs/guide/cli.md");
        for (exit, number) in table {
            assert_eq!(exit.number(), number);
            assert!(
                exit == Exit::Of(42) || page.contains(&format!("| {number} |")),
                "docs/guide/cli.md lists exit code {number}"
            );
        }
    }

    #[test]
    fn the_first_error_decides_and_warnings_do_not_count() {
        let warning = Diagnostic::warning(Code::NOT_HONOURED, "w");
        let taken = Diagnostic::error(Code::PORT_TAKEN, "p");
        let syntax = Diagnostic::error(Code::SYNTAX, "s");
        assert_eq!(Exit::of(std::slice::from_ref(&warning)), Exit::Success);
        assert_eq!(Exit::of(&[warning.clone(), taken, syntax.clone()]), Exit::Conflict);
        assert_eq!(Exit::of(&[warning, syntax]), Exit::InvalidFile);
        for code in [Code::CERTIFICATE, Code::CONDITION, Code::KEYS, Code::POLICY] {
            assert_eq!(
                Exit::of_code(code),
                Exit::InvalidFile,
                "{code}: the file has to be changed"
            );
        }
    }

    #[test]
    fn a_failure_without_an_error_still_fails() {
        assert_eq!(
            Failure::Problems(vec![Diagnostic::warning(Code::LIMITS, "w")]).exit(),
            Exit::Failure
        );
        assert_eq!(Failure::Closed.exit(), Exit::Success);
    }
}
