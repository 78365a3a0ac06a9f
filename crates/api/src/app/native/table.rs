//! The endpoints of topics, streams of events and jobs, as a service sees them.

use super::{Asker, events, jobs, topics};
use crate::{
    handlers,
    params::{Param, ParamKind},
    routes::{Endpoint, param, repeated},
    wire,
};
use http::{Method, StatusCode};

type Headers = &'static [(&'static str, &'static str)];

/// What a write may be refused with.
const WRITE: &[u16] = &[403, 404, 409, 413, 501, 503, 504];
/// What a read may be refused with.
const READ: &[u16] = &[403, 404, 503];

const LAST_EVENT_ID: Headers = &[("Last-Event-ID", "Go on after the event with this id.")];

const PUBLISH: Headers = &[
    (
        "Content-Type",
        "`application/cloudevents+json`: one event; `application/cloudevents-batch+json`: many; otherwise the body is \
         data of this type.",
    ),
    (
        "ce-id",
        "With `ce-source`, `ce-type` and others: the attributes of the event whose data the body is.",
    ),
    (
        "Flotilla-Message-Id",
        "A second message with this id is a duplicate as long as the topic remembers ids. Of events their source and id \
         when it is left out.",
    ),
    (
        "Flotilla-Key",
        "Messages of the same key stay in order. Of events their `partitionkey` when it is left out.",
    ),
    (
        "Flotilla-Type",
        "The type of the event where the body is only data; the topic's name when it is left out.",
    ),
    ("Flotilla-Deliver-At", "It is published at this time (RFC 3339)."),
    ("Flotilla-Deliver-After", "It is published after this time, `5m`."),
    ("Flotilla-Expires-After", "After this time nobody wants it any more."),
];

const APPEND: Headers = &[
    (
        "If-Match",
        "The revision that the stream's last event must have, `\"7\"`, or `*`: it must have events.",
    ),
    ("If-None-Match", "`*`: the stream must have no events."),
];

const FROM: Param = param(
    "from",
    ParamKind::Text,
    "`beginning`, `end`, an offset, a time (RFC 3339), or how long ago (`-15m`). The beginning when it is left out; of a \
     stream the end.",
);

const PULL: [Param; 4] = [
    param(
        "from",
        ParamKind::Text,
        "Where a group begins that is new, as for reading. With the messages that come from then on when it is left out.",
    ),
    param(
        "ack_wait_ms",
        ParamKind::Number,
        "How long a message may take before it comes again, 100 to 86400000. Default 30000.",
    ),
    param(
        "in_flight_max",
        ParamKind::Number,
        "Most messages of the group that are taken and not settled, 1 to 65536. Default 256.",
    ),
    param(
        "order",
        ParamKind::Choice(&["key", "none"]),
        "Whether messages of the same key come one after the other. Default `key`.",
    ),
];

const LIMIT: Param =
    param("limit", ParamKind::Number, "Most of them in the answer, 1 to 1000. Default 100.");
const FROM_EVENT: Param = param(
    "from",
    ParamKind::Number,
    "The first one that is wanted: a revision of one stream, a position of all.",
);
const DIRECTION: Param = param(
    "direction",
    ParamKind::Choice(&["forwards", "backwards"]),
    "Oldest first, or newest first; an event stream is always forwards.",
);

macro_rules! handler {
    ($path:path) => {
        |context| Box::pin($path(context))
    };
}

/// All of them, in the order of the document.
pub(super) fn table() -> Vec<Endpoint<Asker>> {
    let mut table = of_topics();
    table.extend(of_streams());
    table.extend(of_jobs());
    table
}

