use super::*;
use crate::testing::View;
use std::sync::Arc;

fn ann() -> Identity {
    let claims = serde_json::json!({
        "scope": "items orders",
        "roles": ["clerk"],
        "level": 7,
        "share": 0.25,
        "huge": 18_446_744_073_709_551_615_u64,
        "org": { "id": "acme" },
        "gone": null,
    });
    let serde_json::Value::Object(claims) = claims else { panic!("an object") };
    Identity { subject: Some("ann".to_owned()), claims: Some(Arc::new(claims)) }
}

fn request() -> View {
    View::get("https://Shop.Example:8443/api/orders/7?a=1&b=%C3%BC+x&c")
        .client("10.1.2.3")
        .with("x-tenant", "acme")
        .with("accept", "text/html")
        .with("accept", "*/*")
}

#[test]
fn a_request_is_allowed_when_its_condition_holds() {
    let identity = ann();
    for condition in [
        "claims.scope.contains('orders')",
        "'clerk' in claims.roles",
        "claims.level == 7 && claims.share < 0.5 && claims.huge > 1e18 && claims.gone == null",
        "claims.org.id == request.headers['X-Tenant']",
        "has(claims.org) && !has(claims.admin) && claims.exists(name, name == 'org')",
        "request.method == 'GET' && request.scheme == 'https'",
        "request.host == 'shop.example'",
        "request.path.startsWith('/api/orders/')",
        "request.query.contains('a=1')",
        "request.parameters['a'] == '1' && request.parameters.b == 'ü x' && request.parameters.c == ''",
        "!('d' in request.parameters) && request.parameters.size() == 3",
        "request.headers.accept == 'text/html, */*'",
        "request.headers.size() == 2",
        "request.client.inNetwork('10.0.0.0/8')",
        "subject == 'ann'",
    ] {
        let allow = Allow::new(condition).unwrap();
        assert_eq!(allow.explain(&request(), Some(&identity)), None, "{condition}");
        assert!(allow.check(&request(), Some(&identity)), "{condition}");
        assert_eq!((allow.denied(), allow.failed()), (0, 0));
    }
}

#[test]
fn what_has_no_answer_is_refused_and_counted() {
    let check = |condition: &str, request: &View, expected: &str| {
        let allow = Allow::new(condition).unwrap();
        assert!(!allow.check(request, None), "{condition}");
        assert_eq!(allow.explain(request, None).unwrap_or_default(), expected, "{condition}");
        let is_failed = u64::from(!expected.is_empty());
        assert_eq!((allow.denied(), allow.failed()), (1 - is_failed, is_failed), "{condition}");
    };
    check("subject != ''", &request(), "");
    check("claims.scope.contains('orders')", &request(), "`claims` has no `scope`");
    check("!claims.is_blocked", &request(), "`claims` has no `is_blocked`");
    check("request.headers['x-role'] != 'guest'", &request(), "`request.headers` has no `x-role`");
    check("request.path", &request(), "the result is neither true nor false");
    let twice = request().query("role=user&r%6fle=admin");
    check("request.parameters['role'] != 'admin'", &twice, "a parameter stands there twice");
    check("request.parameters.all(name, name == 'role')", &twice, "a parameter stands there twice");
}

#[test]
fn a_client_behind_an_ipv6_socket_is_where_it_is() {
    let allow =
        Allow::new("request.client.inNetwork('10.0.0.0/8') && request.client == '10.1.2.3'")
            .unwrap();
    assert!(allow.check(&request().client("::ffff:10.1.2.3"), None));
}

#[test]
fn a_host_is_compared_without_its_port() {
    for (host, name) in [
        ("Shop.example", "shop.example"),
        ("shop.example:80", "shop.example"),
        ("shop.example:", "shop.example"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
    ] {
        assert_eq!(host_name(host), name, "{host}");
    }
}

#[test]
fn a_wrong_condition_is_refused_with_its_place() {
    let error = Allow::new("request.method == 'GET' && reqest.path == '/'").unwrap_err();
    assert_eq!(error.message, "there is no `reqest` (do you mean `request`?)");
    assert_eq!(error.offset, 27);
}
