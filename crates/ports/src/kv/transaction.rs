//! What a transaction asks and does, and whether every engine takes it.

use super::{
    Error, KEY_MAX, LeaseId, OPERATIONS_MAX, Range, Revision, TRANSACTION_SIZE_MAX, TTL_MAX,
    VALUE_MAX,
};
use bytes::Bytes;
use std::time::Duration;

/// What a transaction asks of one key before it does anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The key.
    pub key: Bytes,
    /// What must hold of it.
    pub is: Is,
}

/// What may be asked of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Is {
    /// It has no value.
    Missing,
    /// It has one.
    Present,
    /// It came to be at this revision, and is there.
    CreatedAt(Revision),
    /// It was put last at this revision, and is there.
    ModifiedAt(Revision),
    /// It has this value.
    Value(Bytes),
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Gives a key a value; the lease it had before is replaced by `life`.
    Put {
        /// 1 to [`KEY_MAX`] bytes.
        key: Bytes,
        /// At most [`VALUE_MAX`] bytes.
        value: Bytes,
        /// How long it stays.
        life: Life,
    },
    /// Removes a key. One that is missing is no error and no change.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Removes all keys of a range.
    DeleteRange {
        /// The range.
        range: Range,
    },
}

/// How long a value stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Until it is deleted or put again.
    Endless,
    /// As long as a lease that was granted before.
    Lease(LeaseId),
    /// As long as a lease of its own, which the engine grants with the transaction and forgets with the entry, or when
    /// its time is over at the latest. Whole seconds, rounded up; 1 s to [`TTL_MAX`].
    Ttl(Duration),
}

/// Conditions, and what is done when all of them hold. No key may be written twice, not even by a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// At most [`OPERATIONS_MAX`].
    pub conditions: Vec<Condition>,
    /// At most [`OPERATIONS_MAX`].
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// A put without conditions.
    #[must_use]
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::default().and_put(key, value, Life::Endless)
    }

    /// A deletion without conditions.
    #[must_use]
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::default().and_delete(key)
    }

    /// The same with one more condition.
    #[must_use]
    pub fn when(mut self, key: impl Into<Bytes>, is: Is) -> Self {
        self.conditions.push(Condition { key: key.into(), is });
        self
    }

    /// The same with one more put.
    #[must_use]
    pub fn and_put(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>, life: Life) -> Self {
        self.operations.push(Operation::Put { key: key.into(), value: value.into(), life });
        self
    }

    /// The same with one more deletion.
    #[must_use]
    pub fn and_delete(mut self, key: impl Into<Bytes>) -> Self {
        self.operations.push(Operation::Delete { key: key.into() });
        self
    }

    /// Whether every engine takes it; engines call it first.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        let too_many = |what, count: usize| {
            let limit = OPERATIONS_MAX;
            (count > limit).then_some(Error::TooLarge { what, size: count, limit })
        };
        let checks = [
            too_many("conditions", self.conditions.len()),
            too_many("operations", self.operations.len()),
        ];
        if let Some(error) = checks.into_iter().flatten().next() {
            return Err(error);
        }
        let mut size = 0;
        for condition in &self.conditions {
            check_key(&condition.key)?;
            let value = if let Is::Value(value) = &condition.is { value.len() } else { 0 };
            size += condition.key.len() + value;
        }
        for operation in &self.operations {
            size += operation.check()?;
        }
        if size > TRANSACTION_SIZE_MAX {
            let limit = TRANSACTION_SIZE_MAX;
            return Err(Error::TooLarge { what: "bytes in the transaction", size, limit });
        }
        self.check_distinct()
    }

    fn check_distinct(&self) -> Result<(), Error> {
        let mut ranges: Vec<Range> = self.operations.iter().map(Operation::range).collect();
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by(|a, b| a.from.cmp(&b.from));
        let overlap = ranges.windows(2).any(|pair| match pair {
            [before, after] => before.to.as_ref().is_none_or(|to| *to > after.from),
            _ => false,
        });
        if overlap { Err(Error::Invalid("a key is written twice".to_owned())) } else { Ok(()) }
    }
}

impl Operation {
    /// The keys it writes.
    #[must_use]
    pub fn range(&self) -> Range {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => Range::key(key.clone()),
            Self::DeleteRange { range } => range.clone(),
        }
    }

    /// Its bytes.
    fn check(&self) -> Result<usize, Error> {
        match self {
            Self::Put { key, value, life } => {
                check_key(key)?;
                if value.len() > VALUE_MAX {
                    let (size, limit) = (value.len(), VALUE_MAX);
                    return Err(Error::TooLarge { what: "bytes in the value", size, limit });
                }
                if let Life::Ttl(ttl) = life {
                    check_ttl(*ttl)?;
                }
                Ok(key.len() + value.len())
            }
            Self::Delete { key } => {
                check_key(key)?;
                Ok(key.len())
            }
            Self::DeleteRange { range } => {
                Ok(range.from.len() + range.to.as_ref().map_or(0, Bytes::len))
            }
        }
    }
}

/// Whether every engine takes `key`.
///
/// # Errors
/// [`Error::Invalid`] for an empty one, [`Error::TooLarge`].
pub fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::Invalid("the key is empty".to_owned()));
    }
    if key.len() > KEY_MAX {
        return Err(Error::TooLarge { what: "bytes in the key", size: key.len(), limit: KEY_MAX });
    }
    Ok(())
}

/// Whether every engine takes `ttl`.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_ttl(ttl: Duration) -> Result<(), Error> {
    if ttl < Duration::from_secs(1) || ttl > TTL_MAX {
        let message = format!("a time to live is between 1 s and {} s", TTL_MAX.as_secs());
        return Err(Error::Invalid(message));
    }
    Ok(())
}
