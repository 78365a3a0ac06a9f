//! Start, end, signals, commands, limits, survival.

use crate::support::{DEADLINE, Fixture, container, free_port, shell, until};
use adapter_docker::{Lifetime, sweep};
use base::ByteSize;
use ports::host::{
    CommandOutcome, Container, Enforcement, Error, Exit, Host, Limits, Program, Signal,
};
use std::{net::TcpListener, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_told_as_what_they_were() {
    let Some(fixture) = Fixture::new().await else { return };
    for (line, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("kill -9 $$", Exit::Signal(9)),
        ("kill -TERM $$; sleep 60", Exit::Signal(15)),
    ] {
        let run = fixture.start(&shell("job/1", line)).await;
        assert_eq!(fixture.host.wait(&run.id).await.unwrap(), exit, "{line}");
        assert_eq!(fixture.host.wait(&run.id).await.unwrap(), exit, "asked again");
        fixture.host.forget(&run.id).await.unwrap();
        fixture.host.forget(&run.id).await.unwrap();
        assert!(matches!(fixture.host.wait(&run.id).await, Err(Error::Unknown(_))));
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_its_memory_limit_says_so() {
    let Some(fixture) = Fixture::new().await else { return };
    let mut spec = shell("hog/1", "exec tail /dev/zero");
    spec.limits.memory = Some(ByteSize(16 << 20));
    let run = fixture.start(&spec).await;
    assert_eq!(fixture.host.wait(&run.id).await.unwrap(), Exit::OutOfMemory);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_and_what_is_used_is_seen() {
    let Some(fixture) = Fixture::new().await else { return };
    assert!(
        matches!(fixture.host.capabilities().limit_cpu, Enforcement::Missing(_)),
        "nobody asked yet"
    );
    let mut spec = shell("api/1", "echo up; sleep 600");
    spec.limits = Limits { cpu: Some(0.5), memory: Some(ByteSize(32 << 20)), pids: Some(16) };
    let run = fixture.start(&spec).await;
    let capabilities = fixture.host.capabilities();
    assert!(capabilities.containers && !capabilities.processes);
    let path = format!("/containers/{}/json", run.id.0);
    let (_, found) = fixture.engine.request("GET", &path, &[]).unwrap();
    let set = &found["HostConfig"];
    if capabilities.limit_cpu == Enforcement::Enforced {
        assert_eq!(set["NanoCpus"], 500_000_000);
    }
    if capabilities.limit_memory == Enforcement::Enforced {
        assert_eq!(set["Memory"], 32 << 20);
    }
    if capabilities.limit_pids == Enforcement::Enforced {
        assert_eq!(set["PidsLimit"], 16);
    }
    fixture.line("up").await;
    let usage = fixture.host.usage(&run.id).await.unwrap();
    assert!(usage.memory.0 > 0 && usage.memory.0 < 32 << 20, "{usage:?}");
    assert!(usage.processes > 0 && usage.cpu > Duration::ZERO, "{usage:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_every_process_of_the_run() {
    let Some(fixture) = Fixture::new().await else { return };
    let line = "sh -c 'trap \"echo child got it; exit 0\" TERM; echo child up; while :; do sleep 0.1; done' &
                trap 'echo parent got it; wait; exit 3' TERM; echo parent up; while :; do sleep 0.1; done";
    let run = fixture.start(&shell("pair/1", line)).await;
    for up in ["child up", "parent up"] {
        fixture.line(up).await;
    }
    fixture.host.signal(&run.id, Signal::Term).await.unwrap();
    assert_eq!(fixture.host.wait(&run.id).await.unwrap(), Exit::Code(3));
    let lines = fixture.lines.out();
    for got in ["child got it", "parent got it"] {
        assert!(lines.iter().any(|line| line == got), "{got} in {lines:?}");
    }
    fixture.host.signal(&run.id, Signal::Term).await.unwrap();
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_a_living_run_ends_it_and_removes_its_container() {
    let Some(fixture) = Fixture::new().await else { return };
    let run =
        fixture.start(&shell("api/1", "trap '' TERM; echo up; while :; do sleep 1; done")).await;
    fixture.line("up").await;
    let path = format!("/containers/{}/json", run.id.0);
    assert_eq!(fixture.engine.request("GET", &path, &[]).unwrap().0, 200);
    fixture.host.forget(&run.id).await.unwrap();
    assert_eq!(fixture.engine.request("GET", &path, &[]).unwrap().0, 404);
    assert_eq!(std::fs::read_dir(fixture.config.state_dir.join("run/docker")).unwrap().count(), 0);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_inside_and_end_in_time() {
    let Some(fixture) = Fixture::new().await else { return };
    let mut spec = shell("db/1", "echo up; while :; do sleep 1; done");
    spec.env.insert("GREETING".to_owned(), "hello".to_owned());
    let run = fixture.start(&spec).await;
    let ask =
        async |command: Program, timeout| fixture.host.command(&run.id, &command, timeout).await;
    let line = |text: &str| Program::Shell(text.to_owned());

    let outcome =
        ask(line("echo $GREETING; echo oops >&2; exit 4"), DEADLINE).await.unwrap().unwrap();
    assert_eq!(outcome.exit, Exit::Code(4));
    assert!(outcome.output.contains("hello") && outcome.output.contains("oops"), "{outcome:?}");
    let words = Program::Exec(["/bin/echo", "a b"].map(str::to_owned).into());
    let outcome = ask(words, DEADLINE).await.unwrap();
    assert_eq!(outcome, Some(CommandOutcome { exit: Exit::Code(0), output: "a b\n".to_owned() }));

    let missing = ask(Program::Exec(vec!["/bin/no-such-program".to_owned()]), DEADLINE).await;
    assert!(matches!(missing, Err(Error::Refused(_))), "{missing:?}");

    // Neither the command that took too long nor its child is left.
    let late = ask(line("sleep 4242 & sleep 4243"), Duration::from_millis(500)).await.unwrap();
    assert_eq!(late, None);
    until("the late command to be gone", async || {
        let outcome = ask(line("ps"), DEADLINE).await.unwrap().unwrap();
        outcome.exit == Exit::Code(0) && !outcome.output.contains("sleep 424")
    })
    .await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_explained() {
    let Some(fixture) = Fixture::new().await else { return };
    let refused = async |spec| match fixture.host.start(&spec).await {
        Err(Error::Refused(diagnostic)) => diagnostic.render(false),
        other => panic!("{other:?}"),
    };
    let image = Container { image: "flotilla-no-such-image:9".to_owned(), ..Container::default() };
    let text = refused(container("mailer/1", image)).await;
    for part in [
        "[F017]",
        "`flotilla-no-such-image:9`",
        "pull failed",
        "docker build -t flotilla-no-such-image:9",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }

    let mut program = shell("mailer/1", "");
    if let Program::Container(container) = &mut program.program {
        container.command = Some(vec!["/no/such/program".to_owned()]);
        container.entrypoint = Some(Vec::new());
    }
    match fixture.host.start(&program).await {
        Err(Error::Refused(diagnostic)) => {
            let text = diagnostic.render(false);
            assert!(text.contains("[F017]") && text.contains("mailer/1"), "{text}");
        }
        // With an init in the container, that is what starts, and it ends at once.
        Ok(run) => {
            assert_eq!(fixture.host.wait(&run.id).await.unwrap(), Exit::Code(127));
            let said = fixture.lines.all().into_iter().map(|line| line.text).collect::<String>();
            assert!(said.contains("/no/such/program"), "{said}");
        }
        Err(other) => panic!("{other:?}"),
    }

    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut taken = shell("mailer/1", "sleep 600");
    taken.port = Some(holder.local_addr().unwrap().port());
    let text = refused(taken.clone()).await;
    let port = taken.port.unwrap().to_string();
    assert!(text.contains("[F016]") && text.contains(&port), "{text}");

    let process = ports::host::Spec { program: Program::Shell("true".to_owned()), ..taken };
    assert!(matches!(fixture.host.start(&process).await, Err(Error::Unsupported(_))));
    // What did not start left nothing behind.
    assert!(fixture.host.survivors().await.unwrap().is_empty());
    assert!(sweep(&fixture.config).await.unwrap() <= 1);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_node_finds_what_lives_once_and_as_it_was() {
    let Some(mut fixture) = Fixture::new().await else { return };
    let mut spec = shell("api/1", "echo up; read never < /dev/full; while :; do sleep 1; done");
    spec.port = Some(free_port());
    spec.labels.insert("hash".to_owned(), "abc=1,\"x\"".to_owned());
    let run = fixture.start(&spec).await;
    let dead = fixture.start(&shell("api/2", "echo last words; sleep 1; echo really last")).await;
    fixture.line("up").await;
    fixture.line("last words").await;
    fixture.replace_node();
    until("the second run to end", async || {
        let path = format!("/containers/{}/json", dead.id.0);
        fixture.engine.request("GET", &path, &[]).unwrap().1["State"]["Running"] == false
    })
    .await;
    assert_eq!(fixture.host.survivors().await.unwrap(), std::slice::from_ref(&run));
    assert_eq!(fixture.host.survivors().await.unwrap(), []);
    assert_eq!(fixture.lines.out().iter().filter(|line| *line == "last words").count(), 1);
    assert!(fixture.lines.out().contains(&"really last".to_owned()));
    let path = format!("/containers/{}/json", dead.id.0);
    assert_eq!(fixture.engine.request("GET", &path, &[]).unwrap().0, 404, "the dead are buried");

    fixture.host.signal(&run.id, Signal::Kill).await.unwrap();
    assert_eq!(fixture.host.wait(&run.id).await.unwrap(), Exit::Signal(9));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_checkout_of_the_same_system_is_left_alone() {
    let Some(fixture) = Fixture::new().await else { return };
    let mut other = Fixture::on(fixture.engine.clone());
    other.config.system.clone_from(&fixture.config.system);
    other.replace_node();
    let mine = fixture.start(&shell("api/1", "sleep 600")).await;
    let theirs = other.start(&shell("api/1", "sleep 600")).await;
    assert!(other.host.survivors().await.unwrap().is_empty());
    assert_eq!(sweep(&other.config).await.unwrap(), 1);
    assert_eq!(other.host.wait(&theirs.id).await.unwrap(), Exit::Signal(9));
    assert!(fixture.host.usage(&mine.id).await.unwrap().processes > 0, "it still runs");
    other.end().await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_end_with_a_node_that_is_attached() {
    let Some(mut fixture) = Fixture::new().await else { return };
    fixture.config.lifetime = Lifetime::EndsWithNode;
    fixture.replace_node();
    let run = fixture.start(&shell("api/1", "sleep 600")).await;
    fixture.stop_node().await;
    let path = format!("/containers/{}/json", run.id.0);
    assert_eq!(fixture.engine.request("GET", &path, &[]).unwrap().0, 404);
    let path = format!("/networks/flotilla-{}", fixture.config.system);
    assert_eq!(fixture.engine.request("GET", &path, &[]).unwrap().0, 404);
    let answer = fixture.host.start(&shell("api/1", "sleep 600")).await;
    assert!(matches!(answer, Err(Error::Unavailable { .. })), "nobody would watch it: {answer:?}");
    fixture.end().await;
}
