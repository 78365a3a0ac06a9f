//! The keys of transactions.

use super::{ADDRESS, BOOL, DURATION, TEXT, TEXT_OR_TEXTS, events::form, key};
use crate::shape::{EventForm, Form, Key, Shape, Table};

static CALL: Shape = Shape::Scalar(Form::Call);
static VALUE: Shape = Shape::Scalar(Form::Value);

/// `transactions`.
pub(crate) static TRANSACTIONS: Shape =
    Shape::Mixed { table: &ALL, what: "transaction", value: &DEFINITION };

static ALL: Table = Table {
    name: "transactions",
    doc: "Transactions over several services. Every other key defines one under its name, see A transaction; `POST /v1/tx` of the app API and `flotilla tx submit` use it.",
    keys: &[
        key(
            "dtm",
            &Shape::Any(&[Shape::Scalar(Form::Bool), Shape::Keys(&DTM)]),
            "false",
            "true",
            "Answers clients of DTM. It has no access control, as DTM has none.",
        ),
        key(
            "retain",
            &DURATION,
            "7d",
            "30d",
            "How long transactions that have ended are kept, with what they did.",
        ),
    ],
    hints: &[
        ("retention", "write `retain:`"),
        ("mode", "a transaction has a name: write `checkout: { mode: …, steps: … }`"),
        ("steps", "a transaction has a name: write `checkout: { steps: … }`"),
    ],
    later: &[],
};

/// Whether a key of `transactions` is no name.
pub(crate) fn is_key(name: &str) -> bool {
    ALL.keys.iter().any(|key| key.name == name)
}

static DTM: Table = Table {
    name: "dtm",
    doc: "Where clients of DTM are answered.",
    keys: &[
        key("http", &ADDRESS, "127.0.0.1:36789", "\"127.0.0.1:36789\"", "Over HTTP."),
        key("grpc", &ADDRESS, "127.0.0.1:36790", "\"127.0.0.1:36790\"", "Over gRPC."),
    ],
    hints: &[("listen", "write `http:` and `grpc:`"), ("port", "write `http:` and `grpc:`")],
    later: &[],
};

static DEFINITION: Shape = Shape::Keys(&Table {
    name: "transaction",
    doc: "A transaction over several services, used by its name. It is kept before it is acknowledged and is driven to its end over any number of crashes.",
    keys: &[
        key(
            "mode",
            &Shape::Scalar(Form::Word(&["saga", "tcc", "2pc", "3pc", "msg"])),
            "saga",
            "tcc",
            "The protocol: steps that are undone when one is refused, reservations, two or three phases, or a message.",
        ),
        key(
            "steps",
            &STEPS,
            "",
            "[{ call: POST items/reserve, undo: POST items/release }]",
            "The steps or participants, 99 at most. Required.",
        ),
        key(
            "timeout",
            &DURATION,
            "none; 35s where a client does the first phase",
            "2m",
            "How long until it is decided; then it is given up. Of a message: until its sender is asked.",
        ),
        RETRIED,
        key(
            "headers",
            &Shape::Names { what: "header", value: &VALUE },
            "none",
            "{ x-tenant: acme }",
            "What every call has besides the headers that tell the transaction.",
        ),
        key(
            "durable_steps",
            &BOOL,
            "false",
            "true",
            "Keeps each answer on the disk before the next step, for services that do not recognise a call that comes twice.",
        ),
        key(
            "sequential",
            &BOOL,
            "false",
            "true",
            "Calls independent steps one after the other instead of at the same time.",
        ),
        key(
            "profile",
            &Shape::Scalar(Form::Word(&["strict", "classic"])),
            "strict",
            "classic",
            "Of `3pc`: whether participants ask for the decision, or decide alone when they hear nothing, which goes wrong when the network is parted.",
        ),
        key(
            "query",
            &CALL,
            "none",
            "GET orders/tx-query",
            "Of `msg`: asks the sender whether its own transaction was committed. Without it a message that is not submitted in time is given up.",
        ),
        key(
            "delay",
            &DURATION,
            "0",
            "10s",
            "Of `msg`: how long after the submission it is delivered.",
        ),
    ],
    hints: &[
        ("type", "write `mode:`"),
        ("trans_type", "write `mode:`"),
        ("protocol", "write `mode:`"),
        ("branches", "write `steps:`"),
        ("participants", "write `steps:`"),
        ("retries", "write `retry:`"),
        ("timeout_to_fail", "write `timeout:`"),
        (
            "concurrent",
            "steps that do not wait for each other run at the same time; write `sequential: true` for the contrary",
        ),
        ("query_prepared", "write `query:`"),
        ("input", "the input comes with each use; texts name it as `{{input.NAME}}`"),
        ("labels", "labels come with each use"),
    ],
    later: &[],
});

