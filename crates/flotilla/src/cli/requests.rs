//! `flotilla requests`: what the data plane has just done, and what it does.
//!
//! What stands here was written by whoever sent the requests, so nothing of it reaches the terminal as it is.

use super::{
    Context,
    args::{Format, Requests},
    exit::{Exit, Failure, Outcome},
    locate,
    logs::{RECONNECT_PAUSE, name_width},
    output::{Output, Tint},
    ps::to_json,
    words,
};
use api::{Client, client, wire};
use std::{fmt::Write as _, time::Duration};

/// How many of the kept requests are shown when nobody said: two screens.
const TAIL: u64 = 50;

pub(crate) async fn run(context: &Context, args: &Requests) -> Outcome {
    let client = context.place()?.client();
    let status = client.status().await.map_err(|e| locate::unanswered(&e))?;
    locate::known(&args.services, &status)?;
    let question = question(args);
    let mut printer = Printer { out: context.out, width: name_width(&status) };
    if !args.follow {
        let found = client.requests(&question).await.map_err(|e| locate::unanswered(&e))?;
        if found.requests.is_empty() {
            context
                .out
                .say("no request that failed or took a second fits; `-f` shows all as they come");
        }
        printer.print(&found)?;
        return Ok(Exit::Success);
    }
    follow(&client, question, &mut printer).await?;
    context.out.say("the system was stopped");
    Ok(Exit::Success)
}

