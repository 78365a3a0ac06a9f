//! Endpoints of state, locks, configuration and secrets. Most are the same in the admin API, which sees everything, and in
//! the native API of services, each of which sees its own.

use super::{AFTER, Endpoint, param, repeated};
use crate::{
    handlers::{Reach, config, locks, secrets, state, stores},
    params::{Param, ParamKind},
    wire,
};
use http::Method;

/// What differs between the two.
pub(crate) struct Flavour {
    /// Query parameters of all endpoints that name keys.
    params: &'static [Param],
}

pub(crate) const ADMIN: Flavour = Flavour {
    params: &[param(
        "service",
        ParamKind::Text,
        "Keys are this service's, as it writes them; otherwise they are as they are stored, with what is put before them.",
    )],
};

pub(crate) const NATIVE: Flavour = Flavour { params: &[] };

const LIMIT: Param =
    param("limit", ParamKind::Number, "Most entries in the answer, 1 to 1000. Default 1000.");
const PREFIX: Param = param("prefix", ParamKind::Text, "Only what begins so.");
const KEY: Param = repeated("key", ParamKind::Text, "Only this key; may be repeated.");
const PATTERN: Param = repeated(
    "pattern",
    ParamKind::Text,
    "Only keys like this, where `*` stands for any text; may be repeated.",
);
pub(crate) const TTL: Param = param(
    "ttl_ms",
    ParamKind::Number,
    "How long the value stays; 0: until it is deleted. As the store is set up when it is left out.",
);
const EXPECTED: Param =
    param("expected", ParamKind::Number, "The version that must be in force; otherwise 409.");

const IF_MATCH: (&str, &str) =
    ("If-Match", "The etag that the value must have, such as `\"42\"`; otherwise 409.");
const IF_NONE_MATCH: (&str, &str) =
    ("If-None-Match", "`*`: the key must be missing; otherwise 409.");
const FENCE: (&str, &str) = (
    "Flotilla-Fence",
    "`STORE/RESOURCE/TOKEN` of a lock, the resource escaped as in a path: 409 when it is not held under this token any more.",
);
const KNOWN: (&str, &str) = (
    "If-None-Match",
    "Etags that are known: 304 without a body when the value still has one of them.",
);
const LAST_EVENT_ID: (&str, &str) = ("Last-Event-ID", "Go on after the event with this id.");

/// What a write may be refused with.
const WRITE: &[u16] = &[404, 409, 413, 501, 503, 504];
/// What a read may be refused with.
const READ: &[u16] = &[404, 503];

macro_rules! handler {
    ($path:path) => {
        |context| Box::pin($path(context))
    };
}

/// The endpoints that both have.
pub(crate) fn shared<B: Reach + ?Sized>(flavour: &Flavour) -> Vec<Endpoint<B>> {
    let mut table = vec![
        Endpoint::get::<wire::stores::Stores>(
            "/v1/stores",
            "stores",
            "The stores of the building blocks.",
            handler!(stores::list),
        ),
        Endpoint::get::<wire::stores::Kv>(
            "/v1/kv",
            "kv",
            "How the engine below the stores is.",
            handler!(stores::kv),
        ),
    ];
    table.extend(states(flavour));
    table.extend(held(flavour));
    table.extend(configs());
    table
}

fn states<B: Reach + ?Sized>(flavour: &Flavour) -> Vec<Endpoint<B>> {
    let table = vec![
        Endpoint::get::<wire::state::Items>(
            "/v1/state/{store}/keys", "scan_state", "Values next to each other, in the order of keys.",
            handler!(state::scan),
        ).with(&[
            PREFIX,
            param("after", ParamKind::Text, "Only keys behind this one."),
            LIMIT,
        ]).fails(READ),
        Endpoint::method::<wire::state::GotMany>(
            Method::POST, "/v1/state/{store}/get", "get_states", "Reads several keys, each for itself.",
            handler!(state::get_many),
        ).takes::<wire::state::GetMany>(true).fails(READ),
        Endpoint::method::<wire::state::WrittenMany>(
            Method::POST, "/v1/state/{store}/put", "put_states",
            "Writes several values, each for itself: some may be written and others not.",
            handler!(state::put_many),
        ).takes::<wire::state::PutMany>(true).fails(WRITE),
        Endpoint::method::<wire::state::Transacted>(
            Method::POST, "/v1/state/{store}/transact", "transact_state",
            "Writes and deletes several keys, all or nothing. When a condition does not hold nothing is done, and \
             the answer is 409 with the first key that did not match.",
            handler!(state::transact),
        ).takes::<wire::state::Transaction>(true).fails(WRITE),
        Endpoint::get::<wire::state::Change>(
            "/v1/state/{store}/watch", "watch_state",
            "Changes as they happen, as an event stream: `change` events without gap and without duplicate, resumable by \
             `Last-Event-ID`. A `compacted` event ends it when its past is not kept any more.",
            handler!(state::watch),
        ).only_streams::<wire::state::Change>(&[PREFIX, AFTER]).heeds(&[LAST_EVENT_ID]).fails(&[404, 406, 410, 503]),
    ];
    flavoured(table, flavour)
}

