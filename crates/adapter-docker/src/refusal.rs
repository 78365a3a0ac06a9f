//! What the engine's answers mean for the caller: wrong input, a busy port, a vanished run, or an engine in trouble.

use crate::engine::{Down, Engine, answered};
use base::{Code, Diagnostic};
use bollard::errors::Error as Answer;
use ports::host::{Error, RunId, Spec};

/// The error of a call about a run that exists.
pub(crate) fn about_run(engine: &Engine, run: &RunId, what: &str, answer: Answer) -> Error {
    match answered(&answer) {
        Some((404, _)) => Error::Unknown(run.clone()),
        Some(_) => Error::Unavailable {
            what: format!("the Docker engine did not {what}"),
            cause: Box::new(answer),
        },
        None => engine.unavailable(Down::new(&engine.address, &answer)),
    }
}

/// The error of a call that should make something from `spec`.
pub(crate) fn about_start(engine: &Engine, spec: &Spec, image: &str, answer: Answer) -> Error {
    let Some((status, message)) = answered(&answer) else {
        return engine.unavailable(Down::new(&engine.address, &answer));
    };
    let instance = &spec.instance;
    let refuse = |code, text: String| {
        Diagnostic::error(code, text).note(format!("the engine says: {}", last_cause(message)))
    };
    let diagnostic = if message.contains("address already in use")
        || message.contains("port is already allocated")
    {
        let port = busy_port(message);
        let named = port.map_or_else(|| "a port of it".to_owned(), |port| format!("port {port}"));
        refuse(Code::PORT_TAKEN, format!("{instance} cannot be started: {named} is taken"))
            .help("stop who has it, or publish another port")
    } else if message.contains("executable file not found")
        || message.contains("no such file or directory: unknown")
    {
        refuse(
            Code::START_FAILED,
            format!("image `{image}` does not have the program that {instance} runs"),
        )
        .help("correct `run:`, or the entry point and command of the image")
    } else if message.contains("permission denied: unknown") {
        refuse(
            Code::START_FAILED,
            format!("the program that {instance} runs in image `{image}` may not be run"),
        )
        .help("make it executable when the image is built: `RUN chmod +x <program>`")
    } else if (400..500).contains(&status) || message.contains("OCI runtime create failed") {
        refuse(Code::START_FAILED, format!("{instance} cannot be started from image `{image}`"))
    } else {
        return Error::Unavailable {
            what: format!("the Docker engine did not start {instance}"),
            cause: Box::new(answer),
        };
    };
    Error::Refused(Box::new(diagnostic))
}

/// The engine's messages are chains, outermost first, of which the first parts say nothing to a user.
fn last_cause(message: &str) -> &str {
    let message = message.trim();
    match message.rfind("unable to start container process: ") {
        Some(at) => message.get(at..).unwrap_or(message),
        None => message,
    }
}

/// The port in `… listen tcp4 127.0.0.1:8080: bind: …` or `Bind for 127.0.0.1:8080 failed: …`.
fn busy_port(message: &str) -> Option<u16> {
    message
        .split([' ', ','])
        .filter_map(|word| word.trim_end_matches(':').rsplit_once(':'))
        .find_map(|(_, port)| port.parse().ok().filter(|port| *port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busy_port_is_found_in_both_forms_of_the_message() {
        for message in [
            "driver failed programming external connectivity on endpoint x (ab12): Error starting userland proxy: \
             listen tcp4 127.0.0.1:8080: bind: address already in use",
            "Bind for 127.0.0.1:8080 failed: port is already allocated",
        ] {
            assert_eq!(busy_port(message), Some(8080), "{message}");
        }
        assert_eq!(busy_port("address already in use"), None);
    }
}
