//! How grave a line is, by its own words.
//!
//! Nothing is stored: the rules may get better, and most lines are never asked. A JSON object is
//! asked for its top-level `level`, `severity` and the like; other lines for `level=warn`, or
//! for a level among their first words.

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For developers.
    Debug,
    /// Normal.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// How far into a plain line a level is looked for, in bytes: past a timestamp, a thread and a module.
const PREFIX_LEN_MAX: usize = 96;
/// How many words of it.
const PREFIX_WORDS_MAX: usize = 7;

impl Level {
    /// What `text` says of itself; `None` when it says nothing.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim_start();
        if text.starts_with('{') { json(text) } else { plain(text) }
    }

    /// Reads the names that loggers of many languages use, in any case.
    fn named(word: &str) -> Option<Self> {
        const NAMES: [(&str, Level); 26] = [
            ("error", Level::Error),
            ("err", Level::Error),
            ("fatal", Level::Error),
            ("critical", Level::Error),
            ("crit", Level::Error),
            ("severe", Level::Error),
            ("alert", Level::Error),
            ("emerg", Level::Error),
            ("emergency", Level::Error),
            ("panic", Level::Error),
            ("failure", Level::Error),
            ("warning", Level::Warn),
            ("warn", Level::Warn),
            ("wrn", Level::Warn),
            ("info", Level::Info),
            ("inf", Level::Info),
            ("information", Level::Info),
            ("informational", Level::Info),
            ("notice", Level::Info),
            ("log", Level::Info),
            ("debug", Level::Debug),
            ("dbg", Level::Debug),
            ("trace", Level::Debug),
            ("trc", Level::Debug),
            ("verbose", Level::Debug),
            ("fine", Level::Debug),
        ];
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
    }

    /// Numbers as pino and bunyan write them.
    fn numbered(number: u32) -> Option<Self> {
        match number {
            10..30 => Some(Self::Debug),
            30..40 => Some(Self::Info),
            40..50 => Some(Self::Warn),
            50..=60 => Some(Self::Error),
            _ => None,
        }
    }
}

const KEYS: [&str; 7] =
    ["level", "severity", "lvl", "levelname", "log.level", "severity_text", "loglevel"];

/// Walks the members of a JSON object without building it.
fn json(text: &str) -> Option<Level> {
    let mut walk = Walk { bytes: text.as_bytes(), at: 1 };
    loop {
        walk.skip(|byte| byte.is_ascii_whitespace() || byte == b',');
        let key = walk.string()?;
        walk.skip(|byte| byte.is_ascii_whitespace() || byte == b':');
        if KEYS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(key)) {
            return walk.level();
        }
        walk.value()?;
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, mut which: impl FnMut(u8) -> bool) {
        while self.peek().is_some_and(&mut which) {
            self.at += 1;
        }
    }

    /// A string without its quotes, escapes left as they are.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let text = self.bytes.get(from..self.at);
        self.at += 1;
        text
    }

    /// Skips a value of any kind.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_u32;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
            if depth == 0 && self.peek() == Some(b',') {
                return Some(());
            }
        }
    }

    fn level(&mut self) -> Option<Level> {
        if self.peek()? == b'"' {
            return Level::named(str::from_utf8(self.string()?).ok()?);
        }
        let from = self.at;
        self.skip(|byte| byte.is_ascii_digit());
        Level::numbered(str::from_utf8(self.bytes.get(from..self.at)?).ok()?.parse().ok()?)
    }
}

