//! Waiting for a state, with a deadline.

use std::time::{Duration, Instant};

/// No state takes this long to come, unless it never comes; generous, because the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until there is something, and gives it.
///
/// # Panics
/// When nothing came within [`DEADLINE`].
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, &mut look)
        .unwrap_or_else(|| panic!("{what}: not within {} s", DEADLINE.as_secs()))
}

/// Looks until there is something, at most for `time`.
pub(crate) fn within<T>(time: Duration, look: &mut dyn FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        pause();
    }
}

/// The only place that lets time pass.
#[expect(clippy::disallowed_methods, reason = "between two looks at a state that is waited for")]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}
