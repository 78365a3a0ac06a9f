//! What the file asks of events, in the words of the crate that does it.

use base::ServiceName;
use events::{
    DeadLetter, Missed, Relay, Retry, Route, Run, Schedule, Shape, StreamSubscription,
    Subscription, Target, Topic, Wanted, When,
};
use logic::{backoff::Backoff, schedule};
use manifest::{
    DeadLetterRule, DeliveryRule, DeliveryShape, GroupStart, Kind, MessageOrder, MissedRuns,
    Program, RetryRule, Scheduled, ScheduledAction, Service, Subscribe, Subscribed, System,
};
use ports::{
    broker::{GroupName, Order, Start, TopicConfig, TopicName},
    streams::{Item, Query},
};
use std::collections::BTreeMap;

/// All that `system` asks for. The check has seen that it can be meant so; what cannot is left out with the reason, so that
/// a difference between the two shows and stops nothing.
pub(super) fn wanted(system: &System, urls: &BTreeMap<ServiceName, String>) -> Wanted {
    let file = &system.events;
    let mut wanted = Wanted { auto: file.auto_topics, ..Wanted::default() };
    for topic in &file.topics {
        if let Some(name) = told("topic", &topic.name, TopicName::new(&topic.name)) {
            let config = TopicConfig {
                retain: topic.retain,
                max_bytes: topic.max,
                dedup_window: topic.dedup,
            };
            let (retry, dead_letter) = (retry(topic.retry), dead_letter(&topic.dead_letter));
            wanted.topics.insert(name, Topic { config, retry, dead_letter });
        }
    }
    for subscribe in &file.subscriptions {
        let Some(service) = system.services.iter().find(|it| it.name == subscribe.service) else {
            continue;
        };
        match &subscribe.from {
            Subscribed::Topic(topic) => {
                wanted.subscriptions.extend(subscription(subscribe, topic, service));
            }
            Subscribed::Streams { .. } => wanted.streams.extend(of_streams(subscribe)),
        }
    }
    wanted.ask =
        system.services.iter().filter(|it| is_asked(it)).map(|it| it.name.clone()).collect();
    wanted.schedules = file.schedules.iter().filter_map(scheduled).collect();
    wanted.relays = file
        .outboxes
        .iter()
        .filter_map(|table| {
            let url = urls.get(&table.service)?.clone();
            let (service, topic) = (table.service.clone(), table.topic.clone());
            Some(Relay { service, url, table: table.table.clone(), topic })
        })
        .collect();
    wanted
}

/// Whether a service is asked what it wants, as Dapr asks every app. A container that nothing is said of may be anything,
/// a database for one, and is left in peace.
fn is_asked(service: &Service) -> bool {
    let is_own = !matches!(service.program, Program::Container(_));
    service.kind == Kind::Service
        && service.listens
        && (is_own || service.places.contains_key("api"))
}

fn subscription(subscribe: &Subscribe, topic: &str, service: &Service) -> Option<Subscription> {
    let group = subscribe.group.as_deref().unwrap_or(&service.api.app_id);
    Some(Subscription {
        topic: told("topic", topic, TopicName::new(topic))?,
        group: told("group", group, GroupName::new(group))?,
        routes: subscribe.routes.iter().map(|rule| route(rule, subscribe)).collect(),
        start: match subscribe.start {
            GroupStart::New => Start::End,
            GroupStart::Oldest => Start::Beginning,
        },
        concurrency: match subscribe.order {
            MessageOrder::All => 1,
            MessageOrder::Key | MessageOrder::None => subscribe.concurrency,
        },
        order: match subscribe.order {
            MessageOrder::Key => Order::Key,
            MessageOrder::All | MessageOrder::None => Order::None,
        },
        timeout: subscribe.timeout,
        retry: subscribe.retry.map(retry),
        dead_letter: subscribe.dead_letter.as_ref().map(dead_letter),
        bulk: subscribe.bulk.map(|(max, wait)| events::BulkDelivery { max, wait }),
    })
}

