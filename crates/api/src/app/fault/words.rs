//! The errors of each building block.

use super::{Code, Details, Fault};
use http::StatusCode;

/// Health.
impl Fault {
    pub(crate) fn not_ready() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unavailable,
            "ERR_HEALTH_NOT_READY",
            "dapr is not ready",
        )
    }

    pub(crate) fn other_app() -> Self {
        Self::internal("ERR_HEALTH_APPID_NOT_MATCH", "dapr app-id does not match")
    }
}

/// Service invocation.
impl Fault {
    pub(crate) fn no_app_id() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::NotFound,
            "ERR_DIRECT_INVOKE",
            "failed getting app id either from the URL path or the header dapr-app-id",
        )
    }

    pub(crate) fn invoke(app: &str, why: impl std::fmt::Display) -> Self {
        Self::internal("ERR_DIRECT_INVOKE", format!("failed to invoke, id: {app}, err: {why}"))
    }

    pub(crate) fn method_name() -> Self {
        Self::invalid("ERR_DIRECT_INVOKE", "invalid method name")
    }
}

/// State.
impl Fault {
    pub(crate) fn no_state_stores(store: &str, app: &str) -> Self {
        let message = format!("state store {store} is not configured");
        Self::missing("ERR_STATE_STORE_NOT_CONFIGURED", message)
            .detailed(of_app("DAPR_STATE_NOT_CONFIGURED", app))
    }

    pub(crate) fn no_state_store(store: &str, app: &str) -> Self {
        let message = format!("state store {store} is not found");
        Self::invalid("ERR_STATE_STORE_NOT_FOUND", message)
            .detailed(of_app("DAPR_STATE_NOT_FOUND", app))
    }

    pub(crate) fn illegal_key(store: &str, key: &str) -> Self {
        let message = format!("input key/keyPrefix '{key}' can't contain '||'");
        Self::invalid("ERR_MALFORMED_REQUEST", message.clone()).detailed(Details {
            reason: "DAPR_STATE_ILLEGAL_KEY".to_owned(),
            resource: Some(("state", store.to_owned())),
            violation: Some((key.to_owned(), message)),
            ..Details::default()
        })
    }

    pub(crate) fn state_get(store: &str, key: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("fail to get {key} from state store {store}: {why}");
        Self::internal("ERR_STATE_GET", message)
    }

    pub(crate) fn state_bulk_get(why: impl std::fmt::Display) -> Self {
        Self::internal("ERR_STATE_BULK_GET", why.to_string())
    }

    pub(crate) fn state_save(store: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("failed saving state in state store {store}: {why}");
        Self::internal("ERR_STATE_SAVE", message)
    }

    pub(crate) fn state_delete(key: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("failed deleting state with key {key}: {why}");
        Self::internal("ERR_STATE_DELETE", message)
    }

    pub(crate) fn state_transaction(why: impl std::fmt::Display) -> Self {
        let message = format!("error while executing state transaction: {why}");
        Self::internal("ERR_STATE_TRANSACTION", message)
    }

    pub(crate) fn state_operation(name: &str) -> Self {
        let message = format!("operation type {name} not supported");
        Self::invalid("ERR_NOT_SUPPORTED_STATE_OPERATION", message)
    }

    pub(crate) fn state_too_many(store: &str, count: usize, limit: usize) -> Self {
        let message = format!(
            "the transaction contains {count} operations, which is more than what the state store \
             supports: {limit}"
        );
        let numbers = [("currentOpsTransaction", count), ("maxOpsPerTransaction", limit)];
        Self::invalid("ERR_STATE_STORE_TOO_MANY_TRANSACTIONS", message).detailed(Details {
            reason: "DAPR_STATE_TOO_MANY_TRANSACTIONS".to_owned(),
            metadata: numbers.map(|(name, number)| (name.to_owned(), number.to_string())).into(),
            resource: Some(("state", store.to_owned())),
            ..Details::default()
        })
    }

    pub(crate) fn state_query(store: &str) -> Self {
        Self::internal("ERR_STATE_STORE_NOT_SUPPORTED", "state store does not support querying")
            .detailed(Details {
                reason: "DAPR_STATE_QUERYING_NOT_SUPPORTED".to_owned(),
                resource: Some(("state", store.to_owned())),
                ..Details::default()
            })
    }
}

/// Configuration.
impl Fault {
    pub(crate) fn no_configuration_stores() -> Self {
        Self::missing(
            "ERR_CONFIGURATION_STORE_NOT_CONFIGURED",
            "configuration stores not configured",
        )
    }

