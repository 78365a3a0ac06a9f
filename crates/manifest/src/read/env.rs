//! The environment of a service: `env_file`, then `env` over it.

use super::Reader;
use crate::{
    dotenv, secret, suggest,
    tree::{Node, Value},
};
use base::{Code, Diagnostic};
use std::collections::BTreeMap;

impl Reader<'_> {
    pub(super) fn env(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for file in node.get("env_file").map(Node::texts).unwrap_or_default() {
            let text = file.text().unwrap_or_default();
            let source = file.mark.source.clone();
            let path = source.dir.join(text);
            match dotenv::read(&path, &source.sibling_name(text), self.problems) {
                Ok(vars) => all.extend(vars),
                Err(problem) => {
                    let near = suggest::near_path(&path, true);
                    let mut problem = problem.at(file.mark.place(), "named here");
                    if let Some(near) = near {
                        problem = problem.help(format!("did you mean `{near}`?"));
                    }
                    self.problems.add(problem);
                }
            }
        }
        for entry in node.get("env").map(Node::entries).unwrap_or_default() {
            self.reserved(&entry.key, &entry.key_mark);
            match &entry.value.value {
                Value::Scalar(text) => {
                    all.insert(entry.key.clone(), text.clone());
                }
                Value::Null => match self.context.vars.get(&entry.key) {
                    Some(value) if value.contains(secret::START) => {
                        let message = format!("the value of `{}` asks for a secret", entry.key);
                        let label = "only the file itself may do so";
                        let help = format!("write `{}: \"${{secret:NAME}}\"`", entry.key);
                        self.problems.error(
                            Code::BAD_VALUE,
                            &entry.key_mark,
                            message,
                            label,
                            &help,
                        );
                    }
                    Some(value) => {
                        all.insert(entry.key.clone(), value.clone());
                    }
                    None => {
                        let message =
                            format!("the environment variable `{}` is not set", entry.key);
                        let problem = Diagnostic::error(Code::VARIABLE, message)
                            .at(
                                entry.key_mark.place(),
                                "a key without a value passes the node's variable on",
                            )
                            .help(format!("set it, or give it a value: `{}: \"\"`", entry.key));
                        self.problems.add(problem);
                    }
                },
                Value::List(_) | Value::Map(_) | Value::Unknown => {}
            }
        }
        all
    }

    /// Names that cannot be set by the file.
    fn reserved(&mut self, name: &str, mark: &crate::source::Mark) {
        let (label, help) = if name == "PORT" {
            (
                "every instance is given its own port",
                "write `port: 3000` when it cannot follow `$PORT`",
            )
        } else if name.starts_with("FLOTILLA_") {
            ("names that begin with FLOTILLA_ are ours", "call it differently")
        } else if name.is_empty() || name.contains(['=', '\0']) {
            ("a name has neither `=` nor NUL", "write `NAME: value`")
        } else {
            return;
        };
        let message = format!("the environment variable `{name}` cannot be set");
        self.problems.error(Code::BAD_VALUE, mark, message, label, help);
    }
}