static STEPS: Shape = Shape::List(&STEP);
static STEP: Shape = Shape::Keys(&Table {
    name: "transaction_step",
    doc: "What one service does of a transaction, or what is done of the node's own state, topics and locks together with the decision. A call is a method, a service of the file and a path; a URL; or `grpc://service/package.Service/Method`. Paths, keys and bodies may have `{{input.NAME}}` in them, and `{{steps.ID.body.NAME}}` for what an earlier step answered. What a step may have depends on the protocol: `call`, `undo`, `after`, `publish`, `put`, `delete`, `holds` are of `saga`; `try`, `confirm`, `cancel` of `tcc`; `prepare`, `commit`, `rollback`, `one_phase` of `2pc`; `can_commit`, `pre_commit`, `commit`, `rollback` of `3pc`; `call` of `msg`.",
    keys: &[
        key("id", &TEXT, "01, 02, …", "reserve", "Its name: letters, digits, `_` and `-`."),
        key(
            "after",
            &TEXT_OR_TEXTS,
            "the step before; nothing when any step says it",
            "[reserve]",
            "Which steps come before it; they stand before it in the list. `[]` for none.",
        ),
        key(
            "call",
            &CALL,
            "",
            "POST items/reserve",
            "The step. 200 to 299 is done, 409 is refused, 202 and 425 ask again, all else is tried again.",
        ),
        key("undo", &CALL, "nothing to undo", "POST items/release", "Undoes it."),
        key("try", &CALL, "", "POST users/reserve", "Reserves."),
        key("confirm", &CALL, "", "POST users/confirm", "Uses what is reserved."),
        key("cancel", &CALL, "", "POST users/cancel", "Gives back what is reserved."),
        key(
            "participant",
            &CALL,
            "",
            "POST users/tx",
            "Of `tcc`, `2pc` and `3pc`: one call for all operations; the query parameter `op` tells which.",
        ),
        key(
            "prepare",
            &CALL,
            "",
            "POST users/prepare",
            "Does the work, promises to keep it, and votes.",
        ),
        key("can_commit", &CALL, "", "POST users/can-commit", "Says whether it could."),
        key(
            "pre_commit",
            &CALL,
            "",
            "POST users/pre-commit",
            "Does the work and promises; with `profile: classic`: hears that all can.",
        ),
        key("commit", &CALL, "", "POST users/commit", "Makes it permanent."),
        key("rollback", &CALL, "", "POST users/rollback", "Gives it up."),
        key(
            "one_phase",
            &Shape::Scalar(Form::SwitchOrCall),
            "false",
            "true",
            "Of `2pc`: it can do its work and make it permanent in one call when it is the only participant: `true` where `prepare` goes, with `op=commit_one_phase`, or another call.",
        ),
        key(
            "publish",
            &form(EventForm::Topic),
            "",
            "order.created",
            "Publishes the body to this topic, exactly when the saga is committed.",
        ),
        key(
            "key",
            &TEXT,
            "none",
            "\"{{input.order}}\"",
            "Of `publish`: messages of the same key stay in order.",
        ),
        key(
            "put",
            &Shape::Keys(&PUT),
            "",
            "{ store: orders, key: \"{{input.order}}\" }",
            "Puts the body into a store, exactly when the saga is committed.",
        ),
        key(
            "delete",
            &Shape::Keys(&DELETE),
            "",
            "{ store: carts, key: \"{{input.cart}}\" }",
            "Deletes a key of a store, exactly when the saga is committed.",
        ),
        key(
            "holds",
            &Shape::Keys(&HOLDS),
            "",
            "{ lock: \"seat-{{input.seat}}\", token: \"{{input.token}}\" }",
            "Lets the saga be committed only while this lock is held.",
        ),
        key(
            "body",
            &Shape::Data,
            "the input",
            "{ sku: \"{{input.sku}}\" }",
            "What is sent, as JSON. A text that is one place holder becomes what it stands for, a number for one.",
        ),
        key("timeout", &DURATION, "10s", "3s", "How long one call may take."),
        RETRIED,
        key(
            "reserve",
            &DURATION,
            "none",
            "30s",
            "Of `tcc` and `3pc`: how long the reservation or promise is kept; the service is told until when.",
        ),
    ],
    hints: &[
        ("name", "write `id:`"),
        ("action", "write `call:`"),
        ("url", "write `call:`"),
        ("to", "write `call:`"),
        ("run", "write `call:`"),
        ("compensate", "write `undo:`"),
        ("needs", "write `after:`"),
        ("depends_on", "write `after:`"),
        ("data", "write `body:`"),
        ("payload", "write `body:`"),
        ("input", "write `body:`"),
        ("retries", "write `retry:`"),
        ("topic", "write `publish:`"),
        ("lock", "write `holds: { lock: …, token: … }`"),
        ("headers", "`headers:` stand in the transaction"),
    ],
    later: &[],
});

