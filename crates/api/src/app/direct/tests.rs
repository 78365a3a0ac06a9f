//! Where requests lead, as a table, and what no path may do.

use super::*;
use crate::{
    app::{Instance, Protocol},
    backend,
};
use async_trait::async_trait;
use base::{InstanceId, ServiceName};
use http::{Request, Version};
use std::sync::Arc;

/// A node with a few services.
struct Node {
    strict: bool,
}

#[async_trait]
impl AppBackend for Node {
    fn instance(&self, _: &InstanceId) -> Option<Arc<Instance>> {
        None
    }

    fn service(&self, name: &str) -> Option<Callee> {
        let protocol = match name {
            "users" | "orders" | "Odd_Name" => Protocol::Http,
            "greeter" => Protocol::Grpc,
            "modern" => Protocol::H2c,
            _ => return None,
        };
        let own = if name == "Odd_Name" { "odd-name" } else { name };
        let app_token = (name == "users").then(|| "app-secret".into());
        let app_id = (own != name).then(|| name.into());
        Some(Callee { name: ServiceName::new(own).unwrap(), app_id, protocol, app_token })
    }

    fn may_call(&self, _: &ServiceName, callee: &ServiceName) -> bool {
        !self.strict || callee.as_str() == "users"
    }

    fn namespace(&self) -> Arc<str> {
        "shop".into()
    }

    fn external(&self, name: &str) -> Option<Arc<str>> {
        (name == "mail").then(|| "https://mail.example/base".into())
    }

    async fn shutdown(&self, _: &InstanceId) -> Result<(), backend::Error> {
        Ok(())
    }
}

fn caller(token: Option<&str>) -> Caller {
    let instance = Instance { token: token.map(Into::into), ..Instance::default() };
    Caller { id: InstanceId::parse("orders/1").unwrap(), instance: Arc::new(instance) }
}

/// Where a request leads, in one line.
fn leads_with(node: &Node, caller: &Caller, line: &str, headers: &[(&str, &str)]) -> String {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
        if value.starts_with("application/grpc") {
            request = request.version(Version::HTTP_2);
        }
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    match direct(node, caller, &Look::at(&parts), 1_000) {
        Direction::Here { body_size_max } => {
            assert_eq!(body_size_max, 1_000);
            "here".to_owned()
        }
        Direction::Service(to) => {
            let path = to.path.unwrap_or_else(|| "as sent".to_owned());
            let h2 = if to.protocol == Upstream::Http2 { " h2" } else { "" };
            format!("{} {path}{h2}", to.service)
        }
        Direction::Refuse(answer) => {
            let status = answer.status().as_u16();
            let text = match answer.headers().get("grpc-status") {
                Some(code) => {
                    let message = answer.headers().get("grpc-message").unwrap();
                    let message = crate::query::unescape(message.to_str().unwrap(), false).unwrap();
                    format!("grpc {} {message}", code.to_str().unwrap())
                }
                None => String::from_utf8(answer.into_body().to_vec()).unwrap(),
            };
            format!("{status} {text}")
        }
    }
}

fn leads(line: &str, headers: &[(&str, &str)]) -> String {
    leads_with(&Node { strict: false }, &caller(None), line, headers)
}

const BASIC: &str = "Basic ZGFwci1hcHAtaWQ6dXNlcnM=";
const NO_APP: &str = "404 {\"errorCode\":\"ERR_DIRECT_INVOKE\",\"message\":\"failed getting app id either \
                      from the URL path or the header dapr-app-id\"}";
const BAD_PATH: &str =
    "400 {\"errorCode\":\"ERR_DIRECT_INVOKE\",\"message\":\"invalid method name\"}";

