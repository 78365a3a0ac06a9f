//! State, locks, configuration and secrets.

use super::{Client, Error, Stream};
use crate::{
    query::escape,
    wire::{config, locks, secrets, state, stores},
};
use http::Method;
use serde_json::Value;

/// Which keys of a store are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateQuestion<'a> {
    /// Keys are this service's, as it writes them; otherwise they are as they are stored.
    pub service: Option<&'a str>,
    /// Only keys that begin so.
    pub prefix: Option<&'a str>,
    /// Only keys behind this one.
    pub after: Option<&'a str>,
    /// Most entries, at most 1000; `None`: 1000.
    pub limit: Option<u32>,
}

/// The query string of the pairs that have a value, with its `?`, or nothing.
pub(super) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let pairs: Vec<String> =
        given.map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn state_path(store: &str, key: &str, service: Option<&str>) -> String {
    let query = query(&[("service", service)]);
    format!("/v1/state/{}/keys/{}{query}", escape(store), escape(key))
}

fn lock_path(store: &str, lock: &str, verb: &str) -> String {
    format!("/v1/locks/{}/{}{verb}", escape(store), escape(lock))
}

fn config_path(store: &str, key: &str) -> String {
    format!("/v1/config/{}/keys/{}", escape(store), escape(key))
}

fn secret_path(store: &str, name: &str) -> String {
    format!("/v1/secrets/{}/{}", escape(store), escape(name))
}

/// Keys of state are as they are stored, with what is put before them, unless a service is given; names of locks are as
/// they are stored. Further errors: `Api` with 404 for a store or key that does not exist, 409 with
/// [`crate::wire::ErrorDetail::conflict`] when somebody else was first, 503 when the engine is away, 504 when it broke off
/// and the outcome is not known.
impl Client {
    /// The stores of all kinds.
    pub async fn stores(&self) -> Result<stores::Stores, Error> {
        self.get("/v1/stores").await
    }

    /// How the engine below them is.
    pub async fn kv(&self) -> Result<stores::Kv, Error> {
        self.get("/v1/kv").await
    }

    /// Values next to each other.
    pub async fn state_items(
        &self,
        store: &str,
        question: &StateQuestion<'_>,
    ) -> Result<state::Items, Error> {
        let limit = question.limit.map(|limit| limit.to_string());
        let query = query(&[
            ("service", question.service),
            ("prefix", question.prefix),
            ("after", question.after),
            ("limit", limit.as_deref()),
        ]);
        self.get(&format!("/v1/state/{}/keys{query}", escape(store))).await
    }

    /// One value.
    pub async fn state_item(
        &self,
        store: &str,
        key: &str,
        service: Option<&str>,
    ) -> Result<state::Item, Error> {
        self.get(&state_path(store, key, service)).await
    }

    /// Writes a value.
    pub async fn put_state(
        &self,
        store: &str,
        key: &str,
        service: Option<&str>,
        put: &state::Put,
    ) -> Result<state::Written, Error> {
        self.with_body(Method::PUT, &state_path(store, key, service), put).await
    }

    /// Deletes a value. [`Self::transact_state`] does so under a condition.
    pub async fn delete_state(
        &self,
        store: &str,
        key: &str,
        service: Option<&str>,
    ) -> Result<state::Deleted, Error> {
        self.ask(Method::DELETE, &state_path(store, key, service), Vec::new()).await
    }

    /// Writes and deletes, all or nothing.
    pub async fn transact_state(
        &self,
        store: &str,
        service: Option<&str>,
        transaction: &state::Transaction,
    ) -> Result<state::Transacted, Error> {
        let query = query(&[("service", service)]);
        self.post(&format!("/v1/state/{}/transact{query}", escape(store)), transaction).await
    }

    /// Changes from now on of the keys that begin with `prefix`.
    pub async fn state_stream(
        &self,
        store: &str,
        service: Option<&str>,
        prefix: Option<&str>,
    ) -> Result<Stream<state::Change>, Error> {
        let query = query(&[("service", service), ("prefix", prefix)]);
        self.stream(&format!("/v1/state/{}/watch{query}", escape(store))).await
    }

    /// The locks that are held, a thousand at most.
    pub async fn locks(&self, store: &str, prefix: Option<&str>) -> Result<locks::Locks, Error> {
        self.get(&format!("/v1/locks/{}{}", escape(store), query(&[("prefix", prefix)]))).await
    }

    /// Who holds a lock.
    pub async fn lock(&self, store: &str, lock: &str) -> Result<locks::Look, Error> {
        self.get(&lock_path(store, lock, "")).await
    }

