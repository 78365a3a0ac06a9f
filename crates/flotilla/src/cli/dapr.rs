//! `dapr` and `daprd`: what programs and people who know Dapr's command line type.
//!
//! Only what starts, stops and lists apps is there, because test programs and scripts use that. Each run is a system of its
//! own: what was typed becomes a file in the user's state folder, and a node runs that.

mod invoke;
mod listing;
mod screen;
mod session;
mod task;

use super::{
    Context,
    exit::{Exit, Failure, Outcome},
};
use manifest::{Arguments, ArgumentsOf};

const HELP: &str = "\
Runs apps beside the Dapr API, which flotilla answers.

  dapr run [flags] [--] COMMAND…   run an app
  dapr run -f FILE                 run the apps of a dapr.yaml
  dapr stop --app-id ID            stop an app, or with -f FILE all of that file
  dapr list [-o json]              show the apps that run
  dapr invoke --app-id ID --method METHOD [--verb GET] [--data JSON | --data-file FILE]
                                   call an app that runs
  dapr init, dapr uninstall        there is nothing to install
  dapr version                     show the version
";

/// How help is asked for; `run` reads it among its own flags.
const HELP_FLAGS: &[&str] = &["--help", "-h"];

/// `flotilla dapr …`, or any line when the program is called `dapr`.
pub(crate) fn run(context: &Context, words: &[String]) -> Outcome {
    let done = match words.split_first() {
        None => help(context),
        Some((first, [flag])) if first != "run" && HELP_FLAGS.contains(&flag.as_str()) => {
            help(context)
        }
        Some((first, rest)) => match first.as_str() {
            "run" => task::run(context, rest),
            "stop" => listing::stop(context, rest),
            "list" => listing::list(context, rest),
            "invoke" => invoke::invoke(context, rest),
            "init" | "uninstall" | "upgrade" => nothing_needed(context, first),
            "version" | "--version" | "-v" => version(context),
            "help" | "--help" | "-h" => help(context),
            other => Err(unknown(other)),
        },
    };
    // There, every failure is a 1.
    match done {
        Ok(Exit::Success) => Ok(Exit::Success),
        Ok(Exit::Interrupted) => Ok(Exit::Interrupted),
        Ok(_) => Ok(Exit::Failure),
        Err(Failure::Closed) => Err(Failure::Closed),
        Err(failure) => {
            context.out.failure(&failure);
            Ok(Exit::Failure)
        }
    }
}

/// `flotilla daprd …`, or any line when the program is called `daprd`.
pub(crate) fn daemon(context: &Context, words: &[String]) -> Outcome {
    let arguments = parse(ArgumentsOf::Daemon, words)?;
    if arguments.version {
        context.out.line(env!("CARGO_PKG_VERSION"))?;
        return Ok(Exit::Success);
    }
    if arguments.help {
        context.out.raw(
            "Answers the Dapr API for one app: daprd --app-id ID [--app-port PORT] [flags]\n",
        )?;
        return Ok(Exit::Success);
    }
    task::daemon(context, arguments)
}

fn parse(program: ArgumentsOf, words: &[String]) -> Result<Arguments, Failure> {
    Arguments::parse(program, words.iter().cloned()).map_err(|why| Failure::new(Exit::Usage, why))
}

fn help(context: &Context) -> Outcome {
    context.out.raw(HELP)?;
    Ok(Exit::Success)
}

fn version(context: &Context) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    context.out.raw(&format!("CLI version: {version}\nRuntime version: {version}\n"))?;
    Ok(Exit::Success)
}

fn nothing_needed(context: &Context, what: &str) -> Outcome {
    context.out.line(&format!(
        "`dapr {what}` has nothing to do: flotilla answers the Dapr API itself, without containers or services"
    ))?;
    Ok(Exit::Success)
}

fn unknown(word: &str) -> Failure {
    const VERBS: &[&str] =
        &["run", "stop", "list", "invoke", "init", "uninstall", "version", "help"];
    let text = format!("`dapr {word}` is not there");
    let help = match manifest::nearest(word, VERBS.iter().copied()) {
        Some(near) => format!("did you mean `dapr {near}`?"),
        None => format!("there are {}", VERBS.join(", ")),
    };
    Failure::with_help(Exit::Usage, text, help)
}
