//! The commands for transactions.

use super::Sure;
use base::units::parse_duration;
use clap::{Args, Subcommand, value_parser};
use std::time::Duration;

/// `tx`
#[derive(Debug, Subcommand)]
pub(crate) enum TxCommand {
    /// Show transactions, the newest first
    #[command(after_help = "Examples:
  flotilla tx ls --attention                  what waits for somebody
  flotilla tx ls --name checkout --since 1h   the checkouts of the last hour")]
    Ls(TxList),
    /// Show a transaction with its branches and what has happened to it
    Show {
        /// The transaction
        id: String,
    },
    /// Submit a transaction that the file defines
    #[command(after_help = "Examples:
  flotilla tx submit checkout --input '{\"sku\": \"a-1\"}' --wait 10s
  flotilla tx submit checkout --input @order.json --id order-7

The same id with the same input again is the same transaction: it answers as it stands.
With --wait it ends with 0 when the transaction was committed, 1 when it was not, 5 when that took too long.")]
    Submit(TxSubmit),
    /// Try at once what waits to be tried again
    Retry {
        /// The transaction
        id: String,
    },
    /// Give up a transaction that is not decided: what was done is undone
    Abort {
        /// The transaction
        id: String,
        /// Why; stands in its history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End by hand what does not end by itself
    #[command(after_help = "Put things right first, then say so:
  flotilla tx resolve order-7 --branch charge --reason 'refunded by hand, ticket 12'
  flotilla tx resolve order-7 --outcome aborted --reason 'the items service is gone'

--branch counts the one operation that does not end as done, and the transaction goes on. --outcome ends all of it:
nobody is called any more, and against its decision its end is `mixed`.")]
    Resolve(TxResolve),
    /// Show what happens to a transaction until it has ended
    Watch {
        /// The transaction
        id: String,
    },
}

/// `tx ls`
#[derive(Debug, Args)]
pub(crate) struct TxList {
    /// Only those that stand so
    #[arg(long, value_name = "STATUS", value_parser = ["open", "trying", "precommitting", "committing", "aborting", "committed", "aborted", "mixed"])]
    pub status: Option<String>,
    /// Only those that wait for somebody
    #[arg(long)]
    pub attention: bool,
    /// Only those of this protocol
    #[arg(long, value_name = "MODE", value_parser = ["saga", "tcc", "2pc", "3pc", "3pc_classic", "msg"])]
    pub mode: Option<String>,
    /// Only those of this definition of the file
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Only those with this label
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::parse_variable)]
    pub label: Option<(String, String)>,
    /// Only those that began at this time or later: `10m` ago, or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only those that began before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `tx submit`
#[derive(Debug, Args)]
pub(crate) struct TxSubmit {
    /// The definition, as it is called under `transactions:`
    pub name: String,
    /// What its texts name as `{{input.…}}`, as JSON; `@FILE` reads a file, `-` standard input [default: none]
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub input: Option<String>,
    /// Its id; the same again is the same transaction [default: one that nobody else has]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// A label to find it by; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = super::parse_variable)]
    pub labels: Vec<(String, String)>,
    /// Wait until it has ended, at most so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub wait: Option<Duration>,
}

/// `tx resolve`
#[derive(Debug, Args)]
pub(crate) struct TxResolve {
    /// The transaction
    pub id: String,
    /// This branch was put right by hand
    #[arg(
        long,
        value_name = "BRANCH",
        conflicts_with = "outcome",
        required_unless_present = "outcome"
    )]
    pub branch: Option<String>,
    /// Everything was put right by hand, this way
    #[arg(long, value_name = "OUTCOME", value_parser = ["committed", "aborted", "mixed"])]
    pub outcome: Option<String>,
    /// Why; stands in its history
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub sure: Sure,
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command, parse};
    use super::*;
    use std::ffi::OsString;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn what_excludes_each_other_or_is_missing_is_a_usage_error() {
        for line in [
            "flotilla tx ls --status done",
            "flotilla tx ls --mode xa",
            "flotilla tx ls --label a",
            "flotilla tx ls -n 0",
            "flotilla tx submit",
            "flotilla tx submit a --wait 10",
            "flotilla tx resolve 7 --reason x",
            "flotilla tx resolve 7 --branch a",
            "flotilla tx resolve 7 --branch a --outcome mixed --reason x",
            "flotilla tx resolve 7 --outcome done --reason x",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn an_input_may_be_a_negative_number() {
        let cli = read("flotilla tx submit a --input -5 --label x=y --label z=").unwrap();
        let Command::Tx(TxCommand::Submit(submit)) = cli.command else { panic!() };
        assert_eq!(submit.input.as_deref(), Some("-5"));
        assert_eq!(submit.labels.len(), 2);
    }
}