    pub(crate) fn no_configuration_store(store: &str) -> Self {
        let message = format!("configuration store {store} not found");
        Self::invalid("ERR_CONFIGURATION_STORE_NOT_FOUND", message)
    }

    pub(crate) fn configuration_get(
        store: &str,
        keys: &[String],
        why: impl std::fmt::Display,
    ) -> Self {
        let message = format!("failed to get {keys:?} from Configuration store {store}: {why}");
        Self::internal("ERR_CONFIGURATION_GET", message)
    }

    pub(crate) fn configuration_subscribe(
        store: &str,
        keys: &[String],
        why: impl std::fmt::Display,
    ) -> Self {
        let message =
            format!("failed to subscribe {keys:?} from Configuration store {store}: {why}");
        Self::internal("ERR_CONFIGURATION_SUBSCRIBE", message)
    }

    pub(crate) fn no_channel() -> Self {
        Self::internal(
            "ERR_APP_CHANNEL_NIL",
            "app channel is not initialized. cannot subscribe to configuration updates",
        )
    }
}

/// Locks.
impl Fault {
    pub(crate) fn no_lock_stores() -> Self {
        Self::missing("ERR_LOCK_STORE_NOT_CONFIGURED", "lock store is not configured")
    }

    pub(crate) fn no_lock_store(store: &str) -> Self {
        Self::invalid("ERR_LOCK_STORE_NOT_FOUND", format!("lock store {store} not found"))
    }

    /// `what` is one of `ResourceId`, `LockOwner`.
    pub(crate) fn lock_empty(store: &str, what: &str) -> Self {
        Self::bad_request(format!("{what} is empty in lock store {store}"))
    }

    pub(crate) fn lock_expiry(store: &str) -> Self {
        Self::bad_request(format!("ExpiryInSeconds is not positive in lock store {store}"))
    }

    pub(crate) fn lock(why: impl std::fmt::Display) -> Self {
        Self::internal("ERR_TRY_LOCK", format!("failed to try acquiring lock: {why}"))
    }

    pub(crate) fn unlock(why: impl std::fmt::Display) -> Self {
        Self::internal("ERR_UNLOCK", format!("failed to release lock: {why}"))
    }
}

/// Secrets.
impl Fault {
    pub(crate) fn no_secret_stores() -> Self {
        Self::missing("ERR_SECRET_STORES_NOT_CONFIGURED", "secret store is not configured")
    }

    pub(crate) fn no_secret_store(store: &str) -> Self {
        let message = format!("failed finding secret store with key {store}");
        Self::new(
            StatusCode::UNAUTHORIZED,
            Code::InvalidArgument,
            "ERR_SECRET_STORE_NOT_FOUND",
            message,
        )
    }

    pub(crate) fn secret_get(store: &str, name: &str, why: impl std::fmt::Display) -> Self {
        let message =
            format!("failed getting secret with key {name} from secret store {store}: {why}");
        Self::internal("ERR_SECRET_GET", message)
    }

    pub(crate) fn secret_bulk(store: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("failed getting secrets from secret store {store}: {why}");
        Self::internal("ERR_SECRET_GET", message)
    }
}

/// What no file can configure.
impl Fault {
    pub(crate) fn no_binding(name: &str) -> Self {
        let message =
            format!("error invoking output binding {name}: couldn't find output binding {name}");
        Self::internal("ERR_INVOKE_OUTPUT_BINDING", message)
    }

    pub(crate) fn no_actors() -> Self {
        let message = "the state store is not configured to use the actor runtime: the actors block is not configured";
        Self::internal("ERR_ACTOR_RUNTIME_NOT_FOUND", message)
    }

    pub(crate) fn no_workflow(component: &str) -> Self {
        let message = format!(
            "workflow component {component} does not exist: the workflow block is not configured"
        );
        Self::invalid("ERR_WORKFLOW_COMPONENT_NOT_FOUND", message)
    }

    pub(crate) fn no_crypto() -> Self {
        Self::internal("ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED", "crypto providers not configured")
    }

    pub(crate) fn no_conversation(name: &str) -> Self {
        let message = format!("failed finding conversation component {name}");
        Self::invalid("ERR_CONVERSATION_NOT_FOUND", message)
    }
}

fn of_app(reason: &str, app: &str) -> Details {
    let metadata = [("appID".to_owned(), app.to_owned())].into();
    Details { reason: reason.to_owned(), metadata, ..Details::default() }
}
