//! The data plane with real sockets: small servers of our own behind it, plain clients before it.

#[cfg(test)]
mod app;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod listening;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod resilience;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod succession;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod wire;
