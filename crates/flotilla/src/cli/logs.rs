//! `flotilla logs`: what services print, from the log store and live.

use super::{
    Context,
    args::{Level, Logs},
    exit::{Exit, Failure, Outcome},
    locate,
    output::Output,
    ps::to_json,
    words,
};
use api::{Client, client, wire};
use std::time::Duration;

/// Lines shown before the new ones when `--follow` has no `--tail`: enough to see what is going on.
const FOLLOW_TAIL: u64 = 20;

/// Before a stream that ended is asked for again, so that a node that ends them all is not asked all the time.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(context: &Context, args: &Logs) -> Outcome {
    let client = context.place()?.client();
    let status = client.status().await.map_err(|e| locate::unanswered(&e))?;
    locate::known(&args.names, &status)?;
    let question = question(args);
    let mut printer = Printer::new(&context.out, &status);
    if args.follow {
        follow(&client, question, &mut printer).await?;
        context.out.say("the system was stopped");
    } else {
        pages(&client, question, &mut printer).await?;
        if !printer.has_printed {
            context
                .out
                .say("no output fits; `flotilla ps -o wide` shows which instances there are");
        }
    }
    Ok(Exit::Success)
}

/// The question that the arguments ask.
fn question(args: &Logs) -> wire::LogQuery {
    let (instances, services) = args.names.iter().cloned().partition(|name| name.contains('/'));
    wire::LogQuery {
        services,
        instances,
        since: args.since.clone(),
        grep: args.grep.clone(),
        ignore_case: args.ignore_case,
        level: args.level.map(|level| match level {
            Level::Debug => wire::Level::Debug,
            Level::Info => wire::Level::Info,
            Level::Warn => wire::Level::Warn,
            Level::Error => wire::Level::Error,
        }),
        tail: args.tail.or_else(|| (args.follow && args.since.is_none()).then_some(FOLLOW_TAIL)),
        ..wire::LogQuery::default()
    }
}

/// Prints all lines that fit, page by page.
///
/// # Errors
/// When the node refuses the question or the reader has gone.
async fn pages(
    client: &Client,
    mut question: wire::LogQuery,
    printer: &mut Printer,
) -> Result<(), Failure> {
    loop {
        let page = client.logs(&question).await.map_err(|e| locate::unanswered(&e))?;
        printer.print(&page)?;
        if !page.more {
            return Ok(());
        }
        question.after = Some(page.next);
        question.tail = None;
    }
}

/// Prints lines until the system ends. A node that is replaced ends its streams; the next one goes on with them.
async fn follow(
    client: &Client,
    mut question: wire::LogQuery,
    printer: &mut Printer,
) -> Result<(), Failure> {
    loop {
        let mut stream = match client.log_stream(&question).await {
            Ok(stream) => stream,
            Err(client::Error::NotRunning { .. }) => return Ok(()),
            Err(e) => return Err(locate::unanswered(&e)),
        };
        loop {
            match stream.next().await {
                Ok(Some(batch)) => {
                    question.after = Some(batch.id);
                    question.tail = None;
                    printer.print(&batch.data)?;
                }
                Ok(None) | Err(client::Error::Broken(_)) => break,
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Prints batches of lines.
pub(crate) struct Printer {
    out: Output,
    width: usize,
    has_printed: bool,
}

impl Printer {
    /// Names are as wide as the widest there is now.
    pub(crate) fn new(out: &Output, status: &wire::Status) -> Self {
        Self { out: *out, width: name_width(status), has_printed: false }
    }

    /// Prints one batch with one write.
    ///
    /// # Errors
    /// `Closed` when the reader has gone.
    pub(crate) fn print(&mut self, batch: &wire::Logs) -> Result<(), Failure> {
        for notice in &batch.notices {
            self.out.problems(&[notice.into()]);
        }
        if batch.lines.is_empty() {
            return Ok(());
        }
        self.has_printed = true;
        let mut text = String::new();
        for line in &batch.lines {
            if self.out.is_json() {
                text.push_str(&to_json(line)?.to_string());
                text.push('\n');
                continue;
            }
            if self.out.format == super::args::Format::Wide {
                text.push_str(&format!("{} ", line.at));
            }
            self.width = self.width.max(line.instance.len());
            text.push_str(&words::log_line(line, self.width, self.out.paint, self.out.is_terminal));
        }
        self.out.raw(&text)
    }
}

/// Width of the longest instance name.
pub(crate) fn name_width(status: &wire::Status) -> usize {
    status.services.iter().flat_map(|s| &s.instances).map(|i| i.id.len()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_number_are_instances_and_following_starts_near_the_end() {
        let mut args = Logs {
            names: vec!["users".into(), "items/2".into()],
            follow: true,
            since: None,
            grep: None,
            ignore_case: false,
            level: Some(Level::Warn),
            tail: None,
        };
        let asked = question(&args);
        assert_eq!(asked.services, ["users"]);
        assert_eq!(asked.instances, ["items/2"]);
        assert_eq!(asked.level, Some(wire::Level::Warn));
        assert_eq!(asked.tail, Some(FOLLOW_TAIL));
        args.since = Some("10m".into());
        assert_eq!(question(&args).tail, None);
        args.tail = Some(3);
        args.follow = false;
        assert_eq!(question(&args).tail, Some(3));
    }
}
