//! Every error code has a page, and every page a code: `flotilla explain` prints the page.

use super::{Finding, Source, find};

const CODES: &str = "crates/base/src/error.rs";
const PAGES: &str = "docs/errors/";

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let pages: Vec<(&str, &str)> = sources
        .iter()
        .filter_map(|source| {
            let code = source.path.strip_prefix(PAGES)?.strip_suffix(".md")?;
            (code != "README").then_some((code, source.path.as_str()))
        })
        .collect();
    let Some(table) = find(sources, CODES).filter(|_| !pages.is_empty()) else {
        return Vec::new();
    };
    let codes = codes(&table.text);
    let without_page = codes.iter().filter(|(_, code)| !pages.iter().any(|(page, _)| page == code));
    let without_code = pages.iter().filter(|(page, _)| !codes.iter().any(|(_, code)| code == page));
    without_page
        .map(|(line, code)| Finding::new(CODES, *line, format!("{code} has no {PAGES}{code}.md")))
        .chain(
            without_code.map(|(page, path)| {
                Finding::new(path, 1, format!("{page} is not a code of {CODES}"))
            }),
        )
        .collect()
}

/// The codes of the `codes! { … }` table, such as `F012`, with their lines.
fn codes(text: &str) -> Vec<(usize, String)> {
    (1..)
        .zip(text.lines())
        .skip_while(|(_, line)| !line.starts_with("codes! {"))
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('}'))
        .filter_map(|(line, text)| {
            let (_name, rest) = text.split_once('=')?;
            let (number, _title) = rest.split_once(',')?;
            let number: u16 = number.trim().parse().ok()?;
            Some((line, format!("F{number:03}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
macro_rules! codes { ($($name:ident = $number:literal, $title:literal;)*) => {} }
codes! {
    SYNTAX = 1, \"not valid\";
    BUSY = 12, \"taken\";
}
const OTHER: u16 = 3, 4;
";

    fn check_pages(pages: &[&str], expected: &[&str]) {
        let page =
            |name: &&str| Source { path: format!("docs/errors/{name}"), text: String::new() };
        let mut sources: Vec<Source> = pages.iter().map(page).collect();
        sources.push(Source { path: CODES.to_owned(), text: TABLE.to_owned() });
        let found: Vec<_> = check(&sources).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn codes_and_pages_exist_for_each_other() {
        check_pages(&["F001.md", "F012.md", "README.md"], &[]);
        check_pages(
            &["F001.md", "F003.md"],
            &[
                "crates/base/src/error.rs:4: F012 has no docs/errors/F012.md",
                "docs/errors/F003.md:1: F003 is not a code of crates/base/src/error.rs",
            ],
        );
    }

    #[test]
    fn as_long_as_there_are_no_pages_none_is_missed() {
        check_pages(&[], &[]);
    }
}
