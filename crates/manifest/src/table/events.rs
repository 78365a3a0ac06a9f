//! The keys of events: topics, who wants what, schedules, outboxes.

use super::{BOOL, DURATION, SIZE, TEXT, key};
use crate::shape::{EventForm, Form, Key, Shape, Table};

pub(super) const fn form(form: EventForm) -> Shape {
    Shape::Scalar(Form::Event(form))
}

static TOPIC_NAME: Shape = form(EventForm::Topic);
static DEAD_LETTER: Shape = form(EventForm::DeadLetter);
static WAY: Shape = form(EventForm::Way);
static WORDS: Shape = Shape::List(&TEXT);

const TRIED: Key = key(
    "retry",
    &RETRY,
    "{ max: 10, backoff: 1s..1m }",
    "{ max: 5, backoff: 1s..1m }",
    "How often a message is tried, and how long the pauses between are.",
);
static RETRY: Shape = Shape::Keys(&Table {
    name: "retry",
    doc: "How often something is tried.",
    keys: &[
        key(
            "max",
            &form(EventForm::Attempts),
            "10",
            "5",
            "Most attempts, the first one included; `none` for no end.",
        ),
        key(
            "backoff",
            &form(EventForm::Pauses),
            "1s..1m",
            "500ms..30s",
            "The first pause, which is doubled each time, and the longest one; or one that stays the same.",
        ),
    ],
    hints: &[
        ("attempts", "write `max:`"),
        ("delay", "write `backoff:`"),
        ("maxRetries", "write `max:`; the first attempt counts"),
    ],
    later: &[],
});
const GIVEN_UP: Key = key(
    "dead_letter",
    &DEAD_LETTER,
    "true",
    "orders.failed",
    "Where messages go that were given up: `true` to the topic `<topic>.dead`, which is made when it is needed, the name of a topic, or `false` nowhere.",
);

/// `topics`.
pub(crate) static TOPICS: Shape = Shape::Names {
    what: "topic",
    value: &Shape::Any(&[Shape::Scalar(Form::Bool), Shape::Keys(&TOPIC_KEYS)]),
};
static TOPIC_KEYS: Table = Table {
    name: "topic",
    doc: "A topic: messages in the order in which they came, kept on the disk. Its name has letters, digits and `. _ - / : @`. Not a topic is `auto: true`, which makes topics that nobody has named when somebody publishes to them; a topic of that name is `auto: {}`.",
    keys: &[
        key(
            "retain",
            &form(EventForm::Retention),
            "7d",
            "30d",
            "How long messages are kept, read or not; `forever` for no end.",
        ),
        key(
            "max",
            &SIZE,
            "no bound",
            "1GiB",
            "How many bytes are kept; the oldest messages go first.",
        ),
        key(
            "dedup",
            &DURATION,
            "2m",
            "1h",
            "For how long a second message of the same id is recognised, up to 1d; `0` not at all.",
        ),
        TRIED,
        GIVEN_UP,
    ],
    hints: &[
        ("retention", "write `retain:`"),
        ("ttl", "write `retain:`"),
        ("max_bytes", "write `max:`"),
        ("max_age", "write `retain:`"),
        ("deadLetterTopic", "write `dead_letter:`"),
        ("dlq", "write `dead_letter:`"),
        ("partitions", "messages of one key stay in order; there is nothing to divide"),
        ("subscribers", "write `subscribes:` in the services"),
        ("schema", "what a message holds is not checked"),
    ],
    later: &[],
};

/// `subscribes` of a service.
pub(crate) const SUBSCRIBES: Key = key(
    "subscribes",
    &SUBSCRIPTIONS,
    "none",
    "{ order.created: POST /events/order-created }",
    "Which messages it is sent, by topic: a method and a path, or a map. `events:account` means the events of all streams of the category `account`, `events:*` of all streams.",
);
static SUBSCRIPTIONS: Shape =
    Shape::Names { what: "topic", value: &Shape::Any(&[form(EventForm::Way), SUBSCRIPTION]) };
