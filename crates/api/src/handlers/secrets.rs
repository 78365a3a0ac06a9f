//! Secrets. Their values leave the node only when they are asked for by name, and that is noted.

use super::Reach;
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    wire::{
        secrets::{Info, Names, Rotated, Secret, Set, Stored},
        state::Deleted,
    },
};
use coordination::{SecretInfo, Secrets, StoreKind};
use http::StatusCode;

/// What stands in place of a value.
const HIDDEN: &str = "***";

fn secrets<B: Reach + ?Sized>(context: &Context<B>) -> Result<(Secrets, &str), Problem> {
    let store = context.store(StoreKind::Secret)?;
    Ok((context.backend.coordination().secrets(), store))
}

pub(crate) async fn names<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (secrets, store) = secrets(&context)?;
    let all = secrets.names(store).await?.into_iter();
    let mine = all.filter(|secret| context.backend.may_read_secret(store, &secret.name));
    let secrets = mine.map(Info::from).collect();
    Ok(json(StatusCode::OK, &Names { secrets }))
}

pub(crate) async fn get<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (secrets, store) = secrets(&context)?;
    let name = context.value(1);
    if !context.backend.may_read_secret(store, name) {
        let message = format!("the secret `{}` is not for this service", name.escape_debug());
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    let found = secrets.get(store, name).await?;
    let revealed = context.backend.reveals(&context.params);
    // Services read their secrets all the time; that an operator looks is worth a line.
    if revealed && context.backend.instance().is_none() {
        let by = context.backend.by();
        tracing::info!(target: "audit", store, secret = name, by, "a secret was revealed");
    }
    let value = |secret: &coordination::Secret| {
        if revealed { secret.expose().to_owned() } else { HIDDEN.to_owned() }
    };
    let values = found.values.iter().map(|(key, secret)| (key.clone(), value(secret))).collect();
    let answer = Secret { name: name.to_owned(), values, revealed, stale: found.stale };
    Ok(json(StatusCode::OK, &answer))
}

pub(crate) async fn set<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (secrets, store) = secrets(&context)?;
    let Set { value } = context.read()?;
    let name = context.value(1);
    secrets.set(store, name, coordination::Secret::new(value)).await?;
    let by = context.backend.by();
    tracing::info!(target: "audit", store, secret = name, by, "a secret was set");
    Ok(json(StatusCode::OK, &Stored { stored: true }))
}

pub(crate) async fn delete<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let (secrets, store) = secrets(&context)?;
    let name = context.value(1);
    let deleted = secrets.delete(store, name).await?;
    let by = context.backend.by();
    tracing::info!(target: "audit", store, secret = name, by, deleted, "a secret was deleted");
    Ok(json(StatusCode::OK, &Deleted { deleted }))
}

pub(crate) async fn rotate<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let rotated = context.backend.coordination().secrets().rotate().await?;
    let secrets = u64::try_from(rotated.secrets).unwrap_or(u64::MAX);
    let by = context.backend.by();
    tracing::info!(target: "audit", key = rotated.key, secrets, by, "all secrets were sealed anew");
    Ok(json(StatusCode::OK, &Rotated { key: rotated.key, secrets }))
}

impl From<SecretInfo> for Info {
    fn from(info: SecretInfo) -> Self {
        Self { name: info.name, source: info.source, changed_at: info.changed.map(Into::into) }
    }
}
