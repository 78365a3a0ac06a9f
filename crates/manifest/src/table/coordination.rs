//! The keys of what services share: engines, stores, secrets, and the app API.

use super::{BOOL, DURATION, PORT, SIZE, TEXT, TEXT_OR_TEXTS, broker::BROKER, key};
use crate::shape::{Form, Key, Shape, Table};

static STORE_NAME: Shape = Shape::Scalar(Form::Store);
static SCOPE: Shape = Shape::List(&Shape::Scalar(Form::Service));
static PREFIX: Shape = Shape::Scalar(Form::KeyPrefix);
pub(crate) static CREDENTIAL: Shape = Shape::Scalar(Form::Credential);

const SCOPES: Key = key(
    "scopes",
    &SCOPE,
    "all services",
    "[orders]",
    "The only services that see this store through their app API.",
);
const SCOPES_HINT: (&str, &str) = ("services", "write `scopes:`");

/// `engines`.
pub(crate) static ENGINES: Shape = Shape::Keys(&Table {
    name: "engines",
    doc: "What keeps the data of the system. The embedded engines need nothing installed.",
    keys: &[
        key(
            "kv",
            &KV,
            "embedded",
            "\"etcd://10.0.0.1:2379,10.0.0.2:2379\"",
            "Keys and values: state, locks, configuration and stored secrets. `embedded`, `etcd://host:port,host:port` or, with TLS, `etcds://…`; `user:password@` may stand before the hosts. Or a map.",
        ),
        BROKER,
    ],
    hints: &[
        ("etcd", "write `kv: \"etcd://host:2379\"`"),
        ("store", "write `kv:`"),
        ("cache", "a store with `cache: true` stands under `state:`"),
        ("locks", "locks are kept by `kv:`"),
        ("secrets", "secrets are kept by `kv:`"),
        ("config", "configuration is kept by `kv:`"),
        ("nats", "write `broker: \"nats://host:4222\"`"),
        ("topics", "topics are kept by `broker:`"),
        ("pubsub", "topics are kept by `broker:`"),
    ],
    later: &["state", "events"],
});
static KV: Shape = Shape::Any(&[Shape::Scalar(Form::KvEngine), Shape::Keys(&KV_KEYS)]);
static KV_KEYS: Table = Table {
    name: "kv",
    doc: "An engine for keys and values, in full.",
    keys: &[
        key(
            "url",
            &Shape::Scalar(Form::KvEngine),
            "",
            "\"etcds://10.0.0.1:2379\"",
            "`embedded`, `etcd://…` or `etcds://…`; required.",
        ),
        key("user", &CREDENTIAL, "none", "shop", "The user's name."),
        key("password", &CREDENTIAL, "none", "\"${secret:ETCD_PASSWORD}\"", "The user's password."),
        key(
            "ca",
            &TEXT,
            "the machine's authorities",
            "certs/ca.pem",
            "A file with the authority that the members' certificates are checked against. Needs `etcds://`.",
        ),
        key(
            "cert",
            &TEXT,
            "none",
            "certs/shop.pem",
            "A certificate of our own; with `key`. Needs `etcds://`.",
        ),
        key("key", &TEXT, "none", "certs/shop.key", "Its private key."),
        key(
            "prefix",
            &TEXT,
            "none",
            "team-a/",
            "Stands before all keys in the cluster, so that systems of one name can share it.",
        ),
    ],
    hints: &[
        ("endpoints", "write `url: \"etcd://host:2379,host2:2379\"`"),
        ("hosts", "write `url: \"etcd://host:2379,host2:2379\"`"),
        ("username", "write `user:`"),
        ("tls", "write `url: \"etcds://…\"`"),
        ("namespace", "write `prefix:`"),
    ],
    later: &[],
};

