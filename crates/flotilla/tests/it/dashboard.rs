//! The dashboard in a real browser, against a real system with traffic and trouble in it. What it does there is in `web/e2e`.

use crate::kit::{System, alone, end_of, kill_child, repository, skip};
use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    process::Command,
    time::Duration,
};

/// A case waits for states with deadlines of a minute each; it takes this long only when it hangs.
const CASE_TIME_MAX: Duration = Duration::from_secs(900);

const SHOP: &str = r#"
services:
  users: { run: node service.mjs, dir: ., instances: 2 }
  items: { run: node service.mjs, dir: ., subscribes: { order.created: POST /fragile } }
  orders: { run: node service.mjs, dir: ., needs: [users, items] }
  noisy: { run: node service.mjs, dir: . }
  broken: { run: "sh -c 'echo cannot open the database; exit 3'", dir: . }
topics:
  order.created: { retry: { max: 1, backoff: 100ms..200ms }, dead_letter: true }
  order.done: {}
transactions:
  checkout:
    steps:
      - { id: reserve, call: POST items/reserve, undo: POST items/release }
      - { id: charge, after: [reserve], call: POST users/charge, undo: POST users/refund }
      - { publish: order.done }
  doomed:
    steps:
      - { id: reserve, call: POST items/reserve, undo: POST items/release }
      - { id: charge, call: POST users/refuse, undo: POST users/refund }
  stuck:
    retry: { base: 100ms, max: 1s, attempts: 2, then: attention }
    steps:
      - { id: reserve, call: POST users/reserve, undo: POST users/release }
      - { id: charge, call: POST users/fragile, undo: POST users/refund }
schedules:
  nightly: { cron: "0 3 * * *", publish: order.done }
gateway: { listen: GATEWAY, routes: { /users: users, /items: items, /orders: orders, /: noisy } }
"#;

/// What a case needs besides Flotilla, or what of it is missing.
fn browser() -> Result<PathBuf, &'static str> {
    let web = repository().join("web");
    if !web.join("dist/site/index.html").is_file() {
        return Err("the dashboard was not built: `npm ci` and `npm run build` in web/");
    }
    if !web.join("node_modules/playwright-core").is_dir() {
        return Err("its packages are missing: `npm ci` in web/");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("chromium"));
    found.into_iter().find(|file| file.is_file()).ok_or("chromium is not installed")
}

/// Runs one case of `web/e2e` on a system of its own.
#[track_caller]
fn case(name: &str) {
    let chromium = match browser() {
        Ok(chromium) => chromium,
        Err(reason) => return skip(&format!("dashboard/{name}"), reason),
    };
    // A browser and a flood of log lines are more than a busy machine has left.
    let _alone = alone();
    let web = repository().join("web");
    let system = System::new(SHOP);
    system.file("service.mjs", &fs::read_to_string(web.join("e2e/service.mjs")).unwrap());
    // One of its services is broken, so it is not ready as a whole.
    system.flotilla("up -d").expect(4);
    for service in ["users", "items", "orders", "noisy"] {
        system.until(service, |status| status.state(service) == "ready");
    }
    let token = fs::read_to_string(system.dir().join(".flotilla/token")).unwrap();
    let output = system.dir().join("browser.log");
    let log = File::create(&output).unwrap();
    let mut child = Command::new("node")
        .args(["e2e/run.mjs", name])
        .current_dir(&web)
        .env("DASHBOARD_URL", format!("http://{}/?t={}", system.admin, token.trim()))
        .env("GATEWAY_URL", format!("http://{}", system.gateway))
        .env("CHROMIUM", chromium)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let code = end_of(&mut child, CASE_TIME_MAX);
    if code.is_none() {
        kill_child(&mut child);
    }
    assert_eq!(code, Some(0), "{name}:\n{}", fs::read_to_string(output).unwrap());
    system.down();
}

#[test]
fn every_page_opens_in_both_themes_and_everyone_can_use_it() {
    case("pages");
}

#[test]
fn actions_ask_show_their_command_line_and_do_what_they_say() {
    case("actions");
}

#[test]
fn the_log_page_stays_alive_in_a_flood_and_shows_hostile_lines_as_text() {
    case("logs");
}

#[test]
fn everything_can_be_reached_with_the_keyboard() {
    case("keys");
}
