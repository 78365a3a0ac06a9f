//! The servers, each on a folder for what it keeps, which outlives it.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    bench::server::{Folder, Server, free_addresses},
    process,
};

/// Of which version on nats-server can be told to sync before it acknowledges.
const SYNCS_FROM: [u32; 2] = [2, 10];

/// The version of nats-server, if it is there.
pub(super) fn nats_version() -> Option<[u32; 3]> {
    let output = Command::new(process::which("nats-server")?).arg("--version").output().ok()?;
    // `nats-server: v2.9.10`
    version(&String::from_utf8_lossy(&output.stdout))
}

fn version(text: &str) -> Option<[u32; 3]> {
    let (_, text) = text.trim().rsplit_once('v')?;
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

pub(super) fn nats_can_sync(version: [u32; 3]) -> bool {
    version[..2] >= SYNCS_FROM[..]
}

/// NATS with JetStream. `is_synced`: it acknowledges what is synced; otherwise as it comes.
pub(super) fn nats(data: &Path, is_synced: bool) -> Result<(Server, String)> {
    let program = process::which("nats-server").context("nats-server is not installed")?;
    let folder = Folder::new()?;
    let [address] = free_addresses()?;
    let sync = if is_synced { "sync_interval: always" } else { "" };
    let data = data.display();
    let config = format!(
        "listen: \"{address}\"\n\
         jetstream {{\n  store_dir: \"{data}\"\n  max_memory_store: 1GB\n  max_file_store: 16GB\n  {sync}\n}}\n"
    );
    let config = folder.write("nats.conf", &config)?;
    let command = [program, "--config".into(), config].map(|word| word.display().to_string());
    Ok((Server::start("nats-server", folder, &command, &[address])?, address.to_string()))
}

/// Redis that acknowledges what is synced.
pub(super) fn redis(data: &Path) -> Result<(Server, String)> {
    let program = process::which("redis-server").context("redis-server is not installed")?;
    let folder = Folder::new()?;
    let [address] = free_addresses()?;
    let command = [
        &program.display().to_string(),
        "--bind",
        "127.0.0.1",
        "--port",
        &address.port().to_string(),
        "--dir",
        &data.display().to_string(),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
    ];
    let command = command.map(str::to_owned);
    Ok((Server::start("redis-server", folder, &command, &[address])?, address.to_string()))
}

/// Ends a server as a crash would.
pub(super) fn kill(server: Server) -> Result<()> {
    let pid = server.pid().to_string();
    if !Command::new("kill").args(["-KILL", &pid]).status().context("cannot start kill")?.success()
    {
        bail!("process {pid} was gone before it was to be killed:\n{}", server.output());
    }
    // Waits for it.
    drop(server);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_which_nats_server_syncs() {
        let check = |text: &str, expected: Option<bool>| {
            assert_eq!(version(text).map(nats_can_sync), expected, "{text}");
        };
        check("nats-server: v2.9.10\n", Some(false));
        check("nats-server: v2.10.0\n", Some(true));
        check("nats-server: v2.15.1-beta.1\n", Some(true));
        check("nats-server: v3.0.0\n", Some(true));
        check("nats-server: unknown\n", None);
    }
}
