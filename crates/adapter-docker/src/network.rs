//! The network that the containers of one system share.
//!
//! It is named `flotilla-<system>`; when another checkout of a system with that name has it already, a hash of
//! the state directory is added, because service names must mean this system's services.

use crate::{
    Config,
    engine::{Down, Engine, is_missing},
    plan::{LABEL_HOME, LABEL_SYSTEM, safe_name},
};
use bollard::{
    Docker,
    models::{NetworkCreateRequest, NetworkInspect},
    query_parameters::InspectNetworkOptions,
};
use ports::host::Error;
use std::{
    collections::HashMap,
    net::{IpAddr, TcpListener},
};

/// A network that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub name: String,
    /// This machine's address on it, when the network ends on this machine and not in a virtual one.
    pub gateway: Option<IpAddr>,
}

/// The system's network; makes it when it is not there.
pub(crate) async fn ensure(
    engine: &Engine,
    docker: &Docker,
    config: &Config,
) -> Result<Network, Error> {
    let plain = format!("flotilla-{}", safe_name(&config.system));
    let home = config.state_dir.to_string_lossy();
    let own = format!("{plain}-{:08x}", hash(home.as_bytes()));
    for name in [plain, own] {
        let found = match inspect(docker, &name).await {
            Err(e) if is_missing(&e) => {
                let made = docker.create_network(request(&name, config)).await;
                made.map_err(|e| refused(engine, &name, e))?;
                inspect(docker, &name).await
            }
            other => other,
        };
        let found = found.map_err(|e| refused(engine, &name, e))?;
        if found
            .labels
            .as_ref()
            .and_then(|labels| labels.get(LABEL_HOME))
            .is_some_and(|it| **it == *home)
        {
            return Ok(Network { gateway: gateway(&found), name });
        }
    }
    Err(Error::Unavailable {
        what: format!("no network for {} can be made", config.system),
        cause: "networks of both names belong to somebody else".into(),
    })
}

async fn inspect(docker: &Docker, name: &str) -> Result<NetworkInspect, bollard::errors::Error> {
    docker.inspect_network(name, None::<InspectNetworkOptions>).await
}

fn request(name: &str, config: &Config) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(HashMap::from([
            (LABEL_SYSTEM.to_owned(), config.system.clone()),
            (LABEL_HOME.to_owned(), config.state_dir.to_string_lossy().into_owned()),
        ])),
        ..NetworkCreateRequest::default()
    }
}

fn refused(engine: &Engine, name: &str, answer: bollard::errors::Error) -> Error {
    if crate::engine::answered(&answer).is_none() {
        return engine.unavailable(Down::new(&engine.address, &answer));
    }
    Error::Unavailable {
        what: format!("the Docker engine did not make network `{name}`"),
        cause: Box::new(answer),
    }
}

/// The gateway's address if it is one of this machine's. With an engine in a virtual machine (Docker Desktop)
/// or in a namespace (rootless) it is not, and nothing here can listen on it.
fn gateway(network: &NetworkInspect) -> Option<IpAddr> {
    let pools = network.ipam.as_ref()?.config.as_ref()?;
    pools
        .iter()
        .filter_map(|pool| pool.gateway.as_ref()?.split('/').next()?.parse::<IpAddr>().ok())
        .find(|ip| ip.is_ipv4() && TcpListener::bind((*ip, 0)).is_ok())
}

/// FNV-1a, 32 bits: must be the same in every build, unlike the standard library's.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
