//! Signals that end a node: the first one gently, the second one at once.

use crate::cli::ui::Halt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};

/// Equal signals so close to each other are one wish: a terminal signals the whole group, and a program that started this one (npm,
/// timeout) passes on what it got.
const TOGETHER: Duration = Duration::from_millis(300);

/// Which wish follows another one.
fn harder(halt: Halt) -> Halt {
    match halt {
        Halt::No => Halt::Gently,
        Halt::Gently | Halt::AtOnce => Halt::AtOnce,
    }
}

/// Turns signals into wishes for as long as it is polled; never returns.
///
/// SIGHUP ends an attached node, because its terminal has gone; a detached one has none and lets it pass.
pub(crate) async fn watch(
    halt: &watch::Sender<Halt>,
    interrupted: &Arc<AtomicBool>,
    is_attached: bool,
) {
    let streams = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut int), Ok(mut term), Ok(mut hup)) = streams else {
        tracing::error!("signals cannot be received; stop the system with `flotilla down`");
        return std::future::pending().await;
    };
    let mut last: Option<(bool, Instant)> = None;
    loop {
        let is_interrupt = tokio::select! {
            _ = int.recv() => true,
            _ = term.recv() => false,
            _ = hup.recv() => {
                if !is_attached {
                    continue;
                }
                false
            }
        };
        if is_interrupt {
            interrupted.store(true, Ordering::Relaxed);
        }
        let is_same =
            |(kind, at): (bool, Instant)| kind == is_interrupt && at.elapsed() <= TOGETHER;
        if !last.is_some_and(is_same) {
            last = Some((is_interrupt, Instant::now()));
            halt.send_modify(|present| *present = harder(*present));
        }
    }
}

/// Waits until at least `wanted` is asked for.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn at_least(mut halt: watch::Receiver<Halt>, wanted: Halt) {
    // Whoever asked may have gone with nothing asked for: then nothing is.
    if halt.wait_for(|present| *present >= wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_wish_is_harder_than_the_first() {
        assert_eq!(harder(Halt::No), Halt::Gently);
        assert_eq!(harder(harder(Halt::No)), Halt::AtOnce);
        let halt = watch::Sender::new(Halt::No);
        halt.send_modify(|present| *present = harder(*present));
        at_least(halt.subscribe(), Halt::Gently).await;
        let force = at_least(halt.subscribe(), Halt::AtOnce);
        assert!(tokio::time::timeout(Duration::ZERO, force).await.is_err());
        halt.send_modify(|present| *present = harder(*present));
        at_least(halt.subscribe(), Halt::AtOnce).await;
    }
}
