//! The data plane with real sockets: small servers of our own behind it, plain clients before it.

#[cfg(test)]
mod drain;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod listening;
#[cfg(test)]
mod support;
