//! Who listens where, from `/proc/net/tcp` (proc(5)).

use crate::proc;
use std::{
    collections::{BTreeSet, HashMap},
    fmt, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// The state of a listening socket there.
const LISTEN: &str = "0A";

/// Who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHolder {
    /// Where it listens.
    pub address: SocketAddr,
    /// The process; `None` when it belongs to another user and may not be looked into.
    pub pid: Option<u32>,
    /// The process's short name; empty when it is not known.
    pub name: String,
    /// The process's command line; empty when it is not known.
    pub command: String,
    /// The user the socket belongs to.
    pub uid: u32,
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "{} (pid {pid})", self.name),
            None => write!(f, "a process of user {}", self.uid),
        }
    }
}

/// Finds who listens on a TCP port of this machine, on whatever address. Takes some milliseconds and blocks.
#[must_use]
pub fn holder_of(port: u16) -> Option<PortHolder> {
    let listener =
        listeners("self").into_iter().find(|listener| listener.address.port() == port)?;
    let pid = proc::pids().find(|pid| sockets_of(*pid).contains(&listener.inode));
    Some(PortHolder {
        address: listener.address,
        pid,
        name: pid.and_then(proc::Stat::read).map(|stat| stat.name).unwrap_or_default(),
        command: pid.map(proc::command_line).unwrap_or_default(),
        uid: listener.uid,
    })
}

/// The TCP addresses the processes listen on, in order.
pub(crate) fn listening(pids: &[u32]) -> Vec<SocketAddr> {
    let held: BTreeSet<u64> = pids.iter().flat_map(|pid| sockets_of(*pid)).collect();
    if held.is_empty() {
        return Vec::new();
    }
    // All of a run share a network namespace, unless they took pains; then the first one's is shown.
    let all = pids.iter().map(|pid| listeners(&pid.to_string())).find(|all| !all.is_empty());
    let by_inode: HashMap<u64, SocketAddr> = all
        .unwrap_or_default()
        .into_iter()
        .map(|listener| (listener.inode, listener.address))
        .collect();
    let found: BTreeSet<SocketAddr> =
        held.iter().filter_map(|inode| by_inode.get(inode).copied()).collect();
    found.into_iter().collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Listener {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

fn listeners(process: &str) -> Vec<Listener> {
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{process}/net/{table}")).ok())
        .flat_map(|text| text.lines().filter_map(parse).collect::<Vec<_>>())
        .collect()
}

fn parse(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = SocketAddr::new(parse_ip(ip)?.to_canonical(), port);
    Some(Listener {
        address,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Addresses stand there as words of four bytes in this machine's order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..hex.len())
        .step_by(8)
        .map(|at| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

fn sockets_of(pid: u32) -> BTreeSet<u64> {
    let folder = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(Path::new(&folder)).into_iter().flatten();
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = holder_of(address.port()).unwrap();
        assert_eq!(holder.address, address);
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(!holder.command.is_empty());
        assert!(holder.to_string().ends_with(&format!("(pid {})", std::process::id())));
        assert!(listening(&[std::process::id()]).contains(&address));
        drop(listener);
        assert_eq!(holder_of(address.port()), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_of_both_kinds_are_read() {
        let line = |ip: &str, state: &str| {
            parse(&format!("0: {ip}:1F90 0:0 {state} 0:0 0:0 0 1000 0 77"))
                .map(|l| l.address.to_string())
        };
        assert_eq!(line("0100007F", "0A").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(line("0100007F", "01"), None);
        assert_eq!(line("00000000000000000000000001000000", "0A").as_deref(), Some("[::1]:8080"));
        assert_eq!(
            line("0000000000000000FFFF00000100007F", "0A").as_deref(),
            Some("127.0.0.1:8080")
        );
        assert_eq!(line("xyz", "0A"), None);
        assert_eq!(parse("  sl  local_address rem_address   st"), None);
    }
}
