//! The application API of Dapr 1.18, as far as a node answers it or calls it.

/// Modules as the packages of the definitions are nested, because the generated code names one from the other.
mod package {
    pub(super) mod common {
        pub mod v1 {
            tonic::include_proto!("dapr.proto.common.v1");
        }
    }

    pub(super) mod runtime {
        pub mod v1 {
            tonic::include_proto!("dapr.proto.runtime.v1");
        }
    }
}

/// What both directions share.
pub use package::common::v1 as common;

/// What an application asks of its runtime, and what it lets it call.
pub use package::runtime::v1 as runtime;
