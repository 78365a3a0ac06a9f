//! One service of a compose file.

use super::{Convert, deploy::size, not_honoured};
use crate::{
    detect::shell_word,
    read,
    source::Mark,
    tree::{Entry, Node, Value},
};
use base::Code;

/// Ports of images that people use without naming the port, because in a Docker network they need not.
const KNOWN_PORTS: &[(&str, &str)] = &[
    ("postgres", "5432"),
    ("postgis", "5432"),
    ("mysql", "3306"),
    ("mariadb", "3306"),
    ("redis", "6379"),
    ("valkey", "6379"),
    ("mongo", "27017"),
    ("rabbitmq", "5672"),
    ("nats", "4222"),
    ("memcached", "11211"),
    ("elasticsearch", "9200"),
    ("opensearch", "9200"),
    ("nginx", "80"),
    ("httpd", "80"),
    ("caddy", "80"),
    ("minio", "9000"),
    ("etcd", "2379"),
];

/// What a service has become so far.
pub(super) struct Parts {
    out: Node,
    mark: Mark,
}

impl Parts {
    pub(super) fn put(&mut self, key: &str, mark: &Mark, value: Node) {
        self.out.set(Entry::new(key, mark, value));
    }

    pub(super) fn policy(&mut self, mark: &Mark, word: &str) {
        self.put("restart", mark, Node::scalar(mark, word));
    }

    /// Sets a key inside `outer`.
    pub(super) fn put_in(&mut self, outer: &str, key: &str, mark: &Mark, value: Node) {
        let mut map = self.out.get(outer).cloned().unwrap_or_else(|| Node::map(mark, Vec::new()));
        map.set(Entry::new(key, mark, value));
        self.put(outer, mark, map);
    }
}

