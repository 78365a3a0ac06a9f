//! `Subscription` resources: who gets what, once all services and components are known.

use super::{Draft, Reader, condition};
use crate::{
    DeadLetterRule, DeliveryRule, DeliveryShape, GroupStart, MessageOrder, PubSub, RetryRule,
    Scopes, Service, Subscribe, Subscribed,
    dapr::{Said, Subscription},
    read::KnownKind,
    shape::names,
    suggest,
};
use base::{Code, Diagnostic};
use std::time::Duration;

/// Most messages of a subscription at a time, as of our own.
const CONCURRENCY: u32 = 16;

/// How long an app may take for one.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Most messages at once, as the broker port has it.
const BULK_MAX: usize = 1_000;

/// Longest wait for more messages: what came first waits too.
const BULK_WAIT_MAX: Duration = Duration::from_secs(60);

/// With a topic for dead letters a message goes there promptly; there it would after the first attempt.
const RETRY: RetryRule =
    RetryRule { max: Some(3), first: Duration::from_millis(200), longest: Duration::from_secs(1) };

/// A subscription and who reads the file that it stands in.
#[derive(Debug)]
pub(in crate::read) struct Declared {
    pub(in crate::read) subscription: Subscription,
    pub(in crate::read) scopes: Scopes,
}

impl Reader<'_> {
    pub(super) fn declared(&mut self, draft: &mut Draft, services: &[Service]) {
        for Declared { subscription, scopes } in std::mem::take(&mut draft.declared) {
            let pubsubs = &draft.all.pubsubs;
            let Some(pubsub) = pubsubs.iter().find(|known| known.name == subscription.pubsub.text)
            else {
                let known = pubsubs.iter().map(|known| known.name.as_str());
                let near = suggest::nearest(&subscription.pubsub.text, known);
                let label = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
                let message = format!("there is no component `{}`", subscription.pubsub.text);
                let help = "the subscription is left out";
                self.unheard(&subscription.pubsub, message, &label, help);
                continue;
            };
            let topic = format!("{}{}", pubsub.prefix, subscription.topic.text);
            if let Err(why) = names::topic(&topic) {
                let message = format!("there is no topic `{}`", subscription.topic.text);
                self.unheard(&subscription.topic, message, &why, "the subscription is left out");
                continue;
            }
            let Some(routes) = self.declared_routes(&subscription) else { continue };
            let dead = subscription.dead_letter.as_ref();
            let dead = dead.and_then(|dead| self.declared_dead(dead, pubsub));
            let mut taken = Vec::new();
            for service in services.iter().filter(|service| scopes.allows(&service.name)) {
                if self.takes(service, pubsub) && self.may_subscribe(service, pubsub, &subscription)
                {
                    taken.push(declared_by(
                        service,
                        pubsub,
                        &topic,
                        &subscription,
                        &routes,
                        dead.as_ref(),
                    ));
                }
            }
            for one in taken {
                let is_same = |known: &&Subscribe| {
                    (&known.service, &known.from, &known.shape)
                        == (&one.service, &one.from, &one.shape)
                };
                match draft.all.subscriptions.iter().find(is_same) {
                    None => draft.all.subscriptions.push(one),
                    Some(known) if known.routes == one.routes => {}
                    Some(_) => {
                        let message = format!(
                            "app `{}` subscribes to topic `{}` twice",
                            one.service, subscription.topic.text
                        );
                        let help = "the first subscription is kept; write the routes into one";
                        self.unheard(&subscription.topic, message, "given again here", help);
                    }
                }
            }
        }
    }

    fn unheard(&mut self, said: &Said, message: String, label: &str, help: &str) {
        self.problems.warning(Code::NOT_HONOURED, &said.mark, message, label, help);
    }

    /// Whether a service can be sent messages of a component.
    fn takes(&self, service: &Service, pubsub: &PubSub) -> bool {
        let known = self.known.get(service.name.as_str());
        let is_service = known.is_some_and(|known| known.kind == KnownKind::Service);
        is_service && service.listens && pubsub.scopes.allows(&service.name)
    }

    /// Whether the component's own rules let a service have the topic; told otherwise.
    fn may_subscribe(&mut self, service: &Service, pubsub: &PubSub, of: &Subscription) -> bool {
        if pubsub.may_subscribe(&service.api.app_id, &of.topic.text) {
            return true;
        }
        let message =
            format!("app `{}` may not subscribe to topic `{}`", service.api.app_id, of.topic.text);
        let label = format!("the component `{}` does not let it", pubsub.name);
        self.unheard(&of.topic, message, &label, "");
        false
    }

    /// The topic of dead letters; told when there can be none of that name.
    fn declared_dead(&mut self, dead: &Said, pubsub: &PubSub) -> Option<String> {
        let topic = format!("{}{}", pubsub.prefix, dead.text);
        let Err(why) = names::topic(&topic) else { return Some(topic) };
        let message = format!("there is no topic `{}`", dead.text);
        self.unheard(dead, message, &why, "dead letters go where those of the topic go");
        None
    }

    /// The routes; `None` when a condition cannot be read, which is told.
    fn declared_routes(&mut self, of: &Subscription) -> Option<Vec<DeliveryRule>> {
        let mut all = Vec::new();
        let mut is_good = true;
        for (when, path) in &of.rules {
            if let Some(Said { text, mark }) = when
                && let Err((mark, why)) = condition(text, mark)
            {
                is_good = false;
                let message = format!("a `match` of the subscription `{}` cannot be used", of.name);
                let problem = Diagnostic::error(Code::CONDITION, message);
                self.problems.add(problem.at(mark.place(), why));
            }
            let when = when.as_ref().map(|when| when.text.clone());
            all.push(DeliveryRule { when, method: "POST".to_owned(), path: path.clone() });
        }
        is_good.then_some(all)
    }
}

/// What one service gets.
fn declared_by(
    service: &Service,
    pubsub: &PubSub,
    topic: &str,
    of: &Subscription,
    routes: &[DeliveryRule],
    dead_letter: Option<&String>,
) -> Subscribe {
    let group = pubsub.group_of(&service.api.app_id);
    Subscribe {
        service: service.name.clone(),
        from: Subscribed::Topic(topic.to_owned()),
        group: (group != service.api.app_id).then_some(group),
        routes: routes.to_vec(),
        concurrency: CONCURRENCY,
        order: MessageOrder::Key,
        start: GroupStart::Oldest,
        timeout: TIMEOUT,
        retry: dead_letter.is_some().then_some(RETRY),
        dead_letter: dead_letter.cloned().map(DeadLetterRule::Topic),
        bulk: of.bulk.map(|(most, wait)| (most.min(BULK_MAX), wait.min(BULK_WAIT_MAX))),
        shape: DeliveryShape::Dapr { pubsub: pubsub.name.clone(), raw: of.raw },
        place: Some(of.name_mark.place()),
    }
}
