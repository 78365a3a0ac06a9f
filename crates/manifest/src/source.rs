//! A text that was read, and places in it.
//!
//! Every value remembers where it stands, over merges of several files: a problem found late (a
//! cycle, a port used twice) still points at the line that caused it.

use base::{Code, Diagnostic, Place};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest file that is read. Files people write have a few hundred lines; what is larger is not one of them.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A text with its name.
#[derive(Debug)]
pub(crate) struct Source {
    /// As the user named it.
    pub(crate) name: Arc<str>,
    /// The folder it stands in, absolute: relative paths in it start there.
    pub(crate) dir: PathBuf,
    /// The whole text.
    pub(crate) text: String,
    lines: Vec<Arc<str>>,
}

impl Source {
    pub(crate) fn new(name: &str, dir: &Path, text: &str) -> Arc<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Arc::new(Self {
            name: name.into(),
            dir: dir.to_owned(),
            text: text.to_owned(),
            // A tab is one column for the parser, so it must be one column when printed.
            lines: text.lines().map(|line| line.replace('\t', " ").into()).collect(),
        })
    }

    /// Reads `path`, shown to the user as `name`.
    ///
    /// # Errors
    /// When it is not there, not a text in UTF-8, or larger than [`FILE_BYTES_MAX`].
    pub(crate) fn read(
        path: &Path,
        name: &str,
        missing: Code,
    ) -> Result<Arc<Self>, Box<Diagnostic>> {
        let fail = |code: Code, message: String| Box::new(Diagnostic::error(code, message));
        let cannot = |error: &std::io::Error| match error.kind() {
            ErrorKind::NotFound => fail(missing, format!("`{name}` does not exist")),
            _ => fail(missing, format!("`{name}` cannot be read")).note_boxed(error.to_string()),
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| cannot(&error))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
            return Err(fail(Code::SYNTAX, format!("`{name}` is larger than 1 MiB"))
                .help_boxed("a file that describes a system is small; is this the right one?"));
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let before = error.as_bytes().get(..good).unwrap_or_default();
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                return Err(fail(Code::SYNTAX, format!("`{name}` is not text in UTF-8"))
                    .note_boxed(format!("the first byte that does not fit is in line {line}"))
                    .help_boxed("save the file as UTF-8"));
            }
        };
        let dir = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Ok(Self::new(name, &dir, &text))
    }

    /// The text of a line, counted from 1.
    pub(crate) fn line(&self, number: u32) -> Arc<str> {
        let at = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        self.lines.get(at).cloned().unwrap_or_else(|| "".into())
    }

    /// How this file's neighbour is shown to the user.
    pub(crate) fn sibling_name(&self, path: &str) -> String {
        match self.name.rsplit_once('/') {
            Some((folder, _)) if !path.starts_with('/') => {
                format!("{folder}/{}", path.strip_prefix("./").unwrap_or(path))
            }
            _ => path.strip_prefix("./").unwrap_or(path).to_owned(),
        }
    }
}

/// Adds to a boxed diagnostic.
pub(crate) trait Boxed {
    fn note_boxed(self, note: impl Into<String>) -> Self;
    fn help_boxed(self, help: impl Into<String>) -> Self;
}

impl Boxed for Box<Diagnostic> {
    fn note_boxed(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
    fn help_boxed(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A place in a source.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) source: Arc<Source>,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
    /// In characters, at least 1.
    pub(crate) length: u32,
}

impl Mark {
    pub(crate) fn new(source: &Arc<Source>, line: usize, column: usize, length: usize) -> Self {
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        Self {
            source: source.clone(),
            line: short(line),
            column: short(column),
            length: short(length),
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            file: self.source.name.clone(),
            line: self.line,
            column: self.column,
            length: self.length,
            text: self.source.line(self.line),
        }
    }

    /// `line 3` or `other.yaml:3`, as seen from `here`.
    pub(crate) fn seen_from(&self, here: &Self) -> String {
        if Arc::ptr_eq(&self.source, &here.source) {
            format!("line {}", self.line)
        } else {
            format!("{}:{}", self.source.name, self.line)
        }
    }

    /// The bytes `range` of `text`, which stands here in one line, perhaps in quotes. The mark itself when it does not
    /// stand so: on several lines, or with escapes.
    pub(crate) fn inside(&self, text: &str, range: Range<usize>) -> Self {
        let (Some(before), Some(part)) = (text.get(..range.start), text.get(range)) else {
            return self.clone();
        };
        let line = self.source.line(self.line);
        let start = usize::try_from(self.column - 1).unwrap_or(0);
        let stands = |skip: &usize| {
            let mut rest = line.chars().skip(start + skip);
            text.chars().all(|letter| rest.next() == Some(letter))
        };
        match [0, 1].iter().find(|skip| stands(skip)) {
            Some(skip) => {
                let column = start + skip + before.chars().count() + 1;
                let mark = Self::new(&self.source, 1, column, part.chars().count());
                Self { line: self.line, ..mark }
            }
            None => self.clone(),
        }
    }

    /// The first occurrence of `part` at or after this mark in its line, or the mark itself.
    pub(crate) fn within(&self, part: &str) -> Self {
        let line = self.source.line(self.line);
        let skip = usize::try_from(self.column - 1).unwrap_or(0);
        let rest: String = line.chars().skip(skip).collect();
        match rest.split_once(part) {
            Some((before, _)) => {
                let column = skip + before.chars().count() + 1;
                let mark = Self::new(&self.source, 1, column, part.chars().count());
                Self { line: self.line, ..mark }
            }
            None => self.clone(),
        }
    }
}
