//! Between the messages of the wire and what the building blocks take and give.

use crate::app::{
    backend::{Channel, Component, HealthCheck, Protocol, Subscription},
    blocks::{
        configuration::Item,
        metadata::{Metadata, duration},
        state::{Got, GotMany, Op, Remove, Save},
    },
    fault::Fault,
};
use proto::dapr::{
    common::{ConfigurationItem, Etag, StateItem, StateOptions, state_options::StateConcurrency},
    runtime::{
        ActorRuntime, AppConnectionHealthProperties, AppConnectionProperties, BulkStateItem,
        DeleteStateRequest, GetMetadataResponse, GetStateResponse, MetadataHttpEndpoint,
        PubsubSubscription, PubsubSubscriptionRule, PubsubSubscriptionRules,
        PubsubSubscriptionType, RegisteredComponents, TransactionalStateOperation,
        actor_runtime::ActorRuntimeStatus,
    },
};
use std::collections::BTreeMap;

/// An ETag without a text is none: that is how some clients say that they have none.
fn etag(etag: Option<Etag>) -> Option<String> {
    etag.map(|etag| etag.value).filter(|value| !value.is_empty())
}

fn first_write(options: Option<&StateOptions>) -> bool {
    options.is_some_and(|options| options.concurrency() == StateConcurrency::ConcurrencyFirstWrite)
}

pub(super) fn save(item: StateItem) -> Save {
    Save {
        first_write: first_write(item.options.as_ref()),
        key: item.key,
        value: item.value,
        etag: etag(item.etag),
        content_type: item.metadata.get("contentType").cloned(),
        metadata: item.metadata,
    }
}

fn remove_item(item: StateItem) -> Remove {
    Remove { key: item.key, etag: etag(item.etag) }
}

pub(super) fn remove(request: DeleteStateRequest) -> Remove {
    Remove { key: request.key, etag: etag(request.etag) }
}

pub(super) fn remove_many(items: Vec<StateItem>) -> Vec<Remove> {
    items.into_iter().map(remove_item).collect()
}

pub(super) fn operation(operation: TransactionalStateOperation) -> Result<Op, Fault> {
    let kind = operation.operation_type;
    let item = operation.request;
    let item = item.ok_or_else(|| Fault::bad_request(format!("operation {kind} has no request")));
    match kind.as_str() {
        "upsert" => Ok(Op::Upsert(save(item?))),
        "delete" => Ok(Op::Delete(remove_item(item?))),
        _ => Err(Fault::state_operation(&kind)),
    }
}

/// A key that is missing has neither data nor ETag.
pub(super) fn got(got: Option<Got>) -> GetStateResponse {
    got.map_or_else(GetStateResponse::default, |got| GetStateResponse {
        data: got.data,
        etag: got.etag,
        metadata: got.metadata,
    })
}

pub(super) fn got_many(item: GotMany) -> BulkStateItem {
    let key = item.key;
    match item.outcome {
        Ok(Some(got)) => BulkStateItem {
            key,
            data: got.data,
            etag: got.etag,
            metadata: got.metadata,
            ..BulkStateItem::default()
        },
        Ok(None) => BulkStateItem { key, ..BulkStateItem::default() },
        Err(error) => BulkStateItem { key, error, ..BulkStateItem::default() },
    }
}

pub(super) fn items(items: BTreeMap<String, Item>) -> BTreeMap<String, ConfigurationItem> {
    let item =
        |Item { value, version, metadata, .. }| ConfigurationItem { value, version, metadata };
    items.into_iter().map(|(key, one)| (key, item(one))).collect()
}

pub(super) fn metadata(metadata: Metadata) -> GetMetadataResponse {
    let endpoint = |name| MetadataHttpEndpoint { name };
    GetMetadataResponse {
        id: metadata.id,
        registered_components: metadata.components.into_iter().map(component).collect(),
        extended_metadata: metadata.extended,
        subscriptions: metadata.subscriptions.into_iter().map(subscription).collect(),
        http_endpoints: metadata.endpoints.into_iter().map(endpoint).collect(),
        app_connection_properties: metadata.app.as_ref().map(connection),
        runtime_version: metadata.runtime_version,
        actor_runtime: Some(ActorRuntime {
            runtime_status: ActorRuntimeStatus::Disabled.into(),
            ..ActorRuntime::default()
        }),
        ..GetMetadataResponse::default()
    }
}

fn component(it: Component) -> RegisteredComponents {
    let Component { name, kind, version, capabilities } = it;
    RegisteredComponents { name, r#type: kind, version, capabilities }
}

fn subscription(it: Subscription) -> PubsubSubscription {
    let rule = |(r#match, path)| PubsubSubscriptionRule { r#match, path };
    PubsubSubscription {
        pubsub_name: it.pubsub,
        topic: it.topic,
        rules: Some(PubsubSubscriptionRules { rules: it.rules.into_iter().map(rule).collect() }),
        dead_letter_topic: it.dead_letter.unwrap_or_default(),
        r#type: PubsubSubscriptionType::Declarative.into(),
        ..PubsubSubscription::default()
    }
}

fn connection(app: &Channel) -> AppConnectionProperties {
    AppConnectionProperties {
        port: app.address.port().into(),
        protocol: app.protocol.name().to_owned(),
        channel_address: app.address.ip().to_string(),
        max_concurrency: i32::try_from(app.concurrency_max).unwrap_or(i32::MAX),
        health: app.health.as_ref().map(|check| health(check, app.protocol)),
    }
}

fn health(check: &HealthCheck, protocol: Protocol) -> AppConnectionHealthProperties {
    // An app that speaks gRPC is asked by a call, not by a path.
    let path = if protocol.is_grpc() { String::new() } else { check.path.clone() };
    AppConnectionHealthProperties {
        health_check_path: path,
        health_probe_interval: duration(check.interval),
        health_probe_timeout: duration(check.timeout),
        health_threshold: i32::try_from(check.threshold).unwrap_or(i32::MAX),
    }
}
