//! `${NAME}` in texts, replaced from an environment that is passed in.
//!
//! Compose's rules (which are the shell's): `${A}`, `${A:-default}` (unset or empty), `${A-default}` (unset),
//! `${A:?message}`, `${A?message}`, `${A:+other}`, `${A+other}`, `$$` for a dollar sign; defaults may have
//! variables in them. A bare `$A` is a variable only in compose files.
//!
//! `${secret:NAME}` is not replaced. So that only who wrote the file can ask for a secret, no other text may come to
//! look like it: neither a variable's value nor a text after `$$`.

use crate::secret;
use std::collections::BTreeMap;

/// Deepest nesting of defaults: `${A:-${B:-${C}}}` has three levels. More is a mistake.
const DEPTH_MAX: usize = 8;

/// Which spellings are variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// `${NAME}` only.
    Own,
    /// `$NAME` too.
    Compose,
}

/// What is wrong with a variable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is not set and has no default.
    Unset { name: String },
    /// It is not set, and the file says what then.
    Required { name: String, message: String },
    /// It cannot be read.
    Malformed { text: String },
    /// It is no good reference to a secret.
    Secret { text: String, why: String },
}

/// The text with its variables replaced, and what could not be replaced (taken as empty).
pub(crate) fn interpolate(
    text: &str,
    vars: &BTreeMap<String, String>,
    rules: Rules,
) -> (String, Vec<Failure>) {
    let mut run = Run { vars, rules, failures: Vec::new(), secrets: 0 };
    let out = run.text(text, 0);
    if rules == Rules::Own
        && run.failures.is_empty()
        && out.matches(secret::START).count() > run.secrets
    {
        let text = format!("{}…}}", secret::START);
        let why =
            "it comes out of a variable or of `$$`, and only the file itself may ask for a secret";
        run.failures.push(Failure::Secret { text, why: why.to_owned() });
    }
    (out, run.failures)
}

struct Run<'a> {
    vars: &'a BTreeMap<String, String>,
    rules: Rules,
    failures: Vec<Failure>,
    /// How many references were kept.
    secrets: usize,
}

