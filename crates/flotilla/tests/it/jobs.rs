//! Jobs, cron jobs and one-off commands.

use crate::kit::System;

#[test]
fn what_needs_a_job_starts_after_it_ended_well() {
    let system = System::new(
        "
jobs:
  seed: { run: echo seeded > DIR/seed.txt }
services:
  web: { run: test -s DIR/seed.txt && exec FIXTURE serve, needs: [seed] }
gateway: { listen: GATEWAY, routes: { /: web } }
",
    );
    system.up();
    let status = system.status();
    assert_eq!((status.state("seed"), status.state("web")), ("completed", "ready"));
    assert_eq!(status.service("seed")["kind"], "job");
    system.flotilla("wait seed --for completed").expect(0);
    assert_eq!(system.get("/").status, 200);
    system.down();
}

#[test]
fn a_job_that_fails_keeps_what_needs_it_from_starting() {
    let system = System::new(
        "
jobs:
  seed: { run: FIXTURE exit 5 no-rows, restart: { backoff: 20ms } }
services:
  web: { run: FIXTURE serve, needs: [seed] }
  other: { run: FIXTURE serve }
",
    );
    system.flotilla("up -d").expect(4).says("[F028]").says("no-rows").says("exit code 5");
    let status = system.until_ready("other", 1);
    assert_eq!(status.state("seed"), "failed");
    assert!(["waiting", "failed"].contains(&status.state("web")), "{}", status.state("web"));
    assert!(status.pids("web").is_empty());
    system.flotilla("wait seed --for completed").expect(4);
    system.down();
}

#[test]
fn a_cron_job_waits_for_its_time_and_can_be_run_by_hand() {
    let system = System::new(
        "
jobs:
  night: { run: echo tick >> DIR/ticks, schedule: \"0 3 * * *\" }
services:
  web: { run: FIXTURE serve }
",
    );
    system.up();
    let status = system.status();
    let night = status.service("night");
    assert_eq!((&night["kind"], &night["state"]), (&"cron".into(), &"scheduled".into()));
    assert!(night["next_run"].is_string() && night["schedule"] == "0 3 * * *", "{night:#}");
    assert!(!system.dir().join("ticks").exists());
    system.flotilla("run night").expect(0);
    system.flotilla("run night").expect(0);
    assert_eq!(std::fs::read_to_string(system.dir().join("ticks")).unwrap(), "tick\ntick\n");
    system.down();
}

#[test]
fn a_one_off_command_has_the_services_environment_and_returns_its_exit_code() {
    let system = System::new(
        "
services:
  users: { run: FIXTURE serve, env: { COLOUR: red }, dir: users }
jobs:
  seed: { run: FIXTURE exit 0 }
",
    );
    system.file("users/here.txt", "content");
    system.up();
    let run = |words: &[&str]| {
        system.finish(system.command(env!("CARGO_BIN_EXE_flotilla")).arg("run").args(words))
    };
    let done = run(&[
        "users",
        "--",
        "sh",
        "-c",
        "echo $COLOUR $FLOTILLA_SERVICE; cat here.txt; echo oops >&2; exit 42",
    ]);
    let done = done.expect(42);
    assert_eq!(done.out, "red users\ncontent\n");
    assert!(done.err.contains("oops"), "{done:?}");
    assert_eq!(
        run(&["users", "-e", "COLOUR=blue", "--", "printenv", "COLOUR"]).expect(0).out,
        "blue\n"
    );
    run(&["users", "--", "sh", "-c", "kill -9 $$"]).expect(137);
    run(&["users", "--", "no-such-program"]).says("no-such-program");
    run(&["nobody", "--", "true"]).expect(2);
    let many = run(&["users", "--", "seq", "1", "5000"]).expect(0);
    assert_eq!(many.out.lines().count(), 5000);
    assert_eq!(many.out.lines().last(), Some("5000"));
    run(&["seed"]).expect(0);
    // The service itself went on.
    assert_eq!(system.status().state("users"), "ready");
    system.down();
}
