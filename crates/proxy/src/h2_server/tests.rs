//! What is refused of a request before anything is done with it.

use super::*;
use crate::config::FIELDS_MAX;

/// What becomes of a request with these fields; the status it is refused with otherwise.
fn taken(uri: &str, method: &str, list: &[(&str, &str)]) -> Result<String, u16> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in list {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let mut scratch = Scratch::default();
    let mut take = || {
        let (host, path) = (host(&parts)?, path(&parts)?);
        scratch.request.begin(method, path, host);
        fields(&parts.headers, &mut scratch, FIELDS_MAX)?;
        Ok(format!("{host} {path}"))
    };
    take().map_err(|bad: Bad| bad.status)
}

#[test]
fn host_and_authority_must_agree_and_be_a_host() {
    let get = |uri, list| taken(uri, "GET", list);
    assert_eq!(get("http://s:80/x?y", &[("host", "S:80")]), Ok("s:80 /x?y".to_owned()));
    assert_eq!(get("/x", &[("host", "s")]), Ok("s /x".to_owned()));
    assert_eq!(get("/x", &[]), Err(400));
    assert_eq!(get("http://s/", &[("host", "evil")]), Err(400));
    assert_eq!(get("http://s/", &[("host", "s"), ("host", "s")]), Err(400));
    assert_eq!(get("http://user@s/", &[]), Err(400));
    assert_eq!(get("http://s;x/", &[]), Err(400));
}

#[test]
fn only_options_asks_for_the_whole_server() {
    assert_eq!(taken("*", "OPTIONS", &[("host", "s")]), Ok("s *".to_owned()));
    assert_eq!(taken("*", "GET", &[("host", "s")]), Err(400));
}

#[test]
fn values_have_no_white_space_around_them() {
    let with = |value| taken("http://s/", "GET", &[("x-a", value)]);
    assert!(with("a b\tc").is_ok() && with("").is_ok());
    for bad in [" a", "a ", "\ta", "a\t", " "] {
        assert_eq!(with(bad), Err(400), "{bad:?}");
    }
}

#[test]
fn a_head_has_the_limits_it_has_in_http1() {
    let many = vec![("x-a", "1"); FIELDS_MAX];
    assert!(taken("http://s/", "GET", &many).is_ok());
    assert_eq!(taken("http://s/", "GET", &[&many[..], &[("x-b", "1")]].concat()), Err(431));
    let long = "x".repeat(LINE_SIZE_MAX);
    assert_eq!(taken("http://s/", "GET", &[("x-a", &long)]), Err(431));
    assert_eq!(taken(&format!("http://s/{long}"), "GET", &[]), Err(414));
}
