//! The orders of checkouts. What happens to them is up to a transaction, by whose id they are
//! known: an undo is not told what its step has answered.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use shop_kit::{Error, Result};

use super::{NewOrder, Order, Status, get, insert};

/// What later steps need to know of an order.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Opened {
    pub(crate) id: i64,
    /// In cents.
    pub(crate) total: i64,
}

/// Stores the order as `pending`, and no message about it: the transaction asks for its stock.
pub(crate) fn open(
    db: &Connection,
    transaction: &str,
    new: &NewOrder,
    prices: &[i64],
) -> Result<Opened> {
    let order = insert(db, new, prices)?;
    let sql = "INSERT INTO checkouts (id, order_id) VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute(params![transaction, order.id])?;
    Ok(Opened { id: order.id, total: order.total })
}

/// Undoes [`open`]: the order stays, with the reason. Also one that is confirmed already, because
/// the transaction may still be given up after its last step.
pub(crate) fn reject(db: &Connection, transaction: &str, reason: Option<&str>) -> Result<()> {
    let sql = "UPDATE orders SET status = ?2, reason = ?3
               WHERE id = (SELECT order_id FROM checkouts WHERE id = ?1)";
    let row = params![transaction, Status::Rejected.name(), reason];
    db.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

pub(crate) fn confirm(db: &Connection, transaction: &str) -> Result<()> {
    let sql = "UPDATE orders SET status = ?2 WHERE status = 'pending'
               AND id = (SELECT order_id FROM checkouts WHERE id = ?1)";
    let row = params![transaction, Status::Confirmed.name()];
    match db.prepare_cached(sql)?.execute(row)? {
        0 => Err(Error::conflict("wrong_status", "the order is not pending")),
        _ => Ok(()),
    }
}

/// The order that a transaction opened.
pub(crate) fn order(db: &Connection, transaction: &str) -> Result<Order> {
    let sql = "SELECT order_id FROM checkouts WHERE id = ?1";
    let id = db.prepare_cached(sql)?.query_row([transaction], |row| row.get(0)).optional()?;
    let gone = || Error::not_found(format!("the order of checkout `{transaction}` is gone"));
    get(db, id.ok_or_else(gone)?)
}

/// Whether an order is one of a checkout.
pub(crate) fn has(db: &Connection, order: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM checkouts WHERE order_id = ?1)";
    Ok(db.prepare_cached(sql)?.query_row([order], |row| row.get(0))?)
}