const SUBSCRIPTION: Shape = Shape::Keys(&SUBSCRIPTION_KEYS);
static SUBSCRIPTION_KEYS: Table = Table {
    name: "subscription",
    doc: "What happens to the messages of a topic, or to the events of streams. A service has done with one when it answers 200 to 299.",
    keys: &[
        key(
            "to",
            &WAY,
            "",
            "POST /events/order-created",
            "Where messages go that no route takes. Required without `routes`; without it such messages are passed over.",
        ),
        key(
            "routes",
            &Shape::List(&Shape::Keys(&EVENT_ROUTE)),
            "none",
            "[{ when: \"event.type == 'refund'\", to: POST /refunds }]",
            "Conditions and where to: the first one that holds. Only of topics.",
        ),
        key(
            "group",
            &form(EventForm::Group),
            "the service's name",
            "billing",
            "Who shares the messages: each one goes to one instance of the group, and its place in the topic is kept under this name. Of streams: the name under which the place is kept.",
        ),
        key(
            "concurrency",
            &Shape::Scalar(Form::Whole { min: 1, max: CONCURRENCY_MAX }),
            "16",
            "4",
            "How many messages are under way at a time, over all instances. Only of topics.",
        ),
        key(
            "order",
            &Shape::Scalar(Form::Word(&["key", "all", "none"])),
            "key",
            "all",
            "What comes one after the other: messages of the same `key`, `all`, or `none`. Events of streams always do.",
        ),
        key(
            "start",
            &Shape::Scalar(Form::Word(&["new", "oldest"])),
            "new; of streams oldest",
            "oldest",
            "Where a group begins that has no place yet: with what comes from then on, or with the oldest that is kept.",
        ),
        key(
            "timeout",
            &DURATION,
            "30s",
            "2m",
            "How long it may take for one; then the message is tried again.",
        ),
        key(
            "retry",
            &RETRY,
            "as the topic says",
            "{ max: 5, backoff: 1s..1m }",
            "How often a message is tried, and how long the pauses between are.",
        ),
        key(
            "dead_letter",
            &DEAD_LETTER,
            "as the topic says",
            "orders.failed",
            "Where messages go that were given up, as in a topic; of streams `true` means the topic `streams.<group>.dead`.",
        ),
        key(
            "format",
            &Shape::Scalar(Form::Word(&["structured", "binary", "raw"])),
            "structured",
            "binary",
            "What a request looks like: a CloudEvent as one JSON object, its data with the attributes in `ce-` fields, or the data alone.",
        ),
        key("types", &WORDS, "all", "[deposited]", "Events of these types only. Only of streams."),
        key(
            "tags",
            &WORDS,
            "none",
            "[\"account:7\"]",
            "Events that have all of these tags only. Only of streams.",
        ),
    ],
    hints: &[
        ("path", "write `to:`"),
        ("route", "write `to:`"),
        ("url", "write `to:`"),
        ("when", "write `routes: [{ when: …, to: … }]`"),
        ("consumer", "write `group:`"),
        ("retries", "write `retry:`"),
        ("deadLetterTopic", "write `dead_letter:`"),
        ("from", "write `start:`"),
        ("ack", "an answer of 200 to 299 acknowledges a message"),
        ("bulk", "a service is sent one message at a time; many at once it takes from the app API"),
    ],
    later: &[],
};
/// Most deliveries of one subscription at a time: each one holds a request open.
const CONCURRENCY_MAX: u64 = 10_000;
static EVENT_ROUTE: Table = Table {
    name: "event_route",
    doc: "A condition on an event, and where it goes when it holds.",
    keys: &[
        key(
            "when",
            &form(EventForm::Condition),
            "always",
            "event.type == 'refund' && event.data.amount > 100",
            "A condition in CEL on `event`: its attributes (`event.type`, `event.source`, …), and `event.data` where that is JSON.",
        ),
        key("to", &WAY, "", "POST /refunds", "A method and a path. Required."),
    ],
    hints: &[
        ("match", "write `when:`"),
        ("if", "write `when:`"),
        ("path", "write `to:`"),
        ("default", "write `to:` beside `routes:`"),
    ],
    later: &[],
};

