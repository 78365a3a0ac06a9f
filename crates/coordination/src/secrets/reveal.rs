//! `${secret:NAME}` in texts. Pure.

use super::Secret;
use crate::error::Error;

const OPEN: &str = "${secret:";

/// Replaces every `${secret:NAME}` by what `find` gives for the name.
pub(super) fn reveal(
    text: &str,
    mut find: impl FnMut(&str) -> Result<Secret, Error>,
) -> Result<Secret, Error> {
    let mut revealed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(Error::Invalid(format!("`{OPEN}` is not closed with `}}`")));
        };
        revealed.push_str(before);
        revealed.push_str(find(name.trim())?.expose());
        rest = behind;
    }
    revealed.push_str(rest);
    Ok(Secret::new(revealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_replaced_and_all_else_stays() {
        let find = |name: &str| Ok(Secret::new(format!("<{name}>")));
        for (text, expected) in [
            ("", ""),
            ("plain $x ${y} $${z}", "plain $x ${y} $${z}"),
            ("postgres://u:${secret:PW}@h/${secret: db/name }", "postgres://u:<PW>@h/<db/name>"),
        ] {
            assert_eq!(reveal(text, find).unwrap().expose(), expected);
        }
        assert!(matches!(reveal("${secret:PW", find), Err(Error::Invalid(_))));
    }

    #[test]
    fn what_is_revealed_is_not_searched_again() {
        let find = |_: &str| Ok(Secret::new("${secret:other}"));
        assert_eq!(reveal("${secret:a}", find).unwrap().expose(), "${secret:other}");
    }
}
