//! The commands for topics, streams of events, and jobs.

use base::units::parse_duration;
use clap::{Args, Subcommand, value_parser};
use std::time::Duration;

/// `topics`
#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Show the topics
    Ls,
    /// Show a topic with its groups and who takes its messages
    Show {
        /// The topic
        topic: String,
    },
    /// Publish a message, now or later
    Publish(Box<Publish>),
    /// Show messages as they come, until Ctrl-C
    Tail {
        /// The topic
        topic: String,
        /// Begin with about the newest N that are there
        #[arg(short = 'n', long, value_name = "N", default_value_t = 0)]
        tail: u64,
    },
    /// Show the messages that are there, from anywhere on
    Replay {
        /// The topic
        topic: String,
        /// Where to begin: `beginning`, an offset, a time (RFC 3339), or how long ago (`-15m`)
        #[arg(long, value_name = "WHERE", default_value = "beginning", allow_hyphen_values = true)]
        from: String,
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", conflicts_with = "follow", value_parser = value_parser!(u64).range(1..))]
        limit: Option<u64>,
        /// Go on with the messages that come, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// Look at messages that were given up, and bring them back
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Show who shares the messages of a topic, and how far each is
    Groups {
        /// The topic
        topic: String,
    },
    /// Let a group go on from elsewhere
    Seek {
        /// The topic
        topic: String,
        /// The group
        group: String,
        /// Where to: `beginning`, `end`, an offset, a time (RFC 3339), or how long ago (`-15m`)
        #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
        to: String,
    },
    /// Remove messages for good
    Purge {
        /// The topic
        topic: String,
        /// Only those before this offset [default: all that are there]
        #[arg(long, value_name = "OFFSET")]
        before: Option<u64>,
        #[command(flatten)]
        sure: Sure,
    },
    /// Remove a topic that the file does not name, or one group of any topic
    Rm {
        /// The topic
        topic: String,
        /// Only this group; the messages stay
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        #[command(flatten)]
        sure: Sure,
    },
    /// Show messages that wait for their time
    Later {
        /// The topic
        topic: String,
        /// Let this one never be published
        #[arg(long, value_name = "ID")]
        cancel: Option<String>,
    },
    /// Show the outbox tables of services, and how far they are published
    Relays,
}

/// `topics publish`
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The topic
    pub topic: String,
    /// The data, as JSON if it is JSON, else as text; `-` reads it from standard input [default: none]
    #[arg(allow_hyphen_values = true)]
    pub data: Option<String>,
    /// It is text, even if it could be JSON
    #[arg(long)]
    pub text: bool,
    /// Messages of the same key stay in order
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A second message with the same id is taken for the first one
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// What happened [default: the topic's name]
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Who says so [default: flotilla]
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// What it happened to
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// What kind of data it is [default: what it looks like]
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// A further attribute of the event, in lower-case letters and digits; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = super::parse_variable)]
    pub headers: Vec<(String, String)>,
    /// Only the data, without the attributes of an event
    #[arg(long, conflicts_with_all = ["kind", "source", "subject"])]
    pub raw: bool,
    /// Publish it after this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "at")]
    pub after: Option<Duration>,
    /// Publish it at this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = api::wire::Time::parse)]
    pub at: Option<api::wire::Time>,
    /// Nobody wants it any more after this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub ttl: Option<Duration>,
}

/// `topics dlq`
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Show messages that were given up
    Ls {
        /// The topic that they come from
        topic: String,
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Publish messages again that were given up, for the group that gave them up
    Redrive {
        /// The topic that they come from
        topic: String,
        /// Only this one, as `dlq ls` shows it; may be repeated [default: all]
        #[arg(long = "offset", value_name = "OFFSET")]
        offsets: Vec<u64>,
        /// At most so many, the oldest ones
        #[arg(short = 'n', long, value_name = "N", conflicts_with = "offsets", value_parser = value_parser!(u32).range(1..))]
        limit: Option<u32>,
    },
}

