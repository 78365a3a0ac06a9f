//! One detector a language.

use super::{Detected, Place, shell_word, small_file};
use crate::Program;
use std::path::{Path, PathBuf};

/// Most parent folders that are asked for a Cargo workspace.
const PARENTS_MAX: usize = 16;

/// A Procfile with one line says what runs.
pub(super) fn procfile(place: &Place<'_>) -> Option<Detected> {
    // The file that is being read describes the system, not one of its services.
    if place.dir == place.root {
        return None;
    }
    let text = small_file(&place.dir.join("Procfile"))?;
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (_, command) = lines.next()?.split_once(':')?;
    if lines.next().is_some() || command.trim().is_empty() {
        return None;
    }
    let program = Program::Shell(command.trim().to_owned());
    let language = super::language(&program, place.dir);
    Some(Detected { language, build: None, program, why: "Procfile".to_owned(), port: None })
}

/// A Cargo package with exactly one program, or one that is called like the service.
pub(super) fn rust(place: &Place<'_>) -> Option<Detected> {
    let text = small_file(&place.dir.join("Cargo.toml"))?;
    let targets = cargo_targets(&text, place.dir);
    let name = match targets.as_slice() {
        [only] => only,
        many => many.iter().find(|name| name.as_str() == place.service)?,
    };
    let folder = match place.vars.get("CARGO_TARGET_DIR") {
        Some(folder) => place.dir.join(folder),
        None => workspace(place.dir).join("target"),
    };
    let binary = folder.join("release").join(name);
    Some(Detected {
        language: "rust",
        build: Some(format!("cargo build --release --bin {}", shell_word(name))),
        program: Program::Exec(vec![binary.to_string_lossy().into_owned()]),
        why: "Cargo.toml".to_owned(),
        port: None,
    })
}

/// The names of the programs that a `Cargo.toml` in `dir` builds.
fn cargo_targets(text: &str, dir: &Path) -> Vec<String> {
    let (mut section, mut package, mut bins) = (String::new(), None, Vec::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            let name = line.split('#').next().unwrap_or_default();
            name.trim().trim_matches(|c| c == '[' || c == ']').trim().clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=')
            && key.trim() == "name"
        {
            let value = value
                .split('#')
                .next()
                .unwrap_or_default()
                .trim()
                .trim_matches(|c| c == '"' || c == '\'')
                .to_owned();
            match section.as_str() {
                "package" => package = Some(value),
                "bin" => bins.push(value),
                _ => {}
            }
        }
    }
    let has_main = dir.join("src/main.rs").is_file();
    if let Some(package) = package.filter(|name| bins.is_empty() && has_main && !name.is_empty()) {
        bins.push(package);
    }
    bins
}

/// The folder whose `target` a package builds into: the workspace's that it belongs to, else its own.
fn workspace(dir: &Path) -> PathBuf {
    let holds = |folder: &&Path| {
        let Some(text) = small_file(&folder.join("Cargo.toml")) else { return false };
        let inner = dir.strip_prefix(folder).unwrap_or(dir);
        text.lines().any(|line| line.trim() == "[workspace]")
            && !excluded(&text).any(|path| inner.starts_with(path))
    };
    dir.ancestors().take(PARENTS_MAX).find(holds).unwrap_or(dir).to_owned()
}

/// The paths in `exclude = […]` of a workspace.
fn excluded(text: &str) -> impl Iterator<Item = &str> {
    let list = text
        .split_once("\nexclude")
        .and_then(|(_, rest)| rest.trim_start().strip_prefix('='))
        .and_then(|rest| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).map(|path| path.trim_end_matches('/'))
}

/// A package with a `start` script or a main file.
pub(super) fn node(place: &Place<'_>) -> Option<Detected> {
    let text = small_file(&place.dir.join("package.json"))?;
    let (program, why) = node_command(&text, place.dir)?;
    let json = serde_json::from_str::<serde_json::Value>(&text).ok()?;
    let depends = json
        .get("dependencies")
        .and_then(|deps| deps.as_object())
        .is_some_and(|deps| !deps.is_empty());
    // Installed packages are left as they are: a build step at every start would be slow and need the network.
    let has_modules =
        place.dir.join("node_modules").is_dir() || place.root.join("node_modules").is_dir();
    let install =
        if place.dir.join("package-lock.json").is_file() { "npm ci" } else { "npm install" };
    let build = (depends && !has_modules).then(|| install.to_owned());
    Some(Detected { language: "node", build, program, why, port: None })
}

/// `node server.js` where that is what `start` says: npm between us and the program would swallow the stop signal.
fn node_command(text: &str, dir: &Path) -> Option<(Program, String)> {
    let json = serde_json::from_str::<serde_json::Value>(text).ok()?;
    if let Some(start) = json
        .get("scripts")
        .and_then(|scripts| scripts.get("start"))
        .and_then(|start| start.as_str())
    {
        let direct =
            start.starts_with("node ") && !start.contains(['&', '|', ';', '>', '<', '`', '$']);
        let line = if direct { start.to_owned() } else { "npm run start".to_owned() };
        return Some((Program::Shell(line), "package.json: scripts.start".to_owned()));
    }
    let main = json.get("main").and_then(|main| main.as_str());
    let candidates = main.into_iter().chain([
        "server.js",
        "index.js",
        "app.js",
        "main.js",
        "server.mjs",
        "index.mjs",
    ]);
    // A package that others require has an `index.js` as well; only `main` with a script of its own starts.
    let library = json.get("exports").is_some() || json.get("types").is_some();
    let file = candidates.into_iter().find(|file| dir.join(file).is_file()).filter(|_| !library)?;
    Some((Program::Shell(format!("node {}", shell_word(file))), format!("package.json and {file}")))
}

