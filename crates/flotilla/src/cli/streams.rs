//! `flotilla streams`: the events that are the truth of event-sourced services.

use super::{
    Context,
    args::{Append, Read, StreamsCommand},
    data,
    exit::{Exit, Failure, Outcome},
    locate,
    logs::RECONNECT_PAUSE,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    state::value,
    store::{short, visible},
    topics::bad,
};
use api::{
    Client, EventPage, EventQuestion,
    client::Error,
    wire::{
        state::Item,
        streams::{Event, Events, NewEvent, Reset, Stream, StreamSubscription},
    },
};
use base::ByteSize;

/// Most events, and most streams, of one page.
const PAGE: u32 = 500;

pub(crate) async fn run(context: &Context, command: &StreamsCommand) -> Outcome {
    let client = context.place()?.client();
    match command {
        StreamsCommand::Ls { prefix, limit } => {
            list(context, &client, prefix.as_deref(), *limit).await
        }
        StreamsCommand::Show { stream } => show(context, &client, stream).await,
        StreamsCommand::Read(args) if args.follow => follow(context, &client, args).await,
        StreamsCommand::Read(args) => read(context, &client, args).await,
        StreamsCommand::Append(args) => append(context, &client, args).await,
        StreamsCommand::Snapshot { stream } => snapshot(context, &client, stream).await,
        StreamsCommand::Subscriptions => subscriptions(context, &client).await,
        StreamsCommand::Reset { name, to } => reset(context, &client, name, to).await,
    }
}

async fn list(context: &Context, client: &Client, prefix: Option<&str>, limit: u32) -> Outcome {
    let mut left = limit;
    let mut from: Option<String> = None;
    let mut rows = Vec::new();
    let whole = loop {
        let page = client.streams(prefix, from.as_deref(), Some(left.min(PAGE))).await;
        let page = page.map_err(|e| locate::unanswered(&e))?;
        left = left.saturating_sub(u32::try_from(page.streams.len()).unwrap_or(u32::MAX));
        for stream in &page.streams {
            if context.out.is_json() {
                context.out.line(&value::json_line(stream)?)?;
            } else {
                rows.push(row(stream));
            }
        }
        from.clone_from(&page.next);
        if from.is_none() || left == 0 {
            break page;
        }
    };
    if !context.out.is_json() {
        let head = [
            ("STREAM", Align::Left),
            ("REVISION", Align::Right),
            ("POSITION", Align::Right),
            ("LAST EVENT", Align::Left),
        ];
        context.out.raw(&table(context.out.paint, &head, &rows))?;
        let size = ByteSize(whole.size_bytes);
        let text = format!("{} streams, {} events, {size}", whole.total, whole.position);
        context.out.say(&text);
    }
    if from.is_some() {
        context.out.say("there are more; `-n` shows them");
    }
    Ok(Exit::Success)
}

fn row(stream: &Stream) -> Vec<Cell> {
    vec![
        visible(&stream.name).into(),
        stream.revision.to_string().into(),
        stream.position.to_string().into(),
        Cell::tinted(stream.at.to_string(), Tint::Dim),
    ]
}

async fn show(context: &Context, client: &Client, stream: &str) -> Outcome {
    let found = client.event_stream_status(stream).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let snapshot = match found.snapshot {
        Some(revision) => format!("of revision {revision}"),
        None => "none".to_owned(),
    };
    let facts = [
        ("stream", visible(&found.name)),
        ("revision", found.revision.to_string()),
        ("position", found.position.to_string()),
        ("last event", found.at.to_string()),
        ("snapshot", snapshot),
    ];
    let row = |(name, fact): &(&str, String)| -> Vec<Cell> {
        vec![Cell::tinted(*name, Tint::Dim), fact.clone().into()]
    };
    let rows: Vec<Vec<Cell>> = facts.iter().map(row).collect();
    context.out.raw(&table(context.out.paint, &[("", Align::Left); 2], &rows))?;
    Ok(Exit::Success)
}

fn question(args: &Read) -> EventQuestion {
    EventQuestion {
        category: args.category.clone(),
        kinds: args.kinds.clone(),
        tags: args.tags.clone(),
    }
}

async fn read(context: &Context, client: &Client, args: &Read) -> Outcome {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut from = args.from;
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = EventPage { from, is_backwards: args.backwards, limit: Some(limit) };
        let found: Result<Events, Error> = match &args.stream {
            Some(stream) => client.stream_events(stream, page).await,
            None => client.all_stream_events(&question(args), page).await,
        };
        let found = found.map_err(|e| locate::unanswered(&e))?;
        for event in &found.events {
            print(context, event)?;
        }
        left = left.saturating_sub(u64::try_from(found.events.len()).unwrap_or(u64::MAX));
        from = found.next;
        if from.is_none() {
            break;
        }
    }
    Ok(Exit::Success)
}