/// Prints requests until the system ends. A node that is replaced ends its streams; the next one goes on with them.
async fn follow(
    client: &Client,
    mut question: wire::RequestQuery,
    printer: &mut Printer,
) -> Result<(), Failure> {
    loop {
        let mut stream = match client.request_stream(&question).await {
            Ok(stream) => stream,
            Err(client::Error::NotRunning { .. }) => return Ok(()),
            Err(e) => return Err(locate::unanswered(&e)),
        };
        loop {
            match stream.next().await {
                Ok(Some(batch)) => printer.print(&batch.data)?,
                Ok(None) | Err(client::Error::Broken(_)) => break,
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
        question.tail = None;
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// The question that the arguments ask.
fn question(args: &Requests) -> wire::RequestQuery {
    wire::RequestQuery {
        services: args.services.clone(),
        statuses: args.statuses.clone(),
        path: args.path.clone(),
        slower: args.slower.map(|slower| format!("{}us", slower.as_micros())),
        tail: args.tail.or((!args.follow).then_some(TAIL)),
    }
}

/// Prints batches of requests.
struct Printer {
    out: Output,
    width: usize,
}

impl Printer {
    /// Prints one batch with one write.
    ///
    /// # Errors
    /// `Closed` when the reader has gone.
    fn print(&mut self, batch: &wire::Requests) -> Result<(), Failure> {
        if batch.dropped > 0 {
            let text =
                words::count(usize::try_from(batch.dropped).unwrap_or(usize::MAX), "request");
            self.out.say(&format!("{text} more came than can be shown; a filter helps"));
        }
        let mut text = String::new();
        for request in &batch.requests {
            if self.out.is_json() {
                text.push_str(&to_json(request)?.to_string());
            } else {
                let who = request.instance.as_ref().or(request.service.as_ref());
                self.width = self.width.max(who.map_or(0, String::len));
                text.push_str(&self.line(request));
            }
            text.push('\n');
        }
        if text.is_empty() { Ok(()) } else { self.out.raw(&text) }
    }

    /// `12:30:01.250  502  GET      1.2 s  users/2  /users?page=2  no_instance`
    fn line(&self, request: &wire::FinishedRequest) -> String {
        let paint = self.out.paint;
        let at = request.at.to_string();
        let at = at.split_once('T').map_or(&*at, |(_, time)| time.trim_end_matches('Z'));
        let (status, tint) = match request.status {
            Some(status @ 500..) => (status.to_string(), Tint::Red),
            Some(status @ 400..) => (status.to_string(), Tint::Yellow),
            Some(status) => (status.to_string(), Tint::Green),
            None => ("-".to_owned(), Tint::Red),
        };
        let who = request.instance.as_ref().or(request.service.as_ref());
        let who = format!("{:width$}", who.map_or("-", String::as_str), width = self.width);
        let service = request.service.as_deref().unwrap_or_default();
        let mut line = format!(
            "{}  {}  {:7} {:>8}  {}  {}",
            paint.tint(Tint::Dim, at),
            paint.tint(tint, &format!("{status:>3}")),
            visible(&request.method),
            took(request.duration_ms),
            paint.tint(Tint::Service(super::output::colour_number(service)), &who),
            visible(&request.path),
        );
        if let Some(caller) = &request.caller {
            add(&mut line, &format!("from {caller}"));
        }
        if request.retries > 0 {
            add(&mut line, &format!("sent {} times", request.retries.saturating_add(1)));
        }
        for why in [&request.refusal, &request.error].into_iter().flatten() {
            add(&mut line, &paint.tint(Tint::Red, why));
        }
        if self.out.format == Format::Wide {
            add(&mut line, &format!("{} HTTP/{}", visible(&request.host), request.http));
            add(
                &mut line,
                &format!("{} B in, {} B out", request.received_bytes, request.sent_bytes),
            );
            add(&mut line, &request.client);
            for more in [&request.trace, &request.user_agent].into_iter().flatten() {
                add(&mut line, &visible(more));
            }
        }
        line
    }
}

fn add(line: &mut String, text: &str) {
    line.push_str("  ");
    line.push_str(text);
}

/// A duration of a request: to a tenth of a millisecond where that matters.
fn took(ms: f64) -> String {
    if ms < 100.0 {
        return format!("{ms:.1} ms");
    }
    words::duration(Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default())
}

/// A text from outside as it can be shown: control characters, and those that turn the direction of writing,
/// stand as escapes.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if character.is_control() || turns {
            // Writing to a text does not fail.
            let _written = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn request() -> wire::FinishedRequest {
        wire::FinishedRequest {
            at: wire::Time::parse("2026-03-01T09:30:00.250Z").unwrap(),
            method: "GET".into(),
            host: "shop.example".into(),
            path: "/users?page=2".into(),
            status: Some(200),
            duration_ms: 1.25,
            first_byte_ms: Some(1.0),
            received_bytes: 0,
            sent_bytes: 512,
            client: "127.0.0.1:4711".into(),
            http: "1.1".into(),
            tls: false,
            caller: None,
            route: Some("/users".into()),
            service: Some("users".into()),
            instance: Some("users/1".into()),
            retries: 0,
            trace: None,
            user_agent: Some("curl\u{7}".into()),
            referer: None,
            refusal: None,
            error: None,
        }
    }

    #[test]
    fn a_request_is_one_line_and_says_what_went_wrong() {
        let out = Output {
            paint: super::super::output::Paint { on: false },
            paint_err: super::super::output::Paint { on: false },
            is_terminal: false,
            quiet: false,
            format: Format::Text,
        };
        let printer = Printer { out, width: 9 };
        let wide = Printer { out: Output { format: Format::Wide, ..out }, width: 9 };
        let refused = wire::FinishedRequest {
            status: Some(503),
            duration_ms: 1_002.0,
            instance: None,
            caller: Some("web".into()),
            retries: 2,
            refusal: Some("no_instance".into()),
            path: "/\u{1b}[2J\u{202e}<b>é".into(),
            ..request()
        };
        let lines = [printer.line(&request()), printer.line(&refused), wide.line(&request())];
        expect![[r"
            09:30:00.250  200  GET       1.2 ms  users/1    /users?page=2
            09:30:00.250  503  GET        1.0 s  users      /\u{1b}[2J\u{202e}<b>é  from web  sent 3 times  no_instance
            09:30:00.250  200  GET       1.2 ms  users/1    /users?page=2  shop.example HTTP/1.1  0 B in, 512 B out  127.0.0.1:4711  curl\u{7}"]]
        .assert_eq(&lines.join("\n"));
    }
}
