//! Which port an instance gets.
//!
//! Ports come from below the kernel's range for outgoing connections, so that no client of anybody
//! takes one between our choice and the instance's `bind`.

use crate::config::PortCheck;
use base::InstanceId;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

/// First port given to instances.
pub const PORT_FIRST: u16 = 20_000;
/// Number of ports given to instances.
pub const PORT_COUNT: u16 = 10_000;

/// The ports in use by instances of this node.
pub(crate) struct PortBook {
    /// Moves the first choice, so that two systems on a machine seldom meet.
    seed: u64,
    is_free: PortCheck,
    held: Mutex<BTreeSet<u16>>,
}

impl PortBook {
    pub(crate) fn new(root: &str, is_free: PortCheck) -> Self {
        Self { seed: fnv(root.as_bytes()), is_free, held: Mutex::default() }
    }

    /// A free port for `instance`, the same one each time as long as it is free. `None`: all are taken.
    pub(crate) fn take(&self, instance: &InstanceId) -> Option<u16> {
        let wish = self.seed ^ fnv(instance.service.as_str().as_bytes());
        let start = (wish % u64::from(PORT_COUNT / 16)) * 16 + u64::from(instance.number);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let port = (0..u64::from(PORT_COUNT))
            .map(|step| (start + step) % u64::from(PORT_COUNT))
            .filter_map(|offset| u16::try_from(u64::from(PORT_FIRST) + offset).ok())
            .find(|port| !held.contains(port) && (self.is_free)(*port))?;
        held.insert(port);
        Some(port)
    }

    /// Holds a port that an adopted instance has.
    pub(crate) fn hold(&self, port: u16) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
    }

    pub(crate) fn release(&self, port: u16) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
    }
}

/// Whether nobody listens on `port` of this machine, neither on loopback nor on all addresses.
#[must_use]
pub fn port_is_free(port: u16) -> bool {
    [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED]
        .into_iter()
        .all(|ip| TcpListener::bind(SocketAddr::from((ip, port))).is_ok())
}

/// FNV-1a, 64 bits: small, and the same in every build.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_gets_a_port_of_its_own_and_the_same_one_again() {
        let book = PortBook::new("shop", std::sync::Arc::new(port_is_free));
        let id = |n| InstanceId::parse(&format!("users/{n}")).unwrap();
        let ports: Vec<u16> = (1..=50).filter_map(|n| book.take(&id(n))).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 50);
        book.release(ports[7]);
        assert_eq!(book.take(&id(8)), Some(ports[7]));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_passed_over() {
        let book = PortBook::new("shop", std::sync::Arc::new(port_is_free));
        let id = InstanceId::parse("users/1").unwrap();
        let first = book.take(&id).unwrap();
        book.release(first);
        let _taken = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, first))).unwrap();
        assert_ne!(book.take(&id), Some(first));
    }
}
