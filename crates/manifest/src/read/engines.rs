//! The engines behind what services share.

use super::{Reader, values::text};
use crate::{
    Etcd, KvEngine, Secret, engine, suggest,
    tree::{Node, Value},
};
use base::{Code, Diagnostic};
use std::path::PathBuf;

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
                for key in ["user", "password", "ca", "cert", "key", "prefix"] {
                    if let Some(entry) = node.entry(key) {
                        let message = format!("`{key}` means nothing to the embedded engine");
                        let help = "remove it, or write `url: \"etcd://…\"`";
                        self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", help);
                    }
                }
                KvEngine::Embedded
            }
            None => KvEngine::Embedded,
        }
    }

    fn etcd(&mut self, node: &Node, mut etcd: Etcd) -> Etcd {
        let (user, password) = (node.entry("user"), node.entry("password"));
        match (user, password, &etcd.user) {
            (Some(entry), _, Some(_)) | (_, Some(entry), Some(_)) => {
                let message = format!("`{}` stands here and in `url`", entry.key);
                self.problems.error(
                    Code::BAD_VALUE,
                    &entry.key_mark,
                    message,
                    "",
                    "remove one of them",
                );
            }
            (Some(entry), None, None) | (None, Some(entry), None) => {
                let message = "`user` and `password` go together";
                let label = "the other one is missing";
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, "");
            }
            (Some(user), Some(password), None) => {
                if let (Some(user), Some(password)) = (user.value.text(), password.value.text()) {
                    etcd.user = Some((user.to_owned(), Secret::new(password)));
                }
            }
            (None, None, _) => {}
        }
        for key in ["ca", "cert", "key"] {
            if let (false, Some(entry)) = (etcd.tls, node.entry(key)) {
                let message = format!("`{key}` is for encrypted connections");
                let help = "write `url: \"etcds://…\"`";
                let label = "the url is not encrypted";
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, help);
            }
        }
        let (cert, key) = (node.entry("cert"), node.entry("key"));
        if let (Some(alone), None) | (None, Some(alone)) = (cert, key) {
            let message = "`cert` and `key` go together";
            let label = "the other one is missing";
            self.problems.error(Code::BAD_VALUE, &alone.key_mark, message, label, "");
        }
        etcd.ca = node.get("ca").and_then(|node| self.existing(node));
        let (cert, key) = (node.get("cert"), node.get("key"));
        let cert = cert.and_then(|node| self.existing(node));
        let key = key.and_then(|node| self.existing(node));
        etcd.certificate = cert.zip(key);
        etcd.prefix = text(node.get("prefix")).unwrap_or_default();
        etcd
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
