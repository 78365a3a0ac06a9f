//! The orders in their database, which status may follow which, and the messages about them.

pub(crate) mod checkouts;

use std::{collections::HashSet, fmt};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shop_kit::{Error, Result, is_name};

/// `AUTOINCREMENT`: an id is the key under which stock is taken, so it must never come back.
///
/// `outbox` has the columns of Debezium's outbox event router. Flotilla publishes its rows and
/// deletes them. `checkouts` says which order a transaction opened.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id    INTEGER NOT NULL,
        status     TEXT NOT NULL,
        reason     TEXT,
        total      INTEGER NOT NULL,
        created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ) STRICT;
    CREATE TABLE IF NOT EXISTS lines (
        order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        name     TEXT NOT NULL,
        quantity INTEGER NOT NULL,
        price    INTEGER NOT NULL,
        PRIMARY KEY (order_id, position)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS outbox (
        id            TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))),
        aggregatetype TEXT NOT NULL,
        aggregateid   TEXT NOT NULL,
        type          TEXT NOT NULL,
        payload       TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS checkouts (
        id       TEXT PRIMARY KEY,
        order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE
    ) STRICT";

const LINES_MAX: usize = 50;
const QUANTITY_MAX: i64 = 10_000;

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    pub(crate) user_id: i64,
    pub(crate) items: Vec<NewLine>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLine {
    pub(crate) name: String,
    pub(crate) quantity: i64,
}

impl NewOrder {
    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=LINES_MAX).contains(&self.items.len()) {
            return Err(Error::invalid(format!("`items` has 1 to {LINES_MAX} entries")));
        }
        let mut seen = HashSet::new();
        for line in &self.items {
            if !is_name(&line.name) {
                return Err(Error::invalid(format!("`{}` is no item's name", line.name)));
            }
            if !(1..=QUANTITY_MAX).contains(&line.quantity) {
                return Err(Error::invalid(format!("`quantity` is 1 to {QUANTITY_MAX}")));
            }
            if !seen.insert(&line.name) {
                return Err(Error::invalid(format!("`{}` is there twice", line.name)));
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) user_id: i64,
    pub(crate) status: Status,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// In cents.
    pub(crate) total: i64,
    pub(crate) created_at: String,
    pub(crate) items: Vec<Line>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) quantity: i64,
    /// Of one, in cents, when it was ordered.
    pub(crate) price: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Nobody knows yet whether there is enough stock.
    Pending,
    Confirmed,
    Rejected,
    Paid,
    Shipped,
    Cancelled,
}

