//! Which file describes the system in a folder.

use base::{Code, Diagnostic};
use std::path::{Path, PathBuf};

/// The names that are looked for in a folder, in this order.
const NAMES: &[&str] = &[
    "flotilla.yaml",
    "flotilla.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "Procfile",
    "dapr.yaml",
];

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Flotilla,
    Compose,
    Procfile,
    Dapr,
}

/// Tells the format by the file's name.
pub(crate) fn format(path: &Path) -> Format {
    let name =
        path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    if name.starts_with("procfile") {
        Format::Procfile
    } else if is_yaml && name.starts_with("dapr") {
        Format::Dapr
    } else if is_yaml && name.contains("compose") {
        Format::Compose
    } else {
        Format::Flotilla
    }
}

/// Finds the file: `path` itself, or in the folder `path` the first of `flotilla.yaml`, `compose.yaml`,
/// `docker-compose.yml`, `Procfile`, `dapr.yaml` and their other spellings.
///
/// # Errors
/// F025 with what was looked for.
pub fn find(path: &Path) -> Result<PathBuf, Box<Diagnostic>> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let missing = |message: String| Diagnostic::error(Code::NO_FILE, message);
    if !path.is_dir() {
        return Err(Box::new(
            missing(format!("`{}` does not exist", path.display()))
                .help("give the file with `-f FILE`, or write one with `flotilla init`"),
        ));
    }
    let found = NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file());
    found.map(|file| tidy(&file)).ok_or_else(|| {
        let folder = if path.as_os_str().is_empty() || path == Path::new(".") {
            "this folder".to_owned()
        } else {
            format!("`{}`", path.display())
        };
        Box::new(
            missing(format!("no file that describes a system is in {folder}"))
                .note(format!("looked for {}", NAMES.join(", ")))
                .help("write one with `flotilla init`, or name it with `-f FILE`"),
        )
    })
}

/// `./flotilla.yaml` is shown as `flotilla.yaml`.
fn tidy(path: &Path) -> PathBuf {
    path.strip_prefix(".").map_or_else(|_| path.to_owned(), Path::to_path_buf)
}
