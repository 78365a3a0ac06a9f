//! The users in their database. Each function is one statement, so it needs no more than the
//! transaction that its caller opened.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use shop_kit::{Error, Result, is_unique_violation};

/// `AUTOINCREMENT`: the id of a deleted user is never given to another one.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        name       TEXT NOT NULL,
        email      TEXT NOT NULL UNIQUE COLLATE NOCASE,
        created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
    ) STRICT;
    CREATE TABLE IF NOT EXISTS wallets (
        user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
        balance INTEGER NOT NULL CHECK (balance >= 0)
    ) STRICT";

const LIMIT_MAX: u32 = 1000;

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) created_at: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    pub(crate) name: String,
    pub(crate) email: String,
}

/// What is absent stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
}

impl NewUser {
    pub(crate) fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        check_email(&self.email)
    }
}

impl Change {
    pub(crate) fn check(&self) -> Result<()> {
        self.name.as_deref().map_or(Ok(()), check_name)?;
        self.email.as_deref().map_or(Ok(()), check_email)
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() || name.chars().count() > 100 {
        return Err(Error::invalid("`name` has 1 to 100 characters"));
    }
    Ok(())
}

/// Deliberately loose: whether an address works is known only by writing to it.
fn check_email(email: &str) -> Result<()> {
    let has_two_parts = email
        .split_once('@')
        .is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !host.contains('@'));
    if !has_two_parts || email.len() > 254 || email.contains(char::is_whitespace) {
        return Err(Error::invalid("`email` looks like name@host"));
    }
    Ok(())
}

pub(crate) fn check_limit(limit: u32) -> Result<()> {
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(())
    } else {
        Err(Error::invalid(format!("`limit` is 1 to {LIMIT_MAX}")))
    }
}

/// The users after the id `after`, and where the next page starts if there is one.
pub(crate) fn list(db: &Connection, after: i64, limit: u32) -> Result<(Vec<User>, Option<i64>)> {
    let sql = "SELECT id, name, email, created_at FROM users WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut users = db
        .prepare_cached(sql)?
        .query_map(params![after, i64::from(limit) + 1], user)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next = users.last().filter(|_| more).map(|user| user.id);
    Ok((users, next))
}

pub(crate) fn get(db: &Connection, id: i64) -> Result<User> {
    db.prepare_cached("SELECT id, name, email, created_at FROM users WHERE id = ?1")?
        .query_row([id], user)
        .optional()?
        .ok_or_else(|| unknown(id))
}

pub(crate) fn insert(db: &Connection, new: &NewUser) -> Result<User> {
    let sql = "INSERT INTO users (name, email) VALUES (?1, ?2)
               RETURNING id, name, email, created_at";
    db.prepare_cached(sql)?
        .query_row([&new.name, &new.email], user)
        .map_err(|error| taken_or(error, &new.email))
}

pub(crate) fn change(db: &Connection, id: i64, change: &Change) -> Result<User> {
    let sql = "UPDATE users SET name = coalesce(?2, name), email = coalesce(?3, email)
               WHERE id = ?1 RETURNING id, name, email, created_at";
    db.prepare_cached(sql)?
        .query_row(params![id, change.name, change.email], user)
        .optional()
        .map_err(|error| taken_or(error, change.email.as_deref().unwrap_or_default()))?
        .ok_or_else(|| unknown(id))
}

pub(crate) fn remove(db: &Connection, id: i64) -> Result<()> {
    match db.execute("DELETE FROM users WHERE id = ?1", [id])? {
        0 => Err(unknown(id)),
        _ => Ok(()),
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get("id")?,
        name: row.get("name")?,
        email: row.get("email")?,
        created_at: row.get("created_at")?,
    })
}

fn unknown(id: i64) -> Error {
    Error::not_found(format!("there is no user {id}"))
}

fn taken_or(error: rusqlite::Error, email: &str) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("duplicate_email", format!("`{email}` belongs to another user"))
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_store(test: impl FnOnce(&Connection)) {
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("users.db")).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        test(&db);
    }

    fn add(db: &Connection, name: &str, email: &str) -> Result<User> {
        insert(db, &NewUser { name: name.into(), email: email.into() })
    }

    #[test]
    fn a_user_is_stored_changed_and_removed() {
        with_store(|db| {
            let ann = add(db, "Ann", "ann@example.org").unwrap();
            assert_eq!(get(db, ann.id).unwrap(), ann);

            let renamed = Change { name: Some("Anna".into()), email: None };
            let anna = change(db, ann.id, &renamed).unwrap();
            assert_eq!((anna.name.as_str(), &anna.email), ("Anna", &ann.email));

            remove(db, ann.id).unwrap();
            assert_eq!(get(db, ann.id).unwrap_err().code, "not_found");
            assert_eq!(remove(db, ann.id).unwrap_err().code, "not_found");
            assert_eq!(change(db, ann.id, &renamed).unwrap_err().code, "not_found");
            assert!(add(db, "Bob", "bob@example.org").unwrap().id > ann.id, "ids are not reused");
        });
    }

    #[test]
    fn an_address_belongs_to_one_user_whatever_its_case() {
        with_store(|db| {
            add(db, "Ann", "ann@example.org").unwrap();
            let bob = add(db, "Bob", "bob@example.org").unwrap();
            let again = add(db, "Eve", "Ann@Example.org").unwrap_err();
            assert_eq!((again.status.as_u16(), again.code), (409, "duplicate_email"));
            let steal = Change { email: Some("ann@example.org".into()), ..Change::default() };
            assert_eq!(change(db, bob.id, &steal).unwrap_err().code, "duplicate_email");
        });
    }

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        with_store(|db| {
            for n in 1..=5 {
                add(db, "x", &format!("x{n}@example.org")).unwrap();
            }
            let (mut seen, mut after) = (Vec::new(), Some(0));
            while let Some(from) = after {
                let (page, next) = list(db, from, 2).unwrap();
                seen.extend(page.into_iter().map(|user| user.id));
                after = next;
            }
            assert_eq!(seen, [1, 2, 3, 4, 5]);
        });
    }

    #[test]
    fn what_is_no_name_or_address_is_refused() {
        let check = |name: &str, email: &str| {
            NewUser { name: name.into(), email: email.into() }.check().is_ok()
        };
        assert!(check("Ann", "ann@example.org"));
        for (name, email) in
            [("", "a@b"), ("  ", "a@b"), ("A", ""), ("A", "a"), ("A", "@b"), ("A", "a@b@c")]
        {
            assert!(!check(name, email), "{name} {email}");
        }
        assert!(Change::default().check().is_ok());
        assert!(Change { email: Some("a b@c".into()), ..Change::default() }.check().is_err());
        assert!(check_limit(0).is_err() && check_limit(1001).is_err() && check_limit(1).is_ok());
    }
}
