//! Turning a program into a command, and a refusal into words that say what to do.
//!
//! The program is looked up here and not by the kernel's caller, for three reasons: the user should hear which
//! of folder, program and permission is wrong; a program that stands in the environment's own `PATH` must be
//! found there; and behind the launcher of a control group a missing program would only be an exit code.

use crate::shell;
use base::{Code, Diagnostic};
use ports::host::{Error, Program};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The variable that marks every process of a run with the run's name. Children inherit it, so it finds
/// those that left their process group and lost their parent.
pub(crate) const RUN_VARIABLE: &str = "FLOTILLA_RUN";

/// Marks the processes of a probe command besides: they end with the run but did not fork away from it.
pub(crate) const PROBE_VARIABLE: &str = "FLOTILLA_PROBE";

/// How many programs of `PATH` are compared with a misspelt one.
const CANDIDATES_MAX: usize = 20_000;

/// A program that was found and may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// What is executed; absolute.
    path: PathBuf,
    /// The name it is called by, and its arguments.
    words: Vec<OsString>,
    dir: PathBuf,
}

impl Launch {
    /// Finds the program.
    ///
    /// # Errors
    /// `Refused` with what is wrong and how to mend it; `Unsupported` for a container.
    pub(crate) fn prepare(
        program: &Program,
        dir: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        check_dir(dir)?;
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        match program {
            Program::Shell(line) => Ok(Self {
                path: PathBuf::from("/bin/sh"),
                words: ["/bin/sh", "-c", &shell::script(line)].map(OsString::from).to_vec(),
                dir,
            }),
            Program::Exec(words) => {
                let Some(name) = words.first().filter(|name| !name.is_empty()) else {
                    return Err(refused(
                        failed("no program is named").help("give the command to run"),
                    ));
                };
                let path = find(name, &dir, env)?;
                Ok(Self { path, words: words.iter().map(OsString::from).collect(), dir })
            }
            Program::Container(_) => Err(Error::Unsupported("run containers".to_owned())),
            Program::External(_) => {
                Err(Error::Unsupported("take what somebody else has started".to_owned()))
            }
        }
    }

    /// The command, in its own process group, without input. Its environment and output are still to be set.
    /// With `cgroup`, it moves itself there before it becomes the program, so that nothing it starts can be
    /// outside; that takes a shell in between, because a program cannot be moved before it exists.
    pub(crate) fn command(&self, cgroup: Option<&Path>) -> Command {
        let mut command = match cgroup {
            None => {
                let mut command = Command::new(&self.path);
                command.arg0(self.words.first().map_or(OsStr::new(""), |word| word.as_os_str()));
                command
            }
            Some(cgroup) => {
                let mut command = Command::new("/bin/sh");
                command
                    .args(["-c", r#"echo 0 > "$0/cgroup.procs"; exec "$@""#])
                    .arg(cgroup)
                    .arg(&self.path);
                command
            }
        };
        command
            .args(self.words.iter().skip(1))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// Says why the system did not start the command.
    pub(crate) fn refusal(&self, cause: &io::Error) -> Error {
        let program = self.words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
        let base = failed(format!("`{program}` cannot be started")).note(cause.to_string());
        let help = match rustix::io::Errno::from_io_error(cause) {
            Some(rustix::io::Errno::AGAIN) => {
                "the limit of processes is reached: raise `ulimit -u` (or the container's pids limit), \
                 or start fewer instances"
            }
            Some(rustix::io::Errno::NOMEM) => {
                "there is no memory left: stop something, or start fewer instances"
            }
            Some(rustix::io::Errno::NOEXEC) => {
                "it is no program for this machine: build it for this processor, or begin a script with \
                 a line such as `#!/bin/sh`"
            }
            Some(rustix::io::Errno::NOENT) => {
                "the interpreter in its first line (`#!`) or its loader is missing: install it"
            }
            Some(rustix::io::Errno::TOOBIG) => {
                "its arguments or its environment are too long: shorten them"
            }
            Some(rustix::io::Errno::TXTBSY) => {
                "the program is being written: wait until its build has ended"
            }
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                "too many files are open: raise `ulimit -n`"
            }
            _ => return refused(base),
        };
        refused(base.help(help))
    }
}

/// The environment beside what is inherited.
pub(crate) fn set_env(command: &mut Command, run: &str, env: &BTreeMap<String, String>) {
    command.env_remove(PROBE_VARIABLE).envs(env).env(RUN_VARIABLE, run);
}

/// The environment of an adopted run: what its process was started with and nothing else.
pub(crate) fn replace_env(command: &mut Command, run: &str, env: &HashMap<OsString, OsString>) {
    command.env_clear().envs(env).env(RUN_VARIABLE, run);
}

pub(crate) fn failed(message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::START_FAILED, message)
}

pub(crate) fn refused(diagnostic: Diagnostic) -> Error {
    Error::Refused(Box::new(diagnostic))
}

fn check_dir(dir: &Path) -> Result<(), Error> {
    let shown = dir.display();
    let problem = match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(_) => {
            failed(format!("`{shown}` is not a folder")).help("set `dir:` to the service's folder")
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            failed(format!("the folder `{shown}` does not exist"))
                .help("create it, or set `dir:` to the service's folder")
        }
        Err(e) => failed(format!("the folder `{shown}` cannot be used"))
            .note(e.to_string())
            .help("give this user the right to read and enter it"),
    };
    Err(refused(problem))
}

