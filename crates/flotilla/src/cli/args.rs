//! The command line as it may be typed.

mod events;
mod shared;
mod tx;

pub(crate) use events::{
    Append, DlqCommand, JobsCommand, Publish, Read, StreamsCommand, Subscriptions, Sure,
    TopicsCommand,
};
pub(crate) use shared::{ConfigCommand, Keys, LockCommand, SecretsCommand, StateCommand, Store};
pub(crate) use tx::{TxCommand, TxList, TxResolve, TxSubmit};

use base::units::parse_duration;
use clap::{
    Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, value_parser,
};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// Runs a system of microservices as one.
#[derive(Debug, Parser)]
#[command(name = "flotilla", version, max_term_width = 100, subcommand_required = true)]
#[command(arg_required_else_help = true)]
#[command(
    after_help = "Start with `flotilla init`, then `flotilla up`. Exit codes: 0 ok, 1 failure, 2 usage, \
3 invalid file, 4 not ready, 5 time-out, 6 no running system, 7 rolled back, 8 conflict, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
    /// The file or folder, wherever `--file` was written. See [`parse`].
    #[arg(skip)]
    pub file: Option<PathBuf>,
}

/// What every command takes stands apart from what only one takes, and below it.
const GLOBAL_HEADING: &str = "Everywhere";
const GLOBAL_ORDER: usize = 900;

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = GLOBAL_HEADING, next_display_order = GLOBAL_ORDER)]
pub(crate) struct Global {
    /// What data looks like
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub output: Format,
    /// The environment of the file (`environments:`) to use
    #[arg(long, global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// No colours (also NO_COLOR=1 or CLICOLOR=0)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Only data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More about what happens inside; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What data looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document, or one a line where there is a stream.
    Json,
    /// For people with wide screens.
    Wide,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at a folder and write flotilla.yaml for it
    Init(Init),
    /// Start the system, or apply the changed file to the running one
    Up(Up),
    /// Stop the system
    Down(Down),
    /// Show services and instances
    Ps(Names),
    /// Show what services print
    Logs(Logs),
    /// Show who uses the machine and who gets the traffic
    Top(Names),
    /// Show the requests that failed or were slow, or all as they come
    Requests(Requests),
    /// Restart services or instances, or the node itself
    Restart(Restart),
    /// Change how many instances run
    Scale(Scale),
    /// Run a job, or a command in a service's folder and environment
    Run(Run),
    /// Look at and change the state that services keep
    #[command(subcommand)]
    State(StateCommand),
    /// Look at locks, or run a command under one
    #[command(subcommand)]
    Lock(LockCommand),
    /// Look at and change configuration, with its history
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Store secrets, and see which there are
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Publish and look at messages, groups, dead letters
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Show who messages are pushed to, and how that goes
    Subscriptions(Subscriptions),
    /// Look at and append to streams of events
    #[command(subcommand)]
    Streams(StreamsCommand),
    /// Look at schedules and jobs, and run them
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Submit and look at transactions over several services, and mend them
    #[command(subcommand)]
    Tx(TxCommand),
    /// Check the file without running anything
    Check,
    /// Print the JSON Schema of flotilla.yaml
    Schema,
    /// Find what would make `up` fail, and say how to mend it
    Doctor,
    /// Wait until services are in a state
    Wait(Wait),
    /// Open the dashboard in the browser
    Open(Open),
    /// Explain an error code
    Explain(Explain),
    /// Print a completion script for a shell
    Completion(Completion),
    /// Print the version
    Version,
    /// What Dapr's command line does: run, stop, list, invoke
    #[command(disable_help_flag = true)]
    Dapr(Words),
    /// Answer the Dapr API for one app that somebody else starts
    #[command(disable_help_flag = true)]
    Daprd(Words),
    /// What `up -d` starts
    #[command(name = "__node", hide = true)]
    Node(Node),
    /// Ends the instances of an attached node that was killed
    #[command(name = "__guard", hide = true)]
    Guard(Guard),
}

