//! Who knows the secrets that a file only names.

use async_trait::async_trait;
use std::fmt;

/// A text that must not be shown. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Revealed(String);

impl Revealed {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for whoever must have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text, for whoever must have it.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a secret is not known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No source has it: somebody must set it.
    #[error("there is no secret `{name}`{hint}")]
    Missing {
        /// Its name.
        name: String,
        /// How to set it, beginning with punctuation; may be empty.
        hint: String,
    },
    /// It cannot be read now; later it may be.
    #[error("{0}")]
    Unavailable(String),
}

/// Replaces the names of secrets by what they are.
#[async_trait]
pub trait Reveal: Send + Sync {
    /// Replaces every `${secret:NAME}` in `text`. A text without any comes back as it is, at once.
    ///
    /// # Errors
    /// For the first that is not known.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn reveal(&self, text: &str) -> Result<Revealed, Error>;
}
