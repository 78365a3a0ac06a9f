//! Who asks for the building blocks, and what they may see: the operator everything, a service its own.

use crate::{
    answer::Problem,
    backend::Backend,
    context::Context,
    params::{Params, did_you_mean},
    wire,
};
use base::{ErrorChain, InstanceId, ServiceName};
use coordination::{Error, KeyPrefix, LockInfo, StoreKind};
use http::StatusCode;

/// What is behind an API that has the building blocks.
pub(crate) trait Reach: Send + Sync + 'static {
    fn coordination(&self) -> coordination::Handle;

    /// Topics, jobs, streams of events.
    fn events(&self) -> Result<events::Handle, Problem>;

    /// Transactions over several services.
    fn transactions(&self) -> Result<transactions::Handle, Problem>;

    /// The service that `name` means, if calls of it may be asked for.
    fn callee(&self, name: &str) -> Result<ServiceName, Problem>;

    /// The service whose prefix stands before keys; `None`: keys are as they are stored.
    fn service(&self, params: &Params) -> Result<Option<ServiceName>, Problem>;

    /// The instance that asks.
    fn instance(&self) -> Option<InstanceId>;

    /// Who is noted to have changed something.
    fn by(&self) -> String;

    fn may_use(&self, kind: StoreKind, store: &str) -> bool;

    fn may_read_secret(&self, store: &str, name: &str) -> bool;

    /// Whether the values of a secret are shown.
    fn reveals(&self, params: &Params) -> bool;
}

impl Reach for dyn Backend {
    fn coordination(&self) -> coordination::Handle {
        Backend::coordination(self)
    }

    fn events(&self) -> Result<events::Handle, Problem> {
        Ok(self.messaging()?)
    }

    fn transactions(&self) -> Result<transactions::Handle, Problem> {
        Ok(Backend::transactions(self)?)
    }

    fn callee(&self, name: &str) -> Result<ServiceName, Problem> {
        let status = self.status();
        let mut names = status.services.iter().map(|service| &service.name);
        names
            .clone()
            .find(|known| known.as_str() == name)
            .cloned()
            .ok_or_else(|| no_service(name, names.by_ref().map(ServiceName::as_str)))
    }

    fn service(&self, params: &Params) -> Result<Option<ServiceName>, Problem> {
        let Some(text) = params.text("service") else { return Ok(None) };
        let name = ServiceName::new(text);
        name.map(Some).map_err(|e| Problem::bad_request(format!("`service={text}`: {e}")))
    }

    fn instance(&self) -> Option<InstanceId> {
        None
    }

    fn by(&self) -> String {
        "admin".to_owned()
    }

    fn may_use(&self, _: StoreKind, _: &str) -> bool {
        true
    }

    fn may_read_secret(&self, _: &str, _: &str) -> bool {
        true
    }

    fn reveals(&self, params: &Params) -> bool {
        params.flag("reveal")
    }
}

/// There is none, and what may have been meant.
pub(crate) fn no_service<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let problem = Problem::bad_request(format!("there is no service `{}`", name.escape_debug()));
    match did_you_mean(name, known) {
        Some(help) => problem.help(help),
        None => problem,
    }
}

impl<B: Reach + ?Sized> Context<B> {
    /// Checks that the caller may use the store that the path names, and returns its name.
    pub(crate) fn store(&self, kind: StoreKind) -> Result<&str, Problem> {
        let store = self.value(0);
        if self.backend.may_use(kind, store) {
            return Ok(store);
        }
        let kinds = |known: StoreKind| known == kind;
        let stores = self.backend.coordination().stores().into_iter();
        let seen = stores.filter(|it| kinds(it.kind) && self.backend.may_use(it.kind, &it.name));
        let known = seen.map(|store| store.name).collect();
        Err(Error::UnknownStore { kind, name: store.to_owned(), known }.into())
    }

    /// The service whose keys are meant.
    pub(crate) fn keys_of(&self) -> Result<Keys, Problem> {
        Ok(Keys { service: self.backend.service(&self.params)? })
    }
}

/// Whose keys are meant.
pub(crate) struct Keys {
    service: Option<ServiceName>,
}

