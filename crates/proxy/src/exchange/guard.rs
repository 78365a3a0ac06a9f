//! A route's policy applied to a request: `policy` decides, this looks things up and does what it says.

use super::{Context, target::only_path};
use crate::{
    h1::{Fields, Known, RequestHead, ResponseHead, fields::tokens},
    listener::ListenerKind,
    snapshot::{Route, Snapshot},
};
use policy::{Edit, Effects, Now, Reply, Verdict, compress::Asked};
use std::net::IpAddr;

/// A request as policies look at it.
struct View<'a> {
    request: &'a RequestHead,
    scheme: &'static str,
    client: IpAddr,
    /// The normal form of its path, where it differs from what was sent.
    respelt: Option<&'a str>,
}

impl policy::Request for View<'_> {
    fn method(&self) -> &str {
        self.request.method()
    }
    fn scheme(&self) -> &str {
        self.scheme
    }
    fn host(&self) -> &str {
        self.request.host()
    }
    fn path(&self) -> &str {
        self.respelt.unwrap_or_else(|| only_path(self.request))
    }
    fn raw_path(&self) -> &str {
        only_path(self.request)
    }
    fn query(&self) -> Option<&str> {
        Some(self.request.path_and_query().split_once('?')?.1)
    }
    fn client(&self) -> IpAddr {
        self.client
    }
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> bool) {
        for value in self.request.fields.named(name) {
            if !see(value) {
                return;
            }
        }
    }
    fn all(&self, see: &mut dyn FnMut(&str, &[u8])) {
        for (_, name, value) in self.request.fields.iter() {
            // Names are tokens, so ASCII.
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            see(&name, value);
        }
    }
}

/// What a policy says of a request.
pub(crate) struct Admitted {
    pub(crate) effects: Effects,
    /// How its response may be packed.
    pub(crate) asked: Asked,
}

/// Whether anything is asked of the request.
pub(crate) fn is_asked(context: &Context<'_>, snapshot: &Snapshot, route: Option<&Route>) -> bool {
    let has_policy = || {
        let policy = route.and_then(|route| route.settings.policy.as_ref());
        policy.is_some_and(|policy| !policy.is_empty() || policy.compress().is_some())
    };
    must_be_secure(context, snapshot) || has_policy()
}

fn must_be_secure(context: &Context<'_>, snapshot: &Snapshot) -> bool {
    context.scheme == "http"
        && context.listener.kind == ListenerKind::Gateway
        && snapshot.clients().redirect_plain.is_some()
}

/// Asks the route's policy about `request`. A password is hashed elsewhere meanwhile, so that the worker goes on.
pub(crate) async fn admit(
    context: &Context<'_>,
    route: Option<&Route>,
    snapshot: &Snapshot,
    request: &RequestHead,
    respelt: Option<&str>,
) -> Result<Admitted, Reply> {
    let worker = context.worker;
    let now = Now {
        moment: worker.now(),
        timestamp: worker.date_exact(),
        random: worker.random(logic::balance::Random::draw),
    };
    let client = client(context, snapshot, request);
    let view = View { request, scheme: context.scheme, client, respelt };
    let redirect = snapshot.clients().redirect_plain.as_ref();
    if let Some(redirect) = redirect.filter(|_| must_be_secure(context, snapshot))
        && let Some(reply) = redirect.apply(&view)
    {
        return Err(reply);
    }
    let Some(policy) = route.and_then(|route| route.settings.policy.as_deref()) else {
        return Ok(Admitted { effects: Effects::default(), asked: Asked::default() });
    };
    let mut verdict = policy.admit(&view, now);
    if let Verdict::Wait(pending) = verdict {
        let waiting = pending.clone();
        runtime::blocking(move || waiting.run()).await;
        verdict = policy.resume(&pending, &view, now);
    }
    match verdict {
        Verdict::Pass(effects) => {
            let asked = policy.compress().map(|compress| compress.ask(&view)).unwrap_or_default();
            Ok(Admitted { effects, asked })
        }
        Verdict::Reply(reply) => Err(reply),
        Verdict::Wait(_) => Err(Reply {
            status: 500,
            code: "policy",
            message: "the request could not be checked".to_owned(),
            headers: Vec::new(),
            delay: None,
        }),
    }
}

/// Who the client is: the other end of the connection, or, when that is a proxy that is believed, the last
/// address in `X-Forwarded-For` that is none.
fn client(context: &Context<'_>, snapshot: &Snapshot, request: &RequestHead) -> IpAddr {
    let peer = context.client.ip().to_canonical();
    let clients = snapshot.clients();
    if context.listener.kind != ListenerKind::Gateway || !clients.trust(peer) {
        return peer;
    }
    let chain: Vec<&[u8]> = request.fields.all(Known::ForwardedFor).flat_map(tokens).collect();
    let mut found = peer;
    for entry in chain.iter().rev() {
        let Some(address) = std::str::from_utf8(entry).ok().and_then(|text| text.parse().ok())
        else {
            break;
        };
        found = IpAddr::to_canonical(&address);
        if !clients.trust(found) {
            break;
        }
    }
    found
}

/// Applies changes to the fields of a message.
pub(crate) fn edit(fields: &mut Fields, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Set(name, value) => fields.set(name, value.as_bytes()),
            Edit::Add(name, value) => fields.add(name.as_bytes(), value.as_bytes()),
            Edit::Remove(name) => fields.remove(name),
            Edit::Vary(names) => vary(fields, names),
        }
    }
}

/// Adds `names` to `Vary`, where they are not there already.
fn vary(fields: &mut Fields, names: &str) {
    if fields.has_token(Known::Vary, "*") {
        return;
    }
    let missing: Vec<&str> = names
        .split(',')
        .map(str::trim)
        .filter(|name| !fields.has_token(Known::Vary, name))
        .collect();
    if !missing.is_empty() {
        fields.add(b"vary", missing.join(", ").as_bytes());
    }
}

/// Makes `head` the answer that a policy gives, and returns its body.
pub(crate) fn reply(reply: &Reply, head: &mut ResponseHead) -> Vec<u8> {
    head.begin(reply.status, 1);
    for (name, value) in &reply.headers {
        head.fields.add(name.as_bytes(), value.as_bytes());
    }
    if reply.message.is_empty() {
        return Vec::new();
    }
    head.fields.set("content-type", b"application/json");
    crate::refusal::json(reply.code, &reply.message, None).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_changed_in_order_and_vary_names_each_field_once() {
        let mut fields = Fields::default();
        fields.add(b"Vary", b"origin");
        fields.add(b"A", b"1");
        edit(
            &mut fields,
            &[
                Edit::Set("a".into(), "2".into()),
                Edit::Add("a".into(), "3".into()),
                Edit::Vary("Origin, Accept-Encoding"),
                Edit::Vary("Accept-Encoding"),
                Edit::Remove("b".into()),
            ],
        );
        let all = |name| fields.named(name).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(all("a"), [b"2".to_vec(), b"3".to_vec()]);
        assert_eq!(all("vary"), [b"origin".to_vec(), b"Accept-Encoding".to_vec()]);
        let mut any = Fields::default();
        any.add(b"vary", b"*");
        edit(&mut any, &[Edit::Vary("Origin")]);
        assert_eq!(any.len(), 1);
    }
}
