//! The façade from outside: requests as clients of DTM send them, participants as they answer, and what both sides see.

mod branches;
mod calls;
mod grpc;
mod hostile;
mod lists;
mod messages;
mod methods;
mod recorded;
mod rig;
mod sagas;
mod topics;
mod workflows;
