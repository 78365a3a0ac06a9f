//! What becomes of a request.

use crate::Pending;
use std::{borrow::Cow, time::Duration};

/// A policy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the service.
    Pass(Effects),
    /// It is answered here.
    Reply(Reply),
    /// A password must be hashed first: [`Pending::run`] where blocking is allowed, then
    /// [`Policy::resume`](crate::Policy::resume). Only routes with basic authentication say this.
    Wait(Pending),
}

/// What is done to a request that passes, and to its response. Empty for most, and then nothing is allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Changes of the request's fields, in order.
    pub request: Vec<Edit>,
    /// Changes of the response's fields, in order; also for responses that the data plane makes.
    pub response: Vec<Edit>,
    /// The path (and query, when it has a `?`) that the service gets instead; `None`: as matched and stripped.
    pub path: Option<String>,
    /// The query that the service gets instead, when `path` is `None` or has no `?`; empty: none. A key that
    /// stood in it has been taken out.
    pub query: Option<String>,
    /// The `Host` that the service gets instead.
    pub host: Option<String>,
    /// How long it waits before it is forwarded (`fault: { delay }`).
    pub delay: Option<Duration>,
    /// Who it is, for the access log: the `sub` of a token, the name of a key, a user.
    pub subject: Option<String>,
}

/// A change of a message's fields. Names are lowercase and valid; values hold no control character but tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Replaces all fields of that name with one.
    Set(Cow<'static, str>, Cow<'static, str>),
    /// Adds one.
    Add(Cow<'static, str>, Cow<'static, str>),
    /// Removes all of that name.
    Remove(Cow<'static, str>),
    /// Adds the tokens of a comma-separated list to `Vary` that are not there already.
    Vary(&'static str),
}

/// An answer without a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// A stable word for programs, such as `unauthorized`; empty for answers that are no errors.
    pub code: &'static str,
    /// Words for people; the data plane makes the JSON body of it. Empty: no body.
    pub message: String,
    /// Fields of the answer, beside those of the body.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// How long the client waits for it (`fault: { delay, abort }`).
    pub delay: Option<Duration>,
}
