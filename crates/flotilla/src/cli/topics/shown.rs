//! Topics, groups and subscriptions as tables.

use super::bad;
use crate::cli::{
    Context,
    args::Format,
    exit::{Exit, Outcome},
    locate,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    store::{short, visible},
};
use api::{
    Client,
    wire::topics::{DeclaredBy, Group, Subscription, Topic},
};
use base::ByteSize;

/// A time as the file has it, in the largest unit that it is a whole number of: `7d`, `90s`.
fn time(ms: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fitting = UNITS.into_iter().find(|(_, size)| ms >= *size && ms.is_multiple_of(*size));
    fitting.map_or_else(|| format!("{ms}ms"), |(unit, size)| format!("{}{unit}", ms / size))
}

fn retained(topic: &Topic) -> String {
    let time = topic.retain_ms.map_or_else(|| "for ever".to_owned(), time);
    match topic.retain_bytes {
        Some(size) => format!("{time}, {}", ByteSize(size)),
        None => time,
    }
}

fn attempts(topic: &Topic) -> String {
    let max = topic.attempts_max.map_or_else(|| "no end".to_owned(), |max| max.to_string());
    format!("{max}, {} to {}", time(topic.backoff_first_ms), time(topic.backoff_max_ms))
}

pub(super) fn topics(context: &Context, topics: &[Topic]) -> String {
    let is_wide = context.out.format == Format::Wide;
    let wide = |title| if is_wide { title } else { "" };
    let head = [
        ("TOPIC", Align::Left),
        ("MESSAGES", Align::Right),
        ("SIZE", Align::Right),
        ("GROUPS", Align::Right),
        ("DEAD", Align::Right),
        ("KEPT", Align::Left),
        (wide("FIRST"), Align::Right),
        (wide("LAST"), Align::Right),
        (wide("ATTEMPTS"), Align::Left),
        (wide("DEAD LETTERS"), Align::Left),
    ];
    let row = |topic: &Topic| -> Vec<Cell> {
        let mut row = vec![
            // What stands in no file is there because somebody published to it, or gave up what was in it.
            match topic.of_file {
                true => visible(&topic.name).into(),
                false => Cell::tinted(visible(&topic.name), Tint::Dim),
            },
            topic.messages.to_string().into(),
            ByteSize(topic.size_bytes).to_string().into(),
            topic.groups.to_string().into(),
            bad(topic.dead),
            Cell::tinted(retained(topic), Tint::Dim),
        ];
        if is_wide {
            let place = topic.dead_topic.as_deref().unwrap_or_default();
            row.extend([
                topic.first.to_string().into(),
                topic.last.to_string().into(),
                attempts(topic).into(),
                visible(place).into(),
            ]);
        }
        row
    };
    let rows: Vec<Vec<Cell>> = topics.iter().map(row).collect();
    table(context.out.paint, &head, &rows)
}

pub(super) fn groups(context: &Context, groups: &[Group]) -> String {
    let head = [
        ("GROUP", Align::Left),
        ("SETTLED", Align::Right),
        ("LAG", Align::Right),
        ("IN FLIGHT", Align::Right),
        ("WAITING", Align::Right),
        ("SUBSCRIBED", Align::Right),
        ("ORDER", Align::Left),
    ];
    let row = |group: &Group| -> Vec<Cell> {
        vec![
            visible(&group.name).into(),
            group.settled.to_string().into(),
            group.lag.to_string().into(),
            group.in_flight.to_string().into(),
            group.waiting.to_string().into(),
            group.subscriptions.to_string().into(),
            Cell::tinted(if group.keeps_order { "key" } else { "none" }, Tint::Dim),
        ]
    };
    let rows: Vec<Vec<Cell>> = groups.iter().map(row).collect();
    table(context.out.paint, &head, &rows)
}

pub(super) fn subscriptions(context: &Context, all: &[Subscription]) -> String {
    let head = [
        ("TOPIC", Align::Left),
        ("GROUP", Align::Left),
        ("TO", Align::Left),
        ("DONE", Align::Right),
        ("RETRIED", Align::Right),
        ("DEAD", Align::Right),
        ("IN FLIGHT", Align::Right),
        ("FROM", Align::Left),
        ("STATE", Align::Left),
    ];
    let row = |it: &Subscription| -> Vec<Cell> {
        let to: Vec<String> = it.routes.iter().map(|route| visible(&route.to)).collect();
        let from = match it.declared_by {
            DeclaredBy::File => "file",
            DeclaredBy::App => "app",
            DeclaredBy::Connection => "connection",
        };
        let state = match (&it.paused, &it.last_error) {
            (Some(why), _) => Cell::tinted(short(why), Tint::Yellow),
            (None, Some(error)) => Cell::tinted(short(&format!("last error: {error}")), Tint::Dim),
            (None, None) => "".into(),
        };
        vec![
            visible(&it.topic).into(),
            visible(&it.group).into(),
            short(&to.join(", ")).into(),
            it.done.to_string().into(),
            it.retried.to_string().into(),
            bad(it.dead.saturating_add(it.dropped)),
            it.in_flight.to_string().into(),
            Cell::tinted(from, Tint::Dim),
            state,
        ]
    };
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    table(context.out.paint, &head, &rows)
}

/// `flotilla topics show`
pub(super) async fn show(context: &Context, client: &Client, topic: &str) -> Outcome {
    let found = client.topic(topic).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let topic = &found.topic;
    let dead = match &topic.dead_topic {
        Some(place) => format!("{} in {}", topic.dead, visible(place)),
        None => topic.dead.to_string(),
    };
    let offsets = if topic.messages == 0 {
        String::new()
    } else {
        format!(", {} to {}", topic.first, topic.last)
    };
    let size = ByteSize(topic.size_bytes);
    let named = if topic.of_file { "yes" } else { "no" };
    let facts = [
        ("topic", visible(&topic.name)),
        ("in the file", named.to_owned()),
        ("messages", format!("{}{offsets}, {size}", topic.messages)),
        ("kept", retained(topic)),
        ("ids remembered", time(topic.dedup_ms)),
        ("attempts", attempts(topic)),
        ("dead letters", dead),
    ];
    let row = |(name, fact): &(&str, String)| -> Vec<Cell> {
        vec![Cell::tinted(*name, Tint::Dim), fact.clone().into()]
    };
    let rows: Vec<Vec<Cell>> = facts.iter().map(row).collect();
    let mut text = table(context.out.paint, &[("", Align::Left); 2], &rows);
    if !found.groups.is_empty() {
        text.push('\n');
        text.push_str(&groups(context, &found.groups));
    }
    if !found.subscriptions.is_empty() {
        text.push('\n');
        text.push_str(&subscriptions(context, &found.subscriptions));
    }
    context.out.raw(&text)?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_the_file() {
        let written = [0, 250, 1_000, 90_000, 120_000, 36 * 3_600_000, 7 * 86_400_000].map(time);
        assert_eq!(written, ["0ms", "250ms", "1s", "90s", "2m", "36h", "7d"]);
    }
}
