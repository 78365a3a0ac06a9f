//! Why an instance failed, said so that it can be mended.

use base::{Code, Diagnostic, units::format_duration};
use manifest::{Program, Service};
use ports::host::{Exit, Leftovers};
use std::{net::SocketAddr, time::Duration};

/// How many lines of output a message shows.
pub(crate) const LINES_SHOWN: usize = 5;

/// What is known about a failed run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Its last lines of output.
    pub(crate) output: Vec<String>,
    /// The port it was given.
    pub(crate) port: Option<u16>,
    /// Where its processes listen; `None`: not known.
    pub(crate) listening: Option<Vec<SocketAddr>>,
    /// The last bad answer of the probe.
    pub(crate) answer: String,
    /// How many bad answers there were.
    pub(crate) answers: u32,
}

impl Evidence {
    /// The port it listens on instead of its own, if that is what is wrong.
    pub(crate) fn wrong_port(&self) -> Option<u16> {
        let own = self.port?;
        let listening = self.listening.as_ref()?;
        if listening.iter().any(|address| address.port() == own) {
            return None;
        }
        listening.first().map(SocketAddr::port)
    }
}

/// It did not become ready in time.
pub(crate) fn not_ready(service: &Service, waited: Duration, evidence: &Evidence) -> Diagnostic {
    if let (Some(other), Some(own)) = (evidence.wrong_port(), evidence.port) {
        return wrong_port(service, own, other, evidence);
    }
    let name = &service.name;
    let key = if service.places.contains_key("health.startup") {
        "health.startup"
    } else {
        "health.ready"
    };
    let label = if evidence.answers > 0 {
        let times = if evidence.answers == 1 {
            "once".to_owned()
        } else {
            format!("{} times", evidence.answers)
        };
        format!("{} ({times})", evidence.answer)
    } else {
        evidence.answer.clone()
    };
    let within = format_duration(Duration::from_secs(waited.as_secs().max(1)));
    let diagnostic =
        Diagnostic::error(Code::NOT_READY, format!("{name} did not become ready within {within}"));
    let diagnostic = place(diagnostic, service, key, &label);
    let silent = evidence.listening.as_ref().is_some_and(Vec::is_empty);
    let help = match evidence.port.filter(|_| silent) {
        Some(port) => format!(
            "the process listens on no port; it must listen on $PORT ({port}), \
             or say `listen: false` if it is a worker"
        ),
        None => format!(
            "look at `flotilla logs {name}` for the cause; \
             a slow start may need `health: {{ start_timeout: 2m }}`"
        ),
    };
    with_output(diagnostic, &evidence.output).help(help)
}

/// It listens, but elsewhere.
pub(crate) fn wrong_port(
    service: &Service,
    own: u16,
    other: u16,
    evidence: &Evidence,
) -> Diagnostic {
    let name = &service.name;
    let diagnostic = Diagnostic::error(
        Code::WRONG_PORT,
        format!("{name} listens on port {other}, but was given PORT={own}"),
    );
    let diagnostic = place(diagnostic, service, "run", "");
    with_output(diagnostic, &evidence.output)
        .help(format!("let the process listen on $PORT, or write `port: {other}` under `{name}`"))
}

