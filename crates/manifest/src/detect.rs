//! How the program in a folder is started.
//!
//! Only what people of that language would type; anything cleverer is for `run:`. Nothing is executed here.
//! Results of a build stay out of the source: they go to where the language's tool puts them anyway, or under
//! `.flotilla/bin`.

mod languages;

use crate::Program;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::Path,
};

/// Most that is read of a `package.json` or `Cargo.toml`.
const BYTES_MAX: u64 = 256 * 1024;

/// The folder that is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) dir: &'a Path,
    /// The folder of the file.
    pub(crate) root: &'a Path,
    pub(crate) service: &'a str,
    pub(crate) system: &'a str,
    pub(crate) vars: &'a BTreeMap<String, String>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Detected {
    pub(crate) language: &'static str,
    pub(crate) build: Option<String>,
    pub(crate) program: Program,
    /// The file that told.
    pub(crate) why: String,
    /// The port that it says it listens on, when that is not `$PORT`.
    pub(crate) port: Option<u16>,
}

type Detector = fn(&Place<'_>) -> Option<Detected>;

/// Asked in this order. Docker comes last: what runs as a process needs no engine.
const DETECTORS: &[Detector] = &[
    languages::procfile,
    languages::rust,
    languages::node,
    languages::python,
    languages::go,
    languages::java,
    languages::docker,
];

/// Finds out how to start what is in a folder.
///
/// # Errors
/// What was looked for and what the folder has, a line each.
pub(crate) fn detect(place: &Place<'_>) -> Result<Detected, Vec<String>> {
    if let Some(found) = DETECTORS.iter().find_map(|detector| detector(place)) {
        return Ok(found);
    }
    let looked = "looked for a Procfile of one line, a Cargo.toml with a program, a package.json with `start` or `main`, \
                  app.py, main.py, manage.py, go.mod, pom.xml, build.gradle, Dockerfile";
    let mut names: Vec<String> = fs::read_dir(place.dir)
        .map(|entries| {
            entries
                .flatten()
                .take(1_000)
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names.truncate(12);
    let shown = match place.dir.strip_prefix(place.root) {
        Ok(inner) if inner.as_os_str().is_empty() => "the folder".to_owned(),
        Ok(inner) => format!("`{}`", inner.display()),
        Err(_) => format!("`{}`", place.dir.display()),
    };
    let has = if names.is_empty() {
        format!("{shown} is empty")
    } else {
        format!("{shown} has {}", names.join(", "))
    };
    Err(vec![looked.to_owned(), has])
}

/// The language of a given command: by its first word, else by what the folder has.
pub(crate) fn language(program: &Program, dir: &Path) -> &'static str {
    let words = match program {
        Program::Shell(line) => crate::words::split(line),
        Program::Exec(words) => words.clone(),
        Program::Container(_) => return "docker",
        Program::External(_) => return "external",
    };
    let is_assignment =
        |word: &String| word.split_once('=').is_some_and(|(name, _)| !name.contains('/'));
    let first = words.iter().find(|word| !is_assignment(word) && *word != "exec" && *word != "env");
    let name = first.and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    match name {
        "node" | "npm" | "npx" | "yarn" | "pnpm" | "tsx" | "deno" | "bun" => "node",
        "uv" | "poetry" | "flask" | "gunicorn" | "uvicorn" | "hypercorn" | "celery" | "daphne"
        | "waitress-serve" => "python",
        name if name.starts_with("python") => "python",
        "go" => "go",
        "cargo" => "rust",
        "java" | "mvn" | "gradle" | "mvnw" | "gradlew" => "java",
        "ruby" | "bundle" | "rails" | "rackup" | "puma" => "ruby",
        "php" => "php",
        "dotnet" => "dotnet",
        "docker" => "docker",
        _ => by_files(dir),
    }
}

fn by_files(dir: &Path) -> &'static str {
    let markers = [
        ("Cargo.toml", "rust"),
        ("package.json", "node"),
        ("pyproject.toml", "python"),
        ("requirements.txt", "python"),
        ("go.mod", "go"),
        ("pom.xml", "java"),
        ("build.gradle", "java"),
        ("build.gradle.kts", "java"),
    ];
    markers
        .iter()
        .find(|(file, _)| dir.join(file).is_file())
        .map_or("shell", |(_, language)| language)
}

/// Reads a small file; `None` when it is not there, not text, or too large to be what it should be.
pub(crate) fn small_file(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A word for the shell: quoted when it has anything but letters, digits and harmless signs.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