impl Keys {
    /// What stands before the caller's keys.
    pub(crate) fn before(&self, prefix: &KeyPrefix, store: &str) -> String {
        self.service.as_ref().map(|service| prefix.text(service, store)).unwrap_or_default()
    }

    /// Whether the caller may have a key of this name.
    pub(crate) fn check(&self, key: &str) -> Result<(), Problem> {
        let separator = KeyPrefix::SEPARATOR;
        if self.service.is_some() && key.contains(separator) {
            let message =
                format!("`{}` contains `{separator}`, which no key may", key.escape_debug());
            return Err(Problem::bad_request(message));
        }
        Ok(())
    }
}

/// A key as the caller knows it.
pub(crate) fn stripped(key: &str, before: &str) -> String {
    key.strip_prefix(before).unwrap_or(key).to_owned()
}

/// The same error with keys as the caller knows them.
pub(crate) fn without(error: Error, before: &str) -> Error {
    let holder = |it: Box<LockInfo>| {
        let resource = stripped(&it.resource, before);
        Box::new(LockInfo { resource, ..*it })
    };
    match error {
        Error::Conflict { key, expected, found } => {
            Error::Conflict { key: stripped(&key, before), expected, found }
        }
        Error::Stale { resource, token, current } => {
            Error::Stale { resource: stripped(&resource, before), token, current }
        }
        Error::NotHeld { resource, owner, holder: other } => Error::NotHeld {
            resource: stripped(&resource, before),
            owner,
            holder: other.map(holder),
        },
        Error::QueueFull { resource, limit } => {
            Error::QueueFull { resource: stripped(&resource, before), limit }
        }
        other => other,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let message = ErrorChain(&error).to_string();
        let (status, code, help) = reaction(&error);
        let mut problem = Self::new(status, code, message);
        problem.detail.help = help.map(str::to_owned);
        match error {
            Error::UnknownStore { name, known, .. } => {
                let known = known.iter().map(String::as_str);
                problem.detail.help = did_you_mean(&name, known).or(problem.detail.help);
            }
            Error::Conflict { key, expected, found } => {
                problem.detail.conflict = Some(wire::state::Conflict { key, expected, found });
            }
            Error::Stale { resource, token, current } => {
                problem.detail.conflict = Some(wire::state::Conflict {
                    key: resource,
                    expected: Some(token.to_string()),
                    found: current.map(|current| current.to_string()),
                });
            }
            Error::NotHeld { holder: Some(holder), .. } => {
                problem.detail.holder = Some(wire::locks::Lock::of(*holder, ""));
            }
            _ => {}
        }
        problem
    }
}

/// Status, code, and what to do.
fn reaction(error: &Error) -> (StatusCode, &'static str, Option<&'static str>) {
    match error {
        Error::UnknownStore { .. } => {
            (StatusCode::NOT_FOUND, "unknown_store", Some("GET /v1/stores lists them"))
        }
        Error::Missing { .. } => (StatusCode::NOT_FOUND, "not_found", None),
        Error::Invalid(_) | Error::BadEtag(_) => (StatusCode::BAD_REQUEST, "bad_request", None),
        Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", None),
        Error::Conflict { .. } => {
            (StatusCode::CONFLICT, "conflict", Some("read again, and decide again"))
        }
        Error::Stale { .. } => (StatusCode::CONFLICT, "stale_token", Some("acquire the lock anew")),
        Error::NotHeld { .. } => (StatusCode::CONFLICT, "not_held", Some("acquire the lock anew")),
        Error::QueueFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, "queue_full", None),
        Error::Compacted { .. } => {
            (StatusCode::GONE, "compacted", Some("read anew, and watch after what that gives"))
        }
        Error::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, "unsupported", None),
        Error::Unavailable { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "kv_unavailable",
            Some("nothing was changed; try again when it is back, requests to services go on"),
        ),
        Error::Unknown { .. } => {
            (StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", Some("read before writing again"))
        }
        Error::Refused { .. } | Error::Damaged { .. } | Error::Key(_) | Error::SecretFile(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal", None)
        }
    }
}