impl Status {
    const ALL: [Self; 6] = [
        Self::Pending,
        Self::Confirmed,
        Self::Rejected,
        Self::Paid,
        Self::Shipped,
        Self::Cancelled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether there may be goods to give back. A cancelled order may be cancelled again.
    pub(crate) fn can_be_cancelled(self) -> bool {
        !matches!(self, Self::Rejected | Self::Shipped)
    }

    fn can_become(self, next: Self) -> bool {
        match next {
            Self::Pending => false,
            Self::Confirmed | Self::Rejected => self == Self::Pending,
            Self::Paid => self == Self::Confirmed,
            Self::Shipped => self == Self::Paid,
            Self::Cancelled => self.can_be_cancelled(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

pub(crate) fn list(db: &Connection) -> Result<Vec<Order>> {
    let mut statement = db.prepare_cached("SELECT * FROM orders ORDER BY id")?;
    let mut orders = statement.query_map([], order)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for order in &mut orders {
        order.items = lines(db, order.id)?;
    }
    Ok(orders)
}

pub(crate) fn get(db: &Connection, id: i64) -> Result<Order> {
    let found = db
        .prepare_cached("SELECT * FROM orders WHERE id = ?1")?
        .query_row([id], order)
        .optional()?;
    let order = found.ok_or_else(|| Error::not_found(format!("there is no order {id}")))?;
    Ok(Order { items: lines(db, id)?, ..order })
}

/// Stores the order as `pending`.
fn insert(db: &Connection, new: &NewOrder, prices: &[i64]) -> Result<Order> {
    let lines: Vec<_> = new.items.iter().zip(prices).collect();
    let total: i64 = lines.iter().map(|(line, price)| *price * line.quantity).sum();
    let sql = "INSERT INTO orders (user_id, status, total) VALUES (?1, ?2, ?3) RETURNING id";
    let row = params![new.user_id, Status::Pending.name(), total];
    let id = db.query_row(sql, row, |row| row.get(0))?;
    let sql = "INSERT INTO lines (order_id, position, name, quantity, price)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = db.prepare_cached(sql)?;
    for (position, (line, price)) in (0_i64..).zip(lines) {
        statement.execute(params![id, position, line.name, line.quantity, price])?;
    }
    get(db, id)
}

/// Stores the order as `pending`, and the message about it.
pub(crate) fn create(db: &Connection, new: &NewOrder, prices: &[i64]) -> Result<Order> {
    let order = insert(db, new, prices)?;
    let id = order.id;
    let sql = "INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
               VALUES ('order', ?1, 'order.created', ?2)";
    let payload = json!({ "order": id, "items": order.items });
    db.execute(sql, params![id.to_string(), payload.to_string()])?;
    Ok(order)
}

/// Confirms or rejects an order if it is still pending, and says whether it was: a message may come
/// twice, or after somebody cancelled the order.
pub(crate) fn settle(
    db: &Connection,
    id: i64,
    status: Status,
    reason: Option<&str>,
) -> Result<bool> {
    let sql = "UPDATE orders SET status = ?2, reason = ?3 WHERE id = ?1 AND status = 'pending'";
    Ok(db.execute(sql, params![id, status.name(), reason])? > 0)
}

/// Changes the status, unless `next` may not follow the present one.
pub(crate) fn advance(db: &Connection, id: i64, next: Status) -> Result<Order> {
    let order = get(db, id)?;
    if !order.status.can_become(next) {
        let message = format!("order {id} is {}: it cannot become {next}", order.status);
        return Err(Error::conflict("wrong_status", message));
    }
    db.execute("UPDATE orders SET status = ?2 WHERE id = ?1", params![id, next.name()])?;
    Ok(Order { status: next, ..order })
}

/// Cancels an order, but not one of a checkout: that is paid for, and the money would stay behind.
pub(crate) fn cancel(db: &Connection, id: i64) -> Result<Order> {
    if checkouts::has(db, id)? {
        let message = format!("order {id} was checked out: it is paid for");
        return Err(Error::conflict("checked_out", message));
    }
    advance(db, id, Status::Cancelled)
}

pub(crate) fn remove(db: &Connection, id: i64) -> Result<()> {
    match db.execute("DELETE FROM orders WHERE id = ?1", [id])? {
        0 => Err(Error::not_found(format!("there is no order {id}"))),
        _ => Ok(()),
    }
}

/// How many orders there are of each status, and what they come to.
pub(crate) fn report(db: &Connection) -> Result<Vec<(String, i64, i64)>> {
    let sql = "SELECT status, count(*), sum(total) FROM orders GROUP BY status ORDER BY status";
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(db.prepare_cached(sql)?.query_map([], row)?.collect::<rusqlite::Result<_>>()?)
}

fn lines(db: &Connection, order: i64) -> Result<Vec<Line>> {
    let sql = "SELECT name, quantity, price FROM lines WHERE order_id = ?1 ORDER BY position";
    let line = |row: &Row<'_>| {
        Ok(Line {
            name: row.get("name")?,
            quantity: row.get("quantity")?,
            price: row.get("price")?,
        })
    };
    Ok(db.prepare_cached(sql)?.query_map([order], line)?.collect::<rusqlite::Result<_>>()?)
}

/// The order without its lines.
fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    let status: String = row.get("status")?;
    let status = Status::ALL.into_iter().find(|known| known.name() == status);
    Ok(Order {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        status: status.ok_or(rusqlite::Error::InvalidQuery)?,
        reason: row.get("reason")?,
        total: row.get("total")?,
        created_at: row.get("created_at")?,
        items: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