fn held<B: Reach + ?Sized>(flavour: &Flavour) -> Vec<Endpoint<B>> {
    let table = vec![
        Endpoint::get::<wire::locks::Locks>(
            "/v1/locks/{store}", "locks", "The locks that are held.", handler!(locks::list),
        ).with(&[PREFIX, LIMIT]).fails(READ),
        Endpoint::get::<wire::locks::Look>(
            "/v1/locks/{store}/{resource}", "lock", "Who holds a lock.", handler!(locks::look),
        ).fails(READ),
        Endpoint::method::<wire::locks::Acquired>(
            Method::POST, "/v1/locks/{store}/{resource}/acquire", "acquire_lock",
            "Takes a lock, or waits for it. The token grows with every grant: give it as `fence` of writes that must not \
             happen once the lock is lost.",
            handler!(locks::acquire),
        ).takes::<wire::locks::Acquire>(true).fails(WRITE),
        Endpoint::method::<wire::locks::Renewed>(
            Method::POST, "/v1/locks/{store}/{resource}/renew", "renew_lock",
            "Gives a lock its full time again; 409 when it is lost.", handler!(locks::renew),
        ).takes::<wire::locks::Renew>(true).fails(WRITE),
        Endpoint::method::<wire::locks::Released>(
            Method::POST, "/v1/locks/{store}/{resource}/release", "release_lock", "Gives a lock back.",
            handler!(locks::release),
        ).takes::<wire::locks::Release>(true).fails(WRITE),
        Endpoint::get::<wire::locks::Look>(
            "/v1/locks/{store}/{resource}/watch", "watch_lock",
            "Who holds a lock, now and after each change, as an event stream.", handler!(locks::watch),
        ).only_streams::<wire::locks::Look>(&[]).fails(&[404, 406, 503]),
    ];
    flavoured(table, flavour)
}

/// An election is a lock; only the words differ.
pub(crate) fn elections<B: Reach + ?Sized>() -> Vec<Endpoint<B>> {
    vec![
        Endpoint::get::<wire::locks::Look>(
            "/v1/elections/{store}/{election}", "leader", "Who leads.", handler!(locks::look),
        ).fails(READ),
        Endpoint::method::<wire::locks::Acquired>(
            Method::POST, "/v1/elections/{store}/{election}/campaign", "campaign",
            "Asks to lead, and waits for it. Lead as long as `renew` of the lock of this name succeeds.",
            handler!(locks::acquire),
        ).takes::<wire::locks::Acquire>(true).fails(WRITE),
        Endpoint::method::<wire::locks::Renewed>(
            Method::POST, "/v1/elections/{store}/{election}/renew", "renew_lead",
            "Goes on leading for the full time again; 409 when another leads.", handler!(locks::renew),
        ).takes::<wire::locks::Renew>(true).fails(WRITE),
        Endpoint::method::<wire::locks::Released>(
            Method::POST, "/v1/elections/{store}/{election}/resign", "resign", "Stops leading.",
            handler!(locks::release),
        ).takes::<wire::locks::Release>(true).fails(WRITE),
        Endpoint::get::<wire::locks::Look>(
            "/v1/elections/{store}/{election}/observe", "observe_leader",
            "Who leads, now and after each change, as an event stream.", handler!(locks::watch),
        ).only_streams::<wire::locks::Look>(&[]).fails(&[404, 406, 503]),
    ]
}

fn configs<B: Reach + ?Sized>() -> Vec<Endpoint<B>> {
    vec![
        Endpoint::get::<wire::config::Items>(
            "/v1/config/{store}", "config", "The values that are in force.", handler!(config::list),
        ).with(&[KEY, PATTERN]).fails(READ),
        Endpoint::get::<wire::config::Change>(
            "/v1/config/{store}/watch", "watch_config",
            "Values as they change, as an event stream of `change` events. The first one has what is in force, unless \
             `Last-Event-ID` says where to go on.",
            handler!(config::watch),
        ).only_streams::<wire::config::Change>(&[KEY, PATTERN, AFTER]).heeds(&[LAST_EVENT_ID]).fails(&[404, 406, 503]),
        Endpoint::get::<wire::config::Item>(
            "/v1/config/{store}/keys/{key}", "config_value", "One value.", handler!(config::get),
        ).fails(READ),
        Endpoint::method::<wire::config::Changed>(
            Method::PUT, "/v1/config/{store}/keys/{key}", "set_config", "Sets a value.", handler!(config::set),
        ).takes::<wire::config::Set>(true).fails(WRITE),
        Endpoint::method::<wire::config::Changed>(
            Method::DELETE, "/v1/config/{store}/keys/{key}", "delete_config", "Deletes a value. Its history stays.",
            handler!(config::delete),
        ).with(&[EXPECTED]).fails(WRITE),
        Endpoint::get::<wire::config::History>(
            "/v1/config/{store}/keys/{key}/history", "config_history", "The values that a key has had.",
            handler!(config::history),
        ).fails(READ),
        Endpoint::get::<wire::config::Diff>(
            "/v1/config/{store}/keys/{key}/diff", "config_diff", "What is different between two versions of a value.",
            handler!(config::diff),
        ).with(&[
            param("from", ParamKind::Number, "The earlier version."),
            param("to", ParamKind::Number, "The later version; the one in force when it is left out."),
        ]).fails(READ),
        Endpoint::method::<wire::config::Changed>(
            Method::POST, "/v1/config/{store}/keys/{key}/rollback", "rollback_config",
            "Sets the value of an earlier version again, as a new version.", handler!(config::rollback),
        ).takes::<wire::config::Rollback>(true).fails(WRITE),
    ]
}

