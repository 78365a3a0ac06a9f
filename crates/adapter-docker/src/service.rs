//! Ownership of the tasks that watch containers, and the end of a system's containers.

use crate::{
    Config, DOCKER_SOCKET, Error, Lifetime,
    engine::{Address, Engine, is_missing},
    plan, tail,
};
use bollard::{
    Docker,
    models::ContainerSummary,
    query_parameters::{ListContainersOptions, ListNetworksOptions, RemoveContainerOptions},
};
use runtime::TaskSet;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tracing::warn;

/// How long the watchers may take to stop: each finishes the batch it writes.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Owns what watches the containers. Keep it as long as the [`crate::DockerHost`] is used; dropping it stops
/// watching without a word.
pub struct Service {
    pub(crate) tasks: Arc<Mutex<TaskSet>>,
    pub(crate) config: Config,
    /// Whether the engine was ever needed; otherwise there is nothing to end.
    pub(crate) engine: Arc<Engine>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Service {
    /// Stops watching. With [`Lifetime::EndsWithNode`] it also removes the system's containers and network, those that
    /// the supervisor did not stop included.
    ///
    /// # Errors
    /// When the containers cannot be removed; call [`sweep`] later.
    pub async fn shutdown(self) -> Result<(), Error> {
        let tasks = std::mem::replace(
            &mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner),
            TaskSet::new("docker: stopped"),
        );
        tasks.shutdown(STOP_TIME_MAX).await;
        if self.config.lifetime == Lifetime::EndsWithNode && self.engine.known_facts().is_some() {
            sweep(&self.config).await?;
        }
        Ok(())
    }
}

/// Removes every container and network of the system, running or not, and what is kept about them. Returns how many
/// containers there were. For whoever cleans up after a node that was killed; nothing else may use them meanwhile.
///
/// # Errors
/// `Address`, `Down`, or `Engine` when one cannot be removed; call again.
/// # Cancel safety
/// Cancel safe: what is removed is removed, the rest is left.
pub async fn sweep(config: &Config) -> Result<usize, Error> {
    let engine = Engine::new(address(config)?);
    let (docker, _) = engine.link().await.map_err(Error::Down)?;
    let found = list(&docker, config).await.map_err(|e| asked("list containers", e))?;
    for container in &found {
        let name = container.id.as_deref().unwrap_or_default();
        remove(&docker, name).await.map_err(|e| asked("remove a container", e))?;
        if let Some(labels) = container.labels.as_ref().and_then(plan::Labels::read) {
            let file = tail::place_file(&config.state_dir, &labels.run.0);
            runtime::blocking(move || drop(std::fs::remove_file(file))).await;
        }
    }
    let networks = ListNetworksOptions { filters: Some(plan::own(config)) };
    for network in
        docker.list_networks(Some(networks)).await.map_err(|e| asked("list networks", e))?
    {
        let name = network.id.or(network.name).unwrap_or_default();
        match docker.remove_network(&name).await {
            Err(e) if !is_missing(&e) => {
                // Somebody attached a container of their own; the network costs nothing.
                warn!(network = name, error = %base::ErrorChain(&e), "cannot remove a network");
            }
            _ => {}
        }
    }
    Ok(found.len())
}

fn asked(what: &str, cause: bollard::errors::Error) -> Error {
    Error::Engine { what: what.to_owned(), cause: Box::new(cause) }
}

pub(crate) fn address(config: &Config) -> Result<Address, Error> {
    let text =
        config.docker_host.as_deref().filter(|text| !text.is_empty()).unwrap_or(DOCKER_SOCKET);
    Address::parse(text).map_err(|cause| Error::Address { address: text.to_owned(), cause })
}

/// All containers of the system, also those that have ended.
pub(crate) async fn list(
    docker: &Docker,
    config: &Config,
) -> Result<Vec<ContainerSummary>, bollard::errors::Error> {
    let filters = Some(plan::own(config));
    docker
        .list_containers(Some(ListContainersOptions { all: true, filters, ..Default::default() }))
        .await
}

/// Kills and removes a container and its anonymous volumes. One that is gone is no error.
pub(crate) async fn remove(docker: &Docker, name: &str) -> Result<(), bollard::errors::Error> {
    let options = RemoveContainerOptions { v: true, force: true, link: false };
    match docker.remove_container(name, Some(options)).await {
        Err(e) if is_missing(&e) => Ok(()),
        // Somebody else is removing it at this moment.
        Err(e) if crate::engine::answered(&e).is_some_and(|(status, _)| status == 409) => Ok(()),
        other => other,
    }
}