#[test]
fn a_service_is_invoked_in_three_ways() {
    let by_header = [("dapr-app-id", "users")];
    let by_user = [("authorization", BASIC)];
    for (line, headers, expected) in [
        ("GET /v1.0/invoke/users/method/list", &[][..], "users /list"),
        ("POST /v1.0/invoke/users/method/a/b?x=1&y=/..", &[], "users /a/b?x=1&y=/.."),
        ("GET /v1.0/invoke/users/method/", &[], "users /"),
        ("GET /v1.0/invoke/users/method", &[], "users /"),
        ("GET /v1.0/invoke/users/method/a/", &[], "users /a/"),
        ("GET /v1.0////invoke/users/method//a///b", &[], "users /a/b"),
        ("GET //v1.0/invoke//users/method/a", &[], "users /a"),
        ("GET /v1.0/invoke/users.shop/method/a", &[], "users /a"),
        ("GET /v1.0/invoke/users.default/method/a", &[], "users /a"),
        ("GET /v1.0/invoke/us%65rs/method/a", &[], "users /a"),
        ("GET /v1.0/invoke/Odd_Name/method/a", &[], "odd-name /a"),
        ("GET /v1.0/invoke/modern/method/a", &[], "modern /a h2"),
        ("GET /v1.0/invoke/users/method/a%2Fb%20c", &[], "users /a%2Fb%20c"),
        (
            "GET /v1.0/invoke/users/method/v1.0/invoke/x/method/y",
            &[],
            "users /v1.0/invoke/x/method/y",
        ),
        ("DELETE /any/path?q", &by_header, "users /any/path?q"),
        ("GET /", &by_header, "users /"),
        ("GET /v1/orders", &by_header, "users /v1/orders"),
        ("GET /v1.0/nothing/of/ours", &by_header, "users /v1.0/nothing/of/ours"),
        ("GET /any/path/", &by_user, "users /any/path/"),
        ("GET /v1/orders", &by_user, "users /v1/orders"),
    ] {
        assert_eq!(leads(line, headers), expected, "{line}");
    }
}

#[test]
fn what_is_ours_stays_here() {
    let by_header = [("dapr-app-id", "users")];
    for line in [
        "GET /v1.0/state/store/key",
        "PUT /v1.0/state/store/key",
        "GET /v1.0//metadata/",
        "GET /v1.0/healthz",
        "POST /v1.0-alpha1/lock/store",
        "POST /v1.0-beta1/workflows/dapr/w/start",
    ] {
        assert_eq!(leads(line, &[]), "here", "{line}");
        assert_eq!(leads(line, &by_header), "here", "{line} with a header");
    }
    for line in ["GET /v1/state/store/keys/a", "GET /v1/nothing"] {
        assert_eq!(leads(line, &[]), "here", "{line}");
    }
    // Outside the system, and an app that wants messages: answered here as well.
    for line in [
        "GET /v1.0/invoke/http://example.com/method/a",
        "GET /v1.0/invoke/http:/example.com/method/a",
        "GET /v1.0/invoke/https%3A%2F%2Fexample.com/method/a",
        "GET /v1.0/invoke/mail/method/a",
        "GET /v1.0/invoke/greeter/method/a",
    ] {
        assert_eq!(leads(line, &[]), "here", "{line}");
    }
}

#[test]
fn what_leads_nowhere_is_refused_in_the_words_of_dapr() {
    for line in [
        "GET /",
        "GET /v1.0",
        "GET /v1.0/nothing",
        "GET /v1.0/invoke",
        "GET /v1.0/invoke/users",
        "GET /v1.0/invoke/users/list",
        "GET /v1.0/invoke//method/a",
        "GET /v2/x",
        "GET /v1",
        "GET /v1.0-alpha1/invoke/users/method/a",
        "OPTIONS *",
    ] {
        let line = if line == "OPTIONS *" { "OPTIONS /x" } else { line };
        assert_eq!(leads(line, &[]), NO_APP, "{line}");
    }
    let failed = |app: &str, why: &str| {
        format!(
            "500 {{\"errorCode\":\"ERR_DIRECT_INVOKE\",\"message\":\"failed to invoke, id: {app}, err: {why}\"}}"
        )
    };
    for (app, why) in [
        ("nobody", "couldn't find service: nobody"),
        ("users.other", "couldn't find service: users.other: the namespace of this system is shop"),
        ("users.shop.x", "invalid app id: write `app` or `app.namespace`"),
    ] {
        assert_eq!(leads(&format!("GET /v1.0/invoke/{app}/method/a"), &[]), failed(app, why));
        assert_eq!(leads("GET /a", &[("dapr-app-id", app)]), failed(app, why));
    }
    let strict = Node { strict: true };
    let refused = leads_with(&strict, &caller(None), "GET /a", &[("dapr-app-id", "modern")]);
    assert!(refused.starts_with("403 ") && refused.contains("add it to `needs`"), "{refused}");
}

