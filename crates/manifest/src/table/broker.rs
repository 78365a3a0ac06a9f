//! The keys of the broker, which keeps topics.

use super::{TEXT, coordination::CREDENTIAL, events::form, key};
use crate::shape::{EventForm, Form, Key, Shape, Table};

/// `engines.broker`.
pub(crate) const BROKER: Key = key(
    "broker",
    &BROKER_VALUE,
    "embedded",
    "\"nats://10.0.0.1:4222,10.0.0.2:4222\"",
    "Topics. `embedded`, `nats://host:port,host:port` (NATS with JetStream) or, with TLS, `natss://…`; `user:password@` or `token@` may stand before the hosts. Or a map.",
);
static BROKER_VALUE: Shape = Shape::Any(&[form(EventForm::Broker), Shape::Keys(&BROKER_KEYS)]);
static BROKER_KEYS: Table = Table {
    name: "broker",
    doc: "An engine for topics, in full.",
    keys: &[
        key(
            "url",
            &form(EventForm::Broker),
            "",
            "\"natss://10.0.0.1:4222\"",
            "`embedded`, `nats://…` or `natss://…`; required.",
        ),
        key("user", &CREDENTIAL, "none", "shop", "The user's name."),
        key("password", &CREDENTIAL, "none", "\"${secret:NATS_PASSWORD}\"", "The user's password."),
        key("token", &CREDENTIAL, "none", "\"${secret:NATS_TOKEN}\"", "A token instead of them."),
        key(
            "ca",
            &TEXT,
            "the machine's authorities",
            "certs/ca.pem",
            "A file with the authority that the servers' certificates are checked against. Needs `natss://`.",
        ),
        key(
            "cert",
            &TEXT,
            "none",
            "certs/shop.pem",
            "A certificate of our own; with `key`. Needs `natss://`.",
        ),
        key("key", &TEXT, "none", "certs/shop.key", "Its private key."),
        key(
            "prefix",
            &form(EventForm::BrokerPrefix),
            "the system's name",
            "team-a",
            "Stands before the names of all streams in the cluster, so that several systems can share it: 1 to 54 letters, digits, `-` and `_`.",
        ),
        key(
            "replicas",
            &Shape::Scalar(Form::Whole { min: 1, max: 5 }),
            "1",
            "3",
            "On how many servers each message is kept.",
        ),
    ],
    hints: &[
        ("servers", "write `url: \"nats://host:4222,host2:4222\"`"),
        ("hosts", "write `url: \"nats://host:4222,host2:4222\"`"),
        ("username", "write `user:`"),
        ("tls", "write `url: \"natss://…\"`"),
        ("namespace", "write `prefix:`"),
    ],
    later: &[],
};
