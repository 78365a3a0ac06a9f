//! What can be ordered: `/items`, `/item/{name}`, and taking stock from it.

mod checkout;
mod events;
mod store;

use std::process::ExitCode;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use shop_kit::{Body, Client, Db, Flotilla, Name, Result};
use store::{Item, Put};

fn main() -> ExitCode {
    shop_kit::run("items", store::SCHEMA, |db| {
        let flotilla = Flotilla::from_env(&Client::default())?;
        Ok(Router::new()
            .route("/items", get(list))
            .route("/item/{name}", get(read).post(put).delete(remove))
            .route("/item/{name}/take", post(take))
            .route("/item/{name}/give", post(give))
            .with_state(db.clone())
            .merge(checkout::routes(db.clone()))
            .merge(events::routes(db, flotilla)))
    })
}

#[derive(Serialize)]
struct Items {
    items: Vec<Item>,
}

/// How much to take or to give back.
///
/// With `key`, the call may be repeated without doing it twice, and a `give` undoes exactly the
/// `take` of that key: nothing, if that never happened.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    quantity: i64,
    key: Option<String>,
}

async fn list(State(db): State<Db>) -> Result<Json<Items>> {
    Ok(Json(Items { items: db.read(store::list).await? }))
}

async fn read(State(db): State<Db>, Name(name): Name) -> Result<Json<Item>> {
    Ok(Json(db.read(move |db| store::get(db, &name)).await?))
}

async fn put(
    State(db): State<Db>,
    Name(name): Name,
    Body(put): Body<Put>,
) -> Result<(StatusCode, Json<Item>)> {
    put.check()?;
    let (item, is_new) = db.write(move |db| store::put(db, &name, &put)).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(item)))
}

async fn remove(State(db): State<Db>, Name(name): Name) -> Result<StatusCode> {
    db.write(move |db| store::remove(db, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn take(
    State(db): State<Db>,
    Name(name): Name,
    Body(Move { quantity, key }): Body<Move>,
) -> Result<Json<Item>> {
    store::check_move(quantity)?;
    let item = db
        .write(move |db| match key {
            Some(key) => store::take_once(db, &key, &name, quantity),
            None => store::take(db, &name, quantity),
        })
        .await?;
    Ok(Json(item))
}

async fn give(
    State(db): State<Db>,
    Name(name): Name,
    Body(Move { quantity, key }): Body<Move>,
) -> Result<Json<Item>> {
    store::check_move(quantity)?;
    let item = db
        .write(move |db| match key {
            Some(key) => store::give_once(db, &key, &name),
            None => store::give(db, &name, quantity),
        })
        .await?;
    Ok(Json(item))
}
