//! Sticky sessions: which instance a client's cookie names, and the cookie that its response gets.

use super::{Context, target::cookie};
use crate::{
    cluster::Cluster,
    endpoint::Endpoint,
    h1::{RequestHead, ResponseHead},
    listener::ListenerKind,
    settings::{Stickiness, Sticky},
    snapshot::{Route, Snapshot},
};
use logic::sticky::{Key, SetCookie, Token};
use std::sync::Arc;

/// A request of a client that stays at one instance.
#[derive(Debug)]
pub(crate) struct Stay<'a> {
    sticky: &'a Sticky,
    key: &'a Key,
    /// The endpoint that the cookie names, when it is there.
    pub(crate) endpoint: Option<u64>,
}

/// What the route or the service says, for clients of the gateway.
fn wanted<'a>(
    context: &Context<'_>,
    snapshot: &'a Snapshot,
    route: Option<&'a Route>,
    cluster: &'a Cluster,
) -> Option<(&'a Sticky, &'a Key)> {
    if context.listener.kind != ListenerKind::Gateway {
        return None;
    }
    let sticky = match &route?.settings.sticky {
        Stickiness::Off => None,
        Stickiness::On(sticky) => Some(sticky),
        Stickiness::Service => cluster.traffic()?.sticky.as_ref(),
    }?;
    Some((sticky, snapshot.clients().sticky_key.as_ref()?))
}

/// Which of a route's targets has the instance that the client was with; `None`: any.
pub(crate) fn target(
    context: &Context<'_>,
    snapshot: &Snapshot,
    route: &Route,
    request: &RequestHead,
) -> Option<usize> {
    let Stickiness::On(_) = &route.settings.sticky else { return None };
    let holds = |at: &usize| {
        let target = route.targets.get(*at)?;
        let cluster = snapshot.clusters.get(&target.service)?;
        find(context, snapshot, Some(route), cluster, request)?.endpoint
    };
    (0..route.targets.len()).find(|at| holds(at).is_some())
}

/// The instance of `cluster` that the client was with.
pub(crate) fn find<'a>(
    context: &Context<'_>,
    snapshot: &'a Snapshot,
    route: Option<&'a Route>,
    cluster: &'a Cluster,
    request: &RequestHead,
) -> Option<Stay<'a>> {
    let (sticky, key) = wanted(context, snapshot, route, cluster)?;
    let named = cookie(request, &sticky.cookie).and_then(Token::parse);
    let named = named.and_then(|named| {
        cluster.members().iter().find(|member| token(key, cluster, member) == named)
    });
    Some(Stay { sticky, key, endpoint: named.map(|member| member.id()) })
}

fn token(key: &Key, cluster: &Cluster, member: &Endpoint) -> Token {
    key.token(cluster.service().as_str(), &member.instance().to_string())
}

impl Stay<'_> {
    /// Binds the client to who answered, unless it is already.
    pub(crate) fn bind(
        &self,
        context: &Context<'_>,
        cluster: &Cluster,
        answered: &Arc<Endpoint>,
        head: &mut ResponseHead,
    ) {
        if self.endpoint == Some(answered.id()) {
            return;
        }
        let cookie = SetCookie {
            name: &self.sticky.cookie,
            token: token(self.key, cluster, answered),
            is_secure: context.scheme == "https",
            max_age: self.sticky.max_age,
        };
        head.fields.add(b"set-cookie", cookie.to_string().as_bytes());
    }
}
