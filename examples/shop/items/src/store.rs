//! Items, their price and their stock.
//!
//! Stock never goes below zero: the condition is part of the one statement that takes it. A keyed
//! take is remembered in `takes` in the same transaction, so that giving back is exact.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use shop_kit::{Error, Result};

/// A row in `takes` with quantity 0 says: given back. It stays, because the take that it undoes
/// may still be on its way, and must then find out that it is too late. `done` has the messages
/// that were worked on, with what was missing then.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS items (
        name     TEXT PRIMARY KEY,
        price    INTEGER NOT NULL CHECK (price >= 0),
        quantity INTEGER NOT NULL CHECK (quantity >= 0)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS takes (
        key      TEXT NOT NULL,
        name     TEXT NOT NULL,
        quantity INTEGER NOT NULL CHECK (quantity >= 0),
        PRIMARY KEY (key, name)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS done (
        event   TEXT PRIMARY KEY,
        missing TEXT
    ) STRICT";

/// Bounds every number, so that sums stay far from the end of `i64`.
const NUMBER_MAX: i64 = 1_000_000_000;

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    /// In cents.
    pub(crate) price: i64,
    /// How many are left.
    pub(crate) quantity: i64,
}

/// What to set. An existing item keeps what is absent; a new one needs a price.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    pub(crate) price: Option<i64>,
    pub(crate) quantity: Option<i64>,
}

impl Put {
    pub(crate) fn check(&self) -> Result<()> {
        for (key, number) in [("price", self.price), ("quantity", self.quantity)] {
            if number.is_some_and(|number| !(0..=NUMBER_MAX).contains(&number)) {
                return Err(Error::invalid(format!("`{key}` is 0 to {NUMBER_MAX}")));
            }
        }
        Ok(())
    }
}

/// An order, as messages about it and steps of its checkout have it.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) order: i64,
    pub(crate) items: Vec<Line>,
}

impl Order {
    /// What its stock is taken under, by whichever way: so it is given back only once.
    fn key(&self) -> String {
        format!("order-{}", self.order)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) quantity: i64,
}

pub(crate) fn check_move(quantity: i64) -> Result<()> {
    if (1..=NUMBER_MAX).contains(&quantity) {
        Ok(())
    } else {
        Err(Error::invalid(format!("`quantity` is 1 to {NUMBER_MAX}")))
    }
}

