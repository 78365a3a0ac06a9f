//! Values as the command line prints them.

use super::{api_of, verbs::with_input};
use crate::kit::{System, http::Request};

#[test]
fn values_are_printed_without_loss() {
    let system = System::new("services: { web: { run: FIXTURE serve, health: /ready } }");
    system.up();
    let set = |key: &str, value: &str| {
        with_input(&system, &["state", "set", key, "-", "--service", "web"], value).expect(0);
    };
    let get = |key: &str| system.flotilla(&format!("state get {key} --service web")).expect(0).out;
    let json = |key: &str| {
        system.flotilla(&format!("state get {key} --service web -o json")).expect(0).out
    };
    // Deeper than parsers go, and a number that none of them can hold.
    let deep = format!("{}123456789012345678901234567890{}", "[".repeat(1_000), "]".repeat(1_000));
    set("deep", &deep);
    assert_eq!(get("deep"), deep);
    assert!(json("deep").contains(&format!(r#""value":{deep},"#)), "{}", json("deep"));
    let wide = "{\n  \"a b\": 1\n}";
    set("wide", wide);
    assert_eq!(get("wide"), wide);
    assert!(json("wide").contains(r#""value":{"a b":1},"#), "{}", json("wide"));
    let listed = system.flotilla("state ls --service web -o json").expect(0).out;
    assert_eq!(listed.lines().count(), 2, "one a line: {listed}");
    // A pipe gets the bytes, whatever they are.
    let put = Request {
        method: "PUT",
        body: vec![0, 0xff, 0x1b, b'\n'],
        ..Request::get("/v1/state/statestore/keys/binary")
    };
    let put = put.header("Content-Type", "application/octet-stream").send(api_of(&system, "web"));
    assert_eq!(put.unwrap().status, 200);
    assert_eq!(get("binary"), String::from_utf8_lossy(&[0, 0xff, 0x1b, b'\n']));
    assert!(json("binary").contains(r#""base64":"AP8bCg==""#), "{}", json("binary"));
    system.down();
}
