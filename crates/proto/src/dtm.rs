//! What clients of DTM ask of their coordinator over gRPC, and what it sends back to resume a workflow.

tonic::include_proto!("dtmgimp");

/// Sent to the method that resumes a workflow.
pub mod workflow {
    tonic::include_proto!("workflow");
}
