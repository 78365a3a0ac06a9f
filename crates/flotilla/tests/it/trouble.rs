//! Services that misbehave, each in its own way, and what is said of it.

use crate::kit::{System, alone, http, processes, wait::eventually};
use std::time::{Duration, Instant};

/// Each start of `bad` must fail with this exit code, and say all of `words`.
fn check(service: &str, words: &[&str]) -> System {
    let yaml = format!(
        "
services:
  bad: {{ {service} }}
  good: {{ run: FIXTURE serve }}
gateway: {{ listen: GATEWAY, routes: {{ /: good }} }}
"
    );
    let system = System::new(&yaml);
    let mut done = system.flotilla("up -d --wait-timeout 30s").expect(4);
    for word in words {
        done = done.says(word);
    }
    // The others are not concerned.
    system.until_ready("good", 1);
    assert_eq!(system.get("/").status, 200);
    system
}

#[test]
fn a_service_that_never_becomes_ready_is_named_with_what_it_answers() {
    let service = "run: FIXTURE never-ready, health: { ready: /ready, start_timeout: 1s }";
    check(service, &["[F012]", "bad did not become ready", "503", "flotilla.yaml:3", "help"])
        .down();
}

#[test]
fn a_service_that_listens_nowhere_is_told_about_its_port() {
    let service = "run: FIXTURE idle, health: { start_timeout: 4s }";
    check(service, &["[F012]", "listens on no port", "$PORT", "listen: false"]).down();
}

#[test]
fn a_service_on_another_port_is_told_which() {
    let service = "run: FIXTURE wrong-port, health: { start_timeout: 4s }";
    check(service, &["[F015]", "bad listens on port", "was given PORT="]).down();
}

#[test]
fn a_service_that_ends_at_once_is_shown_with_its_last_words() {
    check(
        "run: FIXTURE exit 3 no-database-here",
        &["exit code 3", "no-database-here", "flotilla.yaml:3"],
    )
    .down();
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    check("run: no-such-program --port 1", &["no-such-program", "not found"]).down();
    check("run: [no-such-program]", &["[F017]", "the program `no-such-program` was not found"])
        .down();
    check("run: [./plain]", &["[F017]", "./plain"]).down();
}

#[test]
fn a_service_that_crashes_again_and_again_is_in_a_crash_loop() {
    let system = System::new(
        "
services:
  bad: { run: FIXTURE crash-after 100, restart: { backoff: 50ms } }
",
    );
    system.flotilla("up -d --wait-timeout 2s");
    let status = system.until("the crash loop", |status| {
        status.problem("bad") == "F014"
            && status.instances("bad").iter().any(|it| it["state"] == "crash_loop")
    });
    let problem = status.service("bad")["problem"]["rendered"].as_str().unwrap();
    for word in ["exit code 7", "that was it", "times in a row"] {
        assert!(problem.contains(word), "{word} in {problem}");
    }
    // For the moment between its start and its crash it is ready, and a look at that moment is satisfied.
    let given_up = eventually("waiting is given up", || {
        let done = system.flotilla("wait --timeout 10s");
        (done.code != 0).then_some(done)
    });
    given_up.expect(4).says("[F014]");
    system.down();
}

#[test]
fn a_service_that_forks_away_is_told_to_stay_and_nothing_of_it_stays() {
    let system = check("run: FIXTURE fork-away", &["[F019]", "foreground"]);
    system.down();
}

#[test]
fn a_service_that_ignores_the_signal_is_killed_after_its_grace() {
    let system =
        System::new("services:\n  deaf: { run: FIXTURE ignore-term, stop: { grace: 500ms } }\n");
    system.up();
    let done = system.flotilla("down").expect(0);
    assert!(format!("{}{}", done.out, done.err).contains("F020"), "{done:?}");
    system.assert_nothing_left();
}

#[test]
fn what_runs_behind_a_shell_line_gets_its_time_to_end() {
    let system = System::new(
        "
services:
  worker: { run: true && sh worker.sh; echo after, listen: false }
  other: { run: sh worker.sh, listen: false }
",
    );
    let script = "trap 'sleep 0.4; echo done >> goodbye; exit 0' TERM
echo begun >> begun
while :; do sleep 0.05; done
";
    system.file("worker.sh", script);
    system.up();
    let lines = |name: &str| {
        let text = std::fs::read_to_string(system.dir().join(name)).unwrap_or_default();
        text.lines().count()
    };
    eventually("both to have set their traps", || (lines("begun") == 2).then_some(()));
    system.down();
    assert_eq!(lines("goodbye"), 2, "both ended by themselves");
}