pub(crate) fn list(db: &Connection) -> Result<Vec<Item>> {
    let mut statement =
        db.prepare_cached("SELECT name, price, quantity FROM items ORDER BY name")?;
    Ok(statement.query_map([], item)?.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn get(db: &Connection, name: &str) -> Result<Item> {
    find(db, name)?.ok_or_else(|| unknown(name))
}

/// Creates or changes an item, and says whether it is new.
pub(crate) fn put(db: &Connection, name: &str, put: &Put) -> Result<(Item, bool)> {
    if find(db, name)?.is_some() {
        let sql = "UPDATE items SET price = coalesce(?2, price), quantity = coalesce(?3, quantity)
                   WHERE name = ?1";
        db.execute(sql, params![name, put.price, put.quantity])?;
        return Ok((get(db, name)?, false));
    }
    let price = put.price.ok_or_else(|| Error::invalid("a new item needs a `price`"))?;
    let item = Item { name: name.to_owned(), price, quantity: put.quantity.unwrap_or(0) };
    let sql = "INSERT INTO items (name, price, quantity) VALUES (?1, ?2, ?3)";
    db.execute(sql, params![item.name, item.price, item.quantity])?;
    Ok((item, true))
}

pub(crate) fn remove(db: &Connection, name: &str) -> Result<()> {
    match db.execute("DELETE FROM items WHERE name = ?1", [name])? {
        0 => Err(unknown(name)),
        _ => Ok(()),
    }
}

pub(crate) fn take(db: &Connection, name: &str, quantity: i64) -> Result<Item> {
    let sql = "UPDATE items SET quantity = quantity - ?2 WHERE name = ?1 AND quantity >= ?2
               RETURNING name, price, quantity";
    let taken = db.prepare_cached(sql)?.query_row(params![name, quantity], item).optional()?;
    match taken {
        Some(item) => Ok(item),
        None => {
            let left = get(db, name)?.quantity;
            Err(Error::conflict("too_few", format!("{left} of `{name}` left, {quantity} asked")))
        }
    }
}

pub(crate) fn give(db: &Connection, name: &str, quantity: i64) -> Result<Item> {
    let sql = "UPDATE items SET quantity = quantity + ?2 WHERE name = ?1
               RETURNING name, price, quantity";
    db.prepare_cached(sql)?
        .query_row(params![name, quantity], item)
        .optional()?
        .ok_or_else(|| unknown(name))
}

/// Takes at most once per `key` and item.
pub(crate) fn take_once(db: &Connection, key: &str, name: &str, quantity: i64) -> Result<Item> {
    match taken(db, key, name)? {
        None => {
            let item = take(db, name, quantity)?;
            let sql = "INSERT INTO takes (key, name, quantity) VALUES (?1, ?2, ?3)";
            db.execute(sql, params![key, name, quantity])?;
            Ok(item)
        }
        Some(0) => Err(Error::conflict("given_back", format!("`{key}` was given back already"))),
        Some(before) if before == quantity => get(db, name),
        Some(before) => {
            Err(Error::conflict("key_reused", format!("`{key}` took {before} of `{name}`")))
        }
    }
}

/// Takes the stock of an order, all of it or nothing, once per message, and returns why not if not.
///
/// Message and stock are in one transaction, so there is no moment at which one is done without
/// the other.
pub(crate) fn take_order(db: &Connection, event: &str, order: &Order) -> Result<Option<String>> {
    let sql = "SELECT missing FROM done WHERE event = ?1";
    let done = db.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()?;
    if let Some(missing) = done {
        return Ok(missing);
    }
    let key = order.key();
    let missing = missing(db, &key, order)?;
    if missing.is_none() {
        for line in &order.items {
            take_once(db, &key, &line.name, line.quantity)?;
        }
    }
    let sql = "INSERT INTO done (event, missing) VALUES (?1, ?2)";
    db.execute(sql, params![event, missing])?;
    Ok(missing)
}

/// Why the stock of an order cannot be taken.
fn missing(db: &Connection, key: &str, order: &Order) -> Result<Option<String>> {
    for Line { name, quantity } in &order.items {
        if taken(db, key, name)? == Some(0) {
            return Ok(Some(format!("`{key}` was given back already")));
        }
        match find(db, name)? {
            None => return Ok(Some(format!("there is no item `{name}`"))),
            Some(item) if item.quantity < *quantity => {
                let left = item.quantity;
                return Ok(Some(format!("{left} of `{name}` left, {quantity} asked")));
            }
            Some(_enough) => {}
        }
    }
    Ok(None)
}

/// Gives back what `key` took of the item, once.
pub(crate) fn give_once(db: &Connection, key: &str, name: &str) -> Result<Item> {
    let quantity = taken(db, key, name)?.unwrap_or(0);
    let item = give(db, name, quantity)?;
    let sql = "INSERT INTO takes (key, name, quantity) VALUES (?1, ?2, 0)
               ON CONFLICT DO UPDATE SET quantity = 0";
    db.execute(sql, [key, name])?;
    Ok(item)
}

/// Takes the stock of an order, or says why not; then its transaction is to be rolled back.
pub(crate) fn take_all(db: &Connection, order: &Order) -> Result<()> {
    for Line { name, quantity } in &order.items {
        take_once(db, &order.key(), name, *quantity)?;
    }
    Ok(())
}

/// Gives back what was taken of an order. An item that is gone needs nothing back.
pub(crate) fn give_all(db: &Connection, order: &Order) -> Result<()> {
    for Line { name, .. } in &order.items {
        if find(db, name)?.is_some() {
            give_once(db, &order.key(), name)?;
        }
    }
    Ok(())
}

fn taken(db: &Connection, key: &str, name: &str) -> Result<Option<i64>> {
    let sql = "SELECT quantity FROM takes WHERE key = ?1 AND name = ?2";
    Ok(db.prepare_cached(sql)?.query_row([key, name], |row| row.get(0)).optional()?)
}

fn find(db: &Connection, name: &str) -> Result<Option<Item>> {
    let sql = "SELECT name, price, quantity FROM items WHERE name = ?1";
    Ok(db.prepare_cached(sql)?.query_row([name], item).optional()?)
}

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item { name: row.get("name")?, price: row.get("price")?, quantity: row.get("quantity")? })
}

fn unknown(name: &str) -> Error {
    Error::not_found(format!("there is no item `{name}`"))
}

#[cfg(test)]
mod tests;
