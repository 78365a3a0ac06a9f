//! Messages and clients of other projects' wire protocols, generated at build time from definitions of our own.
//!
//! The definitions under `proto/` are written by us from the published facts of each protocol: names and numbers are
//! theirs, and what we do not use is left out. Nothing here decides anything; meaning is given by the crates that use it.

pub mod dapr;
pub mod dtm;
pub mod etcd;

pub use {prost, prost_types};

/// What goes along with a gRPC status to say more about it.
pub mod rpc {
    tonic::include_proto!("google.rpc");
}
