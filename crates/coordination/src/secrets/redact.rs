//! Taking secrets out of what is shown.

use super::{REDACT_LEN_MIN, Secret};
use aho_corasick::{AhoCorasick, MatchKind};
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tracing::error;

const MASK: &str = "***";

/// Replaces secrets by `***`. Cheap to clone, and quick: to be used for every line of output.
///
/// It finds the values of all stores as they are, their single lines, and as they stand in JSON texts. It does not find
/// those shorter than [`REDACT_LEN_MIN`], and none that is encoded otherwise or cut in two.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// All known secrets at once; `None`: there are none.
    finder: RwLock<Option<Arc<AhoCorasick>>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    of_stores: Vec<Secret>,
    added: Vec<Secret>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Redacts a text.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(finder) = self.finder().filter(|finder| finder.is_match(text)) else {
            return Cow::Borrowed(text);
        };
        let masks = vec![MASK; finder.patterns_len()];
        Cow::Owned(finder.replace_all(text, &masks))
    }

    /// Redacts bytes.
    #[must_use]
    pub fn redact_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(finder) = self.finder().filter(|finder| finder.is_match(bytes)) else {
            return Cow::Borrowed(bytes);
        };
        let masks = vec![MASK; finder.patterns_len()];
        Cow::Owned(finder.replace_all_bytes(bytes, &masks))
    }

    /// Redacts what is not known to any store too, for example the tokens that the node draws. They stay until the
    /// node ends.
    pub fn add(&self, secret: &Secret) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.added.contains(secret) {
            known.added.push(secret.clone());
            self.rebuild(&known);
        }
    }

    /// Redacts these from now on, in place of those of the last call.
    pub(super) fn set(&self, secrets: Vec<Secret>) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.of_stores = secrets;
        self.rebuild(&known);
    }

    fn rebuild(&self, known: &Known) {
        let mut patterns: Vec<String> = Vec::new();
        for secret in known.of_stores.iter().chain(&known.added) {
            patterns.extend(forms(secret.expose()));
        }
        patterns.retain(|pattern| pattern.len() >= REDACT_LEN_MIN);
        patterns.sort_unstable();
        patterns.dedup();
        let finder = if patterns.is_empty() {
            None
        } else {
            // The longest: a secret that begins with another one must not leave its rest behind.
            let built =
                AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns);
            match built {
                Ok(finder) => Some(Arc::new(finder)),
                Err(error) => {
                    // What was found until now is found further on, which is better than nothing.
                    error!(%error, "new secrets are not redacted");
                    return;
                }
            }
        };
        *self.0.finder.write().unwrap_or_else(PoisonError::into_inner) = finder;
    }

    fn finder(&self) -> Option<Arc<AhoCorasick>> {
        self.0.finder.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a secret may stand in a line of output.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    if text.trim().len() < text.len() {
        forms.push(text.trim().to_owned());
    }
    // Output comes line by line.
    if text.contains('\n') {
        forms.extend(text.lines().map(|line| line.trim().to_owned()));
    }
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let quoted = quoted.trim_start_matches('"');
    if let Some(quoted) = quoted.strip_suffix('"')
        && quoted != text
    {
        forms.push(quoted.to_owned());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let redactor = Redactor::default();
        redactor.set(secrets.iter().map(|text| Secret::new(*text)).collect());
        redactor
    }

    #[test]
    fn a_line_without_secrets_is_not_copied() {
        assert!(matches!(redactor(&[]).redact("hunter2"), Cow::Borrowed(_)));
        assert!(matches!(redactor(&["hunter2"]).redact("hunter3"), Cow::Borrowed(_)));
    }

    #[test]
    fn all_secrets_in_a_line_are_masked_and_the_longest_wins() {
        let redactor = redactor(&["secret", "secret-and-more"]);
        assert_eq!(redactor.redact("a secret, secret-and-more!"), "a ***, ***!");
        assert_eq!(*redactor.redact_bytes(b"\xffsecret\xff"), *b"\xff***\xff");
    }

    #[test]
    fn short_values_are_left_alone_and_others_follow_what_is_set() {
        let redactor = redactor(&["true", "12345"]);
        assert_eq!(redactor.redact("true 12345"), "true 12345");
        let shared = redactor.clone();
        redactor.add(&Secret::new("drawn-token"));
        redactor.set(vec![Secret::new("another")]);
        assert_eq!(shared.redact("drawn-token another 12345"), "*** *** 12345");
        redactor.set(Vec::new());
        assert_eq!(shared.redact("drawn-token another"), "*** another");
    }

    #[test]
    fn secrets_of_several_lines_are_masked_line_by_line_and_within_json() {
        let redactor =
            redactor(&["-----BEGIN-----\nMIIEpAIBAAKCAQ==\n-----END-----\n", "pa\"ss\\word"]);
        assert_eq!(redactor.redact("key: MIIEpAIBAAKCAQ=="), "key: ***");
        let json = serde_json::to_string(&[
            "-----BEGIN-----\nMIIEpAIBAAKCAQ==\n-----END-----\n",
            "pa\"ss\\word",
        ]);
        assert_eq!(redactor.redact(&json.unwrap()), "[\"***\",\"***\"]");
    }
}
