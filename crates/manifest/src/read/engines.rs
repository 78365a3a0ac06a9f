//! The engines behind what services share.

use super::{
    Reader,
    values::{text, whole},
};
use crate::{
    BrokerEngine, Etcd, KvEngine, Nats, Secret, engine,
    shape::names::BROKER_PREFIX_LEN_MAX,
    suggest,
    tree::{Node, Value},
};
use base::{Code, Diagnostic};
use std::path::PathBuf;

/// An authority, and a certificate with its key.
type Certificates = (Option<PathBuf>, Option<(PathBuf, PathBuf)>);

impl Reader<'_> {
    pub(super) fn kv(&mut self, node: &Node) -> KvEngine {
        let url = if node.text().is_some() { Some(node) } else { node.get("url") };
        if url.is_none() && matches!(node.value, Value::Map(_) | Value::Null) {
            let help = "write `url: \"etcd://host:2379\"`";
            self.problems.error(Code::BAD_VALUE, &node.mark, "`kv` has no `url`", "", help);
        }
        // What is no engine was refused by the check.
        let read = url.and_then(Node::text).and_then(|text| engine::kv(text).ok());
        match read {
            Some(KvEngine::Etcd(etcd)) => KvEngine::Etcd(self.etcd(node, etcd)),
            Some(KvEngine::Embedded) => {
                let keys = ["user", "password", "ca", "cert", "key", "prefix"];
                self.means_nothing(node, &keys, "etcd");
                KvEngine::Embedded
            }
            None => KvEngine::Embedded,
        }
    }

    fn etcd(&mut self, node: &Node, mut etcd: Etcd) -> Etcd {
        if !self.said_twice(node, &["user", "password"], etcd.user.is_some()) {
            etcd.user = self.credentials(node).or(etcd.user);
        }
        (etcd.ca, etcd.certificate) = self.certificates(node, etcd.tls, "etcds");
        etcd.prefix = text(node.get("prefix")).unwrap_or_default();
        etcd
    }

    pub(super) fn broker(&mut self, node: &Node) -> BrokerEngine {
        let url = if node.text().is_some() { Some(node) } else { node.get("url") };
        if url.is_none() && matches!(node.value, Value::Map(_) | Value::Null) {
            let help = "write `url: \"nats://host:4222\"`";
            self.problems.error(Code::BAD_VALUE, &node.mark, "`broker` has no `url`", "", help);
        }
        // What is no broker was refused by the check.
        match url.and_then(Node::text).and_then(|text| engine::broker(text).ok()) {
            Some(BrokerEngine::Nats(nats)) => BrokerEngine::Nats(self.nats(node, nats)),
            Some(BrokerEngine::Embedded) => {
                let keys = ["user", "password", "token", "ca", "cert", "key", "prefix", "replicas"];
                self.means_nothing(node, &keys, "nats");
                BrokerEngine::Embedded
            }
            None => BrokerEngine::Embedded,
        }
    }

    fn nats(&mut self, node: &Node, mut nats: Nats) -> Nats {
        let is_said = nats.user.is_some() || nats.token.is_some();
        if !self.said_twice(node, &["user", "password", "token"], is_said) {
            nats.user = self.credentials(node).or(nats.user);
            nats.token = text(node.get("token")).map(Secret::new).or(nats.token);
        }
        if let (Some(entry), true) = (node.entry("token"), node.entry("user").is_some()) {
            let message = "`token` and `user` exclude each other";
            let help = "remove one of them";
            self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", help);
        }
        (nats.ca, nats.certificate) = self.certificates(node, nats.tls, "natss");
        nats.prefix = text(node.get("prefix")).unwrap_or_else(|| self.system.clone());
        if node.get("prefix").is_none() && nats.prefix.len() > BROKER_PREFIX_LEN_MAX {
            let message = "the system's name is too long to stand before names in the cluster";
            let label =
                format!("`{}` has more than {BROKER_PREFIX_LEN_MAX} characters", nats.prefix);
            let help = "write `prefix:` beside `url:`";
            self.problems.error(Code::BAD_VALUE, &node.mark, message, &label, help);
        }
        nats.replicas = whole(node.get("replicas")).unwrap_or(nats.replicas);
        nats
    }

    /// Reports keys that only an engine elsewhere has.
    fn means_nothing(&mut self, node: &Node, keys: &[&str], scheme: &str) {
        for entry in keys.iter().filter_map(|key| node.entry(key)) {
            let message = format!("`{}` means nothing to the embedded engine", entry.key);
            let help = format!("remove it, or write `url: \"{scheme}://…\"`");
            self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", &help);
        }
    }

    /// Reports that `url` says too who is who.
    fn said_twice(&mut self, node: &Node, keys: &[&str], is_in_url: bool) -> bool {
        let first = keys.iter().filter(|_| is_in_url).find_map(|key| node.entry(key));
        if let Some(entry) = first {
            let message = format!("`{}` stands here and in `url`", entry.key);
            let help = "remove one of them";
            self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", help);
        }
        first.is_some()
    }

    /// `user` and `password`.
    fn credentials(&mut self, node: &Node) -> Option<(String, Secret)> {
        match (node.entry("user"), node.entry("password")) {
            (Some(user), Some(password)) => {
                let (user, password) = (user.value.text()?, password.value.text()?);
                Some((user.to_owned(), Secret::new(password)))
            }
            (Some(entry), None) | (None, Some(entry)) => {
                let message = "`user` and `password` go together";
                let label = "the other one is missing";
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, "");
                None
            }
            (None, None) => None,
        }
    }

    /// `ca`, and `cert` with `key`.
    fn certificates(&mut self, node: &Node, tls: bool, scheme: &str) -> Certificates {
        for key in ["ca", "cert", "key"] {
            if let (false, Some(entry)) = (tls, node.entry(key)) {
                let message = format!("`{key}` is for encrypted connections");
                let help = format!("write `url: \"{scheme}://…\"`");
                let label = "the url is not encrypted";
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, &help);
            }
        }
        let (cert, key) = (node.entry("cert"), node.entry("key"));
        if let (Some(alone), None) | (None, Some(alone)) = (cert, key) {
            let message = "`cert` and `key` go together";
            let label = "the other one is missing";
            self.problems.error(Code::BAD_VALUE, &alone.key_mark, message, label, "");
        }
        let ca = node.get("ca").and_then(|node| self.existing(node));
        let cert = cert.and_then(|entry| self.existing(&entry.value));
        let key = key.and_then(|entry| self.existing(&entry.value));
        (ca, cert.zip(key))
    }

    /// The file that a node names, reported when it is not there.
    pub(super) fn existing(&mut self, node: &Node) -> Option<PathBuf> {
        let text = node.text()?;
        let path = super::program::normal(&node.mark.source.dir.join(text));
        if path.is_file() {
            return Some(path);
        }
        let what = if path.exists() { "is not a file" } else { "does not exist" };
        let message = format!("the file `{text}` {what}");
        let near = suggest::near_path(&path, true);
        let label = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
        let problem = Diagnostic::error(Code::MISSING_FILE, message).at(node.mark.place(), label);
        self.problems.add(problem.note(format!("looked for {}", path.display())));
        None
    }
}
