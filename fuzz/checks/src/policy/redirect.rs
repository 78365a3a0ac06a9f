//! Redirects, rewrites' sibling: what a client wrote goes into a field of the answer.

use policy::redirect::{Config, Redirect, To};

use super::view::View;
use crate::three;

/// The first line is a template, the second a host, the third a target. Whatever the client writes, the
/// answer's `Location` is one line of visible ASCII, and a template that begins with a fixed origin leads
/// nowhere else.
pub(crate) fn check(data: &[u8]) {
    let Some((template, host, target)) = three(data) else { return };
    let texts = (str::from_utf8(template), str::from_utf8(host), str::from_utf8(target));
    let (Ok(template), Ok(host), Ok(target)) = texts else { return };
    let Some(view) = View::new(host, target) else { return };
    for (template, start) in FIXED {
        let Some(location) = location(template, &view) else { continue };
        let rest = location.strip_prefix(start).expect("the beginning of a template stays");
        assert!(rest.is_empty() || rest.starts_with(['/', '?']), "{location:?}");
    }
    location(template, &view);
}

/// Templates, and what every answer of theirs begins with.
const FIXED: [(&str, &str); 3] = [
    ("https://shop.example/{path}", "https://shop.example"),
    ("https://shop.example{rest}?{query}", "https://shop.example"),
    ("/new{rest}", "/new"),
];

fn location(template: &str, view: &View<'_>) -> Option<String> {
    let to = To::Template(template.to_owned());
    let redirect = Redirect::new(Config { to, status: 302, prefix: "/".to_owned() }).ok()?;
    let reply = redirect.apply(view)?;
    assert!(matches!(reply.status, 302 | 400));
    let (name, value) = reply.headers.first()?;
    assert!(name == "location" && reply.headers.len() == 1);
    assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{value:?}");
    Some(value.to_string())
}