/// Whether what cannot be undone is meant.
#[derive(Debug, Args)]
pub(crate) struct Sure {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `subscriptions`
#[derive(Debug, Args)]
pub(crate) struct Subscriptions {
    /// Only those of this service
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
}

/// `streams`
#[derive(Debug, Subcommand)]
pub(crate) enum StreamsCommand {
    /// Show the streams
    Ls {
        /// Only those that begin so
        #[arg(value_name = "PREFIX")]
        prefix: Option<String>,
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show a stream
    Show {
        /// The stream
        stream: String,
    },
    /// Show events of a stream, or of all streams
    Read(Read),
    /// Append an event to a stream
    Append(Append),
    /// Print the snapshot of a stream
    Snapshot {
        /// The stream
        stream: String,
    },
    /// Show the subscriptions to streams, and how far each is
    Subscriptions,
    /// Let a subscription go on from elsewhere
    Reset {
        /// The subscription
        name: String,
        /// Where to: `beginning`, `end`, or the last position that counts as done
        #[arg(long, value_name = "WHERE")]
        to: String,
    },
}

/// `streams read`
#[derive(Debug, Args)]
pub(crate) struct Read {
    /// The stream [default: all of them]
    #[arg(conflicts_with_all = ["category", "kinds", "tags"])]
    pub stream: Option<String>,
    /// Begin with this revision of the stream, or this position among all
    #[arg(long, value_name = "N")]
    pub from: Option<u64>,
    /// Newest first
    #[arg(long, conflicts_with = "follow")]
    pub backwards: bool,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "follow", value_parser = value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Only of streams of this category: what stands before the first `-` of their names
    #[arg(long, value_name = "CATEGORY")]
    pub category: Option<String>,
    /// Only of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    pub kinds: Vec<String>,
    /// Only with this tag; may be repeated: with all of them
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Go on with the events that come, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
}

/// `streams append`
#[derive(Debug, Args)]
pub(crate) struct Append {
    /// The stream
    pub stream: String,
    /// What happened
    #[arg(value_name = "TYPE")]
    pub kind: String,
    /// The data, as JSON if it is JSON, else as text; `-` reads it from standard input [default: none]
    #[arg(allow_hyphen_values = true)]
    pub data: Option<String>,
    /// It is text, even if it could be JSON
    #[arg(long)]
    pub text: bool,
    /// Only if the stream is like this: a revision, `no_stream`, `exists`, `any`
    #[arg(long, value_name = "WHAT", default_value = "any")]
    pub expected: String,
    /// The same append with the same id is done once [default: one that nobody else has]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// What it is about besides its stream; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// What is said of it, as JSON
    #[arg(long, value_name = "JSON")]
    pub metadata: Option<String>,
}

/// `jobs`
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Show schedules of the file and jobs of apps
    Ls {
        /// Only those of this app; `file`: schedules of the file
        #[arg(value_name = "OWNER")]
        owner: Option<String>,
    },
    /// Show a job
    Show {
        /// The job, `OWNER/JOB`, or a schedule of the file
        job: String,
    },
    /// Run a job now, besides its schedule
    Run {
        /// The job, `OWNER/JOB`, or a schedule of the file
        job: String,
    },
    /// Delete a job of an app
    Rm {
        /// The job, `OWNER/JOB`
        job: String,
    },
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
    fn how_long_ago_may_begin_with_a_hyphen() {
        let cli = read("flotilla topics seek t g --to -15m").unwrap();
        let Command::Topics(TopicsCommand::Seek { to, .. }) = cli.command else { panic!() };
        assert_eq!(to, "-15m");
        let cli = read("flotilla topics replay t --from -1h -f").unwrap();
        let Command::Topics(TopicsCommand::Replay { from, follow, .. }) = cli.command else {
            panic!()
        };
        assert_eq!((from.as_str(), follow, cli.file), ("-1h", true, None));
        let cli = read("flotilla topics publish t -5").unwrap();
        let Command::Topics(TopicsCommand::Publish(publish)) = cli.command else { panic!() };
        assert_eq!(publish.data.as_deref(), Some("-5"));
    }

    #[test]
    fn what_excludes_each_other_is_a_usage_error() {
        for line in [
            "flotilla topics publish t 1 --after 5m --at 2026-03-01T09:30:00Z",
            "flotilla topics publish t 1 --at noon",
            "flotilla topics publish t 1 --header a",
            "flotilla topics publish t 1 --raw --type a",
            "flotilla topics replay t -f -n 1",
            "flotilla topics dlq redrive t --offset 1 --limit 1",
            "flotilla topics seek t g",
            "flotilla streams read s --tag a",
            "flotilla streams read -f --backwards",
            "flotilla streams append s",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
