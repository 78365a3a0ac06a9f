//! Faults as gRPC has them: a code, words, and details for programs.

use crate::app::fault::{DOMAIN, Details, Fault};
use proto::{prost::Message, prost_types::Any, rpc};
use std::collections::HashMap;
use tonic::{Code, Status};

/// What stands before the name of a message that an `Any` holds.
const TYPES: &str = "type.googleapis.com/google.rpc.";

pub(super) fn of(fault: &Fault) -> Status {
    let code = Code::from(fault.grpc.number());
    let Some(details) = &fault.details else {
        return Status::new(code, fault.message.clone());
    };
    detailed(code, fault.message.clone(), all(details))
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        of(&fault)
    }
}

/// A status with details beside it, in the form that every gRPC library reads.
pub(super) fn detailed(code: Code, message: String, details: Vec<Any>) -> Status {
    let status = rpc::Status { code: code.into(), message, details };
    let bytes = status.encode_to_vec();
    Status::with_details(code, status.message, bytes.into())
}

/// The cause by its name.
pub(super) fn info(reason: String, metadata: HashMap<String, String>) -> Any {
    any("ErrorInfo", &rpc::ErrorInfo { reason, domain: DOMAIN.to_owned(), metadata })
}

fn all(details: &Details) -> Vec<Any> {
    let mut all = Vec::new();
    if !details.reason.is_empty() {
        let metadata = details.metadata.clone().into_iter().collect();
        all.push(info(details.reason.clone(), metadata));
    }
    if let Some((kind, name)) = &details.resource {
        let resource = rpc::ResourceInfo {
            resource_type: (*kind).to_owned(),
            resource_name: name.clone(),
            ..rpc::ResourceInfo::default()
        };
        all.push(any("ResourceInfo", &resource));
    }
    if let Some((field, description)) = details.violation.clone() {
        let violation = rpc::bad_request::FieldViolation { field, description };
        all.push(any("BadRequest", &rpc::BadRequest { field_violations: vec![violation] }));
    }
    if let Some((url, description)) = details.help {
        let link = rpc::help::Link { description: description.to_owned(), url: url.to_owned() };
        all.push(any("Help", &rpc::Help { links: vec![link] }));
    }
    all
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("{TYPES}{name}"), value: message.encode_to_vec() }
}