const STORE: Key = key(
    "store",
    &Shape::Scalar(Form::Store),
    "the only one",
    "orders",
    "The store of state, no cache.",
);
const STORE_KEY: Key = key("key", &TEXT, "", "\"{{input.order}}\"", "The whole key.");

static PUT: Table = Table {
    name: "put",
    doc: "Puts a value exactly with the decision.",
    keys: &[
        STORE,
        STORE_KEY,
        key(
            "etag",
            &VALUE,
            "none",
            "\"{{input.etag}}\"",
            "The saga is undone unless the value is as it was with this etag; empty: unless nothing is there.",
        ),
    ],
    hints: &[("value", "write `body:` beside `put`")],
    later: &[],
};

static DELETE: Table = Table {
    name: "delete",
    doc: "Deletes a key exactly with the decision.",
    keys: &[
        STORE,
        STORE_KEY,
        key(
            "etag",
            &VALUE,
            "none",
            "\"{{input.etag}}\"",
            "The saga is undone unless the value is as it was with this etag.",
        ),
    ],
    hints: &[],
    later: &[],
};

static HOLDS: Table = Table {
    name: "holds",
    doc: "Demands that a lock is held when the saga is committed.",
    keys: &[
        key(
            "store",
            &Shape::Scalar(Form::Store),
            "the only one",
            "lockstore",
            "The store of locks.",
        ),
        key("lock", &TEXT, "", "\"seat-{{input.seat}}\"", "What is locked."),
        key(
            "token",
            &TEXT,
            "",
            "\"{{input.token}}\"",
            "The fencing token that the lock was granted with.",
        ),
    ],
    hints: &[("resource", "write `lock:`"), ("key", "write `lock:`"), ("fence", "write `token:`")],
    later: &[],
};

const RETRIED: Key = key(
    "retry",
    &RETRY,
    "{ base: 500ms, max: 1m, attempts: 20, then: attention }",
    "{ attempts: 5, then: abort }",
    "How calls are repeated that were not answered.",
);
static RETRY: Shape = Shape::Keys(&Table {
    name: "transaction_retry",
    doc: "How calls are repeated that were not answered.",
    keys: &[
        key(
            "base",
            &DURATION,
            "500ms",
            "1s",
            "The first pause, from 10ms; it is doubled each time.",
        ),
        key("max", &DURATION, "1m", "30s", "The longest pause, up to 1d."),
        key(
            "attempts",
            &form(EventForm::Attempts),
            "20",
            "5",
            "After so many attempts `then` happens; `none` for never.",
        ),
        key(
            "then",
            &Shape::Scalar(Form::Word(&["attention", "abort"])),
            "attention",
            "abort",
            "An operator is asked while it is still tried at the longest pause, or it counts as refused. What is decided is never given up.",
        ),
    ],
    hints: &[
        ("backoff", "write `base:` and `max:`"),
        ("delay", "write `base:`"),
        ("limit", "write `attempts:`"),
    ],
    later: &[],
});
