//! Topics, streams of events, and jobs.

use super::{Client, Error, Stream, blocks::query};
use crate::{
    query::escape,
    wire::{jobs, state::Deleted, streams, topics},
};
use http::Method;

/// Which events of all streams are meant: those of one of the types, with all of the tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuestion {
    /// Only of streams of this category.
    pub category: Option<String>,
    /// Only of one of these types.
    pub kinds: Vec<String>,
    /// Only with all of these tags.
    pub tags: Vec<String>,
}

/// Where a page begins, how it goes on, and how long it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The revision (of one stream) or position (of all); `None`: the end that the direction begins at.
    pub from: Option<u64>,
    /// Newest first.
    pub is_backwards: bool,
    /// Most events, at most 1000; `None`: 100.
    pub limit: Option<u32>,
}

impl EventPage {
    /// As parameters of a query.
    fn texts(self) -> [(&'static str, Option<String>); 3] {
        [
            ("from", self.from.map(|from| from.to_string())),
            ("direction", self.is_backwards.then(|| "backwards".to_owned())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ]
    }
}

fn topic_path(topic: &str, rest: &str) -> String {
    format!("/v1/topics/{}{rest}", escape(topic))
}

fn stream_path(stream: &str, rest: &str) -> String {
    format!("/v1/streams/{}{rest}", escape(stream))
}

fn job_path(owner: &str, job: &str, rest: &str) -> String {
    format!("/v1/jobs/{}/{}{rest}", escape(owner), escape(job))
}

/// The query string of pairs of which not all are there.
fn of_texts(pairs: &[(&str, Option<String>)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_deref())).collect();
    query(&pairs)
}

/// Further errors: `Api` with 404 for a topic, group, stream or job that does not exist, 409 when a stream is not as
/// expected, 503 when the engine is away, 504 when it broke off and the outcome is not known.
impl Client {
    /// The topics, and how the broker is.
    pub async fn topics(&self) -> Result<topics::Topics, Error> {
        self.get("/v1/topics").await
    }

    /// A topic with its groups and subscriptions.
    pub async fn topic(&self, topic: &str) -> Result<topics::TopicDetail, Error> {
        self.get(&topic_path(topic, "")).await
    }

    /// Removes a topic with its messages and groups.
    pub async fn remove_topic(&self, topic: &str) -> Result<Deleted, Error> {
        self.ask(Method::DELETE, &topic_path(topic, ""), Vec::new()).await
    }

    /// Removes messages for good.
    pub async fn purge_topic(
        &self,
        topic: &str,
        purge: &topics::Purge,
    ) -> Result<topics::Purged, Error> {
        self.post(&topic_path(topic, "/purge"), purge).await
    }

    /// Publishes a message, now or later.
    pub async fn publish(
        &self,
        topic: &str,
        publish: &topics::Publish,
    ) -> Result<topics::Published, Error> {
        self.post(&topic_path(topic, "/messages"), publish).await
    }

    /// Messages that are there, from `from` on: `beginning`, an offset, a time, or how long ago (`-15m`).
    pub async fn messages(
        &self,
        topic: &str,
        from: &str,
        limit: Option<u32>,
    ) -> Result<topics::Messages, Error> {
        let limit = limit.map(|limit| limit.to_string());
        let query = query(&[("from", Some(from)), ("limit", limit.as_deref())]);
        self.get(&topic_path(topic, &format!("/messages{query}"))).await
    }

    /// Messages that are there from `from` on, and those that come. The ids are offsets.
    pub async fn message_stream(
        &self,
        topic: &str,
        from: &str,
    ) -> Result<Stream<topics::Message>, Error> {
        let query = query(&[("from", Some(from))]);
        self.stream(&topic_path(topic, &format!("/messages{query}"))).await
    }

    /// Who shares the messages of a topic.
    pub async fn topic_groups(&self, topic: &str) -> Result<topics::Groups, Error> {
        self.get(&topic_path(topic, "/groups")).await
    }

    /// Lets a group go on from elsewhere.
    pub async fn seek_group(
        &self,
        topic: &str,
        group: &str,
        seek: &topics::Seek,
    ) -> Result<topics::Group, Error> {
        self.post(&topic_path(topic, &format!("/groups/{}/seek", escape(group))), seek).await
    }

    /// Forgets a group.
    pub async fn remove_group(&self, topic: &str, group: &str) -> Result<Deleted, Error> {
        let path = topic_path(topic, &format!("/groups/{}", escape(group)));
        self.ask(Method::DELETE, &path, Vec::new()).await
    }

    /// Dead letters of a topic from this offset in their own topic on, a hundred at most.
    pub async fn dead_letters(
        &self,
        topic: &str,
        from: Option<u64>,
        limit: Option<u32>,
    ) -> Result<topics::DeadLetters, Error> {
        let page = EventPage { from, limit, is_backwards: false };
        self.get(&topic_path(topic, &format!("/dead{}", of_texts(&page.texts())))).await
    }

    /// Brings dead letters back.
    pub async fn redrive(
        &self,
        topic: &str,
        redrive: &topics::Redrive,
    ) -> Result<topics::Redriven, Error> {
        self.post(&topic_path(topic, "/dead/redrive"), redrive).await
    }

