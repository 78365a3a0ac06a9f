//! Hard limits: how many requests of a service are worked on and wait at the same time.
//!
//! Envoy's `max_requests` and `max_pending_requests`. Both counts share one word, so that a request
//! passes from waiting to working in one step.

/// Most requests at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// That instances work on.
    pub concurrent_max: u32,
    /// That wait for an instance or a place.
    pub pending_max: u32,
}

impl Default for Limits {
    /// Any number at work, which the instances themselves and [`crate::shed`] bound, and 1,024 that wait:
    /// what waits holds memory, and a thousand is a second's work of a busy service.
    fn default() -> Self {
        Self { concurrent_max: u32::MAX, pending_max: 1_024 }
    }
}

/// The limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How many work and wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Requests at work.
    pub working: u32,
    /// Requests that wait.
    pub pending: u32,
}

impl Occupancy {
    /// Reads what [`Occupancy::pack`] wrote.
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
        Self {
            working: u32::from_le_bytes([a, b, c, d]),
            pending: u32::from_le_bytes([e, f, g, h]),
        }
    }

    /// The state as one word; 0 is nobody.
    #[must_use]
    pub const fn pack(self) -> u64 {
        let ([a, b, c, d], [e, f, g, h]) = (self.working.to_le_bytes(), self.pending.to_le_bytes());
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// One more at work.
    ///
    /// # Errors
    /// When the limit is reached: let it wait, or refuse it.
    pub const fn begin(self, limits: &Limits) -> Result<Self, Full> {
        if self.working >= limits.concurrent_max {
            return Err(Full);
        }
        Ok(Self { working: self.working + 1, ..self })
    }

    /// One more that waits.
    ///
    /// # Errors
    /// When the queue is full: refuse it.
    pub const fn wait(self, limits: &Limits) -> Result<Self, Full> {
        if self.pending >= limits.pending_max {
            return Err(Full);
        }
        Ok(Self { pending: self.pending + 1, ..self })
    }

    /// One that waited goes to work.
    ///
    /// # Errors
    /// When all places at work are taken: it waits on.
    pub fn promote(self, limits: &Limits) -> Result<Self, Full> {
        self.give_up().begin(limits)
    }

    /// One at work is done.
    #[must_use]
    pub const fn end(self) -> Self {
        Self { working: self.working.saturating_sub(1), ..self }
    }

    /// One that waited waits no more.
    #[must_use]
    pub const fn give_up(self) -> Self {
        Self { pending: self.pending.saturating_sub(1), ..self }
    }
}
