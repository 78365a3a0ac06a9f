//! Which table of which database.

use std::{fmt, time::Duration};
use tokio_postgres::config::{Host, SslMode};

/// How long a connection may take to stand. A server that is up answers at once.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest name of a table or schema: what PostgreSQL keeps of one.
const NAME_MAX: usize = 63;

/// Which table of which database.
#[derive(Clone)]
pub struct Config {
    pub(crate) server: tokio_postgres::Config,
    schema: Option<String>,
    table: String,
}

/// Why a URL or a table's name cannot be used. Its text has no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not a URL of PostgreSQL, or something in it cannot be read.
    #[error(
        "the address of the database cannot be read ({0}): write `postgres://user:password@host:5432/database`"
    )]
    Url(String),
    /// TLS is demanded.
    #[error(
        "the outbox relay speaks no TLS, so `sslmode={0}` cannot be kept: reach the database through a local tunnel or pooler, and write \
         `sslmode=disable` there"
    )]
    Tls(String),
    /// The name of a table is empty or too long.
    #[error(
        "`{0}` cannot be the name of a table: write `table` or `schema.table`, 1 to 63 bytes each"
    )]
    Table(String),
}

/// Options in the URL that mean something to the connection. Others are for the service's own driver.
const OPTIONS: [&str; 17] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

impl Config {
    /// Reads `postgres://user:password@host:port/database?options`, as `DATABASE_URL` has it; a driver in the scheme
    /// (`postgresql+asyncpg:`) is passed over, `?schema=` names the schema of a table that has none, and options that only the
    /// service's driver knows are ignored. The table is `table` or `schema.table`, in the case in which it was made.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(url: &str, table: &str) -> Result<Self, Invalid> {
        let other =
            || Invalid::Url("it does not begin with `postgres://` or `postgresql://`".into());
        let (scheme, rest) = url.split_once("://").ok_or_else(other)?;
        let scheme = scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme);
        if !["postgres", "postgresql"].contains(&scheme) {
            return Err(other());
        }
        let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut kept, mut schema) = (Vec::new(), None);
        for option in options.split('&') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "sslmode" if ["require", "verify-ca", "verify-full"].contains(&value) => {
                    return Err(Invalid::Tls(value.to_owned()));
                }
                "schema" if !value.is_empty() => schema = Some(value),
                name if OPTIONS.contains(&name) => kept.push(option),
                _ => {}
            }
        }
        let url = format!("postgres://{address}?{}", kept.join("&"));
        let mut server: tokio_postgres::Config =
            url.parse().map_err(|e| Invalid::Url(reason(&e)))?;
        if server.get_hosts().is_empty() && server.get_hostaddrs().is_empty() {
            return Err(Invalid::Url("it names no host".into()));
        }
        server.ssl_mode(SslMode::Disable);
        if server.get_connect_timeout().is_none() {
            server.connect_timeout(CONNECT_MAX);
        }
        if server.get_application_name().is_none() {
            server.application_name("flotilla outbox relay");
        }
        let (schema, name) = match table.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (schema, table),
        };
        let is_name = |name: &str| (1..=NAME_MAX).contains(&name.len()) && !name.contains('\0');
        if !is_name(name) || !schema.is_none_or(is_name) {
            return Err(Invalid::Table(table.to_owned()));
        }
        Ok(Self { server, schema: schema.map(str::to_owned), table: name.to_owned() })
    }

    /// Where the database is, for people: without a password.
    #[must_use]
    pub fn place(&self) -> String {
        let user = self.server.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let ports = self.server.get_ports();
        let host = |(at, host): (usize, &Host)| {
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        };
        let mut hosts: Vec<_> = self.server.get_hosts().iter().enumerate().map(host).collect();
        if hosts.is_empty() {
            hosts.extend(self.server.get_hostaddrs().iter().map(ToString::to_string));
        }
        format!("postgres://{user}{}/{}", hosts.join(","), self.server.get_dbname().unwrap_or(""))
    }

    /// The table as people write it.
    pub(crate) fn table(&self) -> String {
        self.schema.iter().map(|schema| format!("{schema}.")).collect::<String>() + &self.table
    }

    /// The table as SQL wants it.
    pub(crate) fn quoted_table(&self) -> String {
        let schema = self.schema.iter().map(|schema| format!("{}.", quoted(schema)));
        schema.collect::<String>() + &quoted(&self.table)
    }

    /// What a service notifies.
    pub(crate) fn quoted_channel(&self) -> String {
        quoted(&self.table)
    }
}

/// The password is left out.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config {{ {} {} }}", self.place(), self.table())
    }
}

/// A name, with quotes in it doubled.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Why a URL cannot be read, without the URL.
fn reason(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_password() {
        for (url, table, place, sql) in [
            (
                "postgres://shop:geheim@db:5433/orders",
                "outbox",
                "postgres://shop@db:5433/orders",
                "\"outbox\"",
            ),
            (
                "postgresql://shop:geheim@db/orders",
                "my.outbox",
                "postgres://shop@db:5432/orders",
                "\"my\".\"outbox\"",
            ),
            (
                "postgresql+asyncpg://shop:geheim@db/orders?schema=sales&pool_size=5&sslmode=prefer",
                "Out\"box",
                "postgres://shop@db:5432/orders",
                "\"sales\".\"Out\"\"box\"",
            ),
            (
                "postgres://shop:geheim@%2Frun%2Fpg/orders?application_name=x",
                "outbox",
                "postgres://shop@/run/pg:5432/orders",
                "\"outbox\"",
            ),
            (
                "postgres://shop:geheim@a:1,b:2/orders?target_session_attrs=read-write",
                "outbox",
                "postgres://shop@a:1,b:2/orders",
                "\"outbox\"",
            ),
        ] {
            let config = Config::parse(url, table).unwrap();
            assert_eq!((config.place().as_str(), config.quoted_table().as_str()), (place, sql));
            assert!(!format!("{config:?}").contains("geheim"));
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_showing_the_password() {
        let long = "x".repeat(64);
        for (url, table, why) in [
            ("mysql://u:geheim@h/d", "outbox", "does not begin with `postgres://`"),
            ("postgres:u:geheim@h/d", "outbox", "does not begin with `postgres://`"),
            ("postgres://u:geheim@h:port/d", "outbox", "cannot be read"),
            ("postgres://u:geheim@h/d?connect_timeout=soon", "outbox", "cannot be read"),
            ("postgres:///d", "outbox", "names no host"),
            (
                "postgres://u:geheim@h/d?sslmode=require",
                "outbox",
                "`sslmode=require` cannot be kept",
            ),
            ("postgres://u:geheim@h/d?a=b&sslmode=verify-full", "outbox", "speaks no TLS"),
            ("postgres://u:geheim@h/d", "", "cannot be the name of a table"),
            ("postgres://u:geheim@h/d", "a.", "cannot be the name of a table"),
            ("postgres://u:geheim@h/d", &long, "cannot be the name of a table"),
        ] {
            let error = Config::parse(url, table).expect_err(url).to_string();
            assert!(error.contains(why) && !error.contains("geheim"), "{url} {table}: {error}");
        }
    }
}
