//! `flotilla explain F012`: the page of an error code, from inside the binary.

use super::{
    Context,
    exit::{Exit, Failure, Outcome},
    output::{Align, Cell, Tint, table},
};
use base::Code;

macro_rules! pages {
    ($($number:literal),* $(,)?) => {
        &[$(($number, include_str!(concat!("../../../../docs/errors/F", $number, ".md")))),*]
    };
}

/// The pages, by the digits of their code.
const PAGES: &[(&str, &str)] = pages![
    "001", "002", "003", "004", "005", "006", "007", "008", "009", "010", "011", "012", "013",
    "014", "015", "016", "017", "018", "019", "020", "021", "022", "023", "024", "025", "026",
    "027", "028", "029", "030", "031", "032", "033", "034", "035", "036", "037", "038",
];

/// The page of a code.
fn page(code: Code) -> Option<&'static str> {
    let name = code.to_string();
    let digits = name.strip_prefix('F')?;
    PAGES.iter().find(|(number, _)| *number == digits).map(|(_, page)| *page)
}

pub(crate) fn run(context: &Context, code: Option<&str>) -> Outcome {
    let out = &context.out;
    let Some(code) = code else {
        if out.is_json() {
            let all: Vec<_> = Code::ALL
                .iter()
                .map(
                    |(code, title)| serde_json::json!({ "code": code.to_string(), "title": title }),
                )
                .collect();
            out.json(&all.into())?;
            return Ok(Exit::Success);
        }
        let rows: Vec<Vec<Cell>> = Code::ALL
            .iter()
            .map(|(code, title)| vec![Cell::tinted(code.to_string(), Tint::Bold), (*title).into()])
            .collect();
        out.raw(&table(out.paint, &[("", Align::Left); 2], &rows))?;
        return Ok(Exit::Success);
    };
    let known = Code::parse(code.trim());
    let Some((known, text)) = known.and_then(|known| Some((known, page(known)?))) else {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("there is no error code `{code}`"),
            "`flotilla explain` lists all codes",
        ));
    };
    if out.is_json() {
        let title = Code::ALL.iter().find(|(code, _)| *code == known).map(|(_, title)| *title);
        out.json(&serde_json::json!({ "code": known.to_string(), "title": title, "page": text }))?;
    } else {
        out.line(text)?;
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_names_it_and_every_page_a_code() {
        assert_eq!(PAGES.len(), Code::ALL.len());
        for (code, _) in Code::ALL {
            let text = page(*code).unwrap_or_else(|| panic!("{code} has no page"));
            let first = text.lines().next().unwrap_or_default();
            assert!(first.starts_with('#') && first.contains(&code.to_string()), "{code}: {first}");
            assert!(text.lines().count() >= 5, "the page of {code} explains something");
        }
    }
}