impl Run<'_> {
    fn text(&mut self, text: &str, depth: usize) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                after
            } else if let Some(after) = after.strip_prefix('{') {
                self.braced(after, depth, &mut out)
            } else {
                self.bare(after, &mut out)
            };
        }
        out.push_str(rest);
        out
    }

    /// What follows `${`; gives back what follows its `}`.
    fn braced<'t>(&mut self, after: &'t str, depth: usize, out: &mut String) -> &'t str {
        let Some((inside, rest)) = closing(after).filter(|_| depth < DEPTH_MAX) else {
            self.failures.push(Failure::Malformed { text: format!("${{{after}") });
            return "";
        };
        let end = inside.find(|c: char| !is_name(c)).unwrap_or(inside.len());
        let (name, operator) = inside.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            self.failures.push(Failure::Malformed { text: format!("${{{inside}}}") });
            return rest;
        }
        if let (Rules::Own, "secret", Some(asked)) = (self.rules, name, operator.strip_prefix(':'))
            && !asked.starts_with(['-', '?', '+'])
        {
            self.secret(inside, asked, out);
            return rest;
        }
        let value = self.vars.get(name);
        let filled = value.filter(|value| !value.is_empty());
        let (chosen, word) = match operator.strip_prefix(':') {
            Some(word) => (filled, word),
            None => (value, operator),
        };
        let owned = name.to_owned();
        match (word.chars().next(), chosen) {
            (None, _) if operator.is_empty() => match value {
                Some(value) => out.push_str(value),
                None => self.failures.push(Failure::Unset { name: owned }),
            },
            (Some('-' | '?'), Some(value)) => out.push_str(value),
            (Some('-'), None) => {
                let default = self.text(word.trim_start_matches('-'), depth + 1);
                out.push_str(&default);
            }
            (Some('?'), None) => {
                let message = self.text(word.trim_start_matches('?'), depth + 1);
                self.failures.push(Failure::Required { name: owned, message });
            }
            (Some('+'), Some(_)) => {
                let other = self.text(word.trim_start_matches('+'), depth + 1);
                out.push_str(&other);
            }
            (Some('+'), None) => {}
            _ => self.failures.push(Failure::Malformed { text: format!("${{{inside}}}") }),
        }
        rest
    }

    /// `inside` is `secret:` and the name that is asked for.
    fn secret(&mut self, inside: &str, asked: &str, out: &mut String) {
        match secret::name(asked) {
            Ok(()) => {
                self.secrets += 1;
                out.push_str(&format!("${{{inside}}}"));
            }
            Err(why) => {
                self.failures.push(Failure::Secret { text: format!("${{{inside}}}"), why });
            }
        }
    }

    /// What follows a `$` that no brace follows.
    fn bare<'t>(&mut self, after: &'t str, out: &mut String) -> &'t str {
        let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        if self.rules == Rules::Own
            || name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            out.push('$');
            return after;
        }
        match self.vars.get(name) {
            Some(value) => out.push_str(value),
            None => self.failures.push(Failure::Unset { name: name.to_owned() }),
        }
        rest
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits at the `}` that closes, inner `${…}` counted.
fn closing(text: &str) -> Option<(&str, &str)> {
    let mut open = 0_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open += 1,
            '}' if open == 0 => {
                let (inside, rest) = text.split_at(at);
                return Some((inside, rest.strip_prefix('}').unwrap_or(rest)));
            }
            '}' => open -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let vars = [("A", "1"), ("EMPTY", ""), ("LONG_NAME", "x")];
        let vars = vars.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let show = |rules| {
            let (out, failures) = interpolate(text, &vars, rules);
            if failures.is_empty() { out } else { format!("{out} {failures:?}") }
        };
        assert_eq!(show(Rules::Own), expected, "{text}");
        if !text.replace("$$", "").replace("${", "").contains('$') {
            assert_eq!(show(Rules::Compose), expected, "{text}");
        }
    }

    #[test]
    fn variables_are_replaced_by_the_shells_rules() {
        check("x${A}y", "x1y");
        check("${A:-2}${B:-2}${EMPTY:-2}", "122");
        check("${A-2}${B-2}${EMPTY-2}", "12");
        check("${B:-${LONG_NAME}}${B:-${C:-z}}", "xz");
        check("${A:+on}${B:+on}${EMPTY:+on}${EMPTY+on}", "onon");
        check("$${A} $A $ $$", "${A} $A $ $");
        check("100%", "100%");
        check("${B:-a:b-c}", "a:b-c");
    }

    #[test]
    fn what_cannot_be_replaced_is_told() {
        check("a${B}c", r#"ac [Unset { name: "B" }]"#);
        check("${B:?need it}", r#" [Required { name: "B", message: "need it" }]"#);
        check("${B", r#" [Malformed { text: "${B" }]"#);
        check("${}", r#" [Malformed { text: "${}" }]"#);
        check("${1A}", r#" [Malformed { text: "${1A}" }]"#);
        check("${A!x}", r#" [Malformed { text: "${A!x}" }]"#);
        check("${A:}", r#" [Malformed { text: "${A:}" }]"#);
    }

    #[test]
    fn a_reference_to_a_secret_stays_and_nothing_else_becomes_one() {
        let vars = [("EVIL", "${secret:X}"), ("HALF", "{secret:X}"), ("secret", "s"), ("E", "")];
        let vars = vars.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let check = |text: &str, expected: &str| {
            let (out, failures) = interpolate(text, &vars, Rules::Own);
            let why = failures.iter().map(|failure| match failure {
                Failure::Secret { text, why } => format!("{text}: {why}"),
                other => format!("{other:?}"),
            });
            let shown = why.collect::<Vec<_>>().join("; ");
            assert_eq!(if failures.is_empty() { out } else { shown }, expected, "{text}");
        };
        check("a${secret:A}b${secret:r:p}", "a${secret:A}b${secret:r:p}");
        check("${B:-${secret:A}}${E:-x}", "${secret:A}x");
        check("${secret:-x}${secret}${secret:+y}", "ssy");
        let smuggled = "${secret:…}: it comes out of a variable or of `$$`, and only the file itself may ask for a secret";
        check("${EVIL}", smuggled);
        check("$${secret:A}", smuggled);
        check("$$${HALF}", smuggled);
        check("${secret:A}$${secret:A}", smuggled);
        check(
            "${secret:A:-x}",
            "${secret:A:-x}: a secret has no default: it would stand in the file for everybody to read",
        );
        check("${secret:}", "${secret:}: a secret must have a name");
        check(
            "${secret:a b}",
            "${secret:a b}: ` ` is not allowed in a secret's name: it has letters, digits, `_`, `-`, `.`, `/` and `:`",
        );
    }

    #[test]
    fn a_bare_name_is_a_variable_in_compose_files_only() {
        let vars = [("A".to_owned(), "1".to_owned())].into();
        assert_eq!(interpolate("$A-$1-$$A", &vars, Rules::Compose).0, "1-$1-$A");
        assert_eq!(interpolate("$A-$1-$$A", &vars, Rules::Own).0, "$A-$1-$A");
    }
}
