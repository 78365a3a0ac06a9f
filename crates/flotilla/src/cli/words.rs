//! How the states of a system read: words and colours for people, the same in every command.

use super::output::{Paint, Tint};
use api::wire;
use base::Diagnostic;
use std::time::Duration;

/// A service's state in words.
pub(crate) fn service_state(state: wire::ServiceState) -> (&'static str, Tint) {
    match state {
        wire::ServiceState::Waiting => ("waiting", Tint::Dim),
        wire::ServiceState::Building => ("building", Tint::Yellow),
        wire::ServiceState::Starting => ("starting", Tint::Yellow),
        wire::ServiceState::Ready => ("ready", Tint::Green),
        wire::ServiceState::Updating => ("updating", Tint::Yellow),
        wire::ServiceState::Degraded => ("degraded", Tint::Yellow),
        wire::ServiceState::Failed => ("failed", Tint::Red),
        wire::ServiceState::Completed => ("completed", Tint::Green),
        wire::ServiceState::Scheduled => ("scheduled", Tint::Green),
        wire::ServiceState::Stopping => ("stopping", Tint::Dim),
        wire::ServiceState::Stopped => ("stopped", Tint::Dim),
    }
}

/// An instance's state in words.
pub(crate) fn instance_state(state: wire::InstanceState) -> (&'static str, Tint) {
    match state {
        wire::InstanceState::Starting => ("starting", Tint::Yellow),
        wire::InstanceState::Started => ("started", Tint::Yellow),
        wire::InstanceState::Unready => ("unready", Tint::Yellow),
        wire::InstanceState::Ready => ("ready", Tint::Green),
        wire::InstanceState::Draining => ("draining", Tint::Dim),
        wire::InstanceState::Stopping => ("stopping", Tint::Dim),
        wire::InstanceState::Backoff => ("backoff", Tint::Yellow),
        wire::InstanceState::CrashLoop => ("crash loop", Tint::Red),
        wire::InstanceState::Failed => ("failed", Tint::Red),
        wire::InstanceState::Completed => ("completed", Tint::Green),
    }
}

/// The whole system's state in words.
pub(crate) fn phase(phase: wire::Phase) -> (&'static str, Tint) {
    match phase {
        wire::Phase::Starting => ("starting", Tint::Yellow),
        wire::Phase::Ready => ("ready", Tint::Green),
        wire::Phase::Degraded => ("degraded", Tint::Red),
        wire::Phase::Stopping => ("stopping", Tint::Dim),
        wire::Phase::Stopped => ("stopped", Tint::Dim),
    }
}

/// What applying the file does to a service.
pub(crate) fn action(action: wire::Action) -> (&'static str, Tint) {
    match action {
        wire::Action::Start => ("start", Tint::Green),
        wire::Action::Replace => ("replace", Tint::Yellow),
        wire::Action::Scale => ("scale", Tint::Yellow),
        wire::Action::Update => ("update", Tint::Yellow),
        wire::Action::Remove => ("remove", Tint::Red),
        wire::Action::Keep => ("keep", Tint::Dim),
    }
}