/// `state`.
pub(crate) static STATE: Shape = Shape::Names { what: "store", value: &Shape::Keys(&STATE_KEYS) };
static STATE_KEYS: Table = Table {
    name: "state_store",
    doc: "A store for state: keys with values, ETags and transactions. What it acknowledged is on the disk, unless it is a cache.",
    keys: &[
        key(
            "cache",
            &BOOL,
            "false",
            "true",
            "Keeps the values in the memory of the node only; what was used least goes first when it is full.",
        ),
        key("max", &SIZE, "64Mi", "256MiB", "How much a cache holds, from 64Ki."),
        key(
            "ttl",
            &DURATION,
            "for ever",
            "30m",
            "How long a value stays when its write does not say.",
        ),
        key(
            "prefix",
            &PREFIX,
            "service",
            "none",
            "What stands before each key: `service` (each service has keys of its own), `namespace` (the system's name and the service's), `store` (the store's name, so that services share the keys), `none`, or a text of yours.",
        ),
        SCOPES,
    ],
    hints: &[
        ("type", "durable is the default; write `cache: true` for memory only"),
        ("memory", "write `cache: true`"),
        ("durable", "durable is the default; remove it"),
        ("size", "write `max:`"),
        ("max_size", "write `max:`"),
        ("expire", "write `ttl:`"),
        ("key_prefix", "write `prefix:`"),
        ("keyPrefix", "write `prefix:`"),
        ("engine", "write `engines: { kv: … }` at the top level"),
        SCOPES_HINT,
    ],
    later: &[],
};

/// `locks`.
pub(crate) static LOCKS: Shape = Shape::Any(&[
    Shape::List(&STORE_NAME),
    Shape::Names { what: "store", value: &Shape::Keys(&LOCK_KEYS) },
]);
static LOCK_KEYS: Table = Table {
    name: "lock_store",
    doc: "A store for locks.",
    keys: &[
        key(
            "prefix",
            &PREFIX,
            "service",
            "none",
            "What stands before the name of a lock, as in a store for state: with `service` only the instances of one service lock each other out, with `store` or `none` all services do.",
        ),
        SCOPES,
    ],
    hints: &[("keyPrefix", "write `prefix:`"), SCOPES_HINT],
    later: &[],
};

/// `config` of the file.
pub(crate) static CONFIG: Shape = Shape::Names { what: "store", value: &Shape::Keys(&CONFIG_KEYS) };
static CONFIG_KEYS: Table = Table {
    name: "config_store",
    doc: "A store for configuration: values with versions, that services watch.",
    keys: &[
        key(
            "values",
            &Shape::Names { what: "key", value: &Shape::Scalar(Form::Value) },
            "",
            "{ checkout.limit: 10 }",
            "First values: each is written when the file is applied, unless the key has been set before.",
        ),
        SCOPES,
    ],
    hints: &[("initial", "write `values:`"), ("defaults", "write `values:`"), SCOPES_HINT],
    later: &[],
};

/// `secrets` of the file.
pub(crate) static SECRETS: Shape = Shape::Keys(&Table {
    name: "secrets",
    doc: "Where the store `secretstore` and every `${secret:NAME}` look: first what `flotilla secrets set` has stored, then the files, then the environment.",
    keys: &[
        key(
            "kv",
            &BOOL,
            "true",
            "false",
            "Looks among the secrets that are kept by the kv engine, encrypted.",
        ),
        key(
            "file",
            &TEXT_OR_TEXTS,
            "none",
            "./secrets.json",
            "Files with secrets: `*.json` holds an object (what is nested is named by its path, `redis:password`), any other file lines of `KEY=VALUE`.",
        ),
        key(
            "env",
            &SECRET_ENV,
            "what `${secret:NAME}` asks for",
            "[STRIPE_KEY]",
            "Which variables of the node's environment are secrets: a list of names, `true` for all, or `{ prefix: SHOP_ }`, which is no part of the secret's name. What a `${secret:NAME}` of the file asks for is one without being listed.",
        ),
        SCOPES,
    ],
    hints: &[
        ("files", "write `file:`"),
        ("environment", "write `env:`"),
        ("from", "write `env:` or `file:`"),
        ("vault", "secrets come from the kv engine, files and the environment"),
        SCOPES_HINT,
    ],
    later: &[],
});
static SECRET_ENV: Shape = Shape::Any(&[
    Shape::Scalar(Form::Bool),
    Shape::List(&Shape::Scalar(Form::VariableName)),
    Shape::Keys(&SECRET_ENV_KEYS),
]);
static SECRET_ENV_KEYS: Table = Table {
    name: "secret_env",
    doc: "Which variables are secrets.",
    keys: &[key(
        "prefix",
        &Shape::Scalar(Form::VariableName),
        "",
        "SHOP_",
        "Those that begin so; the prefix is no part of the secret's name. Required.",
    )],
    hints: &[("names", "write a list: `env: [NAME]`")],
    later: &[],
};

/// `components`, of the file and of a service.
pub(crate) static COMPONENTS: Shape = Shape::Any(&[Shape::Scalar(Form::Text), Shape::List(&TEXT)]);
/// `components` of a service.
pub(crate) const OWN_COMPONENTS: Key = key(
    "components",
    &COMPONENTS,
    "",
    "./components",
    "Folders or files of Dapr components that only this service sees.",
);