#[test]
fn no_path_leads_out_of_the_app() {
    for method in [
        "..",
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "%2E%2e",
        ".%2e/x",
        "a/..%2f..%2fx",
        "a%5c..%5cx",
        "..%5cx",
        "a/..;/x",
        "..;x=1/a",
        "%00",
        "a%0d%0ab",
        "%zz",
        "%4",
        "a%",
    ] {
        assert_eq!(
            leads(&format!("GET /v1.0/invoke/users/method/{method}"), &[]),
            BAD_PATH,
            "{method}"
        );
        let by_header = [("dapr-app-id", "users")];
        assert_eq!(leads(&format!("GET /{method}"), &by_header), BAD_PATH, "{method}");
    }
    for (method, expected) in [
        ("a/../b", "users /b"),
        ("a/./b", "users /a/b"),
        ("a/%2e/b", "users /a/b"),
        ("a/b/..", "users /a"),
        ("...", "users /..."),
        ("a..b", "users /a..b"),
        ("%ff%fe", "users /%ff%fe"),
        ("%252e%252e/x", "users /%252e%252e/x"),
    ] {
        assert_eq!(leads(&format!("GET /v1.0/invoke/users/method/{method}"), &[]), expected);
    }
}

#[test]
fn a_grpc_call_leads_to_the_app_it_names() {
    let kind = ("content-type", "application/grpc+proto");
    let own = "POST /dapr.proto.runtime.v1.Dapr/GetState";
    let other = "POST /helloworld.Greeter/SayHello";
    assert_eq!(leads(own, &[kind, ("dapr-app-id", "users")]), "here");
    assert_eq!(leads(other, &[kind, ("dapr-app-id", "users")]), "users as sent h2");
    assert_eq!(leads(other, &[kind, ("dapr-callee-app-id", "greeter.shop")]), "greeter as sent h2");
    assert_eq!(leads(other, &[kind]), "here");
    let nobody = leads(other, &[kind, ("dapr-app-id", "nobody")]);
    assert!(nobody.starts_with("200 grpc 13 failed to invoke, id: nobody"), "{nobody}");
}

#[test]
fn a_token_is_asked_for_everything_but_health() {
    let node = Node { strict: false };
    let caller = caller(Some("secret"));
    let leads = |line, headers: &[(&str, &str)]| leads_with(&node, &caller, line, headers);
    let good = [("dapr-api-token", "secret")];
    for line in [
        "GET /v1.0/metadata",
        "GET /v1.0/state/s/k",
        "GET /v1/state/s/keys/k",
        "GET /v1.0/invoke/users/method/a",
        "GET /v1.0/healthz/other",
    ] {
        assert_eq!(leads(line, &[]), "401 invalid api token", "{line}");
        for bad in ["", "secre", "secret1", "SECRET"] {
            assert_eq!(leads(line, &[("dapr-api-token", bad)]), "401 invalid api token", "{line}");
        }
    }
    assert_eq!(leads("GET /v1.0/metadata", &good), "here");
    assert_eq!(leads("GET /v1.0/invoke/users/method/a", &good), "users /a");
    for line in ["GET /v1.0/healthz", "GET /v1.0/healthz/outbound", "GET //v1.0/healthz/outbound/"]
    {
        assert_eq!(leads(line, &[]), "here", "{line}");
    }
    let kind = ("content-type", "application/grpc");
    let call = leads("POST /dapr.proto.runtime.v1.Dapr/GetState", &[kind]);
    assert_eq!(call, "200 grpc 16 invalid api token");
    // A call that is forwarded is no question for health, whatever its method is called.
    let call = leads("POST /v1.0/healthz", &[kind, ("dapr-app-id", "users")]);
    assert_eq!(call, "200 grpc 16 invalid api token");
}

