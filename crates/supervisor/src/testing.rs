//! A world in memory for the supervisor to run in: a host whose programs do what their line says, a data plane that
//! counts, systems made in code, and a node to ask.

mod node;
mod server;
mod system;
mod world;

pub(crate) use node::Node;
pub(crate) use system::{Make, cron_job, free_port, job, name, probe, service, system};
pub(crate) use world::World;
