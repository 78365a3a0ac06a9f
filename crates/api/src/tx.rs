//! Transactions over several services, as they meet the wire.
//!
//! ```text
//!  transactions ──► Caller ──┬─ ask     a request of HTTP or gRPC, with what the participant has to know of it
//!                            ├─ pool    the data plane's listeners for services; other servers directly
//!                            └─ judge   what an answer means
//!
//!  POST /v1/tx ──► parse ──► Spec ──► transactions ──► view ──► wire::transactions
//! ```
//! How participants are called: `Flotilla-Tx: gid=…;branch=…;op=…;attempt=…;mode=…[;deadline=…]`, an `Idempotency-Key`, and the
//! query parameters `gid`, `trans_type`, `branch_id` and `op` that participants of DTM know.

mod ask;
mod caller;
mod judge;
pub(crate) mod parse;
pub(crate) mod view;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use caller::Caller;