/// It ended before it was ready.
pub(crate) fn exited(
    service: &Service,
    exit: &Exit,
    after: Duration,
    evidence: &Evidence,
) -> Diagnostic {
    let name = &service.name;
    let after_ms = Duration::from_millis(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    let diagnostic = Diagnostic::error(
        Code::EXITED,
        format!("{name} ended {} after its start: {exit}", format_duration(after_ms)),
    );
    let diagnostic = place(diagnostic, service, "run", &exit.to_string());
    with_output(diagnostic, &evidence.output).help(exit_help(service, exit, &evidence.output))
}

/// It ends again and again; `last` is how it ended the last time, in words and as it was.
pub(crate) fn crash_loop(
    service: &Service,
    failures: u32,
    last: (&str, Option<&Exit>),
    evidence: &Evidence,
) -> Diagnostic {
    let name = &service.name;
    let diagnostic = Diagnostic::error(
        Code::CRASH_LOOP,
        format!("{name} keeps failing: {failures} times in a row, last: {}", last.0),
    );
    let mut diagnostic = with_output(place(diagnostic, service, "run", ""), &evidence.output);
    if let Some(exit) = last.1 {
        diagnostic = diagnostic.note(exit_help(service, exit, &evidence.output));
    }
    diagnostic.help(format!(
        "mend the cause above, then `flotilla restart {name}`; waits between starts grow to {}",
        format_duration(service.restart.backoff_max)
    ))
}

/// The first process ended, but left others running in the background.
pub(crate) fn forked_away(service: &Service, exit: &Exit, left: &Leftovers) -> Diagnostic {
    let name = &service.name;
    let diagnostic = Diagnostic::error(
        Code::FORKED_AWAY,
        format!(
            "{name} put itself into the background: its first process ended ({exit}) and left others running"
        ),
    );
    place(diagnostic, service, "run", "")
        .note(format!("ended with it: {}", left.processes.join(", ")))
        .help("run it in the foreground (for example `nginx -g 'daemon off;'`, `redis-server --daemonize no`), so that it can be watched and stopped")
}

/// A job ended badly for good.
pub(crate) fn job_failed(service: &Service, exit: &str, evidence: &Evidence) -> Diagnostic {
    let name = &service.name;
    let diagnostic = Diagnostic::error(Code::JOB_FAILED, format!("job {name} failed: {exit}"));
    let diagnostic = place(diagnostic, service, "run", exit);
    with_output(diagnostic, &evidence.output).help(format!(
        "mend it and run it again with `flotilla restart {name}`; what needs it waits"
    ))
}

/// Its build step failed.
pub(crate) fn build_failed(
    service: &Service,
    line: &str,
    exit: &str,
    output: &[String],
) -> Diagnostic {
    let name = &service.name;
    let diagnostic =
        Diagnostic::error(Code::BUILD_FAILED, format!("the build of {name} failed: {exit}"));
    let key = if service.places.contains_key("build") { "build" } else { "" };
    let diagnostic = place(diagnostic, service, key, &format!("`{line}` {exit}"));
    with_output(diagnostic, output)
        .help(format!("run it by hand in {}, then `flotilla up` again", service.dir.display()))
}

/// A fixed port is taken.
pub(crate) fn port_taken(service: &Service, port: u16, holder: Option<&str>) -> Diagnostic {
    let name = &service.name;
    let who = holder.map_or_else(|| "another process".to_owned(), ToOwned::to_owned);
    let diagnostic =
        Diagnostic::error(Code::PORT_TAKEN, format!("port {port} of {name} is taken by {who}"));
    place(diagnostic, service, "port", "").help(format!(
        "stop {who}, or change `port:` of {name}, or leave `port:` out and listen on $PORT"
    ))
}

/// All ports of the range are taken.
pub(crate) fn no_port(service: &Service) -> Diagnostic {
    let name = &service.name;
    let first = crate::portbook::PORT_FIRST;
    let last = first + crate::portbook::PORT_COUNT - 1;
    Diagnostic::error(
        Code::PORT_TAKEN,
        format!("no port from {first} to {last} is free for {name}"),
    )
    .help("scale down, or stop what listens there")
}

/// Adds where the service's key stands, unless the diagnostic has a place already.
pub(crate) fn place(
    diagnostic: Diagnostic,
    service: &Service,
    key: &str,
    label: &str,
) -> Diagnostic {
    match service.place(key) {
        Some(place) if diagnostic.place.is_none() => diagnostic.at(place.clone(), label),
        _ if label.is_empty() => diagnostic,
        _ => diagnostic.note(label),
    }
}

fn with_output(mut diagnostic: Diagnostic, output: &[String]) -> Diagnostic {
    for line in output.iter().rev().take(LINES_SHOWN).rev() {
        // Colours are for whoever reads the logs; here they would colour the rest of the message.
        let shown: String = without_escapes(line).chars().take(200).collect();
        diagnostic = diagnostic.note(format!("output: {shown}"));
    }
    if output.is_empty() { diagnostic.note("it printed nothing") } else { diagnostic }
}

/// The line without the sequences that colour it or move the cursor (ECMA-48 §5.4).
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character != '\x1b' {
            plain.extend((character == '\t' || !character.is_control()).then_some(character));
        } else if rest.next() == Some('[') {
            rest.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    plain
}

fn exit_help(service: &Service, exit: &Exit, output: &[String]) -> String {
    let name = &service.name;
    let line = match &service.program {
        Program::Shell(line) => line.as_str(),
        Program::Exec(words) => words.first().map_or("", String::as_str),
        Program::Container(container) => container.image.as_str(),
        Program::External(_) => "",
    };
    let says = |words: &[&str]| {
        output.iter().any(|l| words.iter().any(|w| l.to_ascii_lowercase().contains(w)))
    };
    if says(&["address already in use", "eaddrinuse", "address in use"]) {
        return "something else listens on the port it wants: let it listen on $PORT".to_owned();
    }
    match exit {
        Exit::Code(127) => {
            format!("a program in `{line}` was not found: install it or correct `run:`")
        }
        Exit::Code(126) => format!("a program in `{line}` may not be executed: `chmod +x` it"),
        Exit::Code(0) => format!(
            "a service must keep running; if `{line}` is meant to end, write it under `jobs:`, \
             and if it goes into the background, keep it in the foreground"
        ),
        Exit::OutOfMemory => {
            format!("raise `limits: {{ memory: … }}` of {name}, or let it use less")
        }
        Exit::Signal(9) => {
            "something killed it (the kernel, when memory is short; or a person)".to_owned()
        }
        _ => format!("`flotilla logs {name}` shows all it printed"),
    }
}
