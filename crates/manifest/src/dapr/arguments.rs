//! The command lines of `dapr run` and `daprd`, as what a `dapr.yaml` would say.
//!
//! Both start one app's API; `dapr run` starts the app too. What they are asked for is written as a file, so that it is
//! read, checked and run like every other one.

mod flags;

use flags::{FLAGS, Flag};
use std::fmt::Write as _;

/// Which of the two was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `dapr run`.
    Run,
    /// `daprd`.
    Daemon,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `--run-file`: everything else stands in that file.
    pub run_file: Option<String>,
    /// `--app-id`; empty when it was not given.
    pub app_id: String,
    /// Port of the app, if it listens.
    pub app_port: Option<u16>,
    /// `--dapr-http-port`.
    pub http_port: Option<u16>,
    /// `--dapr-grpc-port`.
    pub grpc_port: Option<u16>,
    /// Program and arguments of the app; empty when somebody else starts it.
    pub command: Vec<String>,
    /// Flags that mean nothing here, as they were written.
    pub ignored: Vec<String>,
    /// Flags that nobody knows, as they were written.
    pub unknown: Vec<String>,
    /// `--help`.
    pub help: bool,
    /// `--version`.
    pub version: bool,
    /// Other keys of the app, with their values as they are written in the file.
    keys: Vec<(&'static str, String)>,
    resources: Vec<String>,
    config: Option<String>,
}

impl Arguments {
    /// Reads what follows the program's name, and for `dapr run` what follows `run`.
    ///
    /// # Errors
    /// What of it cannot be read, in one line.
    pub fn parse(
        program: Program,
        words: impl IntoIterator<Item = String>,
    ) -> Result<Self, String> {
        let mut all = Self::default();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            if word == "--" {
                all.command = words.collect();
                break;
            }
            let Some((flag, name, value)) = recognised(&word, program) else {
                if !word.starts_with('-') || word == "-" {
                    if program == Program::Daemon {
                        return Err(format!("`{word}` is not a flag"));
                    }
                    all.command = std::iter::once(word).chain(words).collect();
                    break;
                }
                // Whether the next word is its value cannot be known; a flag it is not.
                let has_value = word.contains('=');
                all.unknown.push(word);
                if !has_value {
                    words.next_if(|next| program == Program::Daemon && !next.starts_with('-'));
                }
                continue;
            };
            let is_switch = matches!(
                flag,
                Flag::Switch(_) | Flag::Tls | Flag::IgnoredSwitch | Flag::Help | Flag::Version
            );
            let value = match value {
                Some(value) => value,
                None if is_switch => "true".to_owned(),
                None => words.next().ok_or_else(|| format!("`--{name}` needs a value"))?,
            };
            all.take(flag, name, value)?;
        }
        if all.run_file.is_some() && (!all.app_id.is_empty() || !all.command.is_empty()) {
            return Err("`--run-file` says what runs; give neither an app nor a command".to_owned());
        }
        Ok(all)
    }

    fn take(&mut self, flag: Flag, name: &str, value: String) -> Result<(), String> {
        let bad = |what: &str| format!("`--{name}` is {what}, not `{value}`");
        let port = || match value.parse::<i64>() {
            // There, 0 and -1 stand for none.
            Ok(number) if number <= 0 => Ok(None),
            Ok(number) => u16::try_from(number).map(Some).map_err(|_too_large| bad("a port")),
            Err(_) if value.is_empty() => Ok(None),
            Err(_) => Err(bad("a port")),
        };
        let is_on = || match value.as_str() {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
            _ => Err(bad("true or false")),
        };
        match flag {
            Flag::RunFile => self.run_file = Some(value),
            Flag::AppId => self.app_id = value,
            Flag::AppPort => self.app_port = port()?,
            Flag::HttpPort => self.http_port = port()?,
            Flag::GrpcPort => self.grpc_port = port()?,
            Flag::Resources => self.resources.push(value),
            Flag::Config => self.config = Some(value).filter(|path| !path.is_empty()),
            Flag::Text(key) => {
                let value = if key == "appProtocol" { value.to_lowercase() } else { value };
                self.set(key, quoted(&value));
            }
            Flag::Number(key) => {
                let number = value.parse::<i64>().map_err(|_not_a_number| bad("a whole number"))?;
                self.set(key, number.to_string());
            }
            Flag::Switch(key) => {
                let is_on = is_on()?;
                self.set(key, is_on.to_string());
            }
            Flag::Tls => {
                if is_on()? {
                    let is_grpc = self.keys.iter().any(|(key, value)| {
                        *key == "appProtocol" && value.trim_matches('"').starts_with("grpc")
                    });
                    let protocol = if is_grpc { "\"grpcs\"" } else { "\"https\"" };
                    self.set("appProtocol", protocol.to_owned());
                }
            }
            Flag::Ignored | Flag::IgnoredSwitch => self.ignored.push(format!("--{name}")),
            Flag::Help => self.help = is_on()?,
            Flag::Version => self.version = is_on()?,
        }
        Ok(())
    }

    /// The last word counts.
    fn set(&mut self, key: &'static str, value: String) {
        self.keys.retain(|(known, _)| *known != key);
        self.keys.push((key, value));
    }

    /// What was asked for as the text of a `dapr.yaml`; `folder` is the one that the app runs in, absolute.
    #[must_use]
    pub fn template(&self, folder: &str) -> String {
        let mut out = "version: 1\napps:\n".to_owned();
        // Nothing can fail in a text.
        let _ = writeln!(out, "- appID: {}", quoted(&self.app_id));
        let mut add = |key: &str, value: &str| {
            let _ = writeln!(out, "  {key}: {value}");
        };
        add("appDirPath", &quoted(folder));
        let ports = [
            ("appPort", self.app_port),
            ("daprHTTPPort", self.http_port),
            ("daprGRPCPort", self.grpc_port),
        ];
        for (key, port) in ports {
            if let Some(port) = port {
                add(key, &port.to_string());
            }
        }
        for (key, value) in &self.keys {
            add(key, value);
        }
        let listed = |items: &[String]| {
            let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
            format!("[{}]", items.join(", "))
        };
        if !self.resources.is_empty() {
            add("resourcesPaths", &listed(&self.resources));
        }
        if let Some(config) = &self.config {
            add("configFilePath", &quoted(config));
        }
        if !self.command.is_empty() {
            add("command", &listed(&self.command));
        }
        out
    }
}

/// A flag with its name, and its value when that stands in the same word: `--name=value`, `-name`, `-n`.
fn recognised(word: &str, program: Program) -> Option<(Flag, &'static str, Option<String>)> {
    let bare = word.strip_prefix('-')?;
    let bare = bare.strip_prefix('-').unwrap_or(bare);
    let (name, value) = match bare.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (bare, None),
    };
    let is_letter = |letter: &Option<char>| {
        let mut letters = name.chars();
        program == Program::Run
            && !word.starts_with("--")
            && letters.next() == *letter
            && letter.is_some()
            && letters.next().is_none()
    };
    let known = FLAGS.iter().find(|(known, letter, _)| *known == name || is_letter(letter));
    known.map(|(name, _, flag)| (*flag, *name, value))
}

/// A text for YAML: what JSON writes is YAML too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
