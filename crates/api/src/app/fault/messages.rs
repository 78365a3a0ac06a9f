//! The errors of publish and subscribe, and of jobs.

use super::{Code, Details, Fault};
use http::StatusCode;
use std::fmt::Display;

/// Publish and subscribe.
impl Fault {
    pub(crate) fn no_pubsub(name: &str) -> Self {
        let message = format!("pubsub {name} is not found");
        Self::new(StatusCode::NOT_FOUND, Code::InvalidArgument, "ERR_PUBSUB_NOT_FOUND", message)
            .detailed(Details { reason: "DAPR_PUBSUB_NOT_FOUND".to_owned(), ..Details::default() })
    }

    pub(crate) fn no_pubsub_name() -> Self {
        let message = "pubsub name is empty";
        Self::new(StatusCode::NOT_FOUND, Code::InvalidArgument, "ERR_PUBSUB_EMPTY", message)
            .about_pubsub("DAPR_PUBSUB_NAME_EMPTY", "")
    }

    pub(crate) fn no_topic_name(pubsub: &str) -> Self {
        let message = format!("topic is empty in pubsub {pubsub}");
        Self::new(StatusCode::NOT_FOUND, Code::InvalidArgument, "ERR_TOPIC_NAME_EMPTY", message)
            .about_pubsub("DAPR_PUBSUB_TOPIC_NAME_EMPTY", pubsub)
    }

    pub(crate) fn pubsub_forbidden(pubsub: &str, topic: &str, app: &str) -> Self {
        let message = format!("topic {topic} is not allowed for app id {app}");
        let (status, code) = (StatusCode::FORBIDDEN, Code::PermissionDenied);
        Self::new(status, code, "ERR_PUBSUB_FORBIDDEN", message)
            .about_pubsub("DAPR_PUBSUB_FORBIDDEN", pubsub)
            .with_metadata("topic", topic)
    }

    pub(crate) fn pubsub_metadata(pubsub: &str, why: impl Display) -> Self {
        let message = format!("failed deserializing metadata. Error: {why}");
        Self::invalid("ERR_PUBSUB_REQUEST_METADATA", message)
            .about_pubsub("DAPR_PUBSUB_METADATA_DESERIALIZATION", pubsub)
    }

    pub(crate) fn pubsub_event(pubsub: &str, app: &str, why: impl Display) -> Self {
        let message = format!("cannot create cloudevent: {why}");
        Self::internal("ERR_PUBSUB_CLOUD_EVENTS_SER", message)
            .with(StatusCode::INTERNAL_SERVER_ERROR, Code::InvalidArgument)
            .about_pubsub("DAPR_PUBSUB_CLOUD_EVENT_CREATION", pubsub)
            .with_metadata("appID", app)
    }

    pub(crate) fn pubsub_body(pubsub: &str, topic: &str, why: impl Display) -> Self {
        let message =
            format!("error when unmarshaling the request for topic {topic} pubsub {pubsub}: {why}");
        Self::invalid("ERR_PUBSUB_EVENTS_SER", message)
            .about_pubsub("DAPR_PUBSUB_UNMARSHAL_EVENTS", pubsub)
    }

    pub(crate) fn pubsub_entries(pubsub: &str, topic: &str, why: impl Display) -> Self {
        let message = format!(
            "error marshaling events to bytes for topic {topic} pubsub {pubsub}. error: {why}"
        );
        Self::invalid("ERR_PUBSUB_EVENTS_SER", message)
            .about_pubsub("DAPR_PUBSUB_MARSHAL_EVENTS", pubsub)
    }

    pub(crate) fn publish(pubsub: &str, topic: &str, why: impl Display) -> Self {
        let message = format!("error when publishing to topic {topic} in pubsub {pubsub}: {why}");
        Self::internal("ERR_PUBSUB_PUBLISH_MESSAGE", message)
            .about_pubsub("DAPR_PUBSUB_PUBLISH_MESSAGE", pubsub)
            .with_metadata("topic", topic)
    }

    pub(crate) fn subscribe(pubsub: &str, topic: &str, why: impl Display) -> Self {
        let message = format!("failed to subscribe to topic {topic} in pubsub {pubsub}: {why}");
        Self::internal("ERR_PUBSUB_SUBSCRIBE", message)
            .about_pubsub("DAPR_PUBSUB_SUBSCRIBE", pubsub)
    }

    pub(crate) fn outbox(app: &str, why: impl Display) -> Self {
        let message = format!("error while publishing outbox message: {why}");
        Self::internal("ERR_PUBLISH_OUTBOX", message)
            .detailed(Details { reason: "DAPR_PUBSUB_OUTBOX".to_owned(), ..Details::default() })
            .with_metadata("appID", app)
    }

    fn about_pubsub(self, reason: &str, pubsub: &str) -> Self {
        self.detailed(Details {
            reason: reason.to_owned(),
            resource: Some(("pubsub", pubsub.to_owned())),
            ..Details::default()
        })
    }

    fn with_metadata(mut self, name: &str, value: &str) -> Self {
        if let Some(details) = &mut self.details {
            details.metadata.insert(name.to_owned(), value.to_owned());
        }
        self
    }
}

/// Jobs. Their codes have no other form than the reason's.
impl Fault {
    pub(crate) fn no_jobs() -> Self {
        Self::job(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Internal,
            "DAPR_SCHEDULER_SCHEDULE_JOB",
            "failed to schedule job: the jobs block is not configured",
        )
    }

    /// `what` is one of `Job`, `Name`, `Schedule`.
    pub(crate) fn job_empty(what: &str, code: &'static str) -> Self {
        let message = format!("{what} is empty");
        Self::job(StatusCode::BAD_REQUEST, Code::InvalidArgument, code, message)
    }

    pub(crate) fn job_name_twice() -> Self {
        let message = "Set the job name in the url only";
        Self::job(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            "DAPR_SCHEDULER_JOB_NAME",
            message,
        )
    }

    pub(crate) fn job_schedule(status: StatusCode, code: Code, why: impl Display) -> Self {
        let message = format!("failed to schedule job due to: {why}");
        Self::job(status, code, "DAPR_SCHEDULER_SCHEDULE_JOB", message)
    }

    pub(crate) fn job_get(why: impl Display) -> Self {
        let message = format!("failed to get job due to: {why}");
        Self::job_failed("DAPR_SCHEDULER_GET_JOB", message)
    }

    pub(crate) fn job_list(why: impl Display) -> Self {
        let message = format!("failed to list jobs due to: {why}");
        Self::job_failed("DAPR_SCHEDULER_LIST_JOBS", message)
    }

    pub(crate) fn job_delete(why: impl Display) -> Self {
        let message = format!("failed to delete job due to: {why}");
        Self::job_failed("DAPR_SCHEDULER_DELETE_JOB", message)
    }

    fn job_failed(code: &'static str, message: String) -> Self {
        Self::job(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, code, message)
    }

    fn job(status: StatusCode, grpc: Code, code: &'static str, message: impl Into<String>) -> Self {
        let details = Details { reason: code.to_owned(), ..Details::default() };
        Self::new(status, grpc, code, message).detailed(details)
    }
}
