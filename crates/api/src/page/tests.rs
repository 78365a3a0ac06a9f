use super::*;
use http_body_util::BodyExt;

const SITE: &[File] = &[
    File { path: "/index.html", tag: "aa", plain: b"<title>", packed: None },
    File { path: "/assets/x-1.js", tag: "bb", plain: b"plain", packed: Some(b"packed") },
];

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (name.parse::<header::HeaderName>().unwrap(), HeaderValue::from_static(value))
        })
        .collect()
}

async fn body(answer: Answer) -> Vec<u8> {
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn a_file_is_sent_packed_to_those_who_take_it() {
    let check = async |takes: &'static str, expected: &str| {
        let answer = find_in(SITE, "/assets/x-1.js", &headers(&[("accept-encoding", takes)]));
        let answer = answer.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        let encoding = answer.headers().get("content-encoding").cloned();
        assert_eq!(encoding.is_some(), expected == "packed", "{takes}");
        assert_eq!(tag, if expected == "packed" { "\"bb-gz\"" } else { "\"bb\"" }, "{takes}");
        assert_eq!(body(answer).await, expected.as_bytes(), "{takes}");
    };
    check("gzip, deflate, br", "packed").await;
    check("br, GZIP;q=0.5", "packed").await;
    check("gzip;q=0", "plain").await;
    check("identity", "plain").await;
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let check = async |known: &'static str, status: u16| {
        let answer = find_in(SITE, "/", &headers(&[("if-none-match", known)])).unwrap();
        assert_eq!(answer.status(), status, "{known}");
        assert_eq!(body(answer).await.is_empty(), status == 304, "{known}");
    };
    check("\"aa\"", 304).await;
    check("\"zz\", W/\"aa\"", 304).await;
    check("*", 304).await;
    check("\"bb\"", 200).await;
}

#[test]
fn only_names_with_a_hash_are_kept_for_long_and_nothing_foreign_may_run() {
    let none = HeaderMap::new();
    let first = find_in(SITE, "/", &none).unwrap();
    assert_eq!(first.headers()["cache-control"], ASK_AGAIN);
    assert_eq!(first.headers()["content-type"], "text/html; charset=utf-8");
    let script = find_in(SITE, "/assets/x-1.js", &none).unwrap();
    assert_eq!(script.headers()["cache-control"], FOR_EVER);
    for answer in [first, script] {
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
}

#[test]
fn paths_that_are_not_in_the_table_are_nobody_s() {
    for path in ["/assets/", "/assets/../index.html", "/index.html/", "//index.html", "/v1/status"]
    {
        assert!(find_in(SITE, path, &HeaderMap::new()).is_none(), "{path}");
    }
}

#[tokio::test]
async fn where_the_dashboard_was_not_built_the_page_says_how_to_get_it() {
    let page = find_in(PLAIN, "/", &HeaderMap::new()).unwrap();
    assert!(page.headers().get("etag").is_none());
    let text = String::from_utf8(body(page).await).unwrap();
    assert!(text.contains("npm ci") && text.contains("/page.js"), "{text}");
}