fn of_topics() -> Vec<Endpoint<Asker>> {
    vec![
        Endpoint {
            status: StatusCode::CREATED,
            ..Endpoint::method::<topics::PublishedAny>(
                Method::POST, "/v1/topics/{topic}", "publish",
                "Publishes the body as a message, or the events that it is. Durable when it answers: 201 with the offset, or 202 \
                 with an id when it waits for its time. Of a batch all are published or, when it fails, possibly some.",
                handler!(topics::publish),
            )
        }.takes_bytes().heeds(PUBLISH).fails(WRITE),
        Endpoint::get::<wire::topics::Messages>(
            "/v1/topics/{topic}", "messages",
            "Messages in order, without a group: nothing is settled by reading. As an event stream: also those that come, as \
             `message` events, resumable by `Last-Event-ID`.",
            handler!(topics::read),
        ).streams::<wire::topics::Message>(&[FROM, LIMIT]).heeds(LAST_EVENT_ID).fails(READ),
        Endpoint::method::<topics::Deliveries>(
            Method::POST, "/v1/topics/{topic}/groups/{group}/take", "take",
            "Takes messages for a group, which is made when it is not there, and waits for some if there are none. Each must be \
             settled in time, or it comes again.",
            handler!(topics::take),
        ).with(&PULL).with(&[
            param("max", ParamKind::Number, "Most messages, 1 to 1000. Default 16."),
            param("wait_ms", ParamKind::Number, "How long to wait for the first one, up to 60000. Default 0."),
        ]).fails(WRITE),
        Endpoint::method::<topics::Settled>(
            Method::POST, "/v1/topics/{topic}/groups/{group}/settle", "settle",
            "Says what becomes of messages that were taken. One that is settled already is no error.",
            handler!(topics::settle),
        ).takes::<topics::Settle>(true).fails(WRITE),
        Endpoint::get::<topics::Delivery>(
            "/v1/topics/{topic}/groups/{group}/stream", "follow_group",
            "Takes messages for a group as they come, as `delivery` events. Each must be settled in time, or it comes again.",
            handler!(topics::follow),
        ).only_streams::<topics::Delivery>(&PULL).fails(&[403, 404, 406, 503]),
    ]
}

fn of_streams() -> Vec<Endpoint<Asker>> {
    vec![
        Endpoint {
            status: StatusCode::CREATED,
            ..Endpoint::method::<wire::streams::Appended>(
                Method::POST, "/v1/events/{stream}", "append_events",
                "Appends events to a stream, all or none, if it is as expected; otherwise 409, with what it is. The same append \
                 again, with the same ids, is answered as the first one was.",
                handler!(events::append),
            )
        }.takes::<events::AppendIf>(true).heeds(APPEND).fails(WRITE),
        Endpoint::get::<wire::streams::Events>(
            "/v1/events", "read_all_events",
            "Events of all streams in the order of positions. As an event stream: also those that come, as `event` events, \
             resumable by `Last-Event-ID`.",
            handler!(handlers::streams::read_all),
        ).streams::<wire::streams::Event>(&[
            repeated("type", ParamKind::Text, "Only events of this type; may be repeated."),
            repeated("tag", ParamKind::Text, "Only events with this tag; repeated: with all of them."),
            param("category", ParamKind::Text, "Only events of streams whose names begin so, up to the first `-`."),
            FROM_EVENT, DIRECTION, LIMIT,
        ]).heeds(LAST_EVENT_ID).fails(READ),
        Endpoint::get::<wire::streams::Events>(
            "/v1/events/{stream}", "read_events",
            "Events of a stream in the order of revisions. As an event stream: also those that come, as `event` events, \
             resumable by `Last-Event-ID`.",
            handler!(handlers::streams::read),
        ).streams::<wire::streams::Event>(&[FROM_EVENT, DIRECTION, LIMIT]).heeds(LAST_EVENT_ID).fails(READ),
        Endpoint::method::<events::SnapshotStored>(
            Method::PUT, "/v1/events/{stream}/snapshot", "put_snapshot",
            "Stores the body as what a stream comes to at a revision. One of a later revision stays.",
            handler!(events::put_snapshot),
        ).takes_bytes().with(&[
            param("revision", ParamKind::Number, "The revision of the last event that is in it."),
        ]).fails(WRITE),
        Endpoint {
            is_raw: true,
            ..Endpoint::get::<wire::streams::Snapshot>(
                "/v1/events/{stream}/snapshot", "snapshot",
                "The snapshot of a stream, as it was stored. `Flotilla-Revision` says which event is the last in it.",
                handler!(events::get_snapshot),
            )
        }.fails(READ),
    ]
}

fn of_jobs() -> Vec<Endpoint<Asker>> {
    vec![
        Endpoint::method::<wire::jobs::Job>(
            Method::PUT, "/v1/jobs/{name}", "put_job",
            "Lets the service be called at a time, or again and again. Durable when it answers; runs that nobody was there \
             for are made up for by one.",
            handler!(jobs::put),
        ).takes::<jobs::Put>(true).fails(WRITE),
        Endpoint::get::<wire::jobs::Jobs>(
            "/v1/jobs", "jobs", "The jobs of the service.", handler!(jobs::list),
        ).fails(READ),
        Endpoint::get::<wire::jobs::Job>(
            "/v1/jobs/{name}", "job", "A job of the service.", handler!(jobs::get),
        ).fails(READ),
        Endpoint::method::<wire::state::Deleted>(
            Method::DELETE, "/v1/jobs/{name}", "delete_job", "Forgets a job.", handler!(jobs::delete),
        ).fails(WRITE),
    ]
}
