//! What was found wrong so far.

use crate::source::{Mark, Source};
use base::{Code, Diagnostic, Severity};
use std::{path::PathBuf, sync::Arc};

/// Most problems that are kept. Nobody reads more, and a broken file of 1 MiB could make thousands.
const PROBLEMS_MAX: usize = 100;

/// Collects problems and the files they are in.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Diagnostic>,
    /// How many did not fit.
    dropped: usize,
    /// Names of the files in the order in which they were read.
    order: Vec<Arc<str>>,
    /// The files' paths, absolute.
    pub(crate) files: Vec<PathBuf>,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: Diagnostic) {
        // An anchor used in several places would tell the same thing several times.
        if self.list.contains(&problem) {
            return;
        }
        if self.list.len() < PROBLEMS_MAX {
            return self.list.push(problem);
        }
        self.dropped += 1;
        // A file with an error must not pass for a good one because of many warnings.
        if problem.severity == Severity::Error && !self.has_errors() {
            self.list.pop();
            self.list.push(problem);
        }
    }

    /// Adds an error at a place.
    pub(crate) fn error(
        &mut self,
        code: Code,
        mark: &Mark,
        message: impl Into<String>,
        label: impl Into<String>,
        help: &str,
    ) {
        let problem = Diagnostic::error(code, message).at(mark.place(), label);
        self.add(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// Adds a warning at a place.
    pub(crate) fn warning(
        &mut self,
        code: Code,
        mark: &Mark,
        message: impl Into<String>,
        label: impl Into<String>,
        help: &str,
    ) {
        let problem = Diagnostic::warning(code, message).at(mark.place(), label);
        self.add(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// Notes that a file was read, for the order of the report.
    pub(crate) fn read_file(&mut self, source: &Source, path: PathBuf) {
        if !self.files.contains(&path) {
            self.order.push(source.name.clone());
            self.files.push(path);
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    fn worst(&self) -> Severity {
        if self.has_errors() { Severity::Error } else { Severity::Warning }
    }

    /// All of them in the order of files and lines.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        let rank = |problem: &Diagnostic| {
            let place = problem.place.as_ref();
            let file =
                place.and_then(|place| self.order.iter().position(|name| *name == place.file));
            (file.unwrap_or(usize::MAX), place.map(|place| (place.line, place.column)))
        };
        self.list.sort_by_key(rank);
        if self.dropped > 0 {
            let message = format!("{} more problems are not shown", self.dropped);
            let last = Diagnostic::error(Code::SYNTAX, message).help("mend the ones above first");
            let severity = self.worst();
            self.list.push(Diagnostic { severity, ..last });
        }
        self.list
    }
}