#[test]
fn an_app_learns_who_calls_from_us_alone() {
    let (parts, ()) = Request::get("/a")
        .header("dapr-app-id", "users")
        .header("dapr-caller-app-id", "admin")
        .header("dapr-api-token", "mine")
        .body(())
        .unwrap()
        .into_parts();
    let node = Node { strict: false };
    let to = |look: &Look<'_>, caller: &Caller| match direct(&node, caller, look, 1) {
        Direction::Service(to) => to,
        other => panic!("{other:?}"),
    };
    let headers = |to: &To| -> Vec<(String, String)> {
        let pair = |(name, value): &(HeaderName, HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        to.set.iter().map(pair).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let with_token = to(&Look::at(&parts), &caller(None));
    assert_eq!(
        headers(&with_token),
        [
            pair("dapr-caller-app-id", "orders"),
            pair("dapr-caller-namespace", "shop"),
            pair("dapr-callee-app-id", "users"),
            pair("dapr-api-token", "app-secret"),
        ]
    );
    assert_eq!(with_token.remove, [APP_ID]);
    let (parts, ()) = Request::get("/v1.0/invoke/modern/method/a").body(()).unwrap().into_parts();
    let without = to(&Look::at(&parts), &caller(None));
    assert_eq!(without.remove, [APP_ID, TOKEN]);
    // Credentials that name the app are not meant for it; others are.
    for (value, is_removed) in [(BASIC, true), ("Bearer abc", false)] {
        let (parts, ()) = Request::get("/a")
            .header("authorization", value)
            .header(if is_removed { "x-none" } else { "dapr-app-id" }, "users")
            .body(())
            .unwrap()
            .into_parts();
        let to = to(&Look::at(&parts), &caller(None));
        assert_eq!(to.remove.contains(&header::AUTHORIZATION), is_removed, "{value}");
    }
}

#[test]
fn what_the_data_plane_refuses_is_said_in_the_words_of_dapr() {
    let users = ServiceName::new("users").unwrap();
    let refused = |status, code, service, is_grpc| Refused {
        status,
        code,
        message: "nobody is there",
        path: "/v1.0/state/s",
        service,
        retry_after_s: Some(2),
        is_grpc,
    };
    let body = |answer: Response<Bytes>| String::from_utf8(answer.into_body().to_vec()).unwrap();
    let answer = refusal(&refused(503, "no_instance", Some(&users), false));
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.headers()["retry-after"], "2");
    assert_eq!(
        body(answer),
        "{\"errorCode\":\"ERR_DIRECT_INVOKE\",\"message\":\"failed to invoke, id: users, err: nobody is there\"}"
    );
    assert_eq!(refusal(&refused(429, "overloaded", Some(&users), false)).status(), 429);
    for (status, code) in [(413, "ERR_BODY_READ"), (400, "ERR_BAD_REQUEST"), (500, "ERR_INTERNAL")]
    {
        let answer = refusal(&refused(status, "x", None, false));
        assert_eq!(answer.status(), status);
        assert!(body(answer).contains(code));
    }
    for (status, number) in
        [(503, "14"), (502, "14"), (504, "4"), (413, "8"), (403, "7"), (500, "2")]
    {
        let answer = refusal(&refused(status, "x", Some(&users), true));
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["grpc-status"]),
            (200, &HeaderValue::from_static(number))
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_request_makes_it_panic(path in "/[!-~]{0,60}", app in "[ -~]{0,20}", basic in "[A-Za-z0-9+/=]{0,30}") {
        let basic = format!("Basic {basic}");
        let line = format!("GET {path}");
        if path.parse::<http::Uri>().is_ok() {
            let _leads = leads(&line, &[]);
            let _leads = leads(&line, &[("dapr-app-id", &app)]);
            let _leads = leads(&line, &[("authorization", &basic)]);
        }
    }
}
