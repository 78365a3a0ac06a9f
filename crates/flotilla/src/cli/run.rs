//! `flotilla run`: a job now, or a command in a service's folder and environment.

use super::{
    Context,
    args::Run,
    exit::{Exit, Failure, Outcome},
    locate,
    logs::Printer,
};
use api::{Client, wire};
use std::collections::BTreeMap;

/// Kinds of events that are a run's end.
const ENDS: [&str; 4] = ["exited", "completed", "failed", "refused"];

/// Prints the run's output and returns its exit code.
pub(crate) async fn run(context: &Context, args: &Run) -> Outcome {
    let client = context.place()?.client();
    let status = client.status().await.map_err(|e| locate::unanswered(&e))?;
    locate::known(std::slice::from_ref(&args.service), &status)?;
    let is_service = |s: &&wire::Service| s.name == args.service && s.kind == wire::Kind::Service;
    if args.command.is_empty() && status.services.iter().any(|s| is_service(&s)) {
        return Err(Failure::with_help(
            Exit::Usage,
            format!("`{}` is a service, which `flotilla up` starts", args.service),
            format!("to run a command beside it: `flotilla run {} -- COMMAND`", args.service),
        ));
    }
    // Numbers of instances are used again: only output from now on is this run's.
    let since = wire::Time(runtime::Clock::wall()).to_string();
    let request = wire::Run {
        service: args.service.clone(),
        command: (!args.command.is_empty()).then(|| args.command.clone()),
        shell: None,
        env: args.env_vars.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    let started = client.run(&request).await.map_err(|e| locate::unanswered(&e))?;
    let question = wire::LogQuery {
        instances: vec![started.instance.clone()],
        streams: vec![wire::Stream::Out, wire::Stream::Err],
        since: Some(since),
        ..wire::LogQuery::default()
    };
    let end = follow(context, &client, question, &started).await?;
    match exit_of(&end) {
        Exit::NotReady => Err(Failure::new(Exit::NotReady, end.message)),
        exit => Ok(exit),
    }
}

/// Prints output until the run has ended.
async fn follow(
    context: &Context,
    client: &Client,
    mut question: wire::LogQuery,
    started: &wire::Started,
) -> Result<wire::Event, Failure> {
    let mut events =
        client.event_stream(started.events_after).await.map_err(|e| locate::unanswered(&e))?;
    let mut lines = client.log_stream(&question).await.map_err(|e| locate::unanswered(&e))?;
    let ended = || Failure::new(Exit::Failure, "the node has ended meanwhile");
    loop {
        tokio::select! {
            event = events.next() => {
                let event = event.map_err(|e| locate::unanswered(&e))?.ok_or_else(ended)?.data;
                if event.instance.as_deref() == Some(&*started.instance) && ENDS.contains(&&*event.kind) {
                    // All output is in the store before the end is announced.
                    rest(context, client, question).await?;
                    return Ok(event);
                }
            }
            batch = lines.next() => {
                let batch = batch.map_err(|e| locate::unanswered(&e))?.ok_or_else(ended)?.data;
                question.after = Some(batch.next);
                print(context, &batch)?;
            }
        }
    }
}

/// Prints what came after the last batch.
async fn rest(
    context: &Context,
    client: &Client,
    mut question: wire::LogQuery,
) -> Result<(), Failure> {
    loop {
        let page = client.logs(&question).await.map_err(|e| locate::unanswered(&e))?;
        print(context, &page)?;
        if !page.more {
            return Ok(());
        }
        question.after = Some(page.next);
    }
}

/// Prints the text alone: whoever runs one command needs no name before each line.
fn print(context: &Context, batch: &wire::Logs) -> Result<(), Failure> {
    if context.out.is_json() {
        return Printer::new(&context.out, &wire::Status::default()).print(batch);
    }
    for line in &batch.lines {
        match line.stream {
            wire::Stream::Out if line.cut => context.out.raw(&line.text)?,
            wire::Stream::Out => context.out.raw(&format!("{}\n", line.text))?,
            wire::Stream::Err => context.out.relay(&line.text),
            wire::Stream::Node => {}
        }
    }
    Ok(())
}

/// The exit code that an end's message tells; 128 and the signal's number for a signal, as a shell would.
fn exit_of(event: &wire::Event) -> Exit {
    let number = |marker: &str| -> Option<u8> {
        let (_, rest) = event.message.split_once(marker)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    if let Some(code) = number("exit code ") {
        return if code == 0 { Exit::Success } else { Exit::Of(code) };
    }
    let signal = number("signal ").or_else(|| {
        [("SIGKILL", 9), ("SIGSEGV", 11), ("SIGABRT", 6), ("SIGTERM", 15), ("memory limit", 9)]
            .iter()
            .find(|(word, _)| event.message.contains(word))
            .map(|(_, number)| *number)
    });
    match signal {
        Some(signal) => Exit::Of(128_u8.saturating_add(signal)),
        None if event.kind == "completed" => Exit::Success,
        None if event.kind == "refused" => Exit::NotReady,
        None => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_exit_code_is_returned() {
        let end = |kind: &str, message: &str| {
            exit_of(&wire::Event {
                seq: 1,
                at: wire::Time::default(),
                service: None,
                instance: None,
                kind: kind.into(),
                message: message.into(),
            })
            .number()
        };
        assert_eq!(end("completed", "completed"), 0);
        assert_eq!(end("exited", "exit code 0"), 0);
        assert_eq!(end("exited", "users/4 ended: exit code 3"), 3);
        assert_eq!(end("exited", "killed by SIGKILL"), 137);
        assert_eq!(end("failed", "ended by signal 10"), 138);
        assert_eq!(end("failed", "something else"), 1);
        assert_eq!(end("refused", "`nope` is not there"), 4);
    }
}