fn of_streams(subscribe: &Subscribe) -> Option<StreamSubscription> {
    let Subscribed::Streams { name, category, types, tags } = &subscribe.from else { return None };
    let item = Item { kinds: types.clone(), tags: tags.clone(), category: category.clone() };
    let items = if item == Item::default() { Vec::new() } else { vec![item] };
    Some(StreamSubscription {
        name: name.clone(),
        query: Query { items },
        from_beginning: subscribe.start == GroupStart::Oldest,
        to: route(subscribe.routes.first()?, subscribe).to,
        timeout: subscribe.timeout,
        retry: subscribe.retry.map(retry).unwrap_or_default(),
        dead_letter: subscribe.dead_letter.as_ref().map(dead_letter).unwrap_or_default(),
    })
}

fn route(rule: &DeliveryRule, subscribe: &Subscribe) -> Route {
    let (service, path) = (subscribe.service.clone(), rule.path.clone());
    let http = |shape| Target::Http {
        service: service.clone(),
        method: rule.method.clone(),
        path: path.clone(),
        shape,
    };
    let to = match &subscribe.shape {
        DeliveryShape::Structured => http(Shape::Structured),
        DeliveryShape::Binary => http(Shape::Binary),
        DeliveryShape::Raw => http(Shape::Raw),
        DeliveryShape::Dapr { pubsub, raw } => Target::Dapr {
            service: service.clone(),
            pubsub: pubsub.clone(),
            path: path.clone(),
            raw: *raw,
            bulk: subscribe.bulk.is_some(),
        },
    };
    Route { when: rule.when.clone(), to }
}

fn scheduled(schedule: &Scheduled) -> Option<Schedule> {
    const JSON: &str = "application/json";
    let typed = |data: &Option<String>| {
        let content_type = data.as_ref().map(|_| JSON.to_owned());
        (data.clone().unwrap_or_default().into(), content_type)
    };
    let run = match &schedule.action {
        ScheduledAction::Call { service, method, path, data } => {
            let (data, content_type) = typed(data);
            let to = Target::Http {
                service: service.clone(),
                method: method.clone(),
                path: path.clone(),
                shape: Shape::Raw,
            };
            Run::Deliver { to, data, content_type }
        }
        ScheduledAction::Publish { topic, data } => {
            let (data, content_type) = typed(data);
            let topic = told("topic", topic, TopicName::new(topic))?;
            Run::Publish { topic, data, content_type }
        }
    };
    Some(Schedule {
        name: schedule.name.clone(),
        when: when(schedule)?,
        text: schedule.when.clone(),
        zone: zone(schedule),
        run,
        missed: match schedule.missed {
            MissedRuns::Skip => Missed::Skip,
            MissedRuns::Once => Missed::Once,
            MissedRuns::All => Missed::All,
        },
        retry: retry(schedule.retry),
        timeout: schedule.timeout,
        paused: schedule.paused,
    })
}

fn when(schedule: &Scheduled) -> Option<When> {
    let (repeat, _) = told("time", &schedule.when, schedule::Repeat::parse(&schedule.when))?;
    Some(match repeat {
        schedule::Repeat::Every(every) => When::Every(every),
        schedule::Repeat::Cron { schedule, .. } => When::Cron(schedule),
    })
}

/// The zone of a schedule, which may also stand before its expression.
fn zone(schedule: &Scheduled) -> Option<String> {
    let named = match schedule::Repeat::parse(&schedule.when) {
        Ok((schedule::Repeat::Cron { zone, .. }, _)) => zone,
        _ => None,
    };
    named.or_else(|| schedule.zone.clone())
}

fn retry(rule: RetryRule) -> Retry {
    Retry { max: rule.max, backoff: Backoff { first: rule.first, max: rule.longest } }
}

fn dead_letter(rule: &DeadLetterRule) -> DeadLetter {
    match rule {
        DeadLetterRule::Nowhere => DeadLetter::None,
        DeadLetterRule::Own => DeadLetter::Own,
        DeadLetterRule::Topic(topic) => {
            told("topic", topic, TopicName::new(topic)).map_or(DeadLetter::Own, DeadLetter::Topic)
        }
    }
}

/// What was read, or a word in the log.
fn told<T, E: std::fmt::Display>(what: &str, text: &str, read: Result<T, E>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(what, text, %error, "left out of events")).ok()
}
