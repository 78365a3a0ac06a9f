//! What clients may do on a listener: the gateway's settings where there are some, our own bounds else.

use crate::{
    config::{Config, FIELDS_MAX, HEAD_SIZE_MAX, STREAMS_MAX},
    h1::request::FIELDS_LIMIT,
    listener::ListenerKind,
    settings::Clients,
};
use std::time::Duration;

/// Limits of one listener at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of a head.
    pub(crate) head_size_max: usize,
    /// Fields of a request.
    pub(crate) fields_max: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub(crate) streams_max: u32,
    /// From the connection to its first byte.
    pub(crate) first_head_timeout: Duration,
    /// From a head's first byte to its last.
    pub(crate) head_timeout: Duration,
    /// Without a request.
    pub(crate) idle_timeout: Duration,
}

impl Limits {
    /// Services are not held to what the gateway's clients may do.
    pub(crate) fn of(kind: &ListenerKind, config: &Config, clients: &Clients) -> Self {
        let mut limits = Self {
            head_size_max: HEAD_SIZE_MAX,
            fields_max: FIELDS_MAX,
            streams_max: STREAMS_MAX,
            first_head_timeout: config.first_head_timeout,
            head_timeout: config.head_timeout,
            idle_timeout: config.client_idle,
        };
        if *kind == ListenerKind::Gateway {
            if let Some(size) = clients.head_size_max {
                limits.head_size_max = size;
            }
            if let Some(count) = clients.fields_max {
                limits.fields_max = count.min(FIELDS_LIMIT);
            }
            if let Some(count) = clients.streams_max {
                limits.streams_max = count;
            }
            if let Some(timeout) = clients.head_timeout {
                (limits.head_timeout, limits.first_head_timeout) = (timeout, timeout);
            }
            if let Some(timeout) = clients.idle_timeout {
                limits.idle_timeout = timeout;
            }
        }
        limits
    }
}
