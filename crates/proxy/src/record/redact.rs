//! Secrets in query strings, taken out before anybody sees them.
//!
//! Some clients put credentials into the address because they cannot set headers (browsers that open a
//! WebSocket, signed links, OAuth redirects). What is listed here never reaches a log or a screen.

use std::borrow::Cow;

/// What stands in the place of a secret.
pub const REDACTED: &str = "REDACTED";

/// Names of parameters whose values are secrets, in lowercase without `-`, `_` and `.`; compared after
/// undoing percent escapes.
const SECRETS: &[&str] = &[
    "accesstoken",
    "apikey",
    "assertion",
    "auth",
    "authorization",
    "clientsecret",
    "code",
    "credential",
    "credentials",
    "idtoken",
    "jwt",
    "key",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "session",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "token",
    "xamzcredential",
    "xamzsecuritytoken",
    "xamzsignature",
    "xapikey",
    "xgoogcredential",
    "xgoogsignature",
];

/// Endings of names that say the same for names of one's own: `reset_token`, `webhook-secret`.
const ENDINGS: &[&str] = &["token", "secret", "password", "apikey", "signature"];

/// Replaces the values of secret parameters in a query string (without `?`).
#[must_use]
pub fn redact(query: &str) -> Cow<'_, str> {
    let is_open = |pair: &str| {
        pair.split_once('=').is_none_or(|(name, value)| value.is_empty() || !is_secret(name))
    };
    if query.split(['&', ';']).all(is_open) {
        return Cow::Borrowed(query);
    }
    let mut out = String::with_capacity(query.len());
    for piece in query.split_inclusive(['&', ';']) {
        let pair = piece.trim_end_matches(['&', ';']);
        match pair.split_once('=') {
            Some((name, _)) if !is_open(pair) => {
                out.push_str(name);
                out.push('=');
                out.push_str(REDACTED);
                // The separator, when it is not the last one.
                out.extend(piece.chars().skip(pair.chars().count()));
            }
            _ => out.push_str(piece),
        }
    }
    Cow::Owned(out)
}

/// Replaces secrets in the query and in the fragment of an address, and the password before its host.
#[must_use]
pub fn redact_url(url: &str) -> Cow<'_, str> {
    let (rest, fragment) = match url.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (url, None),
    };
    let (base, query) = match rest.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (rest, None),
    };
    let clean_base = without_user(base);
    let clean_query = query.map(redact);
    let clean_fragment = fragment.map(redact);
    let is_same = |clean: &Option<Cow<'_, str>>| !matches!(clean, Some(Cow::Owned(_)));
    if matches!(clean_base, Cow::Borrowed(_)) && is_same(&clean_query) && is_same(&clean_fragment) {
        return Cow::Borrowed(url);
    }
    let mut out = clean_base.into_owned();
    for (mark, part) in [('?', clean_query), ('#', clean_fragment)] {
        if let Some(part) = part {
            out.push(mark);
            out.push_str(&part);
        }
    }
    Cow::Owned(out)
}

/// `https://user:password@host/…` without what stands before the `@`.
fn without_user(base: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = base.split_once("://") else { return Cow::Borrowed(base) };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}://{REDACTED}@{host}{path}")),
        None => Cow::Borrowed(base),
    }
}

fn is_secret(name: &str) -> bool {
    let plain = plain(name);
    SECRETS.binary_search(&&*plain).is_ok() || ENDINGS.iter().any(|end| plain.ends_with(end))
}

/// A name in lowercase, without separators and escapes. An array's `token[]` is a `token`.
fn plain(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' { unescaped(&mut bytes) } else { byte };
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    out
}

/// The byte of an escape; what is broken stands for nothing.
fn unescaped(bytes: &mut std::str::Bytes<'_>) -> u8 {
    let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
    let value = digit().and_then(|high| Some(high * 16 + digit()?));
    value.and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, shown: &str) {
        assert_eq!(redact(query), shown, "{query}");
    }

    #[test]
    fn values_of_secret_parameters_are_replaced_and_everything_else_stays() {
        assert!(SECRETS.is_sorted());
        check("", "");
        check("a=1&b=two", "a=1&b=two");
        check("token=abc", "token=REDACTED");
        check("a=1&access_token=abc&b=2", "a=1&access_token=REDACTED&b=2");
        check("Access-Token=x;page=2", "Access-Token=REDACTED;page=2");
        check("%74oken=abc&x", "%74oken=REDACTED&x");
        check("user.password=p%26q&a", "user.password=REDACTED&a");
        check("key=a=b&key=&key", "key=REDACTED&key=&key");
        check("token[]=a&token[]=b&", "token[]=REDACTED&token[]=REDACTED&");
        check("reset_token=a&tokens=3&monkey=1", "reset_token=REDACTED&tokens=3&monkey=1");
        check("X-Amz-Signature=ff&X-Amz-Date=1", "X-Amz-Signature=REDACTED&X-Amz-Date=1");
        check("&&=x&%=1&%zz=2", "&&=x&%=1&%zz=2");
    }

    #[test]
    fn an_address_loses_its_password_and_the_secrets_of_its_query_and_fragment() {
        for (url, shown) in [
            ("https://a.example/x?q=1", "https://a.example/x?q=1"),
            ("https://u:p@a.example/x", "https://REDACTED@a.example/x"),
            ("https://a.example/x?token=1#s", "https://a.example/x?token=REDACTED#s"),
            (
                "https://a.example/cb#access_token=1&b=2",
                "https://a.example/cb#access_token=REDACTED&b=2",
            ),
            ("/x@y?a", "/x@y?a"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }

    #[test]
    fn no_text_breaks_it() {
        for text in ["%", "%f", "=%=", "é=ü&token=é", "#?#?", "://@/?", "a?b?token=c"] {
            assert!(redact(text).len() <= text.len() + REDACTED.len());
            assert!(redact_url(text).len() <= text.len() + REDACTED.len());
        }
    }
}
