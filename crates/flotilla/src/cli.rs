//! Everything a person types: reads the command line, does it, and turns the outcome into an exit code.
//!
//! Each command is a file of its own below. They speak to a node only through [`api::Client`]; what
//! they decide is in pure functions (`judge`, `changes`, `board`, `Keys`) beside their tests.

mod args;
mod check;
mod config;
mod dapr;
mod data;
mod doctor;
mod down;
mod exit;
mod explain;
mod follow;
mod init;
mod jobs;
mod locate;
mod lock;
mod logs;
mod open;
mod output;
mod ps;
mod requests;
mod restart;
mod run;
#[cfg(test)]
mod sample;
mod secrets;
mod state;
mod store;
mod streams;
mod top;
mod topics;
mod tx;
mod ui;
mod up;
mod wait;
mod words;

use args::{Command, Global};
use exit::{Exit, Failure, Outcome};
use output::Output;
use std::{ffi::OsString, future::Future, io::Write, path::PathBuf, process::ExitCode};

/// What every command gets.
pub(crate) struct Context {
    /// `--file`, as it was typed.
    file: Option<PathBuf>,
    /// `--env`.
    environment: Option<String>,
    /// `-v`, counted.
    verbose: u8,
    out: Output,
}

impl Context {
    /// The system that is meant; says so when it is not in the current folder.
    fn place(&self) -> Result<locate::Place, Failure> {
        let place = locate::place(self.file.as_deref())?;
        if place.is_above {
            self.out.say(&format!("using {}", place.file.display()));
        }
        Ok(place)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// All that is wrong with it.
    fn load(&self, place: &locate::Place) -> Result<manifest::Loaded, Failure> {
        let options = manifest::Options {
            environment: self.environment.clone(),
            // A variable that is not UTF-8 cannot be written in the file either.
            vars: std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        };
        // Named as the user would name it, because that is how problems will show it.
        Ok(manifest::load(std::path::Path::new(&place.shown()), &options)?)
    }
}

/// The command line, with the verb that the program's name stands for: programs that start `dapr` or `daprd` start this
/// one when it is called so.
pub(crate) fn called(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments.first().map(std::path::Path::new).and_then(std::path::Path::file_name);
    // What the program starts itself by its own file are never verbs of theirs.
    let is_own = arguments.get(1).is_some_and(|verb| verb == "__node" || verb == "__guard");
    if is_own {
        return arguments;
    }
    if let Some(verb) = ["dapr", "daprd"].into_iter().find(|verb| name == Some(verb.as_ref())) {
        arguments.insert(1, verb.into());
    }
    arguments
}

/// The program.
pub(crate) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match args::parse(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let Global { output, env, no_color, quiet, verbose } = cli.global;
    let context = Context {
        file: cli.file,
        environment: env,
        verbose,
        out: Output::new(output, no_color, quiet),
    };
    if let Command::Guard(args) = cli.command {
        return crate::node::guard(args.arguments);
    }
    let exit = match dispatch(&context, cli.command) {
        Ok(exit) => exit,
        Err(failure) => context.out.failure(&failure),
    };
    exit.into()
}

fn dispatch(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Init(args) => init::run(context, &args),
        Command::Up(args) => up::run(context, &args),
        Command::Down(args) => down::run(context, &args),
        Command::Ps(args) => wait_for(ps::run(context, &args)),
        Command::Logs(args) => wait_for(logs::run(context, &args)),
        Command::Top(args) => wait_for(top::run(context, &args)),
        Command::Requests(args) => wait_for(requests::run(context, &args)),
        Command::Restart(args) => wait_for(restart::restart(context, &args)),
        Command::Scale(args) => wait_for(restart::scale(context, &args)),
        Command::Run(args) => wait_for(run::run(context, &args)),
        Command::State(args) => wait_for(state::run(context, &args)),
        Command::Lock(args) => wait_for(lock::run(context, &args)),
        Command::Config(args) => wait_for(config::run(context, &args)),
        Command::Secrets(args) => wait_for(secrets::run(context, &args)),
        Command::Topics(args) => wait_for(topics::run(context, &args)),
        Command::Subscriptions(args) => wait_for(topics::subscriptions(context, &args)),
        Command::Streams(args) => wait_for(streams::run(context, &args)),
        Command::Jobs(args) => wait_for(jobs::run(context, &args)),
        Command::Tx(args) => wait_for(tx::run(context, &args)),
        Command::Check => check::run(context),
        Command::Schema => check::schema(context),
        Command::Doctor => doctor::run(context),
        Command::Wait(args) => wait_for(wait::run(context, &args)),
        Command::Open(args) => wait_for(open::run(context, &args)),
        Command::Explain(args) => explain::run(context, args.code.as_deref()),
        Command::Completion(args) => completion(context, args.shell),
        Command::Version => version(context),
        Command::Dapr(args) => dapr::run(context, &args.words),
        Command::Daprd(args) => dapr::daemon(context, &args.words),
        Command::Node(args) => up::node(context, &args),
        // Has an exit code of its own making; see `main`.
        Command::Guard(_) => Ok(Exit::Usage),
    }
}

/// Prints what clap has to say: help to standard output, complaints to standard error.
fn usage(error: &clap::Error) -> Exit {
    // Whoever does not read the help does not need it.
    let _gone = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}

/// Does the asynchronous work of a command that only asks a node.
///
/// # Errors
/// Those of the work; and when the system gives no event queue.
fn wait_for(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| no_runtime(&e))?;
    let outcome = runtime.block_on(work);
    // A lookup or a read that still blocks must not keep the shell waiting.
    runtime.shutdown_background();
    outcome
}

fn no_runtime(error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("the system refuses what is needed to wait for events: {error}"),
    )
}

/// `flotilla completion`
fn completion(context: &Context, shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "flotilla", &mut script);
    script.flush().map_err(|e| Failure::new(Exit::Failure, e.to_string()))?;
    context.out.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

/// `flotilla version`
fn version(context: &Context) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    if context.out.is_json() {
        let os = std::env::consts::OS;
        let arch = std::env::consts::ARCH;
        context.out.json(&serde_json::json!({ "version": version, "os": os, "arch": arch }))?;
    } else {
        context.out.line(&format!("flotilla {version}"))?;
    }
    Ok(Exit::Success)
}