impl Convert<'_> {
    /// Translates one service; `None` when its profile is not active.
    pub(super) fn service(&mut self, service: &Entry) -> Option<Entry> {
        let owner = service.key.as_str();
        if self.skipped.contains(owner) {
            let mark =
                service.value.entry("profiles").map_or(&service.key_mark, |entry| &entry.key_mark);
            let message = format!("service `{owner}` is left out: its profile is not active");
            self.problems.warning(
                Code::NOT_HONOURED,
                mark,
                message,
                "",
                "set COMPOSE_PROFILES to start it",
            );
            return None;
        }
        let mark = service.key_mark.clone();
        let mut parts = Parts { out: Node::map(&mark, Vec::new()), mark: mark.clone() };
        parts.put("dir", &mark, Node::scalar(&mark, "."));
        if !self.jobs.contains(owner) {
            // Compose starts nothing again by itself; what ended well stays ended, what failed is tried again.
            parts.put("restart", &mark, Node::scalar(&mark, "on_failure"));
        }
        if let Some(image) = service.value.entry("image") {
            parts.put("image", &image.key_mark, image.value.clone());
        }
        for entry in service.value.entries() {
            self.key(owner, entry, &mut parts);
        }
        if service.value.get("image").is_none() && service.value.get("build").is_none() {
            let message = format!("service `{owner}` has neither `image` nor `build`");
            self.problems.error(Code::NO_COMMAND, &mark, message, "", "write `image: name:tag`");
            parts.put("image", &mark, Node { mark: mark.clone(), value: Value::Unknown });
        }
        self.port_of(owner, &mut parts);
        let name = self.name(owner, &mark);
        Some(Entry::new(name, &mark, parts.out))
    }

    /// Compose allows `my_db`; a name here is a DNS label.
    fn name(&mut self, owner: &str, mark: &Mark) -> String {
        let name = read::to_name(owner);
        if name != owner && !name.is_empty() {
            let message = format!("service `{owner}` is called `{name}` here");
            self.problems.warning(
                Code::NOT_HONOURED,
                mark,
                message,
                "a name is a DNS label",
                &format!("call it `{name}`"),
            );
            return name;
        }
        owner.to_owned()
    }

    fn key(&mut self, owner: &str, entry: &Entry, parts: &mut Parts) {
        let Entry { key, key_mark, value } = entry;
        match key.as_str() {
            "build" => self.build(owner, entry, parts),
            "command" | "entrypoint" if matches!(value.value, Value::Null) => {}
            "command" | "entrypoint" | "env_file" | "user" => self.same(owner, entry, parts),
            "working_dir" => parts.put("workdir", key_mark, value.clone()),
            "environment" => self.environment(entry, parts),
            "volumes" => {
                let mounts = self.mounts(owner, entry);
                parts.put("volumes", key_mark, mounts);
            }
            "ports" if self.jobs.contains(owner) => {
                not_honoured(self.problems, key, owner, key_mark);
            }
            "ports" => {
                let (own, published) = self.ports(owner, entry);
                if let Some(own) = own {
                    parts.put("port", key_mark, own);
                }
                if !published.is_empty() {
                    parts.put("publish", key_mark, Node::list(&value.mark, published));
                }
            }
            "expose" => {
                let first = value.texts().first().copied();
                if let (Some(first), None, false) =
                    (first, parts.out.get("port"), self.jobs.contains(owner))
                {
                    let port = first.text().unwrap_or_default().trim_end_matches("/tcp");
                    parts.put("port", key_mark, Node::scalar(&first.mark, port));
                }
            }
            "depends_on" => self.depends_on(owner, entry, parts),
            "healthcheck" if self.jobs.contains(owner) => {
                not_honoured(self.problems, key, owner, key_mark);
            }
            "healthcheck" => self.healthcheck(owner, entry, parts),
            "deploy" => self.deploy(owner, entry, parts),
            "scale" => parts.put("instances", key_mark, value.clone()),
            "restart" => self.restart(owner, value, parts),
            "stop_signal" => parts.put_in("stop", "signal", key_mark, value.clone()),
            "stop_grace_period" => parts.put_in("stop", "grace", key_mark, value.clone()),
            "mem_limit" => parts.put_in("limits", "memory", key_mark, size(value)),
            "cpus" => parts.put_in("limits", "cpu", key_mark, value.clone()),
            "pids_limit" => parts.put_in("limits", "pids", key_mark, value.clone()),
            "image" | "profiles" | "extends" => {}
            key if key.starts_with("x-") => {}
            key => not_honoured(self.problems, key, owner, key_mark),
        }
    }

    /// A key that is called the same here; `env_file` may hold maps.
    fn same(&mut self, owner: &str, entry: &Entry, parts: &mut Parts) {
        let mut value = entry.value.clone();
        if let (Value::List(items), "env_file") = (&mut value.value, entry.key.as_str()) {
            let given = std::mem::take(items);
            for item in given {
                match item.get("path") {
                    None => items.push(item),
                    Some(path) => {
                        let optional = item.get("required").and_then(Node::text) == Some("false");
                        let there = path
                            .text()
                            .is_some_and(|text| path.mark.source.dir.join(text).is_file());
                        if there || !optional {
                            items.push(path.clone());
                        }
                        for part in item
                            .entries()
                            .iter()
                            .filter(|part| !matches!(part.key.as_str(), "path" | "required"))
                        {
                            not_honoured(
                                self.problems,
                                &format!("env_file.{}", part.key),
                                owner,
                                &part.key_mark,
                            );
                        }
                    }
                }
            }
        }
        parts.put(&entry.key, &entry.key_mark, value);
    }

    /// `build:` becomes a line that builds the image before the start.
    fn build(&mut self, owner: &str, entry: &Entry, parts: &mut Parts) {
        let mark = &entry.key_mark;
        let node = &entry.value;
        let given = parts.out.get("image").and_then(Node::text).map(str::to_owned);
        let image = given
            .clone()
            .unwrap_or_else(|| format!("flotilla/{}-{}", self.project, read::to_name(owner)));
        let context = if node.text().is_some() { Some(node) } else { node.get("context") };
        let folder = context.and_then(Node::text).unwrap_or(".");
        let mut line = format!("docker build -t {}", shell_word(&image));
        for part in node.entries() {
            let text = part.value.text().unwrap_or_default();
            match part.key.as_str() {
                "context" => {}
                "dockerfile" => line.push_str(&format!(" -f {}", shell_word(text))),
                "target" => line.push_str(&format!(" --target {}", shell_word(text))),
                "args" => {
                    for (name, value) in pairs(&part.value) {
                        let arg =
                            value.map_or_else(|| name.clone(), |value| format!("{name}={value}"));
                        line.push_str(&format!(" --build-arg {}", shell_word(&arg)));
                    }
                }
                key => not_honoured(self.problems, &format!("build.{key}"), owner, &part.key_mark),
            }
        }
        if folder.contains("://") {
            line.push_str(&format!(" {}", shell_word(folder)));
        } else {
            parts.put("dir", mark, Node::scalar(context.map_or(mark, |node| &node.mark), folder));
            line.push_str(" .");
        }
        parts.put("build", mark, Node::scalar(mark, line));
        if given.is_none() {
            parts.put("image", mark, Node::scalar(mark, image));
        }
    }

    fn environment(&mut self, entry: &Entry, parts: &mut Parts) {
        if entry.value.text().is_some() {
            self.wrong("environment", &entry.value, "a map or a list of KEY=VALUE");
        }
        let mark = &entry.value.mark;
        let nodes: Vec<(String, Mark, Option<String>)> = match &entry.value.value {
            Value::List(items) => items
                .iter()
                .filter_map(|item| {
                    let text = item.text()?;
                    let (name, value) = text
                        .split_once('=')
                        .map_or((text, None), |(name, value)| (name, Some(value)));
                    Some((name.to_owned(), item.mark.clone(), value.map(str::to_owned)))
                })
                .collect(),
            _ => entry
                .value
                .entries()
                .iter()
                .map(|item| {
                    (
                        item.key.clone(),
                        item.value.mark.clone(),
                        item.value.text().map(str::to_owned),
                    )
                })
                .collect(),
        };
        let mut env = Vec::new();
        for (name, at, value) in nodes {
            // A name alone takes the value from the environment, and is left out when it is not there.
            let Some(value) = value.or_else(|| self.vars.get(&name).cloned()) else { continue };
            if name == "PORT" {
                // Flotilla sets PORT; what the file says is where the program listens.
                if parts.out.get("port").is_none() && value.parse::<u16>().is_ok() {
                    parts.put("port", &at, Node::scalar(&at, value));
                }
                continue;
            }
            env.push(Entry::new(name, &at, Node::scalar(&at, value)));
        }
        parts.put("env", &entry.key_mark, Node::map(mark, env));
    }

    fn depends_on(&mut self, owner: &str, entry: &Entry, parts: &mut Parts) {
        let mut needs = Vec::new();
        if entry.value.text().is_some() {
            self.wrong("depends_on", &entry.value, "a list or a map");
        }
        for item in entry.value.texts() {
            needs.extend(self.need(item.text().unwrap_or_default(), &item.mark, None, &item.mark));
        }
        for item in entry.value.entries() {
            for part in item.value.entries() {
                let harmless = part.key == "restart" && part.value.text() == Some("false");
                if !matches!(part.key.as_str(), "condition" | "required") && !harmless {
                    not_honoured(
                        self.problems,
                        &format!("depends_on.{}", part.key),
                        owner,
                        &part.key_mark,
                    );
                }
            }
            let condition = item.value.get("condition");
            let mark = condition.map_or(&item.key_mark, |node| &node.mark);
            needs.extend(self.need(&item.key, &item.key_mark, condition, mark));
        }
        parts.put("needs", &entry.key_mark, Node::map(&entry.value.mark, needs));
    }

    fn need(
        &mut self,
        name: &str,
        mark: &Mark,
        condition: Option<&Node>,
        condition_mark: &Mark,
    ) -> Option<Entry> {
        if self.skipped.contains(name) {
            let message = format!("`{name}` is not waited for: its profile is not active");
            self.problems.warning(
                Code::NOT_HONOURED,
                mark,
                message,
                "",
                "set COMPOSE_PROFILES to start it",
            );
            return None;
        }
        let word = match condition.and_then(Node::text) {
            _ if self.jobs.contains(name) => "completed",
            None | Some("service_started") => "started",
            Some("service_healthy") => "ready",
            Some("service_completed_successfully") => "completed",
            Some(other) => {
                let message = format!("`{other}` is not a condition");
                let help =
                    "write service_started, service_healthy or service_completed_successfully";
                self.problems.error(Code::BAD_VALUE, condition_mark, message, "", help);
                "started"
            }
        };
        let target = read::to_name(name);
        let target = if target.is_empty() { name.to_owned() } else { target };
        Some(Entry::new(target, mark, Node::scalar(condition_mark, word)))
    }

    fn restart(&mut self, owner: &str, value: &Node, parts: &mut Parts) {
        match value.text() {
            Some("no" | "false") => parts.policy(&value.mark, "never"),
            Some("always" | "unless-stopped") if self.jobs.contains(owner) => {
                not_honoured(self.problems, "restart", owner, &value.mark);
            }
            Some("always" | "unless-stopped") => parts.policy(&value.mark, "always"),
            Some("on-failure") => parts.policy(&value.mark, "on_failure"),
            Some(text) if text.starts_with("on-failure:") => {
                parts.policy(&value.mark, "on_failure");
                not_honoured(self.problems, "the number of restarts", owner, &value.mark);
            }
            Some(other) => {
                let message = format!("`{other}` is not a restart policy");
                let help = "write \"no\", always, on-failure or unless-stopped";
                self.problems.error(Code::BAD_VALUE, &value.mark, message, "", help);
            }
            None => self.wrong("restart", value, "a policy such as always"),
        }
    }

    /// Which port it listens on, when the file does not say; without one it gets no traffic.
    fn port_of(&mut self, owner: &str, parts: &mut Parts) {
        if self.jobs.contains(owner) {
            for key in ["port", "publish", "instances", "health"] {
                parts.out.remove(key);
            }
            return;
        }
        if parts.out.get("port").is_some() {
            return;
        }
        let image = parts.out.get("image").and_then(Node::text).unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        let name = last.split([':', '@']).next().unwrap_or_default();
        let known = KNOWN_PORTS.iter().find(|(image, _)| *image == name).map(|(_, port)| *port);
        let mark = parts.mark.clone();
        match known {
            Some(port) => parts.put("port", &mark, Node::scalar(&mark, port)),
            None => parts.put("listen", &mark, Node::scalar(&mark, "false")),
        }
    }
}

/// `KEY=VALUE` items or a map.
fn pairs(node: &Node) -> Vec<(String, Option<String>)> {
    let listed =
        node.items().iter().filter_map(Node::text).map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        });
    let mapped = node
        .entries()
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.text().map(str::to_owned)));
    listed.chain(mapped).collect()
}
