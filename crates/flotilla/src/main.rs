//! The composition root and the command line.
//!
//! Two halves that meet in one place: [`node`] builds and runs a node, [`cli`] is everything a person
//! types. The command line speaks to a node only through its API, also when both are one process;
//! that keeps the attached and the detached system the same system.

mod cli;
mod node;
mod peers;

fn main() -> std::process::ExitCode {
    cli::main(cli::called(std::env::args_os()))
}