/// What only the admin API has.
pub(crate) fn admin() -> Vec<Endpoint> {
    let mut table = flavoured(
        vec![
            Endpoint::get::<wire::state::Item>(
                "/v1/state/{store}/keys/{key}",
                "state_value",
                "One value.",
                handler!(state::get),
            )
            .fails(READ),
            Endpoint::method::<wire::state::Written>(
                Method::PUT,
                "/v1/state/{store}/keys/{key}",
                "put_state",
                "Writes a value.",
                handler!(state::put),
            )
            .takes::<wire::state::Put>(true)
            .fails(WRITE),
            Endpoint::method::<wire::state::Deleted>(
                Method::DELETE,
                "/v1/state/{store}/keys/{key}",
                "delete_state",
                "Deletes a value; with `If-Match` only if that is its etag.",
                handler!(state::delete),
            )
            .fails(WRITE),
        ],
        &ADMIN,
    );
    table.extend([
        Endpoint::get::<wire::secrets::Names>(
            "/v1/secrets/{store}", "secrets", "What secrets there are, without their values.",
            handler!(secrets::names),
        ).fails(READ),
        Endpoint::get::<wire::secrets::Secret>(
            "/v1/secrets/{store}/{name}", "secret",
            "One secret. Its values are shown only with `reveal`, which is noted in the node's log.",
            handler!(secrets::get),
        ).with(&[param("reveal", ParamKind::Flag, "Show the values.")]).fails(READ),
        Endpoint::method::<wire::secrets::Stored>(
            Method::PUT, "/v1/secrets/{store}/{name}", "set_secret", "Stores a secret, sealed.",
            handler!(secrets::set),
        ).takes::<wire::secrets::Set>(true).fails(WRITE),
        Endpoint::method::<wire::state::Deleted>(
            Method::DELETE, "/v1/secrets/{store}/{name}", "delete_secret",
            "Deletes a stored secret. Those from files and the environment stay.", handler!(secrets::delete),
        ).fails(WRITE),
        Endpoint::method::<wire::secrets::Rotated>(
            Method::POST, "/v1/secrets/rotate", "rotate_secrets",
            "Makes a new key and seals all stored secrets with it.", handler!(secrets::rotate),
        ).fails(WRITE),
    ]);
    table
}

/// What only the native API has, besides elections.
pub(crate) fn native<B: Reach + ?Sized>() -> Vec<Endpoint<B>> {
    vec![
        Endpoint {
            is_raw: true,
            ..Endpoint::get::<wire::state::Item>(
                "/v1/state/{store}/keys/{key}",
                "state_value",
                "One value, as it was written. `ETag` says which of the key's values it is.",
                handler!(state::get_bytes),
            )
        }
        .heeds(&[KNOWN])
        .fails(READ),
        Endpoint::method::<wire::state::Written>(
            Method::PUT,
            "/v1/state/{store}/keys/{key}",
            "put_state",
            "Writes the body as value.",
            handler!(state::put_bytes),
        )
        .takes_bytes()
        .with(&[TTL])
        .heeds(&[IF_MATCH, IF_NONE_MATCH, FENCE])
        .fails(WRITE),
        Endpoint::method::<wire::state::Deleted>(
            Method::DELETE,
            "/v1/state/{store}/keys/{key}",
            "delete_state",
            "Deletes a value.",
            handler!(state::delete),
        )
        .heeds(&[IF_MATCH, FENCE])
        .fails(WRITE),
        Endpoint::get::<wire::secrets::Names>(
            "/v1/secrets/{store}",
            "secrets",
            "What secrets there are, without their values.",
            handler!(secrets::names),
        )
        .fails(READ),
        Endpoint::get::<wire::secrets::Secret>(
            "/v1/secrets/{store}/{name}",
            "secret",
            "One secret with its values.",
            handler!(secrets::get),
        )
        .fails(READ),
    ]
}

fn flavoured<B: ?Sized>(table: Vec<Endpoint<B>>, flavour: &Flavour) -> Vec<Endpoint<B>> {
    table.into_iter().map(|endpoint| endpoint.with(flavour.params)).collect()
}
