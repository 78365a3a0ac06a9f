use super::*;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

fn read(value: &Value) -> Event {
    from_json(value.to_string().as_bytes()).unwrap()
}

fn written(event: &Event) -> Value {
    serde_json::from_slice(&Structured(event).to_bytes()).unwrap()
}

fn full() -> Value {
    json!({
        "specversion": "1.0", "id": "7", "source": "orders", "type": "order.created",
        "subject": "order/7", "time": "2026-01-02T03:04:05Z", "datacontenttype": "application/json",
        "dataschema": "https://shop.example/order", "traceparent": "00-aa-bb-01",
        "data": { "orderId": 1 },
    })
}

#[test]
fn an_event_in_json_comes_out_as_it_went_in() {
    let event = complete(read(&full())).unwrap();
    assert_eq!((event.id.as_str(), event.data.as_ref()), ("7", &br#"{"orderId":1}"#[..]));
    assert_eq!(event.extensions["traceparent"], "00-aa-bb-01");
    assert_eq!(written(&event), full());
}

#[test]
fn numbers_of_the_data_keep_all_their_digits() {
    let text = br#"{"specversion":"1.0","id":"1","source":"a","type":"t","data":{"n":12345678901234567890123.10}}"#;
    let event = from_json(text).unwrap();
    assert_eq!(&*event.data, br#"{"n":12345678901234567890123.10}"#);
    let out = String::from_utf8(Structured(&event).to_bytes().to_vec()).unwrap();
    assert!(out.ends_with(r#""data":{"n":12345678901234567890123.10}}"#), "{out}");
}

#[test]
fn data_is_json_text_or_base_64_as_its_type_says() {
    #[track_caller]
    fn check(kind: Option<&str>, data: &'static [u8], member: &str, expected: Value) {
        let mut event = read(&full());
        event.content_type = kind.map(str::to_owned);
        event.data = Bytes::from_static(data);
        let out = written(&event);
        assert_eq!(out.get(member), Some(&expected), "{out}");
        assert_eq!(from_json(out.to_string().as_bytes()).unwrap().data, event.data);
    }
    check(Some("application/json; charset=utf-8"), b"[1,\"a\"]", "data", json!([1, "a"]));
    check(Some("application/vnd.shop+json"), b"\"text\"", "data", json!("text"));
    check(Some("text/plain"), b"{1}", "data", json!("{1}"));
    check(Some("text/plain"), b"", "data", json!(""));
    check(Some("text/plain"), b"\xff", "data_base64", json!("/w=="));
    check(Some("application/octet-stream"), b"abc", "data_base64", json!("YWJj"));
    check(None, b"{\"a\":1}", "data", json!({ "a": 1 }));
    let nothing = Event { data: Bytes::new(), ..read(&full()) };
    assert!(written(&nothing).get("data").is_none());
}

#[test]
fn attributes_of_other_kinds_become_text_and_null_is_nothing() {
    let event = read(&json!({ "id": "1", "level": 5, "urgent": true, "gone": null, "data": null }));
    let named = |name: &str| event.extensions.get(name).map(String::as_str);
    assert_eq!((named("level"), named("urgent"), named("gone")), (Some("5"), Some("true"), None));
    assert!(event.data.is_empty());
}

#[test]
fn what_is_no_event_says_why() {
    #[track_caller]
    fn check(bytes: &str, expected: &str) {
        let told = from_json(bytes.as_bytes()).and_then(complete).unwrap_err().0;
        assert!(told.contains(expected), "{told}");
    }
    check("[]", "no JSON object");
    check("{", "no JSON object");
    check(r#"{"specversion":"0.3"}"#, "CloudEvents \"0.3\"");
    check(r#"{"data":1,"data_base64":"eA=="}"#, "only one of them");
    check(r#"{"data_base64":"?"}"#, "`data_base64` cannot be read");
    check(r#"{"data_base64":{}}"#, "`data_base64` is no text");
    check(r#"{"id":{}}"#, "`id` is an object");
    check(r#"{"specversion":"1.0","id":"1","source":"a"}"#, "no `type`");
    check(r#"{"id":"1","source":"a","type":"t","Upper":"x"}"#, "\"Upper\" is no name");
    let told = from_batch(br#"[{"id":"1"},{"id":[]}]"#).unwrap_err().0;
    assert!(told.starts_with("event 1 of the batch"), "{told}");
}

#[test]
fn an_event_in_fields_comes_out_as_it_went_in_whatever_is_in_its_texts() {
    let mut event = read(&full());
    event.subject = Some("grüße \"100%\"".to_owned());
    let headers = fields(&event);
    assert!(is_binary(&headers));
    assert_eq!(headers["ce-subject"], "gr%C3%BC%C3%9Fe%20%22100%25%22");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(from_fields(&headers, event.data.clone()).unwrap(), event);
}

#[test]
fn fields_that_are_no_text_are_refused_and_a_lone_percent_sign_stands_for_itself() {
    let mut headers = HeaderMap::new();
    headers.insert("ce-id", HeaderValue::from_static("100%"));
    assert_eq!(from_fields(&headers, Bytes::new()).unwrap().id, "100%");
    headers.insert("ce-id", HeaderValue::from_static("%ff"));
    assert!(from_fields(&headers, Bytes::new()).unwrap_err().0.contains("`ce-id`"));
}

#[test]
fn an_expiration_counts_and_is_written() {
    let event = read(&json!({ "id": "1", "expiration": "2026-01-02T03:04:05Z" }));
    assert!(event.expires.is_some());
    let mut other = read(&full());
    expire(&mut other, event.expires.unwrap());
    assert_eq!(written(&other)["expiration"], "2026-01-02T03:04:05.000Z");
}

#[test]
fn ids_are_uuids_and_differ() {
    let (one, other) = (new_id(), new_id());
    assert_ne!(one, other);
    assert_eq!((one.len(), one.get(14..15)), (36, Some("4")));
}
