//! etcd, protocol version 3.

/// Entries and events.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Requests, responses and clients.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}
