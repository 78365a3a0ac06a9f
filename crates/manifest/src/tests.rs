//! Files in, rendered problems or the model out.

mod api_problems;
mod components;
mod coordination;
mod coordination_problems;
mod dapr_subscriptions;
mod detection;
mod events;
mod events_problems;
mod files;
mod formats;
mod fuzz;
mod gateway;
mod gateway_problems;
mod hostile_components;
mod meaning;
mod model;
mod problems;
mod pubsub_components;
mod schedules_problems;
mod simple_formats;
mod tables;
mod templates;
mod traffic_problems;
mod transactions;
mod transactions_problems;
mod transactions_values;

use crate::{Loaded, Options, load};
use base::Diagnostic;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder with files that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    /// `files`: path and text; a path that ends with `/` is a folder.
    fn new(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "flotilla-manifest-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(name).join("shop");
        fs::create_dir_all(&root).unwrap();
        let root = root.canonicalize().unwrap();
        for (path, text) in files {
            let path = root.join(path);
            if path.to_string_lossy().ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        Self(root)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Loads `file`; folder names are taken out of what is shown.
    fn load(&self, file: &str, options: &Options) -> Result<Loaded, String> {
        load(&self.0.join(file), options).map_err(|problems| self.show(&problems))
    }

    fn show(&self, problems: &[Diagnostic]) -> String {
        let root = self.0.display().to_string();
        let all: String = problems.iter().map(|problem| problem.render(false)).collect();
        all.replace(&format!("{root}/"), "").replace(&root, "shop")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn options(vars: &[(&str, &str)]) -> Options {
    let vars = vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Options { environment: None, vars: vars.collect() }
}

/// Files of the service folders that the tests name.
const PYTHON: &str = "print('hello')\n";

/// Loads `flotilla.yaml` in a folder that has the services `api`, `web` and `users`.
fn loaded(yaml: &str) -> Result<(Folder, Loaded), String> {
    let files = [
        ("flotilla.yaml", yaml),
        ("api/app.py", PYTHON),
        ("web/app.py", PYTHON),
        ("users/app.py", PYTHON),
        ("empty/", ""),
    ];
    let folder = Folder::new(&files);
    let loaded =
        folder.load("flotilla.yaml", &options(&[("SET", "value"), ("HOME", "/home/me")]))?;
    Ok((folder, loaded))
}

/// What is told of a `flotilla.yaml`: problems, or the warnings of a good file.
fn told(yaml: &str) -> String {
    match loaded(yaml) {
        Ok((folder, loaded)) => folder.show(&loaded.warnings),
        Err(problems) => problems,
    }
}
