//! Metadata of components as values.

use super::Taker;
use crate::{KeyPrefix, dapr::Component, shape::names};
use base::Code;
use std::time::Duration;

impl Taker<'_, '_> {
    pub(super) fn prefix(&mut self, component: &Component) -> KeyPrefix {
        let Some(item) = component.item("keyPrefix") else { return KeyPrefix::Service };
        match item.value.as_deref() {
            None => {
                let message = "`keyPrefix` cannot be a secret";
                self.ignored(&item.mark, message, "the app id is used", "write it as `value:`");
                KeyPrefix::Service
            }
            Some("" | "appid") => KeyPrefix::Service,
            Some("name") => KeyPrefix::Store,
            Some("namespace") => KeyPrefix::Namespace,
            Some("none") => KeyPrefix::None,
            Some(literal) => match names::key_prefix(literal) {
                Ok(()) => KeyPrefix::Literal(literal.to_owned()),
                Err(why) => {
                    let problems = &mut *self.reader.problems;
                    let message = "this cannot be a `keyPrefix`";
                    problems.error(Code::BAD_VALUE, &item.mark, message, why, "");
                    KeyPrefix::Service
                }
            },
        }
    }

    pub(super) fn ttl(&mut self, component: &Component) -> Option<Duration> {
        let item = component.item("ttlInSeconds")?;
        match item.value.as_deref().unwrap_or_default().trim().parse::<i64>() {
            Ok(seconds) => u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs),
            Err(_) => {
                let problems = &mut *self.reader.problems;
                let message = "`ttlInSeconds` is not a whole number";
                problems.error(Code::BAD_VALUE, &item.mark, message, "", "");
                None
            }
        }
    }
}
