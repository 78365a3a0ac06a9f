//! A real etcd.

use super::{System, free_port, skip, wait::eventually};
use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A real etcd of one member, on ports of its own.
pub(crate) struct Etcd {
    folder: PathBuf,
    port: u16,
    peer: u16,
    child: Option<Child>,
}

impl Etcd {
    /// Starts one; `None`, and it is said, when there is none on this machine.
    pub(crate) fn start(test: &str, system: &System) -> Option<Self> {
        let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            skip(test, "there is no `etcd` (package etcd-server)");
            return None;
        }
        let folder = system.dir().join("etcd");
        let mut etcd = Self { folder, port: free_port(), peer: free_port(), child: None };
        etcd.run();
        Some(etcd)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, for the first time or again, over the same folder.
    pub(crate) fn run(&mut self) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let (client, peer) = (url(self.port), url(self.peer));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(&self.folder);
        for (name, value) in [
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
        ] {
            command.args([name, value]);
        }
        command.args(["--initial-cluster", &format!("default={peer}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let port = self.port;
        eventually("etcd", || TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