    /// Takes a lock, or waits for it: for less than a minute, after which a request counts as lost.
    pub async fn acquire_lock(
        &self,
        store: &str,
        lock: &str,
        acquire: &locks::Acquire,
    ) -> Result<locks::Acquired, Error> {
        self.post(&lock_path(store, lock, "/acquire"), acquire).await
    }

    /// Gives a lock its full time again.
    pub async fn renew_lock(
        &self,
        store: &str,
        lock: &str,
        renew: &locks::Renew,
    ) -> Result<locks::Renewed, Error> {
        self.post(&lock_path(store, lock, "/renew"), renew).await
    }

    /// Gives a lock back; without an owner it is taken away from whoever has it.
    pub async fn release_lock(
        &self,
        store: &str,
        lock: &str,
        release: &locks::Release,
    ) -> Result<locks::Released, Error> {
        self.post(&lock_path(store, lock, "/release"), release).await
    }

    /// Who holds a lock, now and after each change. The ids have no meaning.
    pub async fn lock_stream(&self, store: &str, lock: &str) -> Result<Stream<locks::Look>, Error> {
        self.stream(&lock_path(store, lock, "/watch")).await
    }

    /// The values in force of these keys, of all without any.
    pub async fn config(&self, store: &str, keys: &[String]) -> Result<config::Items, Error> {
        let pairs: Vec<_> = keys.iter().map(|key| ("key", Some(key.as_str()))).collect();
        self.get(&format!("/v1/config/{}{}", escape(store), query(&pairs))).await
    }

    /// Sets a value.
    pub async fn set_config(
        &self,
        store: &str,
        key: &str,
        set: &config::Set,
    ) -> Result<config::Changed, Error> {
        self.with_body(Method::PUT, &config_path(store, key), set).await
    }

    /// Deletes a value; its history stays.
    pub async fn delete_config(&self, store: &str, key: &str) -> Result<config::Changed, Error> {
        self.ask(Method::DELETE, &config_path(store, key), Vec::new()).await
    }

    /// The values that a key has had.
    pub async fn config_history(&self, store: &str, key: &str) -> Result<config::History, Error> {
        self.get(&format!("{}/history", config_path(store, key))).await
    }

    /// What is different between two versions; `None`: the one in force.
    pub async fn config_diff(
        &self,
        store: &str,
        key: &str,
        from: u64,
        to: Option<u64>,
    ) -> Result<config::Diff, Error> {
        let (from, to) = (from.to_string(), to.map(|to| to.to_string()));
        let query = query(&[("from", Some(&from)), ("to", to.as_deref())]);
        self.get(&format!("{}/diff{query}", config_path(store, key))).await
    }

    /// Sets the value of an earlier version again.
    pub async fn rollback_config(
        &self,
        store: &str,
        key: &str,
        to: u64,
    ) -> Result<config::Changed, Error> {
        let path = format!("{}/rollback", config_path(store, key));
        self.post(&path, &config::Rollback { to }).await
    }

    /// What is in force of the keys that match one of `patterns` (all without any), and then each change, as
    /// [`config::Change`].
    pub async fn config_stream(
        &self,
        store: &str,
        patterns: &[String],
    ) -> Result<Stream<Value>, Error> {
        let pairs: Vec<_> = patterns.iter().map(|it| ("pattern", Some(it.as_str()))).collect();
        self.stream(&format!("/v1/config/{}/watch{}", escape(store), query(&pairs))).await
    }

    /// What secrets there are.
    pub async fn secrets(&self, store: &str) -> Result<secrets::Names, Error> {
        self.get(&format!("/v1/secrets/{}", escape(store))).await
    }

    /// One secret, with its values only if they are to be revealed.
    pub async fn secret(
        &self,
        store: &str,
        name: &str,
        reveal: bool,
    ) -> Result<secrets::Secret, Error> {
        let query = query(&[("reveal", reveal.then_some("true"))]);
        self.get(&format!("{}{query}", secret_path(store, name))).await
    }

    /// Stores a secret.
    pub async fn set_secret(
        &self,
        store: &str,
        name: &str,
        set: &secrets::Set,
    ) -> Result<secrets::Stored, Error> {
        self.with_body(Method::PUT, &secret_path(store, name), set).await
    }

    /// Deletes a stored secret.
    pub async fn delete_secret(&self, store: &str, name: &str) -> Result<state::Deleted, Error> {
        self.ask(Method::DELETE, &secret_path(store, name), Vec::new()).await
    }

    /// Seals all stored secrets with a new key.
    pub async fn rotate_secrets(&self) -> Result<secrets::Rotated, Error> {
        self.act("/v1/secrets/rotate").await
    }
}
