//! Configuration.

use super::Reach;
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    sse::{self, Format, Source},
    wire::config::{Change, Changed, Diff, History, Item, Items, Rollback, Set, Version},
};
use bytes::Bytes;
use coordination::{ConfigAnswer, ConfigItem, ConfigWatch, Configuration, Select, StoreKind};
use http::StatusCode;

fn configuration<B: Reach + ?Sized>(
    context: &Context<B>,
) -> Result<(Configuration, &str), Problem> {
    let store = context.store(StoreKind::Configuration)?;
    Ok((context.backend.coordination().configuration(), store))
}

/// The keys that the query selects.
fn select<B: ?Sized>(context: &Context<B>) -> Result<Select, Problem> {
    let all = |name| context.params.all(name).map(str::to_owned).collect::<Vec<_>>();
    match (all("key"), all("pattern")) {
        (keys, patterns) if patterns.is_empty() => Ok(Select::keys(&keys)),
        (keys, patterns) if keys.is_empty() => Ok(Select::Patterns(patterns)),
        _ => Err(Problem::bad_request("`key` and `pattern` cannot be given together")),
    }
}

pub(crate) async fn list<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (configuration, store) = configuration(&context)?;
    let found = configuration.get(store, &select(&context)?).await?;
    Ok(json(StatusCode::OK, &Items::from(&found)))
}

pub(crate) async fn get<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (configuration, store) = configuration(&context)?;
    let key = context.value(1);
    let found = configuration.get(store, &Select::Keys(vec![key.to_owned()])).await?;
    match found.items.get(key) {
        Some(item) => Ok(json(StatusCode::OK, &Item::from(item))),
        None => {
            let message = format!("`{}` is not set", key.escape_debug());
            Err(Problem::not_found(message, None))
        }
    }
}

pub(crate) async fn set<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (configuration, store) = configuration(&context)?;
    let Set { value, metadata, expected } = context.read()?;
    let (key, by) = (context.value(1), context.backend.by());
    let version = configuration.set(store, key, &value, metadata, expected, &by).await?;
    Ok(json(StatusCode::OK, &Changed { version: Some(version) }))
}

pub(crate) async fn delete<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (configuration, store) = configuration(&context)?;
    let expected = context.params.number("expected");
    let by = context.backend.by();
    let version = configuration.delete(store, context.value(1), expected, &by).await?;
    Ok(json(StatusCode::OK, &Changed { version }))
}

pub(crate) async fn history<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (configuration, store) = configuration(&context)?;
    let versions = configuration.history(store, context.value(1)).await?;
    let versions = versions.into_iter().map(Version::from).collect();
    Ok(json(StatusCode::OK, &History { versions }))
}

pub(crate) async fn diff<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (configuration, store) = configuration(&context)?;
    let Some(from) = context.params.number("from") else {
        return Err(Problem::bad_request("`from` is missing: the earlier version"));
    };
    let to = context.params.number("to");
    let diff = configuration.diff(store, context.value(1), from, to).await?;
    Ok(json(StatusCode::OK, &Diff { diff }))
}

pub(crate) async fn rollback<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (configuration, store) = configuration(&context)?;
    let Rollback { to } = context.read()?;
    let by = context.backend.by();
    let version = configuration.rollback(store, context.value(1), to, &by).await?;
    Ok(json(StatusCode::OK, &Changed { version: Some(version) }))
}

pub(crate) async fn watch<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    context.must_want_events()?;
    let (configuration, store) = configuration(&context)?;
    let after = context.last_event_id()?.or(context.params.number("after"));
    let watch = configuration.watch(store, select(&context)?, after).await?;
    context.stream(Watching { watch, is_begun: after.is_some() }, Format::Sse)
}

struct Watching {
    watch: ConfigWatch,
    is_begun: bool,
}

impl Source for Watching {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.is_begun {
            self.is_begun = true;
            let initial = self.watch.initial();
            let item = |(key, item): (&String, &ConfigItem)| (key.clone(), Some(item.into()));
            let (revision, items) = (initial.revision, initial.items.iter().map(item).collect());
            return Some(sse::message(revision, "change", &Change { revision, items }));
        }
        let change = self.watch.next().await?;
        let item = |item: Option<ConfigItem>| item.as_ref().map(Item::from);
        let items = change.items.into_iter().map(|(key, value)| (key, item(value))).collect();
        let revision = change.revision;
        Some(sse::message(revision, "change", &Change { revision, items }))
    }
}

impl From<&ConfigItem> for Item {
    fn from(item: &ConfigItem) -> Self {
        Self {
            value: item.value.clone(),
            version: item.version,
            metadata: item.metadata.clone(),
            changed_at: item.changed.into(),
            by: item.by.clone(),
        }
    }
}

impl From<&ConfigAnswer> for Items {
    fn from(answer: &ConfigAnswer) -> Self {
        let items = answer.items.iter().map(|(key, item)| (key.clone(), item.into()));
        Self { items: items.collect(), stale: answer.stale, revision: answer.revision }
    }
}

impl From<coordination::Version> for Version {
    fn from(version: coordination::Version) -> Self {
        Self {
            version: version.version,
            value: version.value,
            metadata: version.metadata,
            changed_at: version.changed.into(),
            by: version.by,
            restores: version.restores,
        }
    }
}
