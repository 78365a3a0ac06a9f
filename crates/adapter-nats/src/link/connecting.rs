//! Getting to NATS, again and again, and what goes wrong on the way.

use super::ANSWER_TIME_MAX;
use crate::config::{Config, Credentials};
use async_nats::{ConnectOptions, Event, ServerError};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Pauses between attempts to connect: doubled from the first to the last.
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(20);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often a silent connection is asked for a sign. After three without an answer it is given up.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Commands that wait to be written. One batch and what others do meanwhile.
const COMMANDS_MAX: usize = 2_048;

/// Messages that wait to be read, of each reader and subscription: more than any asks for at once.
const ARRIVED_MAX: usize = 2 * ports::broker::BATCH_MAX;

#[derive(Debug, Default)]
pub(super) struct Status {
    /// Counts losses of the connection.
    pub(super) losses: watch::Sender<u64>,
    /// Changes with every attempt to connect.
    pub(super) attempts: watch::Sender<u64>,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Why the last attempt to connect failed.
    pub(super) connecting: Option<String>,
    /// What we were not allowed to do last, and when we were told.
    pub(super) forbidden: Option<(Instant, String)>,
}

impl Status {
    pub(super) fn lock(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.lock().connecting = None;
                self.attempts.send_modify(|count| *count += 1);
            }
            Event::Disconnected => self.losses.send_modify(|count| *count += 1),
            Event::ServerError(ServerError::Other(text))
                if text.to_lowercase().contains("permissions") =>
            {
                self.lock().forbidden = Some((Instant::now(), text.clone()));
            }
            Event::LameDuckMode
            | Event::Draining
            | Event::Closed
            | Event::SlowConsumer(_)
            | Event::ServerError(_)
            | Event::ClientError(_) => {}
        }
    }

    fn failed(&self, text: Option<String>) {
        if let Some(text) = text {
            self.lock().connecting = Some(text);
        }
        self.attempts.send_modify(|count| *count += 1);
    }
}

pub(super) fn options(config: &Config, status: &Arc<Status>) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        .name("flotilla")
        .retry_on_initial_connect()
        .connection_timeout(ANSWER_TIME_MAX)
        .ping_interval(PING_INTERVAL)
        .client_capacity(COMMANDS_MAX)
        .subscription_capacity(ARRIVED_MAX)
        .reconnect_delay_callback(pause);
    match &config.credentials {
        Some(Credentials::User { user, password }) => {
            options = options.user_and_password(user.clone(), password.clone());
        }
        Some(Credentials::Token(token)) => options = options.token(token.clone()),
        None => {}
    }
    if let Some(tls) = &config.tls {
        options = options.require_tls(true);
        if let Some(ca) = &tls.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = &tls.identity {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    let weak = Arc::downgrade(status);
    options = options.event_callback(move |event| {
        if let Some(status) = weak.upgrade() {
            status.note(&event);
        }
        std::future::ready(())
    });
    let weak = Arc::downgrade(status);
    options.reconnect_to_server_callback(move |servers, _| {
        let failed = servers.into_iter().find_map(|server| server.last_error);
        next_attempt(weak.clone(), failed)
    })
}

/// Notes why the attempt before failed, and lets the client choose the server of the next one.
async fn next_attempt(
    status: Weak<Status>,
    failed: Option<String>,
) -> Option<async_nats::ReconnectToServer> {
    match status.upgrade() {
        Some(status) => status.failed(failed),
        // Nobody needs the connection any more, but the client would try for ever.
        None => std::future::pending().await,
    }
    None
}

/// The pause before an attempt; the first after a loss is made at once.
fn pause(attempt: usize) -> Duration {
    let Some(times) = u32::try_from(attempt).ok().and_then(|attempt| attempt.checked_sub(2)) else {
        return Duration::ZERO;
    };
    RECONNECT_PAUSE_MIN.saturating_mul(2_u32.saturating_pow(times)).min(RECONNECT_PAUSE_MAX)
}
