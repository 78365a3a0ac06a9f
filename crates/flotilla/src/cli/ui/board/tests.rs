use super::*;
use crate::cli::sample;
use expect_test::expect;
use wire::ServiceState as S;

const PLAIN: Paint = Paint { on: false };

fn starting() -> wire::Status {
    let mut items = sample::service("items", S::Waiting, 0, 3);
    items.waiting_for = vec!["users".into(), "migrate".into()];
    items.instances.clear();
    let mut orders = sample::service("orders-next", S::Failed, 0, 1);
    orders.problem = Some(sample::problem("orders-next did not become ready within 30s"));
    let users = sample::service("users", S::Starting, 2, 3);
    sample::status(3, wire::Phase::Starting, vec![users, items, orders])
}

fn head() -> Head {
    Head {
        system: "shop".into(),
        file: "flotilla.yaml".into(),
        content: "3 services".into(),
        gateway: Some("http://127.0.0.1:8080".into()),
        dashboard: Some("http://127.0.0.1:8081/?t=3f9c".into()),
        path: Some("/users".into()),
        ..Head::default()
    }
}

#[test]
fn the_board_says_how_far_each_service_is_and_why_not_further() {
    let lines = board(&starting(), &|_| true, PLAIN).join("\n");
    expect![[r#"
        shop
          users        2/3 starting  rust  :41001-41003
          items        0/3 waiting   rust                waiting for users, migrate
          orders-next  0/1 failed    rust  :41001        orders-next did not become ready within 30s"#]]
    .assert_eq(&format!("shop\n{lines}"));
    assert_eq!(board(&starting(), &|name| name == "users", PLAIN).len(), 1);
}

#[test]
fn the_summary_has_addresses_services_and_a_command_to_try() {
    let mut users = sample::service("users", S::Ready, 3, 3);
    users.waited_ms = Some(50);
    let mut items = sample::service("items", S::Ready, 1, 1);
    items.waited_ms = Some(810);
    let ready = sample::status(9, wire::Phase::Ready, vec![users, items]);
    let text = summary(&ready, &head(), Duration::from_millis(3_420), PLAIN, true);
    let text = text.replace(env!("CARGO_PKG_VERSION"), "0");
    expect![[r#"
        flotilla 0  shop  (flotilla.yaml, 3 services)  ready in 3.4 s
          gateway  http://127.0.0.1:8080    dashboard  http://127.0.0.1:8081/?t=3f9c
          users  3/3 ready  rust  :41001-41003
          items  1/1 ready  rust  :41001        waited 0.8 s
          try: curl http://127.0.0.1:8080/users
          keys: l logs  f filter  s status  r restart  d dashboard  ? help  q quit
    "#]]
    .assert_eq(&text);
}

#[test]
fn the_summary_of_a_pipe_is_plain_and_says_when_it_is_not_ready() {
    let mut alone = head();
    alone.gateway = None;
    expect![[r#"
        shop degraded after 2.0 s
        dashboard: http://127.0.0.1:8081/?t=3f9c
    "#]]
    .assert_eq(&plain_summary(
        &sample::status(1, wire::Phase::Degraded, vec![]),
        &alone,
        Duration::from_secs(2),
    ));
}

#[test]
fn the_command_to_try_trusts_what_was_made_here_and_needs_no_token() {
    let of = |gateway: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flotilla.yaml");
        let text = format!("services: {{ a: {{ run: x }} }}\ngateway:\n  routes:\n{gateway}\n");
        std::fs::write(&file, text).unwrap();
        let loaded = manifest::load(&file, &manifest::Options::default()).unwrap();
        path_to_try(&loaded.system.gateway)
    };
    let guarded =
        "    /users: { to: a, auth: { jwt: { secret: a-secret-of-thirty-two-bytes-or-more } } }";
    assert_eq!(of(guarded), None);
    assert_eq!(of(&format!("{guarded}\n    /open: a")).as_deref(), Some("/open"));
    let mut head = head();
    head.gateway = Some("https://localhost:8443".into());
    head.authority = Some("/home/ann lee/root.crt".into());
    assert_eq!(
        head.curl().unwrap(),
        "curl --cacert '/home/ann lee/root.crt' https://localhost:8443/users"
    );
}