    /// Messages that wait for their time, a hundred at most.
    pub async fn later(&self, topic: &str) -> Result<topics::Laters, Error> {
        self.get(&topic_path(topic, "/later")).await
    }

    /// Lets a message that waits for its time never be published.
    pub async fn cancel_later(&self, topic: &str, id: &str) -> Result<Deleted, Error> {
        let path = topic_path(topic, &format!("/later/{}", escape(id)));
        self.ask(Method::DELETE, &path, Vec::new()).await
    }

    /// How the broker is.
    pub async fn broker(&self) -> Result<topics::Broker, Error> {
        self.get("/v1/broker").await
    }

    /// Subscriptions that messages are pushed to, of one service or all.
    pub async fn subscriptions(
        &self,
        service: Option<&str>,
    ) -> Result<topics::Subscriptions, Error> {
        self.get(&format!("/v1/subscriptions{}", query(&[("service", service)]))).await
    }

    /// Tables in which services leave messages.
    pub async fn relays(&self) -> Result<topics::Relays, Error> {
        self.get("/v1/relays").await
    }

    /// Streams by name, from the name `from` on, 999 at most.
    pub async fn streams(
        &self,
        prefix: Option<&str>,
        from: Option<&str>,
        limit: Option<u32>,
    ) -> Result<streams::Streams, Error> {
        let limit = limit.map(|limit| limit.to_string());
        let query = query(&[("prefix", prefix), ("from", from), ("limit", limit.as_deref())]);
        self.get(&format!("/v1/streams{query}")).await
    }

    /// A stream.
    pub async fn event_stream_status(&self, stream: &str) -> Result<streams::Stream, Error> {
        self.get(&stream_path(stream, "")).await
    }

    /// Events of a stream.
    pub async fn stream_events(
        &self,
        stream: &str,
        page: EventPage,
    ) -> Result<streams::Events, Error> {
        self.get(&stream_path(stream, &format!("/events{}", of_texts(&page.texts())))).await
    }

    /// Events of a stream from a revision on, and those that come. The ids are revisions.
    pub async fn stream_events_stream(
        &self,
        stream: &str,
        from: u64,
    ) -> Result<Stream<streams::Event>, Error> {
        self.stream(&stream_path(stream, &format!("/events?from={from}"))).await
    }

    /// Events of all streams.
    pub async fn all_stream_events(
        &self,
        question: &EventQuestion,
        page: EventPage,
    ) -> Result<streams::Events, Error> {
        self.get(&all_path(question, &page.texts())).await
    }

    /// Events of all streams from a position on, and those that come. The ids are positions.
    pub async fn all_stream_events_stream(
        &self,
        question: &EventQuestion,
        from: u64,
    ) -> Result<Stream<streams::Event>, Error> {
        let page = EventPage { from: Some(from), ..EventPage::default() };
        self.stream(&all_path(question, &page.texts())).await
    }

    /// Appends events, all or none.
    pub async fn append(
        &self,
        stream: &str,
        append: &streams::Append,
    ) -> Result<streams::Appended, Error> {
        self.post(&stream_path(stream, "/events"), append).await
    }

    /// What a stream comes to at a revision.
    pub async fn stream_snapshot(&self, stream: &str) -> Result<streams::Snapshot, Error> {
        self.get(&stream_path(stream, "/snapshot")).await
    }

    /// Subscriptions to streams.
    pub async fn stream_subscriptions(&self) -> Result<streams::StreamSubscriptions, Error> {
        self.get("/v1/stream-subscriptions").await
    }

    /// Lets a subscription to streams go on after a position.
    pub async fn reset_stream_subscription(
        &self,
        name: &str,
        reset: &streams::Reset,
    ) -> Result<streams::Reset, Error> {
        self.post(&format!("/v1/stream-subscriptions/{}/reset", escape(name)), reset).await
    }

    /// Jobs of one owner or all; `file`: the schedules of the file.
    pub async fn jobs(&self, owner: Option<&str>) -> Result<jobs::Jobs, Error> {
        self.get(&format!("/v1/jobs{}", query(&[("owner", owner)]))).await
    }

    /// One job.
    pub async fn job(&self, owner: &str, job: &str) -> Result<jobs::Job, Error> {
        self.get(&job_path(owner, job, "")).await
    }

    /// Runs a job now, besides its schedule.
    pub async fn run_job(&self, owner: &str, job: &str) -> Result<jobs::Started, Error> {
        self.act(&job_path(owner, job, "/run")).await
    }

    /// Deletes a job of an app.
    pub async fn delete_job(&self, owner: &str, job: &str) -> Result<Deleted, Error> {
        self.ask(Method::DELETE, &job_path(owner, job, ""), Vec::new()).await
    }
}

fn all_path(question: &EventQuestion, page: &[(&'static str, Option<String>)]) -> String {
    let mut pairs: Vec<(&str, Option<String>)> = vec![("category", question.category.clone())];
    pairs.extend(question.kinds.iter().map(|kind| ("type", Some(kind.clone()))));
    pairs.extend(question.tags.iter().map(|tag| ("tag", Some(tag.clone()))));
    pairs.extend(page.iter().cloned());
    format!("/v1/stream-events{}", of_texts(&pairs))
}
