//! Dead letters: messages that were given up.

use super::messages::{count, said};
use crate::cli::{
    Context,
    args::DlqCommand,
    exit::{Exit, Failure, Outcome},
    locate,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    state::value,
    store::{short, visible},
};
use api::{
    Client,
    wire::topics::{Message, Redrive},
};

/// Most dead letters of one page.
const PAGE: u32 = 100;

/// Most dead letters that the node brings back at once.
const REDRIVE_MAX: u64 = 10_000;

pub(super) async fn run(context: &Context, client: &Client, command: &DlqCommand) -> Outcome {
    match command {
        DlqCommand::Ls { topic, limit } => list(context, client, topic, *limit).await,
        DlqCommand::Redrive { topic, offsets, limit } => {
            let redrive = Redrive { offsets: offsets.clone(), limit: *limit };
            let done = client.redrive(topic, &redrive).await;
            let done = done.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&done)?)?;
            } else {
                context.out.say(&format!("{} brought back", count(done.redriven)));
                if limit.is_none() && done.redriven >= REDRIVE_MAX {
                    context.out.say("there may be more; once more brings them back");
                }
            }
            Ok(Exit::Success)
        }
    }
}

async fn list(context: &Context, client: &Client, topic: &str, limit: u32) -> Outcome {
    let (mut left, mut from) = (limit, None);
    let mut rows = Vec::new();
    loop {
        let page = client.dead_letters(topic, from, Some(left.min(PAGE))).await;
        let page = page.map_err(|e| locate::unanswered(&e))?;
        left = left.saturating_sub(u32::try_from(page.letters.len()).unwrap_or(u32::MAX));
        for letter in &page.letters {
            if context.out.is_json() {
                context.out.line(&value::json_line(letter)?)?;
            } else {
                rows.push(row(letter)?);
            }
        }
        from = page.next;
        if from.is_none() || left == 0 {
            break;
        }
    }
    if !context.out.is_json() {
        let head = [
            ("OFFSET", Align::Right),
            ("GROUP", Align::Left),
            ("ATTEMPTS", Align::Right),
            ("GIVEN UP", Align::Left),
            ("WHY", Align::Left),
            ("MESSAGE", Align::Left),
        ];
        context.out.raw(&table(context.out.paint, &head, &rows))?;
        if rows.is_empty() {
            context.out.say("nothing was given up");
        }
    }
    if from.is_some() {
        context.out.say("there are more; `-n` shows them");
    }
    Ok(Exit::Success)
}

fn row(letter: &Message) -> Result<Vec<Cell>, Failure> {
    let offset = letter.offset.to_string();
    let Some(dead) = &letter.dead else {
        return Ok(vec![offset.into()]);
    };
    Ok(vec![
        offset.into(),
        visible(&dead.group).into(),
        dead.attempts.to_string().into(),
        Cell::tinted(dead.at.to_string(), Tint::Dim),
        Cell::tinted(short(&dead.reason), Tint::Red),
        said(&letter.event)?.into(),
    ])
}
