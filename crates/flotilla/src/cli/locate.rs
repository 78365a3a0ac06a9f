//! Which system is meant: the file, its folder, and the node that may run it.

use super::exit::{Exit, Failure};
use api::{Client, client, wire};
use base::{Code, Diagnostic, ErrorChain};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Folder of the node's own files, beside the file.
pub(crate) const STATE_DIR: &str = ".flotilla";
/// The admin API for the command line.
pub(crate) const SOCKET: &str = "flotilla.sock";
/// Output of a detached node.
pub(crate) const NODE_LOG: &str = "node.log";

/// Where a system is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, or the folder when there is only state of a node left.
    pub file: PathBuf,
    /// The folder it stands in, absolute.
    pub root: PathBuf,
    /// It was not found in the current folder but above it.
    pub is_above: bool,
}

impl Place {
    /// The node's own files.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join(STATE_DIR)
    }

    /// The client of its node.
    pub(crate) fn client(&self) -> Client {
        Client::unix(self.state().join(SOCKET))
    }

    /// The file as it reads best from the current folder.
    pub(crate) fn shown(&self) -> String {
        shorten(&self.file)
    }
}

/// A path relative to the current folder when it is below it.
pub(crate) fn shorten(path: &Path) -> String {
    let here = env::current_dir().ok();
    let short = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    match short {
        Some(short) if !short.as_os_str().is_empty() => short.display().to_string(),
        _ => path.display().to_string(),
    }
}

/// Finds the system: `given` (a file or a folder), or the nearest file from the current folder upwards.
/// A folder that only has state of a node is a system too: it must be possible to stop a system whose file
/// was deleted.
///
/// # Errors
/// `F010` when `given` does not exist, `F025` when there is no file.
pub(crate) fn place(given: Option<&Path>) -> Result<Place, Failure> {
    let here = env::current_dir().map_err(|e| {
        Failure::new(Exit::Failure, format!("the current folder cannot be used: {e}"))
    })?;
    find(&here, given)
}

fn find(here: &Path, given: Option<&Path>) -> Result<Place, Failure> {
    if let Some(given) = given {
        let path = fs::canonicalize(here.join(given)).map_err(|e| missing(given, &e))?;
        if !path.is_dir() {
            let root = path.parent().unwrap_or(Path::new("/")).to_owned();
            return Ok(Place { file: path, root, is_above: false });
        }
        return in_folder(&path)
            .map(|file| Place { file, root: path.clone(), is_above: false })
            .ok_or_else(|| nothing_in(&path));
    }
    here.ancestors()
        .find_map(|folder| {
            let file = in_folder(folder)?;
            Some(Place { file, root: folder.to_owned(), is_above: folder != here })
        })
        .ok_or_else(|| nothing_in(here))
}

/// The file of a folder, or the folder itself when a node left its state there.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    manifest::find(folder)
        .ok()
        .or_else(|| folder.join(STATE_DIR).join(SOCKET).exists().then(|| folder.to_owned()))
}

fn missing(given: &Path, error: &io::Error) -> Failure {
    let text = match error.kind() {
        io::ErrorKind::NotFound => format!("`{}` does not exist", given.display()),
        _ => format!("`{}` cannot be used: {error}", given.display()),
    };
    Diagnostic::error(Code::MISSING_FILE, text).help("give a file or a folder with `-f`").into()
}

fn nothing_in(folder: &Path) -> Failure {
    Diagnostic::error(Code::NO_FILE, "no file that describes a system was found")
        .note(format!("looked in {} and the folders above it", folder.display()))
        .note("for flotilla.yaml, compose.yaml, Procfile and dapr.yaml")
        .help("`flotilla init` writes one, or name one with `-f`")
        .into()
}

/// What a failed request means for the user.
pub(crate) fn unanswered(error: &client::Error) -> Failure {
    match error {
        client::Error::NotRunning { .. } => {
            Diagnostic::error(Code::NO_SYSTEM, "no system is running here")
                .help("`flotilla up` starts it; `-f` names another file or folder")
                .into()
        }
        client::Error::Api { status, body } => refused(*status, body),
        client::Error::TimedOut => Failure::new(Exit::TimeOut, error.to_string()),
        other => Failure::new(Exit::Failure, ErrorChain(other).to_string()),
    }
}

/// What the node's refusal means for the user.
fn refused(status: u16, body: &wire::ErrorDetail) -> Failure {
    if !body.diagnostics.is_empty() {
        return Failure::Problems(body.diagnostics.iter().map(Diagnostic::from).collect());
    }
    if let Some(code) = Code::parse(&body.code) {
        let mut problem = Diagnostic::error(code, &body.message);
        problem.help.clone_from(&body.help);
        return problem.into();
    }
    let exit = match status {
        // The request asks for something that is not there or makes no sense.
        400 | 404 | 422 => Exit::Usage,
        409 => Exit::Conflict,
        _ => Exit::Failure,
    };
    Failure::Message { exit, text: body.message.clone(), help: body.help.clone() }
}

/// The names that are meant, checked against what there is.
///
/// # Errors
/// Names the first one that does not exist, with the nearest that does.
pub(crate) fn known(names: &[String], status: &wire::Status) -> Result<(), Failure> {
    for name in names {
        let service = name.split_once('/').map_or(name.as_str(), |(service, _)| service);
        if status.services.iter().any(|s| s.name == service) {
            continue;
        }
        return Err(unknown(service, status.services.iter().map(|s| s.name.as_str())));
    }
    Ok(())
}

/// There is no service of this name, but perhaps one that is called almost like it.
pub(crate) fn unknown<'n>(service: &str, names: impl Iterator<Item = &'n str> + Clone) -> Failure {
    let help = match manifest::nearest(service, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
    };
    Failure::with_help(Exit::Usage, format!("there is no service `{service}`"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("flotilla-locate-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::canonicalize(folder).unwrap()
    }

    #[test]
    fn the_nearest_file_upwards_is_taken() {
        let top = folder("up");
        fs::write(top.join("flotilla.yaml"), "services: {}\n").unwrap();
        let found = find(&top.join("a/b"), None).unwrap();
        assert_eq!(found.root, top);
        assert!(found.is_above);
        assert!(!find(&top, None).unwrap().is_above);
        let given = find(&top.join("a"), Some(Path::new(".."))).unwrap();
        assert_eq!((given.file, given.is_above), (top.join("flotilla.yaml"), false));
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn what_is_not_there_is_an_invalid_file() {
        let top = folder("missing");
        for given in ["nothing.yaml", "a"] {
            assert_eq!(find(&top, Some(Path::new(given))).unwrap_err().exit(), Exit::InvalidFile);
        }
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_system_whose_file_was_deleted_can_still_be_named() {
        let top = folder("deleted");
        fs::create_dir_all(top.join(STATE_DIR)).unwrap();
        fs::write(top.join(STATE_DIR).join(SOCKET), "").unwrap();
        assert_eq!(find(&top, None).unwrap().root, top);
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_refusal_keeps_its_code_and_becomes_an_exit_code() {
        let detail = |code: &str| wire::ErrorDetail {
            code: code.into(),
            message: "m".into(),
            ..Default::default()
        };
        assert_eq!(refused(409, &detail("F024")).exit(), Exit::Conflict);
        assert_eq!(refused(404, &detail("not_found")).exit(), Exit::Usage);
        assert_eq!(refused(422, &detail("F006")).exit(), Exit::InvalidFile);
        assert_eq!(refused(500, &detail("internal")).exit(), Exit::Failure);
    }
}