/// A main file of the usual name; Flask, Django and ASGI programs by what they are written with.
pub(super) fn python(place: &Place<'_>) -> Option<Detected> {
    let dir = place.dir;
    let file = ["app.py", "main.py", "server.py", "manage.py", "wsgi.py", "__main__.py"]
        .into_iter()
        .find(|file| dir.join(file).is_file())?;
    let own = [".venv/bin/python", "venv/bin/python"]
        .into_iter()
        .find(|python| dir.join(python).exists());
    let python = own.unwrap_or("python3");
    let text = small_file(&dir.join(file)).unwrap_or_default();
    // A file that starts its server itself is trusted to do so.
    let starts_itself = text.contains("__main__") && !starts_on_a_port_of_its_own(&text);
    let module = file.trim_end_matches(".py");
    let has_app = text.contains("app = ");
    let line = if file == "manage.py" {
        format!("{python} manage.py runserver --noreload 127.0.0.1:$PORT")
    } else if text.contains("Flask(") && has_app && !starts_itself {
        format!("{python} -m flask --app {module} run --host 127.0.0.1 --port $PORT")
    } else if (text.contains("FastAPI(") || text.contains("Starlette("))
        && has_app
        && !starts_itself
    {
        format!("{python} -m uvicorn {module}:app --host 127.0.0.1 --port $PORT")
    } else {
        format!("{python} {file}")
    };
    Some(Detected {
        language: "python",
        build: None,
        program: Program::Shell(line),
        why: file.to_owned(),
        port: None,
    })
}

/// Whether all that a file does when it is started is to serve `app` on a port that it chooses itself, the way the
/// tutorials of Flask and FastAPI end. Such a program would never see `$PORT`.
fn starts_on_a_port_of_its_own(text: &str) -> bool {
    let main = text.split_once("__main__").and_then(|(_, rest)| rest.split_once(':'));
    let Some((_, main)) = main else { return false };
    let mut lines =
        main.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let serves = first.starts_with("app.run(") || first.starts_with("uvicorn.run(");
    serves && first.ends_with(')') && lines.next().is_none() && !text.contains("PORT")
}

/// A Go module with a main package in the folder itself.
pub(super) fn go(place: &Place<'_>) -> Option<Detected> {
    let has_main = std::fs::read_dir(place.dir).ok()?.flatten().take(1_000).any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|ending| ending == "go")
            && small_file(&path)
                .is_some_and(|text| text.lines().any(|line| line.trim() == "package main"))
    });
    let is_module =
        place.dir.ancestors().take(PARENTS_MAX).any(|folder| folder.join("go.mod").is_file());
    if !has_main || !is_module {
        return None;
    }
    let binary = place.root.join(".flotilla").join("bin").join(place.service);
    let binary = binary.to_string_lossy().into_owned();
    Some(Detected {
        language: "go",
        build: Some(format!("go build -o {} .", shell_word(&binary))),
        program: Program::Exec(vec![binary]),
        why: "go.mod".to_owned(),
        port: None,
    })
}

/// Maven or Gradle; the wrapper where there is one. The jar is the newest that is not a part of the build.
pub(super) fn java(place: &Place<'_>) -> Option<Detected> {
    let has = |file: &str| place.dir.join(file).is_file();
    let (why, build, folder) = if has("pom.xml") {
        let tool = if has("mvnw") { "./mvnw" } else { "mvn" };
        ("pom.xml", format!("{tool} -q -DskipTests package"), "target")
    } else if has("build.gradle") || has("build.gradle.kts") {
        let tool = if has("gradlew") { "./gradlew" } else { "gradle" };
        ("build.gradle", format!("{tool} -q assemble"), "build/libs")
    } else {
        return None;
    };
    let line = format!(
        "exec java -jar \"$(ls -t {folder}/*.jar | grep -v -e -plain -e -sources -e -javadoc -e original- | head -n 1)\""
    );
    Some(Detected {
        language: "java",
        build: Some(build),
        program: Program::Shell(line),
        why: why.to_owned(),
        port: None,
    })
}

/// A Dockerfile: built and run as a container.
pub(super) fn docker(place: &Place<'_>) -> Option<Detected> {
    let text = small_file(&place.dir.join("Dockerfile"))?;
    let exposed = text.lines().filter_map(|line| line.trim().strip_prefix("EXPOSE ")).next_back();
    let port = exposed
        .and_then(|ports| ports.split_whitespace().next()?.trim_end_matches("/tcp").parse().ok());
    let image = format!("flotilla/{}-{}", place.system, place.service);
    Some(Detected {
        language: "docker",
        build: Some(format!("docker build -t {} .", shell_word(&image))),
        program: Program::Container(crate::Container { image, ..crate::Container::default() }),
        why: "Dockerfile".to_owned(),
        port,
    })
}
