//! `dapr list` and `dapr stop`: the apps that other processes run.

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure, Outcome},
        output::{Align, Cell, table},
    },
    peers::{Entry, Folder},
};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};

/// The folder of what runs.
///
/// # Errors
/// When it cannot be used.
pub(super) fn folder() -> Result<Folder, Failure> {
    Folder::open().map_err(|e| {
        let text = format!("the folder of running apps cannot be used: {e}");
        let help = "set XDG_RUNTIME_DIR to a folder of yours";
        Failure::with_help(Exit::Failure, text, help)
    })
}

/// `dapr list`
pub(super) fn list(context: &Context, words: &[String]) -> Outcome {
    let mut is_json = context.out.is_json();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = match word.split_once('=') {
            Some(("-o" | "--output", value)) => value.to_owned(),
            _ if matches!(word.as_str(), "-o" | "--output") => {
                words.next().cloned().unwrap_or_default()
            }
            _ if matches!(word.as_str(), "-a" | "--all") => continue,
            _ => return Err(Failure::new(Exit::Usage, format!("`{word}` is not a flag of list"))),
        };
        match value.as_str() {
            "json" => is_json = true,
            "table" => is_json = false,
            other => {
                let text = format!("`{other}` is not a form of output");
                return Err(Failure::with_help(Exit::Usage, text, "there are json and table"));
            }
        }
    }
    let entries: Vec<Entry> = folder()?.list().into_iter().map(|(_, entry)| entry).collect();
    if is_json {
        let all: Vec<serde_json::Value> = entries.iter().map(json).collect();
        context.out.json(&all.into())?;
        return Ok(Exit::Success);
    }
    if entries.is_empty() {
        context.out.line("no apps are running")?;
        return Ok(Exit::Success);
    }
    let head = [
        ("APP ID", Align::Left),
        ("HTTP PORT", Align::Right),
        ("GRPC PORT", Align::Right),
        ("APP PORT", Align::Right),
        ("COMMAND", Align::Left),
        ("PID", Align::Right),
    ];
    let rows: Vec<Vec<Cell>> = entries
        .iter()
        .map(|entry| {
            let port = entry.address.map_or_else(String::new, |address| address.port().to_string());
            vec![
                Cell::from(entry.app_id.as_str()),
                Cell::from(entry.http_port.to_string()),
                Cell::from(entry.grpc_port.to_string()),
                Cell::from(port),
                Cell::from(entry.command.as_str()),
                Cell::from(entry.pid.to_string()),
            ]
        })
        .collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    Ok(Exit::Success)
}

fn json(entry: &Entry) -> serde_json::Value {
    serde_json::json!({
        "appId": entry.app_id,
        "httpPort": entry.http_port,
        "grpcPort": entry.grpc_port,
        "appPort": entry.address.map_or(0, |address| address.port()),
        "command": entry.command,
        "daprdPid": entry.pid,
        "cliPid": entry.pid,
        "created": entry.started_ms,
        "runTemplatePath": entry.run_file,
    })
}

/// `dapr stop`
pub(super) fn stop(context: &Context, words: &[String]) -> Outcome {
    let mut ids: Vec<String> = Vec::new();
    let mut file: Option<PathBuf> = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let mut value = || {
            value
                .clone()
                .or_else(|| words.next().cloned())
                .ok_or_else(|| Failure::new(Exit::Usage, format!("`{flag}` needs a value")))
        };
        match flag {
            "-a" | "--app-id" => ids.push(value()?),
            "-f" | "--run-file" => file = Some(value()?.into()),
            flag if flag.starts_with('-') => {
                return Err(Failure::new(Exit::Usage, format!("`{flag}` is not a flag of stop")));
            }
            id => ids.push(id.to_owned()),
        }
    }
    if ids.is_empty() && file.is_none() {
        let help = "`dapr stop --app-id ID`, or `dapr stop -f FILE`; `dapr list` shows them";
        return Err(Failure::with_help(Exit::Usage, "nothing is named", help));
    }
    let file = file.map(|file| template(&file)).transpose()?;
    let running: Vec<Entry> = folder()?.list().into_iter().map(|(_, entry)| entry).collect();
    let mut missing = Vec::new();
    for id in &ids {
        let own: Vec<&Entry> = running.iter().filter(|entry| entry.app_id == *id).collect();
        if own.is_empty() {
            missing.push(id.as_str());
        }
        end(context, &own, id)?;
    }
    if let Some(file) = &file {
        let own: Vec<&Entry> =
            running.iter().filter(|entry| entry.run_file.as_ref() == Some(file)).collect();
        if own.is_empty() {
            missing.push("the apps of this file");
        }
        end(context, &own, &file.display().to_string())?;
    }
    if missing.is_empty() {
        return Ok(Exit::Success);
    }
    let text = format!("not running: {}", missing.join(", "));
    Err(Failure::with_help(Exit::NoSystem, text, "`dapr list` shows what runs"))
}

/// Asks the processes to end. They are ours and live: their files are held.
fn end(context: &Context, entries: &[&Entry], what: &str) -> Result<(), Failure> {
    let mut pids: Vec<u32> = entries.iter().map(|entry| entry.pid).collect();
    pids.dedup();
    let is_asked = !pids.is_empty();
    for pid in pids {
        let asked = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let asked = asked.map(|pid| kill_process(pid, Signal::TERM));
        if let Some(Err(error)) = asked {
            let text = format!("process {pid} cannot be asked to end: {error}");
            return Err(Failure::new(Exit::Failure, text));
        }
    }
    if is_asked {
        context.out.line(&format!("✅  app stopped successfully: {what}"))?;
    }
    Ok(())
}

/// The template that is meant: a file, or `dapr.yaml` in a folder.
///
/// # Errors
/// When it is not there.
pub(super) fn template(given: &Path) -> Result<PathBuf, Failure> {
    let path = if given.is_dir() { given.join("dapr.yaml") } else { given.to_owned() };
    std::fs::canonicalize(&path).map_err(|e| {
        let text = format!("`{}` cannot be used: {e}", path.display());
        Failure::with_help(Exit::InvalidFile, text, "name a dapr.yaml, or the folder it is in")
    })
}
