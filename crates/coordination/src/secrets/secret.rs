//! A text that does not show itself.

use std::{fmt, hint, sync::Arc};

/// A text that does not show itself. Clones share it; the memory is overwritten when the last one goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Hidden>);

#[derive(PartialEq, Eq)]
struct Hidden(String);

impl Drop for Hidden {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Without it the compiler may leave the overwriting out, since nobody reads what it wrote.
        hint::black_box(&bytes);
    }
}

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Hidden(text.into())))
    }

    /// The text. Whoever asks answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_to_who_asks() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** Secret Some(Secret)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
