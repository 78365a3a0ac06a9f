//! Endpoints of topics, streams of events and jobs, for the operator.

use super::{Endpoint, param, repeated};
use crate::{
    handlers::{jobs, streams, topics},
    params::{Param, ParamKind},
    wire,
};
use http::{Method, StatusCode};

/// What a change may be refused with.
const WRITE: &[u16] = &[404, 409, 413, 500, 501, 503, 504];
/// What a read may be refused with.
const READ: &[u16] = &[404, 500, 501, 503];

const LAST_EVENT_ID: (&str, &str) = ("Last-Event-ID", "Go on after the message with this id.");

const SERVICE: Param = param("service", ParamKind::Text, "Only those of this service.");

macro_rules! handler {
    ($path:path) => {
        |context| Box::pin($path(context))
    };
}

/// All of them, in the order of the document.
pub(crate) fn table() -> Vec<Endpoint> {
    let mut table = of_topics();
    table.extend(of_messages());
    table.extend(of_streams());
    table.extend(of_jobs());
    table
}

fn of_topics() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<wire::topics::Broker>(
            "/v1/broker", "broker", "How the broker is that keeps the topics.", handler!(topics::broker),
        ).fails(&[503]),
        Endpoint::get::<wire::topics::Topics>(
            "/v1/topics", "topics", "The topics.", handler!(topics::list),
        ).fails(READ),
        Endpoint::get::<wire::topics::TopicDetail>(
            "/v1/topics/{topic}", "topic", "A topic with its groups and subscriptions.", handler!(topics::show),
        ).fails(READ),
        Endpoint::method::<wire::state::Deleted>(
            Method::DELETE, "/v1/topics/{topic}", "remove_topic",
            "Removes a topic with its messages and groups. One that the file names is refused: it would be made again.",
            handler!(topics::remove),
        ).fails(WRITE),
        Endpoint::method::<wire::topics::Purged>(
            Method::POST, "/v1/topics/{topic}/purge", "purge_topic",
            "Removes messages for good, whether they were taken or not.", handler!(topics::purge),
        ).takes::<wire::topics::Purge>(true).fails(WRITE),
        Endpoint::get::<wire::topics::Groups>(
            "/v1/topics/{topic}/groups", "topic_groups", "Who shares the messages of a topic, and how far each is.",
            handler!(topics::groups),
        ).fails(READ),
        Endpoint::method::<wire::topics::Group>(
            Method::POST, "/v1/topics/{topic}/groups/{group}/seek", "seek_group",
            "Lets a group go on from elsewhere: everything before is settled, everything from there on is delivered, again \
             if need be. Answers how far it is then.",
            handler!(topics::seek),
        ).takes::<wire::topics::Seek>(true).fails(WRITE),
        Endpoint::method::<wire::state::Deleted>(
            Method::DELETE, "/v1/topics/{topic}/groups/{group}", "remove_group",
            "Forgets a group. Whoever subscribes to it later begins anew.", handler!(topics::remove_group),
        ).fails(WRITE),
        Endpoint::get::<wire::topics::Subscriptions>(
            "/v1/subscriptions", "subscriptions",
            "Subscriptions that this node pushes messages to, with what became of the messages.",
            handler!(topics::subscriptions),
        ).with(&[SERVICE]).fails(&[503]),
        Endpoint::get::<wire::topics::Relays>(
            "/v1/relays", "relays", "Tables in which services leave messages, and how far they are published.",
            handler!(topics::relays),
        ).fails(&[503]),
    ]
}

fn of_messages() -> Vec<Endpoint> {
    vec![
        Endpoint::method::<wire::topics::Published>(
            Method::POST, "/v1/topics/{topic}/messages", "publish",
            "Publishes a message, now or later. It is durable when this answers.", handler!(topics::publish),
        ).takes::<wire::topics::Publish>(true).fails(WRITE),
        Endpoint::get::<wire::topics::Messages>(
            "/v1/topics/{topic}/messages", "messages",
            "Messages in order, without a group: nothing is settled by reading. As an event stream: also those that come, \
             as `message` events, resumable by `Last-Event-ID`.",
            handler!(topics::read),
        ).streams::<wire::topics::Message>(&[
            param(
                "from", ParamKind::Text,
                "`beginning`, `end`, an offset, a time (RFC 3339), or how long ago (`-15m`). The beginning when it is left \
                 out; of a stream the end.",
            ),
            param("limit", ParamKind::Number, "Most messages in the answer, 1 to 1000. Default 100."),
        ]).heeds(&[LAST_EVENT_ID]).fails(READ),
        Endpoint::get::<wire::topics::DeadLetters>(
            "/v1/topics/{topic}/dead", "dead_letters",
            "Messages of a topic that were given up and were not brought back. `topic` is where they come from, or where \
             they are.",
            handler!(topics::dead_letters),
        ).with(&[
            param("from", ParamKind::Number, "Only from this offset in the topic of dead letters on."),
            param("limit", ParamKind::Number, "Most of them in the answer, 1 to 100. Default 100."),
        ]).fails(READ),
        Endpoint::method::<wire::topics::Redriven>(
            Method::POST, "/v1/topics/{topic}/dead/redrive", "redrive",
            "Publishes dead letters again, for the group that gave them up alone.", handler!(topics::redrive),
        ).takes::<wire::topics::Redrive>(true).fails(WRITE),
        Endpoint::get::<wire::topics::Laters>(
            "/v1/topics/{topic}/later", "later", "Messages that wait for their time, the next one first.",
            handler!(topics::later),
        ).with(&[
            param("limit", ParamKind::Number, "Most messages in the answer, 1 to 100. Default 100."),
        ]).fails(READ),
        Endpoint::method::<wire::state::Deleted>(
            Method::DELETE, "/v1/topics/{topic}/later/{id}", "cancel_later",
            "Lets a message that waits for its time never be published.", handler!(topics::cancel),
        ).fails(WRITE),
    ]
}

