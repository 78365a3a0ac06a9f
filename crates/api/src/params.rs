//! Query parameters: each is declared, an unknown one is an error that says what may have been meant.

use crate::{answer::Problem, query};

/// One query parameter of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: ParamKind,
    /// May be given several times.
    pub(crate) repeats: bool,
    pub(crate) summary: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParamKind {
    Text,
    Number,
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// What was given, checked against what is declared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(&'static str, String)>);

impl Params {
    pub(crate) fn read(query: &str, declared: &[Param]) -> Result<Self, Problem> {
        let pairs = query::pairs(query)
            .ok_or_else(|| Problem::bad_request("the query string has a broken % escape"))?;
        let mut params = Self::default();
        for (name, value) in pairs {
            let Some(param) = declared.iter().find(|param| param.name == name) else {
                return Err(unknown(&name, declared));
            };
            if !param.repeats && params.text(param.name).is_some() {
                return Err(Problem::bad_request(format!("`{name}` is given twice")));
            }
            let is_good = match param.kind {
                ParamKind::Text => true,
                ParamKind::Number => value.parse::<u64>().is_ok(),
                ParamKind::Flag => matches!(value.as_str(), "true" | "false" | "1" | "0" | ""),
                ParamKind::Choice(words) => words.contains(&value.as_str()),
            };
            if !is_good {
                let wanted = match param.kind {
                    ParamKind::Choice(words) => format!("one of {}", words.join(", ")),
                    ParamKind::Flag => "true or false".to_owned(),
                    ParamKind::Number | ParamKind::Text => "a number from 0".to_owned(),
                };
                let message = format!("`{name}={value}`: {wanted} is expected");
                return Err(Problem::bad_request(message));
            }
            params.0.push((param.name, value));
        }
        Ok(params)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| matches!(value, "true" | "1" | ""))
    }
}

fn unknown(name: &str, declared: &[Param]) -> Problem {
    let problem = Problem::bad_request(format!("unknown query parameter `{name}`"));
    match did_you_mean(name, declared.iter().map(|param| param.name)) {
        Some(help) => problem.help(help),
        None if declared.is_empty() => problem.help("this endpoint takes none"),
        None => {
            let names: Vec<&str> = declared.iter().map(|param| param.name).collect();
            problem.help(format!("this endpoint takes {}", names.join(", ")))
        }
    }
}

/// The nearest of `candidates`, when one is near.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<String> {
    /// Two typing errors are 3 letters of a long word or 1 of a short one.
    const LIKENESS_MIN: f64 = 0.8;
    let word = word.to_ascii_lowercase();
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(score, _)| *score >= LIKENESS_MIN)
        .map(|(_, name)| format!("did you mean `{name}`?"))
}