/// The absolute path of a program as a shell would find it.
fn find(name: &str, dir: &Path, env: &BTreeMap<String, String>) -> Result<PathBuf, Error> {
    if name.contains('/') {
        let path = dir.join(name);
        return match executable(&path) {
            Executable::Yes => Ok(path),
            Executable::Missing => Err(refused(
                failed(format!("the program `{name}` does not exist"))
                    .note(format!("looked for {}", path.display()))
                    .help("build it first (`build:`), or correct the command"),
            )),
            Executable::Forbidden(why) => Err(forbidden(name, &path, &why)),
        };
    }
    let search = search_path(env);
    let mut found = None;
    for folder in env::split_paths(&search) {
        // A relative entry of `PATH` counts from the program's folder, as it would for a shell there.
        let path = dir.join(folder).join(name);
        match executable(&path) {
            Executable::Yes => return Ok(path),
            Executable::Missing => {}
            Executable::Forbidden(why) => found = found.or(Some((path, why))),
        }
    }
    if let Some((path, why)) = found {
        return Err(forbidden(name, &path, &why));
    }
    let mut problem = failed(format!("the program `{name}` was not found"))
        .note(format!("PATH is {}", search.to_string_lossy()));
    problem = match (
        matches!(executable(&dir.join(name)), Executable::Missing),
        nearest(name, &search),
    ) {
        (false, _) => {
            problem.help(format!("it is in the service's folder: did you mean `./{name}`?"))
        }
        (true, Some(near)) => {
            problem.help(format!("did you mean `{near}`? if not, install {name}"))
        }
        (true, None) => {
            problem.help(format!("is {name} installed? install it, or add its folder to PATH"))
        }
    };
    Err(refused(problem))
}

fn search_path(env: &BTreeMap<String, String>) -> OsString {
    let inherited = || env::var_os("PATH");
    // What execvp(3) uses when there is no PATH at all.
    let fallback = || OsString::from("/usr/local/bin:/bin:/usr/bin");
    env.get("PATH").map(OsString::from).or_else(inherited).unwrap_or_else(fallback)
}

fn forbidden(name: &str, path: &Path, why: &str) -> Error {
    let help = format!("make it executable: chmod +x {}", path.display());
    refused(
        failed(format!("`{name}` may not be run"))
            .note(format!("{}: {why}", path.display()))
            .help(help),
    )
}

enum Executable {
    Yes,
    Missing,
    Forbidden(String),
}

fn executable(path: &Path) -> Executable {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Executable::Forbidden("it is a folder".to_owned()),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            Executable::Forbidden("it has no permission to be executed".to_owned())
        }
        Ok(_) => Executable::Yes,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Executable::Forbidden(e.to_string())
        }
        Err(_) => Executable::Missing,
    }
}

/// The program of `PATH` that a misspelt name most likely means.
fn nearest(name: &str, search: &OsStr) -> Option<String> {
    let folders: BTreeSet<PathBuf> = env::split_paths(search).collect();
    let names = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .take(CANDIDATES_MAX);
    let distance = |other: &str| {
        // `python` for `python3` is a longer way by letters than many worse guesses, and the commonest.
        let version = other.strip_prefix(name)?;
        version.bytes().all(|b| b.is_ascii_digit()).then_some(0)
    };
    names
        .filter_map(|other| {
            let steps =
                distance(&other).unwrap_or_else(|| strsim::damerau_levenshtein(name, &other));
            // One letter in three may be wrong; in shorter names everything resembles everything.
            (steps <= name.len() / 3).then_some((steps, other))
        })
        .min()
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], dir: &Path) -> String {
        let program = Program::Exec(words.iter().map(|w| (*w).to_owned()).collect());
        match Launch::prepare(&program, dir, &BTreeMap::new()) {
            Ok(launch) => launch.path.display().to_string(),
            Err(Error::Refused(problem)) => {
                format!("{} | {}", problem.message, problem.help.unwrap_or_default())
            }
            Err(other) => other.to_string(),
        }
    }

    #[test]
    fn a_program_that_cannot_run_is_refused_with_the_fix() {
        let dir = crate::tests::folder("refused");
        fs::write(dir.join("plain"), "text").unwrap();
        assert_eq!(check(&["/bin/sh"], &dir), "/bin/sh");
        assert_eq!(check(&[], &dir), "no program is named | give the command to run");
        assert!(
            check(&["./nothing"], &dir)
                .starts_with("the program `./nothing` does not exist | build it first")
        );
        assert!(
            check(&["./plain"], &dir)
                .starts_with("`./plain` may not be run | make it executable: chmod +x ")
        );
        assert_eq!(
            check(&["plain"], &dir),
            "the program `plain` was not found | it is in the service's folder: did you mean `./plain`?"
        );
        assert_eq!(
            check(&["nosuchprogramatall"], &dir),
            "the program `nosuchprogramatall` was not found | is nosuchprogramatall installed? install it, \
             or add its folder to PATH"
        );
        assert!(
            check(&["/bin/sh"], &dir.join("no"))
                .contains("does not exist | create it, or set `dir:`")
        );
        assert!(check(&["/bin/sh"], &dir.join("plain")).contains("is not a folder"));
    }

    #[test]
    fn a_misspelt_program_is_recognised() {
        let dir = crate::tests::folder("nearest");
        for name in ["python3", "node", "gunicorn", "nodemon"] {
            fs::write(dir.join(name), "").unwrap();
        }
        for (given, expected) in [
            ("python", Some("python3")),
            ("guincorn", Some("gunicorn")),
            ("noed", Some("node")),
            ("java", None),
            ("go", None),
        ] {
            assert_eq!(nearest(given, dir.as_os_str()).as_deref(), expected, "{given}");
        }
    }
}