/// `init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to look at [default: the current one]
    pub dir: Option<PathBuf>,
    /// Overwrite a flotilla.yaml that is there
    #[arg(long)]
    pub force: bool,
    /// Print the file instead of writing it
    #[arg(long)]
    pub print: bool,
}

/// `up`
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Show and wait for only these; all of the system is started
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Start in the background and return when everything is ready
    #[arg(short, long)]
    pub detach: bool,
    /// How long to wait for everything to be ready [default: with --detach 60s, else as long as something can still become ready]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub wait_timeout: Option<Duration>,
    /// Skip the build steps
    #[arg(long)]
    pub no_build: bool,
    /// Only say what applying the file would change
    #[arg(long)]
    pub dry_run: bool,
}

/// `down`
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// How long stopping may take before what is left is killed [default: what the file allows]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// Services or instances, all when none is named.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Only these services or instances (`users`, `users/2`)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// `logs`
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only these services or instances (`users`, `users/2`)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Go on with new lines as they come
    #[arg(short, long)]
    pub follow: bool,
    /// Only from this time on: `10m` ago, or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only lines that contain this text
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    /// --grep does not tell upper from lower case
    #[arg(short, long, requires = "grep")]
    pub ignore_case: bool,
    /// Only lines at least this grave
    #[arg(long, value_enum)]
    pub level: Option<Level>,
    /// Only the newest N lines [default with --follow: 20]
    #[arg(short = 'n', long, value_name = "N")]
    pub tail: Option<u64>,
}

/// `requests`
#[derive(Debug, Args)]
pub(crate) struct Requests {
    /// Show all requests as they end, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only those to this service; may be repeated
    #[arg(long = "service", value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Only this status: 404, 5xx, 500-504; may be repeated
    #[arg(long = "status", value_name = "STATUS", value_parser = parse_status)]
    pub statuses: Vec<String>,
    /// Only paths that begin so
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Only those that took at least so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub slower: Option<Duration>,
    /// Only the newest N of the kept ones [default: 50, with --follow 0]
    #[arg(short = 'n', long, value_name = "N")]
    pub tail: Option<u64>,
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// `restart`
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Services or instances (`users`, `users/2`)
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "node"], conflicts_with = "all")]
    pub names: Vec<String>,
    /// Every service
    #[arg(long)]
    pub all: bool,
    /// Not the services but the node, by this program: they go on, and no connection is refused
    #[arg(long, conflicts_with_all = ["all", "names", "wait"])]
    pub node: bool,
    /// How long open connections of the old node may go on
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s", requires = "node", conflicts_with_all = ["all", "names"])]
    pub grace: Duration,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `scale`
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// How many instances: `users=5`
    #[arg(value_name = "SERVICE=N", required = true, value_parser = parse_target)]
    pub targets: Vec<(String, u32)>,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Whether to wait for the effect.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Return when it is done
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "2m", requires = "wait")]
    pub timeout: Duration,
}

/// `run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A job, or the service whose folder and environment the command gets
    pub service: String,
    /// Set a variable: `KEY=VALUE`
    #[arg(short, long = "set", value_name = "KEY=VALUE", value_parser = parse_variable)]
    pub env_vars: Vec<(String, String)>,
    /// Program and arguments; without, a job's own command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `wait`
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// The state to wait for
    #[arg(long = "for", value_enum, default_value_t = State::Ready, value_name = "STATE")]
    pub state: State,
    /// How long to wait
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    pub timeout: Duration,
}

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// All instances take traffic; jobs ended well.
    Ready,
    /// Jobs ended well.
    Completed,
    /// Nothing runs.
    Stopped,
}

/// `open`
#[derive(Debug, Args)]
pub(crate) struct Open {
    /// Print the address instead
    #[arg(long)]
    pub print: bool,
}

/// `explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, such as F012; all codes when none is given
    pub code: Option<String>,
}

/// `completion`
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `dapr` and `daprd`, whose flags are not ours.
#[derive(Debug, Args)]
pub(crate) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub words: Vec<String>,
}

