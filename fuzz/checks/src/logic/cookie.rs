//! The sticky cookie.

use logic::sticky::{Choice, SetCookie, Token, choose, value_in};

/// - A value is a part of the field without separators, and naming no instance harms nothing.
/// - A token is read from what it is written as and from nothing else.
/// - A cookie that we set is found whatever other cookies come before it.
pub(crate) fn check(data: &[u8]) {
    if let Some(token) = Token::parse(data) {
        assert_eq!(token.to_string().as_bytes(), data);
        assert_eq!(choose(Some(data), [token].into_iter(), |_| true), Choice::Stay(0));
    }
    match value_in(data, "sticky") {
        Some(value) => {
            assert!(!value.contains(&b';'));
            assert!(value.is_empty() || data.windows(value.len()).any(|part| part == value));
        }
        None => finds_ours(data),
    }
}

fn finds_ours(before: &[u8]) {
    let token = Token::parse(b"0123456789abcdef").expect("it is 16 digits");
    let ours = SetCookie { name: "sticky", token, is_secure: true, max_age: None }.to_string();
    let pair = ours.split(';').next().unwrap_or_default();
    let field = [before, b"; ", pair.as_bytes()].concat();
    assert_eq!(value_in(&field, "sticky").and_then(Token::parse), Some(token));
}
