//! What of a request's path and host the service gets instead, as the Gateway API's `HTTPURLRewriteFilter`.
//!
//! The path is changed as it was sent, so escapes that the service understands stay as they are. What comes out
//! must have one meaning only (`logic::route::path`): otherwise a rewrite could lead around a route that
//! guards a path of the same service. There are no regular expressions: what they are used for is a
//! prefix, or `{rest}` in another place.

use crate::{
    Effects, Reply, Request,
    redirect::{InvalidTemplate, NewPath, PathChange, Source, uri},
};

/// What `rewrite:` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The new path. A full path may have the variables `{path}`, `{rest}` (what follows the prefix),
    /// `{host}` (without port), and after `?` also `{query}`; without `?` the query stays.
    pub path: Option<PathChange>,
    /// The new `Host`, with a port if there shall be one.
    pub host: Option<String>,
    /// The path prefix that the route matched; `/` for all, the path itself for an exact match.
    pub prefix: String,
}

/// Why a rewrite cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path is none.
    #[error("`{text}` is no path to rewrite to")]
    Path {
        /// What is written.
        text: String,
        /// What is wrong.
        #[source]
        cause: InvalidTemplate,
    },
    /// The host is none.
    #[error("`{0}` is no host, nor host and port")]
    Host(String),
    /// Nothing would be changed.
    #[error("a rewrite needs `path`, `prefix` or `host`")]
    Nothing,
}

/// A rewrite, ready to be applied.
#[derive(Clone, Debug)]
pub struct Rewrite {
    path: Option<NewPath>,
    host: Option<String>,
    prefix: String,
}

impl Rewrite {
    /// Checks `config`.
    ///
    /// # Errors
    /// When the path or host is none; see [`Error`].
    pub fn new(config: Config) -> Result<Self, Error> {
        if config.path.is_none() && config.host.is_none() {
            return Err(Error::Nothing);
        }
        if let Some(host) = config.host.as_ref().filter(|host| !uri::is_authority(host)) {
            return Err(Error::Host(host.clone()));
        }
        let path = config.path.map(NewPath::new).transpose();
        let path = path.map_err(|(text, cause)| Error::Path { text, cause })?;
        Ok(Self { path, host: config.host, prefix: config.prefix })
    }

    /// Writes the new path and host into `effects`; the answer when the path would be ambiguous.
    pub fn apply(&self, request: &dyn Request, effects: &mut Effects) -> Option<Reply> {
        if let Some(change) = &self.path {
            let source = Source { request, prefix: &self.prefix };
            let Some((path, _)) = change.fill(source) else {
                return Some(Reply {
                    status: 400,
                    code: "bad_request",
                    message: "the path of the request cannot be rewritten safely".to_owned(),
                    headers: Vec::new(),
                    delay: None,
                });
            };
            effects.path = Some(path);
        }
        effects.host.clone_from(&self.host);
        None
    }
}

#[cfg(test)]
mod tests;