/// A duration as it reads best: `12 ms`, `3.4 s`, `2 m 05 s`, `3 h 12 m`, `4 d 2 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let s = duration.as_secs();
    match s {
        0 if ms < 100 => format!("{ms} ms"),
        0..=59 => format!("{}.{} s", s, ms % 1_000 / 100),
        60..=3_599 => format!("{} m {:02} s", s / 60, s % 60),
        3_600..=86_399 => format!("{} h {:02} m", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A time to the minute, which is how finely jobs are scheduled: `2026-03-01 09:30 UTC`.
pub(crate) fn minute(time: wire::Time) -> String {
    let text = time.to_string();
    let (day, rest) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", rest.get(..5).unwrap_or(rest))
}

/// The time since `then` in one unit: `12s`, `3m`, `2h`, `5d`. A clock that was set back gives `0s`.
pub(crate) fn age(then: wire::Time, now: wire::Time) -> String {
    let s = now.0.millis().saturating_sub(then.0.millis()) / 1_000;
    match s {
        0..=119 => format!("{s}s"),
        120..=7_199 => format!("{}m", s / 60),
        7_200..=172_799 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// Ports as ranges: `:41001-41003,41010`; empty when there are none.
pub(crate) fn ports(instances: &[wire::Instance]) -> String {
    let mut ports: Vec<u16> = instances.iter().filter_map(|i| i.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    let texts: Vec<String> = ranges
        .iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    if texts.is_empty() { String::new() } else { format!(":{}", texts.join(",")) }
}

/// `1 service`, `3 services`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// What a system has: `3 services, 1 job`.
pub(crate) fn content(system: &manifest::System) -> String {
    let is_service = |s: &&manifest::Service| s.kind == manifest::Kind::Service;
    let services = system.services.iter().filter(is_service).count();
    let jobs = system.services.len() - services;
    let text = count(services, "service");
    if jobs > 0 { format!("{text}, {}", count(jobs, "job")) } else { text }
}

/// All problems of the services that `shown` accepts.
pub(crate) fn problems_of(status: &wire::Status, shown: impl Fn(&str) -> bool) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for service in status.services.iter().filter(|s| shown(&s.name)) {
        if let Some(wire) = &service.problem {
            let problem = Diagnostic::from(wire);
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
    }
    found
}

/// One line of a service's output as it is shown: `users/2 │ text`; on a pipe `users/2 | text`.
pub(crate) fn log_line(
    line: &wire::LogLine,
    width: usize,
    paint: Paint,
    is_terminal: bool,
) -> String {
    let tint = match line.stream {
        wire::Stream::Node => Tint::Dim,
        wire::Stream::Out | wire::Stream::Err => {
            Tint::Service(super::output::colour_number(&line.service))
        }
    };
    let bar = match (line.stream, is_terminal) {
        (wire::Stream::Err, true) => paint.tint(Tint::Red, "┃"),
        (wire::Stream::Node, true) => paint.tint(Tint::Dim, "·"),
        (wire::Stream::Out, true) => paint.tint(tint, "│"),
        (_, false) => "|".to_owned(),
    };
    let text = match (line.stream, line.level) {
        (wire::Stream::Node, _) => paint.tint(Tint::Dim, &line.text),
        (_, Some(wire::Level::Error)) if paint.on && !line.text.contains('\x1b') => {
            paint.tint(Tint::Red, &line.text)
        }
        _ if paint.on => line.text.clone(),
        _ => without_escapes(&line.text),
    };
    let name = format!("{:width$}", line.instance);
    let more = if line.cut { " …" } else { "" };
    // A program may leave a colour switched on at the end of its line; the next line is another's.
    let reset = if paint.on && text.contains('\x1b') { "\x1b[0m" } else { "" };
    format!("{} {bar} {}{reset}{more}\n", paint.tint(tint, &name), tame(&text))
}

/// Keeps colours but takes out what would move the cursor or clear the screen: a service's output must not
/// be able to redraw the terminal of whoever watches it.
fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\x1b' => {
                let (sequence, is_colour) = take_sequence(&mut rest);
                if is_colour {
                    tamed.push('\x1b');
                    tamed.push_str(&sequence);
                }
            }
            '\t' => tamed.push('\t'),
            c if c.is_control() => {}
            c => tamed.push(c),
        }
    }
    tamed
}

/// Takes all escape sequences out.
pub(crate) fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            take_sequence(&mut rest);
        } else if character == '\t' || !character.is_control() {
            plain.push(character);
        }
    }
    plain
}

/// Takes what follows an escape character (ECMA-48 §5.4): the sequence, and whether it only colours.
fn take_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> (String, bool) {
    let mut sequence = String::new();
    match rest.next_if(|c| matches!(c, '[' | ']' | 'P' | '_' | '^' | 'X')) {
        Some('[') => {
            sequence.push('[');
            for c in rest.by_ref() {
                sequence.push(c);
                if ('@'..='~').contains(&c) {
                    return (sequence, c == 'm');
                }
            }
            (sequence, false)
        }
        // Operating system commands and other strings go on until BEL or ESC \.
        Some(_) => {
            while let Some(c) = rest.next() {
                if c == '\x07' || (c == '\x1b' && rest.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
            (sequence, false)
        }
        None => {
            rest.next();
            (sequence, false)
        }
    }
}

/// A path as a shell takes it for one word.
pub(crate) fn shell(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte);
    if path.bytes().all(is_plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
#[path = "words/tests.rs"]
mod tests;
