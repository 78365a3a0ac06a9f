//! Which table of which file.

use std::path::PathBuf;

/// Longest name of a table, to bound what is shown and compared.
const TABLE_LEN_MAX: usize = 128;

/// Which table of which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The database file. It need not be there yet.
    pub path: PathBuf,
    /// The table, `outbox` as a rule.
    pub table: String,
}

/// Why a URL or a table's name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not `sqlite:`.
    #[error("`{0}` is no address of a SQLite file: write `sqlite:///folder/file.db`")]
    Url(String),
    /// In memory: no other process sees it.
    #[error(
        "a SQLite database in memory is seen by its own process only: write a file, `sqlite:///folder/file.db`"
    )]
    Memory,
    /// The name of a table is empty, too long, or has a NUL.
    #[error("`{0}` cannot be the name of a table: write 1 to 128 characters")]
    Table(String),
}

impl Config {
    /// Reads `sqlite:///folder/file.db`, as `DATABASE_URL` has it; also with two slashes or none before the path, and with
    /// options after `?`, which are ignored because they are the service's. The path is taken as it is written, without
    /// decoding; a relative one counts from this process's folder.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(url: &str, table: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::Url(url.to_owned());
        let rest = url.strip_prefix("sqlite:").ok_or_else(invalid)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let path = match rest.rsplit_once('?') {
            Some((path, options)) if options.contains('=') => path,
            Some(_) | None => rest,
        };
        if path.contains(":memory:") || rest.contains("mode=memory") {
            return Err(Invalid::Memory);
        }
        if path.is_empty() || path.contains('\0') {
            return Err(invalid());
        }
        if table.is_empty() || table.chars().count() > TABLE_LEN_MAX || table.contains('\0') {
            return Err(Invalid::Table(table.to_owned()));
        }
        Ok(Self { path: PathBuf::from(path), table: table.to_owned() })
    }

    /// Where the file is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        format!("sqlite://{}", self.path.display())
    }

    /// The table's name as SQL wants it.
    pub(crate) fn quoted_table(&self) -> String {
        format!("\"{}\"", self.table.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_files_are_read() {
        for (url, path) in [
            ("sqlite:///data/shop.db", "/data/shop.db"),
            ("sqlite:////data/shop.db", "//data/shop.db"),
            ("sqlite:/data/shop.db", "/data/shop.db"),
            ("sqlite:///data/shop.db?mode=rwc&cache=shared", "/data/shop.db"),
            ("sqlite:///data/what?.db", "/data/what?.db"),
            ("sqlite:///data/a%20b ü.db", "/data/a%20b ü.db"),
            ("sqlite://shop.db", "shop.db"),
        ] {
            let config = Config::parse(url, "outbox").unwrap();
            assert_eq!(config.path, PathBuf::from(path), "{url}");
        }
        let config = Config::parse("sqlite:/a", "my \"box\"").unwrap();
        assert_eq!(config.quoted_table(), "\"my \"\"box\"\"\"");
        assert_eq!(config.place(), "sqlite:///a");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_right_way() {
        let long = "x".repeat(129);
        for (url, table, why) in [
            ("postgres://a/b", "outbox", "write `sqlite:///folder/file.db`"),
            ("sqlite:", "outbox", "no address of a SQLite file"),
            ("sqlite://", "outbox", "no address of a SQLite file"),
            ("sqlite:///a\0b", "outbox", "no address of a SQLite file"),
            ("sqlite::memory:", "outbox", "in memory"),
            ("sqlite:///x?mode=memory", "outbox", "in memory"),
            ("sqlite:///x", "", "1 to 128 characters"),
            ("sqlite:///x", &long, "1 to 128 characters"),
        ] {
            let error = Config::parse(url, table).expect_err(url).to_string();
            assert!(error.contains(why), "{url:?} {table:?}: {error}");
        }
    }
}