fn plain(text: &str) -> Option<Level> {
    if text.starts_with("Traceback (most recent call last)") || text.starts_with("panic: ") {
        return Some(Level::Error);
    }
    let (prefix, _) = text.split_at(text.floor_char_boundary(PREFIX_LEN_MAX));
    let is_edge = |c: char| c.is_whitespace() || matches!(c, '|' | ',' | ';');
    let mut words = 0;
    let mut is_shift = false;
    for word in prefix.split(is_edge).filter(|word| !word.is_empty()) {
        words += 1;
        if words > PREFIX_WORDS_MAX {
            return None;
        }
        let word = without_colour(word);
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if let Some(level) = logfmt(word).or_else(|| marked(word, bare)) {
            return Some(level);
        }
        // `thread 'main' panicked at …`
        is_shift |= words == 1 && bare == "thread";
        if is_shift && bare == "panicked" {
            return Some(Level::Error);
        }
    }
    None
}

/// `level=warn`, `lvl="info"`.
fn logfmt(word: &str) -> Option<Level> {
    let (key, value) = word.split_once('=')?;
    let is_key = KEYS.iter().any(|known| known.eq_ignore_ascii_case(key));
    is_key.then(|| Level::named(value.trim_matches('"'))).flatten()
}

/// A level in capitals (`ERROR`, `[WARN]`), or in any case when it is set off (`error:`, `[info]`, `<debug>`).
/// A lowercase word of a sentence (`no error`) is none.
fn marked(word: &str, bare: &str) -> Option<Level> {
    let is_loud = bare.len() > 2 && bare.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_set_off = word.starts_with(['[', '<', '(']) || word.ends_with([':', ']']);
    // Python's default format is `WARNING:root:text`.
    let first = bare.split([':', '[', '(']).next().unwrap_or(bare);
    let is_first_loud =
        first.len() > 2 && first != bare && first.bytes().all(|byte| byte.is_ascii_uppercase());
    match (is_loud || is_set_off, is_first_loud) {
        (true, _) => Level::named(bare).or_else(|| Level::named(first)),
        (false, true) => Level::named(first),
        (false, false) => None,
    }
}

/// The word between the colour sequences around it.
fn without_colour(word: &str) -> &str {
    let mut word = word;
    while let Some(rest) = word.strip_prefix("\u{1b}[") {
        word = rest.split_once('m').map_or("", |(_, text)| text);
    }
    word.split('\u{1b}').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let level = Level::of(text).map_or("-".to_owned(), |level| format!("{level:?}"));
        assert_eq!(level, expected, "{text}");
    }

    #[test]
    fn levels_are_found_as_common_loggers_write_them() {
        check(r#"{"level":"warn","msg":"x"}"#, "Warn");
        check(r#"{"time":1,"fields":{"level":"error"},"severity":"INFO"}"#, "Info");
        check(r#"{"msg":"a \"level\":\"error\" b","level":50}"#, "Error");
        check(r#"{"level":30,"pid":1}"#, "Info");
        check(r#"{"a":[1,{"b":2}],"Level":"Debug"}"#, "Debug");
        check(r#"{"msg":"nothing"}"#, "-");
        check(r#"{"msg":"torn"#, "-");
        check("2026-03-01T10:00:00Z  WARN app::db: slow", "Warn");
        check("\u{1b}[2m2026-03-01T10:00:00Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m app: x", "Error");
        check("ERROR:root:it broke", "Error");
        check("[error] 12#0: *1 connect() failed", "Error");
        check("time=2026 level=debug msg=x", "Debug");
        check("I am in good order", "-");
        check("there was no error here", "-");
        check("error: could not compile", "Error");
        check("10:00:00 | INFO | started", "Info");
        check("2026-03-01 10:00:00.123 [main] INFO  com.acme.App - up", "Info");
        check("Traceback (most recent call last):", "Error");
        check("thread 'main' (12) panicked at src/main.rs:1:1:", "Error");
        check("npm WARN deprecated", "Warn");
        check("", "-");
        check("GET /items/ERROR 200", "-");
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(text in ".{0,200}", json in r#"\{("[a-z\\]{0,6}"?:?[0-9{}\[\],"]{0,4}){0,8}"#) {
            let _level = (Level::of(&text), Level::of(&json));
        }
    }
}
