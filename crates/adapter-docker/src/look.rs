//! What can be seen of a container from outside: what it uses, and what it listens on.

use crate::watch::Known;
use base::ByteSize;
use bollard::models::ContainerStatsResponse;
use ports::host::Usage;
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// The engine's own name server inside each container's network; not the program's doing.
const ENGINE_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Reads the engine's numbers. Memory is without the page cache that the kernel can take back at any time.
pub(crate) fn usage(stats: &ContainerStatsResponse) -> Usage {
    let cpu_ns =
        stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage).unwrap_or(0);
    let memory = stats.memory_stats.as_ref();
    let cache = memory
        .and_then(|memory| memory.stats.as_ref())
        // Control groups version 1 call it by the first name, version 2 by the second.
        .and_then(|stats| stats.get("total_inactive_file").or_else(|| stats.get("inactive_file")))
        .copied()
        .unwrap_or(0);
    let used = memory.and_then(|memory| memory.usage).unwrap_or(0);
    let processes = stats.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or(0);
    Usage {
        cpu: Duration::from_nanos(cpu_ns),
        memory: ByteSize(used.saturating_sub(cache)),
        processes: u32::try_from(processes).unwrap_or(u32::MAX),
    }
}

/// Whether process `pid` of this machine belongs to container `id`; false when this machine does not have
/// the engine's processes.
pub(crate) fn is_of(pid: u32, container_id: &str) -> bool {
    !container_id.is_empty()
        && fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .is_ok_and(|groups| groups.contains(container_id))
}

/// What the container listens on. A socket on the port that is published is given as this machine has it.
/// Blocks on `/proc`.
pub(crate) fn listening(known: &Known, pid: u32) -> Vec<SocketAddr> {
    let mut found = BTreeSet::new();
    for name in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
        found.extend(sockets(&table).into_iter().filter(|socket| socket.ip() != ENGINE_DNS));
    }
    let outside = |socket: SocketAddr| {
        let is_published = known.inner_port == Some(socket.port()) && !socket.ip().is_loopback();
        match known.run.port.filter(|_| is_published) {
            Some(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            None => socket,
        }
    };
    let mut seen = BTreeSet::new();
    found.into_iter().map(outside).filter(|socket| seen.insert(*socket)).collect()
}

/// The listening sockets of a table in the form of `/proc/net/tcp`.
fn sockets(table: &str) -> Vec<SocketAddr> {
    const LISTEN: &str = "0A";
    let row = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next()?;
        words.next()?;
        if words.next()? != LISTEN {
            return None;
        }
        let (ip, port) = local.split_once(':')?;
        Some(SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// The kernel prints addresses as 32-bit words of the machine's byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (to, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                to.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_sockets_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n   \
            1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 2\n   \
            2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 3\n";
        assert_eq!(
            sockets(table),
            ["127.0.0.1:8080".parse().unwrap(), "0.0.0.0:80".parse().unwrap()]
        );
        let table6 = "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0\n";
        assert_eq!(sockets(table6), ["[::1]:8080".parse().unwrap()]);
        assert_eq!(sockets("nonsense\n 1: zz:1 0:0 0A\n"), []);
    }
}