/// `schedules`.
pub(crate) static SCHEDULES: Shape =
    Shape::Names { what: "schedule", value: &Shape::Keys(&SCHEDULE_KEYS) };
static SCHEDULE_KEYS: Table = Table {
    name: "schedule",
    doc: "Something that happens at times, also over a restart: a call of a service, or a message. One of `cron` and `every`, and one of `call` and `publish`.",
    keys: &[
        key(
            "cron",
            &form(EventForm::Cron),
            "",
            "\"0 3 * * *\"",
            "Minute, hour, day, month and weekday, before them a second if you like; `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.",
        ),
        key("every", &DURATION, "", "5m", "So often, from 1s."),
        key("zone", &form(EventForm::Zone), "UTC", "Europe/Berlin", "The time zone of `cron`."),
        key(
            "call",
            &form(EventForm::Call),
            "",
            "POST reports/run",
            "Calls a service: the method, its name and the path. Done when it answers 200 to 299.",
        ),
        key("publish", &TOPIC_NAME, "", "report.due", "Publishes a message to this topic."),
        key(
            "data",
            &Shape::Data,
            "none",
            "{ kind: nightly }",
            "What is sent, as JSON: texts in quotes are texts, others what JSON takes them for.",
        ),
        key(
            "missed",
            &Shape::Scalar(Form::Word(&["skip", "once", "all"])),
            "once",
            "skip",
            "What happens to runs whose time passed while the node was away: nothing, one run for all of them, or each of them.",
        ),
        key(
            "retry",
            &RETRY,
            "{ max: 10, backoff: 1s..1m }",
            "{ max: 3 }",
            "How often a run is tried.",
        ),
        key("timeout", &DURATION, "30s", "10m", "How long a call may take. Only with `call`."),
        key("paused", &BOOL, "false", "true", "Stopped for the time being."),
    ],
    hints: &[
        ("schedule", "write `cron:` or `every:`"),
        ("timezone", "write `zone:`"),
        ("time_zone", "write `zone:`"),
        ("tz", "write `zone:`"),
        ("topic", "write `publish:`"),
        ("url", "write `call:`"),
        ("to", "write `call:` or `publish:`"),
        ("run", "a job under `jobs:` with `schedule:` runs a program at times"),
        ("body", "write `data:`"),
        ("enabled", "write `paused:`"),
    ],
    later: &[],
};

/// `outbox` of a service.
pub(crate) const OUTBOX: Key = key(
    "outbox",
    &OUTBOX_VALUE,
    "false",
    "true",
    "Publishes what it writes into a table of its database, in the same transaction as its data: `true` for the table `outbox` of `db`, or a map.",
);
static OUTBOX_VALUE: Shape = Shape::Any(&[Shape::Scalar(Form::Bool), Shape::Keys(&OUTBOX_KEYS)]);
static OUTBOX_KEYS: Table = Table {
    name: "outbox",
    doc: "A table whose rows are published and deleted. Its columns are those of Debezium's outbox: `id`, `aggregatetype`, `aggregateid`, `type`, `payload`.",
    keys: &[
        key(
            "url",
            &form(EventForm::OutboxUrl),
            "`db` of the service",
            "\"postgres://shop:${secret:DB_PASSWORD}@db/orders\"",
            "The database: `postgres://…` or `sqlite:///…`.",
        ),
        key(
            "table",
            &form(EventForm::Table),
            "outbox",
            "shop.outbox",
            "The table, perhaps with its schema.",
        ),
        key(
            "topic",
            &form(EventForm::OutboxTopic),
            "outbox.event.{aggregatetype}",
            "\"shop.{aggregatetype}\"",
            "The topic; `{aggregatetype}` stands for that column of a row.",
        ),
    ],
    hints: &[
        ("db", "write `url:`; the service's own `db:` is the default"),
        ("database", "write `url:`; the service's own `db:` is the default"),
    ],
    later: &[],
};