/// `__node`
#[derive(Debug, Args)]
pub(crate) struct Node {
    #[arg(long)]
    pub no_build: bool,
    #[arg(long)]
    pub stop_survivors: bool,
    /// Take over from the node on the other end of standard input
    #[arg(long)]
    pub succeed: bool,
}

/// `__guard`
#[derive(Debug, Args)]
pub(crate) struct Guard {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// Checks a status; the node reads it.
fn parse_status(text: &str) -> Result<String, String> {
    proxy::record::parse_status(text).map(|_range| text.to_owned())
}

/// Reads `users=5`.
fn parse_target(text: &str) -> Result<(String, u32), String> {
    let bad = || "write it like users=5".to_owned();
    let (service, count) = text.split_once('=').ok_or_else(bad)?;
    if service.is_empty() {
        return Err(bad());
    }
    Ok((service.to_owned(), count.parse().map_err(|_not_a_number| bad())?))
}

/// Reads `KEY=VALUE`.
fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it like KEY=VALUE".to_owned()),
    }
}

/// The whole command line, with `--file` on every command.
///
/// `-f` is written by hand, because it cannot be one global argument: `logs -f` means *follow* for
/// everybody who comes from Docker or Kubernetes, while `flotilla -f shop.yaml logs -f` must work too.
pub(crate) fn command() -> clap::Command {
    let file = || {
        Arg::new("file")
            .long("file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help_heading(GLOBAL_HEADING)
            .display_order(GLOBAL_ORDER - 1)
            .help("The file or folder [default: the nearest one, from here upwards]")
    };
    Cli::command().arg(file().short('f')).mut_subcommands(|command| {
        let file = if matches!(command.get_name(), "logs" | "requests") {
            file()
        } else {
            file().short('f')
        };
        command.arg(file)
    })
}

/// Reads the command line.
///
/// # Errors
/// What clap found wrong with it, or the help that was asked for.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut matches = command().try_get_matches_from(arguments)?;
    let below =
        matches.subcommand().and_then(|(_, found)| found.get_one::<PathBuf>("file").cloned());
    let above = matches.get_one::<PathBuf>("file").cloned();
    let mut cli = Cli::from_arg_matches_mut(&mut matches)?;
    cli.file = below.or(above);
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_file_may_stand_before_or_after_the_command() {
        for line in
            ["flotilla -f a.yaml ps", "flotilla ps -f a.yaml", "flotilla -f b ps --file a.yaml"]
        {
            assert_eq!(read(line).unwrap().file, Some("a.yaml".into()), "{line}");
        }
    }

    #[test]
    fn logs_f_follows_and_the_file_still_has_a_way_in() {
        let cli = read("flotilla -f a.yaml logs -f users").unwrap();
        assert_eq!(cli.file, Some("a.yaml".into()));
        let Command::Logs(logs) = cli.command else { panic!("{:?}", cli.command) };
        assert!(logs.follow);
        assert_eq!(logs.names, ["users"]);
        assert_eq!(read("flotilla logs --file a.yaml").unwrap().file, Some("a.yaml".into()));
    }

    #[test]
    fn a_one_off_takes_the_rest_of_the_line_as_it_is() {
        for line in ["flotilla run users -- ls -l -o x", "flotilla run users ls -l -o x"] {
            let Command::Run(run) = read(line).unwrap().command else { panic!("{line}") };
            assert_eq!(run.command, ["ls", "-l", "-o", "x"], "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for line in [
            "flotilla frobnicate",
            "flotilla scale users",
            "flotilla scale users=-1",
            "flotilla scale =1",
            "flotilla restart",
            "flotilla restart users --all",
            "flotilla restart users --node",
            "flotilla restart --all --grace 1s",
            "flotilla requests --status 6xx",
            "flotilla requests --slower soon",
            "flotilla wait --timeout 10",
            "flotilla wait --for happy",
            "flotilla -q -v ps",
            "flotilla logs -i",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
