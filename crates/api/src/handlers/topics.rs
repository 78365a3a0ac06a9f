//! Topics: what there is, and who takes it.

mod messages;
pub(crate) mod shapes;

pub(crate) use messages::{cancel, dead_letters, later, outgoing, publish, read, redrive};

use super::{Reach, messaging};
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    params::did_you_mean,
    wire::{
        state::Deleted,
        topics::{
            Groups, Purge, Purged, Relays, Seek, Subscription, Subscriptions, TopicDetail, Topics,
        },
    },
};
use events::Error;
use http::StatusCode;
use ports::broker::{self, Offset};
use runtime::Clock;

pub(crate) async fn list(context: Context) -> Result<Answer, Problem> {
    let events = context.events()?;
    let topics = events.topics().list().await?;
    let topics = topics.into_iter().map(shapes::topic).collect();
    let broker = shapes::broker(events.broker());
    Ok(json(StatusCode::OK, &Topics { topics, broker }))
}

pub(crate) async fn show(context: Context) -> Result<Answer, Problem> {
    let events = context.events()?;
    let name = context.topic()?;
    let info = match events.topics().show(&name).await {
        Ok(info) => info,
        Err(error) => return Err(near(&context, error).await),
    };
    let groups = info.groups.iter().map(shapes::group).collect();
    let all = events.subscriptions().into_iter();
    let subscriptions = all.filter(|it| it.topic == name).map(Subscription::from).collect();
    let detail = TopicDetail { topic: shapes::topic(info), groups, subscriptions };
    Ok(json(StatusCode::OK, &detail))
}

/// The same error, with the topic that may have been meant.
pub(crate) async fn near<B: Reach + ?Sized>(context: &Context<B>, error: Error) -> Problem {
    let is_missing = match &error {
        Error::Missing { what, .. } => *what == "topic",
        Error::Broker(broker::Error::NoTopic(_)) => true,
        _ => false,
    };
    let mut problem = Problem::from(error);
    if is_missing
        && let Ok(events) = context.events()
        && let Ok(all) = events.topics().list().await
    {
        let names = all.iter().map(|info| info.status.name.as_str());
        problem.detail.help = did_you_mean(context.value(0), names).or(problem.detail.help);
    }
    problem
}

pub(crate) async fn remove(context: Context) -> Result<Answer, Problem> {
    let topics = context.events()?.topics();
    let name = context.topic()?;
    // A broker does not mind a topic that is not there, whoever mistyped it does.
    if let Err(error) = topics.show(&name).await {
        return Err(near(&context, error).await);
    }
    topics.remove(&name).await?;
    tracing::info!(topic = %name, "a topic is removed by the operator");
    Ok(json(StatusCode::OK, &Deleted { deleted: true }))
}

pub(crate) async fn purge(context: Context) -> Result<Answer, Problem> {
    let Purge { before } = context.read()?;
    let name = context.topic()?;
    let purged = context.events()?.topics().purge(&name, before.map(Offset)).await;
    let removed = match purged {
        Ok(removed) => removed,
        Err(error) => return Err(near(&context, error).await),
    };
    tracing::info!(topic = %name, removed, "a topic is emptied by the operator");
    Ok(json(StatusCode::OK, &Purged { removed }))
}

pub(crate) async fn groups(context: Context) -> Result<Answer, Problem> {
    let groups = context.events()?.topics().groups(&context.topic()?).await;
    match groups {
        Ok(groups) => {
            let groups = groups.iter().map(shapes::group).collect();
            Ok(json(StatusCode::OK, &Groups { groups }))
        }
        Err(error) => Err(near(&context, error).await),
    }
}

pub(crate) async fn seek(context: Context) -> Result<Answer, Problem> {
    let Seek { to } = context.read()?;
    let to = messaging::start(&to, Clock::wall())?;
    let (topic, group) = (context.topic()?, messaging::group(context.value(1))?);
    let topics = context.events()?.topics();
    if let Err(error) = topics.seek(&topic, &group, to).await {
        return Err(near(&context, error).await);
    }
    tracing::info!(%topic, %group, ?to, "a group is moved by the operator");
    let groups = topics.groups(&topic).await?;
    let moved = groups.iter().find(|it| it.name == group).map(shapes::group);
    moved.map(|group| json(StatusCode::OK, &group)).ok_or_else(|| no_group(&context))
}

pub(crate) async fn remove_group(context: Context) -> Result<Answer, Problem> {
    let (topic, group) = (context.topic()?, messaging::group(context.value(1))?);
    let topics = context.events()?.topics();
    let groups = match topics.groups(&topic).await {
        Ok(groups) => groups,
        Err(error) => return Err(near(&context, error).await),
    };
    if !groups.iter().any(|it| it.name == group) {
        return Err(no_group(&context));
    }
    topics.remove_group(&topic, &group).await?;
    tracing::info!(%topic, %group, "a group is removed by the operator");
    Ok(json(StatusCode::OK, &Deleted { deleted: true }))
}

fn no_group(context: &Context) -> Problem {
    let (topic, group) = (context.value(0), context.value(1));
    Problem::new(
        StatusCode::NOT_FOUND,
        "unknown_group",
        format!("topic `{topic}` has no group `{group}`"),
    )
}

pub(crate) async fn broker(context: Context) -> Result<Answer, Problem> {
    let broker = shapes::broker(context.events()?.broker());
    // An `await` so that all handlers are of one shape.
    std::future::ready(Ok(json(StatusCode::OK, &broker))).await
}

pub(crate) async fn subscriptions(context: Context) -> Result<Answer, Problem> {
    let service = context.params.text("service");
    let all = context.events()?.subscriptions().into_iter().map(Subscription::from);
    let subscriptions =
        all.filter(|it| service.is_none() || it.service.as_deref() == service).collect();
    std::future::ready(Ok(json(StatusCode::OK, &Subscriptions { subscriptions }))).await
}

pub(crate) async fn relays(context: Context) -> Result<Answer, Problem> {
    let relays = context.events()?.relays().into_iter().map(Into::into).collect();
    std::future::ready(Ok(json(StatusCode::OK, &Relays { relays }))).await
}