async fn follow(context: &Context, client: &Client, args: &Read) -> Outcome {
    let first = if args.stream.is_some() { 0 } else { 1 };
    let mut from = args.from.unwrap_or(first);
    loop {
        let stream = match &args.stream {
            Some(stream) => client.stream_events_stream(stream, from).await,
            None => client.all_stream_events_stream(&question(args), from).await,
        };
        let mut stream = match stream {
            Ok(stream) => stream,
            Err(Error::NotRunning { .. }) => break,
            Err(e) => return Err(locate::unanswered(&e)),
        };
        loop {
            match stream.next().await {
                Ok(Some(item)) => {
                    print(context, &item.data)?;
                    from = item.id.saturating_add(1);
                }
                Ok(None) | Err(Error::Broken(_)) => break,
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    context.out.say("the system was stopped");
    Ok(Exit::Success)
}

/// A line for each event, as JSON with all that is known of it.
fn print(context: &Context, event: &Event) -> Result<(), Failure> {
    if context.out.is_json() {
        return context.out.line(&value::json_line(event)?);
    }
    let data = data::line(event.data.as_deref(), event.text.as_deref(), event.base64.as_deref())?;
    let paint = context.out.paint;
    let tags: String = event.tags.iter().map(|tag| format!(" #{}", visible(tag))).collect();
    let mut line = format!(
        "{}  {}  {}@{}  {}{}",
        event.position,
        paint.tint(Tint::Dim, &event.at.to_string()),
        visible(&event.stream),
        event.revision,
        visible(&event.kind),
        paint.tint(Tint::Dim, &tags),
    );
    if !data.is_empty() {
        line.push_str(&format!("  {data}"));
    }
    context.out.line(&line)
}

async fn append(context: &Context, client: &Client, args: &Append) -> Outcome {
    let data = data::typed(args.data.as_deref(), args.text)?;
    let event = NewEvent {
        id: args.id.clone(),
        kind: args.kind.clone(),
        tags: args.tags.clone(),
        data: data.json,
        text: data.text,
        base64: data.base64,
        metadata: args.metadata.as_deref().map(data::json).transpose()?,
    };
    let expected = Some(args.expected.clone());
    let append = api::wire::streams::Append { expected, events: vec![event] };
    let done = client.append(&args.stream, &append).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&done)?)?;
        return Ok(Exit::Success);
    }
    let what = if done.duplicate { "it was there already" } else { "appended" };
    context.out.say(&format!("{what}, revision {}, position {}", done.revision, done.position));
    Ok(Exit::Success)
}

async fn snapshot(context: &Context, client: &Client, stream: &str) -> Outcome {
    let found = client.stream_snapshot(stream).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.line(&value::json_line(&found)?)?;
        return Ok(Exit::Success);
    }
    let revision = found.revision;
    let item =
        Item { value: found.data, text: found.text, base64: found.base64, ..Item::default() };
    context.out.bytes(&value::printed(&item, context.out.is_terminal)?)?;
    context.out.say(&format!("of revision {revision}"));
    Ok(Exit::Success)
}

async fn subscriptions(context: &Context, client: &Client) -> Outcome {
    let found = client.stream_subscriptions().await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let head = [
        ("SUBSCRIPTION", Align::Left),
        ("TO", Align::Left),
        ("POSITION", Align::Right),
        ("LAG", Align::Right),
        ("DONE", Align::Right),
        ("DEAD", Align::Right),
        ("STATE", Align::Left),
    ];
    let rows: Vec<Vec<Cell>> = found.subscriptions.iter().map(subscription).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    if rows.is_empty() {
        context.out.say("nobody subscribes to streams");
    }
    Ok(Exit::Success)
}

fn subscription(it: &StreamSubscription) -> Vec<Cell> {
    let state = match (&it.paused, &it.last_error) {
        (Some(why), _) => Cell::tinted(short(why), Tint::Yellow),
        (None, Some(error)) => Cell::tinted(short(&format!("last error: {error}")), Tint::Dim),
        (None, None) if !it.here => Cell::tinted("on another node", Tint::Dim),
        (None, None) => "".into(),
    };
    vec![
        visible(&it.name).into(),
        visible(&it.to).into(),
        it.position.to_string().into(),
        it.lag.to_string().into(),
        it.done.to_string().into(),
        bad(it.dead),
        state,
    ]
}

async fn reset(context: &Context, client: &Client, name: &str, to: &str) -> Outcome {
    let position = match to {
        "beginning" => 0,
        "end" => {
            let all = client.streams(None, None, Some(1)).await;
            all.map_err(|e| locate::unanswered(&e))?.position
        }
        position => position.parse().map_err(|_no_number| {
            let text = format!("`{}` is no position", visible(position));
            Failure::with_help(Exit::Usage, text, "write `beginning`, `end` or a number")
        })?,
    };
    let done = client.reset_stream_subscription(name, &Reset { position }).await;
    let done = done.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&done)?)?;
    } else {
        context.out.say(&format!("{} goes on after position {position}", visible(name)));
    }
    Ok(Exit::Success)
}