fn of_streams() -> Vec<Endpoint> {
    const LIMIT: Param =
        param("limit", ParamKind::Number, "Most events in the answer, 1 to 1000. Default 100.");
    const DIRECTION: Param = param(
        "direction",
        ParamKind::Choice(&["forwards", "backwards"]),
        "Oldest first, or newest first; an event stream is always forwards.",
    );
    vec![
        Endpoint::get::<wire::streams::Streams>(
            "/v1/streams", "streams", "Streams of events, by name.", handler!(streams::list),
        ).with(&[
            param("prefix", ParamKind::Text, "Only what begins so."),
            param("from", ParamKind::Text, "Only from this name on."),
            param("limit", ParamKind::Number, "Most streams in the answer, 1 to 999. Default 999."),
        ]).fails(READ),
        Endpoint::get::<wire::streams::Stream>(
            "/v1/streams/{stream}", "stream", "A stream.", handler!(streams::show),
        ).fails(READ),
        Endpoint::get::<wire::streams::Events>(
            "/v1/streams/{stream}/events", "stream_events",
            "The events of a stream. As an event stream: also those that come, as `event` events whose id is the revision, \
             resumable by `Last-Event-ID`.",
            handler!(streams::read),
        ).streams::<wire::streams::Event>(&[
            param("from", ParamKind::Number, "The revision to begin with, itself included."),
            DIRECTION, LIMIT,
        ]).heeds(&[LAST_EVENT_ID]).fails(READ),
        Endpoint::method::<wire::streams::Appended>(
            Method::POST, "/v1/streams/{stream}/events", "append",
            "Appends events, all or none; 409 when the stream is not as expected.", handler!(streams::append),
        ).takes::<wire::streams::Append>(true).fails(WRITE),
        Endpoint::get::<wire::streams::Snapshot>(
            "/v1/streams/{stream}/snapshot", "stream_snapshot", "What a stream comes to at a revision.",
            handler!(streams::snapshot),
        ).fails(READ),
        Endpoint::get::<wire::streams::Events>(
            "/v1/stream-events", "all_stream_events",
            "The events of all streams. As an event stream: also those that come, as `event` events whose id is the \
             position, resumable by `Last-Event-ID`.",
            handler!(streams::read_all),
        ).streams::<wire::streams::Event>(&[
            param("from", ParamKind::Number, "The position to begin with, itself included."),
            param("category", ParamKind::Text, "Only of streams of this category: what stands before the first `-`."),
            repeated("type", ParamKind::Text, "Only of this type; may be repeated."),
            repeated("tag", ParamKind::Text, "Only with this tag; may be repeated: with all of them."),
            DIRECTION, LIMIT,
        ]).heeds(&[LAST_EVENT_ID]).fails(READ),
        Endpoint::get::<wire::streams::StreamSubscriptions>(
            "/v1/stream-subscriptions", "stream_subscriptions", "Subscriptions to streams, and how far they are.",
            handler!(streams::subscriptions),
        ).fails(READ),
        Endpoint::method::<wire::streams::Reset>(
            Method::POST, "/v1/stream-subscriptions/{name}/reset", "reset_stream_subscription",
            "Lets a subscription to streams go on after a position.", handler!(streams::reset),
        ).takes::<wire::streams::Reset>(true).fails(WRITE),
    ]
}

fn of_jobs() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<wire::jobs::Jobs>(
            "/v1/jobs",
            "jobs",
            "Schedules of the file and jobs of apps.",
            handler!(jobs::list),
        )
        .with(&[param(
            "owner",
            ParamKind::Text,
            "Only those of this app; `file`: schedules of the file.",
        )])
        .fails(READ),
        Endpoint::get::<wire::jobs::Job>(
            "/v1/jobs/{owner}/{job}",
            "job",
            "A job, or a schedule of the file (`file`).",
            handler!(jobs::show),
        )
        .fails(READ),
        Endpoint {
            status: StatusCode::ACCEPTED,
            ..Endpoint::method::<wire::jobs::Started>(
                Method::POST,
                "/v1/jobs/{owner}/{job}/run",
                "run_job",
                "Runs a job now, besides its schedule.",
                handler!(jobs::run),
            )
        }
        .fails(WRITE),
        Endpoint::method::<wire::state::Deleted>(
            Method::DELETE,
            "/v1/jobs/{owner}/{job}",
            "delete_job",
            "Deletes a job of an app. A schedule of the file is refused: it stands there.",
            handler!(jobs::remove),
        )
        .fails(WRITE),
    ]
}
