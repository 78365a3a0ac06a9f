//! Whether the ports that the file fixes are free, and who holds them otherwise.

use super::Finding;
use manifest::{Program, System};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

const GROUP: &str = "ports";

/// Looks at every fixed port. `node` is the process id of the node that runs this system already: what it and
/// its instances hold is theirs.
pub(super) fn look(system: &System, node: Option<u32>) -> Vec<Finding> {
    if let Some(pid) = node {
        return vec![Finding::good(
            GROUP,
            "all",
            format!("held by the running system (pid {pid})"),
        )];
    }
    let mut findings = Vec::new();
    if let Some(listen) = system.gateway.listen {
        findings.push(port(&format!("gateway {listen}"), listen, "gateway.listen"));
    }
    findings.push(port(&format!("admin {}", system.admin), system.admin, "admin.listen"));
    for service in &system.services {
        if let (Some(number), false) = (service.port, is_container(&service.program)) {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
            findings.push(port(
                &format!("{} port {number}", service.name),
                at,
                &format!("services.{}.port", service.name),
            ));
        }
        if let Program::Container(container) = &service.program {
            for (host, _) in &container.publish {
                let at = SocketAddr::from((Ipv4Addr::LOCALHOST, *host));
                findings.push(port(
                    &format!("{} publishes {host}", service.name),
                    at,
                    &format!("services.{}.ports", service.name),
                ));
            }
        }
    }
    findings
}

fn is_container(program: &Program) -> bool {
    matches!(program, Program::Container(_))
}

/// Tries to listen there.
fn port(what: &str, at: SocketAddr, key: &str) -> Finding {
    match TcpListener::bind(at) {
        Ok(_) => Finding::good(GROUP, what, "free"),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let holder = adapter_local::holder_of(at.port()).map_or_else(
                || "a process that cannot be seen".to_owned(),
                |holder| holder.to_string(),
            );
            Finding::fail(
                GROUP,
                what,
                format!("held by {holder}"),
                format!("end it, or change `{key}`"),
            )
        }
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Finding::fail(
            GROUP,
            what,
            "this user may not listen there",
            format!("use a port above 1023 in `{key}`, or grant CAP_NET_BIND_SERVICE"),
        ),
        Err(e) => Finding::fail(GROUP, what, e.to_string(), format!("change `{key}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn a_port_that_is_taken_is_named_with_its_holder_and_the_key_to_change() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let found = port("gateway", at, "gateway.listen");
        assert_eq!(found.level, Level::Fail);
        assert!(found.found.contains(&format!("pid {}", std::process::id())), "{}", found.found);
        assert!(found.help.unwrap().contains("`gateway.listen`"));
        drop(taken);
        assert_eq!(port("gateway", at, "gateway.listen").level, Level::Good);
    }
}