#[test]
fn down_waits_only_as_long_as_it_is_told() {
    let system = System::new(
        "services:\n  deaf: { run: true && FIXTURE ignore-term, stop: { grace: 10m } }\n",
    );
    system.up();
    system.flotilla("down --timeout 500ms").expect(0).says("killing what is left");
    system.assert_nothing_left();
}

#[test]
fn a_build_that_fails_is_shown_with_its_output_and_can_be_skipped() {
    let system = System::new(
        "
services:
  web: { build: \"echo compiler-says-no >&2; exit 4\", run: FIXTURE serve }
",
    );
    let done = system.flotilla("up -d").expect(4);
    done.says("[F018]").says("compiler-says-no").says("exit code 4");
    assert_eq!(system.status().state("web"), "failed");
    system.down();
    system.flotilla("up -d --no-build").expect(0);
    system.down();
}

#[test]
fn a_memory_limit_is_kept_or_it_is_said_that_it_is_not() {
    let system = System::new(
        "
services:
  bad: { run: FIXTURE hungry 400, limits: { memory: 64Mi } }
  good: { run: FIXTURE serve }
",
    );
    let done = system.flotilla("up -d --wait-timeout 20s");
    if done.code == 0 {
        let notes = system.api("GET", "/v1/system", None).json()["notes"].to_string();
        assert!(notes.contains("F026"), "neither kept nor said: {done:?} {notes}");
    } else {
        done.expect(4).says("memory");
    }
    system.until_ready("good", 1);
    system.down();
}

#[test]
fn a_stop_takes_children_and_grandchildren_along() {
    let system = System::new("services:\n  family: { run: FIXTURE child-tree }\n");
    system.up();
    let count = system.processes().len();
    assert!(count >= 6, "{:?}", system.processes());
    system.flotilla("restart family --wait").expect(0);
    eventually("the old ones to be gone", || (system.processes().len() <= count).then_some(()));
    system.down();
}

#[test]
fn a_service_that_floods_its_log_stalls_nobody_and_no_line_is_lost() {
    const LINES: usize = 300_000;
    let _alone = alone();
    let yaml = format!(
        "
services:
  flood: {{ run: FIXTURE flood {LINES} }}
  web: {{ run: FIXTURE serve }}
gateway: {{ listen: GATEWAY, routes: {{ /: web }} }}
"
    );
    let system = System::new(&yaml);
    system.up();
    let node = system.node();
    let (mut memory, mut slowest) = (0, Duration::ZERO);
    eventually("the last line", || {
        let asked = Instant::now();
        assert_eq!(system.get("/").status, 200);
        slowest = slowest.max(asked.elapsed());
        memory = memory.max(processes::memory(node).unwrap_or(0));
        let lines = system
            .api("GET", &format!("/v1/logs?service=flood&grep=line%20{LINES}%20of"), None)
            .json();
        (!lines["lines"].as_array().unwrap().is_empty()).then_some(())
    });
    eprintln!("{} MB at most, slowest answer {} ms", memory / 1_000_000, slowest.as_millis());
    assert!(memory < 100_000_000, "the node grew to {memory} bytes");
    assert!(slowest < Duration::from_secs(5), "an answer took {slowest:?}");
    let mut expected = 1;
    for line in system.logs("flood").iter().filter(|line| line.starts_with("line ")) {
        assert_eq!(*line, format!("line {expected} of {LINES}"));
        expected += 1;
    }
    assert_eq!(expected - 1, LINES);
    system.down();
}

#[test]
fn a_service_that_crashes_in_the_middle_of_a_request_costs_only_that_request() {
    let system = System::new(
        "
services:
  web: { run: FIXTURE serve, instances: 2, restart: { backoff: 50ms } }
gateway: { listen: GATEWAY, routes: { /: web } }
",
    );
    system.up();
    // A POST that may have been processed is not tried again.
    let crash = http::Request { method: "POST", ..http::Request::get("/crash") };
    assert_eq!(crash.send(system.gateway).unwrap().status, 502);
    for _ in 0..20 {
        assert_eq!(system.get("/").status, 200);
    }
    system.until("one restart", |status| {
        status.service("web")["ready"] == 2
            && status
                .instances("web")
                .iter()
                .map(|it| it["restarts"].as_u64().unwrap())
                .sum::<u64>()
                == 1
    });
    system.down();
}
