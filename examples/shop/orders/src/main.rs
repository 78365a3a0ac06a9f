//! Who ordered what: `/orders`, `/orders/{id}`, and `/order` as a short form. `/checkout` orders
//! and pays in one.

mod checkout;
mod desk;
mod events;
mod store;

use std::{process::ExitCode, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
    routing::get,
};
use desk::Desk;
use serde::{Deserialize, Serialize};
use shop_kit::{Body, Client, Error, Flotilla, Id, Params, Result, Trace, Upstream, to_the_end};
use store::{NewOrder, Order, Status};

fn main() -> ExitCode {
    shop_kit::run("orders", store::SCHEMA, |db| {
        let client = Client::default();
        let upstream = |name: &str| Upstream::from_env(&client, name);
        let flotilla = Flotilla::from_env(&client)?;
        let desk =
            Desk { db, users: upstream("USERS_URL")?, items: upstream("ITEMS_URL")?, flotilla };
        Ok(Router::new()
            .route("/orders", get(list).post(create))
            .route("/orders/{id}", get(read).put(change).delete(remove))
            .route("/order", get(list_or_read).post(create))
            .merge(events::routes())
            .merge(checkout::routes())
            .with_state(Arc::new(desk)))
    })
}

type Shop = State<Arc<Desk>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    id: Option<i64>,
}

#[derive(Serialize)]
struct Orders {
    orders: Vec<Order>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    status: Status,
}

async fn list(State(shop): Shop) -> Result<Json<Orders>> {
    Ok(Json(Orders { orders: shop.db.read(store::list).await? }))
}

async fn read(State(shop): Shop, Id(id): Id) -> Result<Json<Order>> {
    Ok(Json(shop.db.read(move |db| store::get(db, id)).await?))
}

async fn list_or_read(shop: Shop, Params(which): Params<Which>) -> Result<Response> {
    match which.id {
        Some(id) => Ok(read(shop, Id(id)).await?.into_response()),
        None => Ok(list(shop).await?.into_response()),
    }
}

async fn create(
    State(shop): Shop,
    headers: HeaderMap,
    Body(new): Body<NewOrder>,
) -> Result<impl IntoResponse> {
    new.check()?;
    let trace = Trace::of(&headers);
    let order = to_the_end(async move { shop.create(new, &trace).await }).await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/orders/{}", order.id))], Json(order)))
}

async fn change(
    State(shop): Shop,
    Id(id): Id,
    headers: HeaderMap,
    Body(Change { status }): Body<Change>,
) -> Result<Json<Order>> {
    let trace = Trace::of(&headers);
    let order = to_the_end(async move {
        match status {
            Status::Cancelled => shop.cancel(id, &trace).await,
            Status::Pending | Status::Confirmed | Status::Rejected => Err(Error::invalid(format!(
                "nobody makes an order {status}: that depends on the stock"
            ))),
            Status::Paid | Status::Shipped => {
                shop.db.write(move |db| store::advance(db, id, status)).await
            }
        }
    })
    .await?;
    Ok(Json(order))
}

async fn remove(State(shop): Shop, Id(id): Id, headers: HeaderMap) -> Result<StatusCode> {
    let trace = Trace::of(&headers);
    to_the_end(async move { shop.remove(id, &trace).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