/// `config` of a service.
pub(crate) const USED_CONFIG: Key = key(
    "config",
    &CONFIG_USE,
    "none",
    "{ keys: [\"checkout.*\"], on_change: sighup }",
    "What happens when values of the configuration change: a list of keys whose change restarts it, or a map.",
);
static KEY_PATTERNS: Shape = Shape::List(&Shape::Scalar(Form::KeyPattern));
static CONFIG_USE: Shape =
    Shape::Any(&[Shape::List(&Shape::Scalar(Form::KeyPattern)), Shape::Keys(&CONFIG_USE_KEYS)]);
static CONFIG_USE_KEYS: Table = Table {
    name: "config_use",
    doc: "What happens to a service when values of the configuration change.",
    keys: &[
        key(
            "keys",
            &KEY_PATTERNS,
            "",
            "[checkout.limit, \"features.*\"]",
            "The keys that it uses; `*` at the end of one stands for any ending. Required.",
        ),
        key(
            "on_change",
            &Shape::Scalar(Form::Word(&["restart", "sighup"])),
            "restart",
            "sighup",
            "`restart` replaces its instances one after the other, `sighup` sends each the signal HUP.",
        ),
        key(
            "store",
            &STORE_NAME,
            "configstore, or the only one there is",
            "configstore",
            "The store for configuration that the keys are in.",
        ),
    ],
    hints: &[("key", "write `keys:`"), ("reload", "write `on_change:`")],
    later: &[],
};

/// `api` of a service.
pub(crate) const API: Key = key(
    "api",
    &APP_API,
    "",
    "{ token: \"${secret:API_TOKEN}\" }",
    "The API that its instances ask for state, locks, configuration, secrets and other services.",
);
static APP_API: Shape = Shape::Keys(&Table {
    name: "api",
    doc: "The app API of a service: every instance has its own, at `DAPR_HTTP_PORT` and `DAPR_GRPC_PORT`.",
    keys: &[
        key(
            "http_port",
            &PORT,
            "assigned",
            "3500",
            "A fixed port for its HTTP form. Only with one instance.",
        ),
        key(
            "grpc_port",
            &PORT,
            "assigned",
            "50001",
            "A fixed port for its gRPC form. Only with one instance.",
        ),
        key(
            "protocol",
            &Shape::Scalar(Form::Word(&["http", "https", "grpc", "grpcs", "h2c"])),
            "http",
            "grpc",
            "What the service itself speaks, for calls that come through the app API of others.",
        ),
        key(
            "app_id",
            &Shape::Scalar(Form::AppId),
            "the service's name",
            "order_processor",
            "Another name by which others call it through the app API; it is given to it as `APP_ID`.",
        ),
        key(
            "token",
            &CREDENTIAL,
            "none",
            "\"${secret:API_TOKEN}\"",
            "What its requests must carry in `dapr-api-token`; it is given to it as `DAPR_API_TOKEN`.",
        ),
        key(
            "app_token",
            &CREDENTIAL,
            "none",
            "\"${secret:APP_TOKEN}\"",
            "What requests to it carry in `dapr-api-token`; it is given to it as `APP_API_TOKEN`.",
        ),
        key(
            "body_max",
            &SIZE,
            "4Mi",
            "16Mi",
            "The longest request that the node itself answers, from 1Ki to 16Mi. Calls to other services are not bounded by it.",
        ),
        key(
            "secrets",
            &Shape::List(&Shape::Scalar(Form::SecretName)),
            "all",
            "[STRIPE_KEY]",
            "The only secrets that it may read; `[]` for none.",
        ),
    ],
    hints: &[
        ("health", "write `health:` beside `api`; while it fails the service gets no requests"),
        ("port", "write `http_port:` or `grpc_port:`; `port:` of the program stands beside `api`"),
        ("app_protocol", "write `protocol:`"),
        ("max_body_size", "write `body_max:`"),
        ("app_api_token", "write `app_token:`"),
        ("api_token", "write `token:`"),
        ("appId", "write `app_id:`"),
    ],
    later: &[],
});

/// `external` of a service.
pub(crate) const EXTERNAL: Key = key(
    "external",
    &Shape::Scalar(Form::TrueOrAddress),
    "",
    "127.0.0.1:3000",
    "Somebody else starts it, a debugger for example: it is probed and gets traffic at this address. `true` means this machine and `port:`.",
);
