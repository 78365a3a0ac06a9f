//! Who may order, `/users` and `/users/{id}`, and what money they have here,
//! `/users/{id}/account` and `/users/{id}/wallet`.

mod account;
mod store;
mod wallet;

use std::process::ExitCode;

use account::Accounts;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::IntoResponse,
    routing::get,
};
use serde::{Deserialize, Serialize};
use shop_kit::{Body, Client, Db, Flotilla, Id, Params, Result};
use store::{Change, NewUser, User};

fn main() -> ExitCode {
    shop_kit::run("users", store::SCHEMA, |db| {
        let flotilla = Flotilla::from_env(&Client::default())?;
        Ok(Router::new()
            .route("/users", get(list).post(create))
            .route("/users/{id}", get(read).put(replace).patch(change).delete(remove))
            .with_state(db.clone())
            .merge(wallet::routes(db.clone()))
            .merge(account::routes(Accounts { db, flotilla })))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default = "limit_default")]
    limit: u32,
    #[serde(default)]
    after: i64,
}

fn limit_default() -> u32 {
    100
}

#[derive(Serialize)]
struct Users {
    users: Vec<User>,
    /// What to pass as `after` to go on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

async fn list(State(db): State<Db>, Params(page): Params<Page>) -> Result<Json<Users>> {
    store::check_limit(page.limit)?;
    let (users, next) = db.read(move |db| store::list(db, page.after, page.limit)).await?;
    Ok(Json(Users { users, next }))
}

async fn create(State(db): State<Db>, Body(user): Body<NewUser>) -> Result<impl IntoResponse> {
    user.check()?;
    let user = db.write(move |db| store::insert(db, &user)).await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/users/{}", user.id))], Json(user)))
}

async fn read(State(db): State<Db>, Id(id): Id) -> Result<Json<User>> {
    Ok(Json(db.read(move |db| store::get(db, id)).await?))
}

async fn replace(
    State(db): State<Db>,
    Id(id): Id,
    Body(user): Body<NewUser>,
) -> Result<Json<User>> {
    user.check()?;
    let change = Change { name: Some(user.name), email: Some(user.email) };
    Ok(Json(db.write(move |db| store::change(db, id, &change)).await?))
}

async fn change(
    State(db): State<Db>,
    Id(id): Id,
    Body(change): Body<Change>,
) -> Result<Json<User>> {
    change.check()?;
    Ok(Json(db.write(move |db| store::change(db, id, &change)).await?))
}

async fn remove(State(db): State<Db>, Id(id): Id) -> Result<StatusCode> {
    db.write(move |db| store::remove(db, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
