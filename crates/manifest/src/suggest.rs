//! Did you mean?

use std::{fs, path::Path};

/// Most entries of a folder that are looked at for a name that is alike.
const ENTRIES_MAX: usize = 1_000;

/// The known word that is most like `word`, if one is like it.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    /// Below this likeness (Jaro-Winkler, 0 to 1) a suggestion is noise.
    const LIKENESS_MIN: f64 = 0.8;
    let lower = word.to_ascii_lowercase().replace(['-', '.'], "_");
    known
        .map(|known| {
            let plain = known.to_ascii_lowercase().replace(['-', '.'], "_");
            let edits = strsim::damerau_levenshtein(&lower, &plain);
            // Short words need a rule of their own: `rum` is one letter from `run`.
            let likeness = strsim::jaro_winkler(&lower, &plain);
            (if edits <= 1 && plain.len() > 2 { 1.0 } else { likeness }, known)
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// The name of a neighbour of `path` (a file, or else a folder) that is most like its own.
pub(crate) fn near_path(path: &Path, is_file: bool) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let names: Vec<String> = fs::read_dir(path.parent()?)
        .ok()?
        .take(ENTRIES_MAX)
        .flatten()
        .filter(|entry| entry.path().is_file() == is_file)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') || wanted.starts_with('.'))
        .collect();
    nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_alike_are_suggested() {
        let known = ["instances", "image", "run", "needs", "listen", "limits"];
        for (word, expected) in [
            ("instnaces", Some("instances")),
            ("instance", Some("instances")),
            ("rum", Some("run")),
            ("Needs", Some("needs")),
            ("limit", Some("limits")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
    }
}
