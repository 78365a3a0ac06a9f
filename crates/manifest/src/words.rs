//! A command line as words, by the shell's rules for quotes and backslashes.

/// Splits at blanks outside of quotes. A quote that is not closed goes to the end.
pub(crate) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars().peekable();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, ' ' | '\t' | '\n' | '\r') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), letter) if open == letter => quote = None,
            (None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some('"'), '\\') if matches!(letters.peek(), Some('"' | '\\' | '$' | '`')) => {
                word.get_or_insert_default().extend(letters.next());
            }
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_as_the_shell_does() {
        assert_eq!(split("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(
            split(r#"sh -c "echo 'x y' \"z\" \n" '' a\ b"#),
            ["sh", "-c", r#"echo 'x y' "z" \n"#, "", "a b"]
        );
        assert_eq!(split("a'b'\"c\""), ["abc"]);
        assert_eq!(split("'open"), ["open"]);
        assert!(split("  ").is_empty());
    }
}
