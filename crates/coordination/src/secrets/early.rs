//! Secrets that are needed before there is an engine.

use super::{Secret, missing, reveal, view};
use crate::{
    config::{SecretSource, SecretStore, Stores},
    error::Error,
};
use std::sync::Arc;

/// Replaces every `${secret:NAME}` in `text` from sources other than the engine: for what must be known before there is
/// one, its own password above all. Blocks for reading files.
///
/// # Errors
/// [`Error::Missing`], [`Error::SecretFile`].
pub fn reveal_from(sources: &[SecretSource], text: &str) -> Result<Secret, Error> {
    let mut files = view::Files::default();
    let store = SecretStore { name: "early".to_owned(), sources: sources.to_vec() };
    let stores = Stores { secrets: vec![store], ..Stores::default() };
    files.read(&stores).map_err(|error| Error::SecretFile(Arc::new(error)))?;
    let found = view::of_sources(sources, &files, |_| Vec::new());
    reveal::reveal(text, |name| {
        let secret = view::look_up(&found, name)?;
        secret.ok_or_else(|| missing("what is known before there is an engine", sources, name))
    })
}
