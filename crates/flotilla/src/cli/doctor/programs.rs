//! Whether the programs that the commands of the file name are there, and which version.

use super::Finding;
use manifest::{Program, Service, System};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const GROUP: &str = "programs";

/// How long `<tool> --version` may take. `java -version` on a cold disk is the slowest of them, about a second.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of its answer is read, in bytes: the version stands in the first line.
const VERSION_LEN_MAX: u64 = 4096;
/// How long the Docker engine may take to say that it lives.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(2);

/// Words that a shell runs itself.
const SHELL_WORDS: [&str; 30] = [
    ".", ":", "[", "alias", "break", "case", "cd", "command", "continue", "echo", "eval", "exit",
    "export", "false", "for", "if", "printf", "pwd", "read", "return", "set", "shift", "test",
    "trap", "true", "ulimit", "umask", "unset", "until", "while",
];

/// Looks at what every service starts with and is built with.
pub(super) fn look(system: &System) -> Vec<Finding> {
    // Each program once, with who needs it.
    let mut needed: BTreeMap<String, (PathBuf, Vec<String>, bool)> = BTreeMap::new();
    let mut containers: Vec<&str> = Vec::new();
    for service in &system.services {
        if let Program::Container(_) = service.program {
            containers.push(service.name.as_str());
        }
        for (program, is_built) in programs_of(service) {
            let key = if program.contains('/') {
                service.dir.join(&program).display().to_string()
            } else {
                program.clone()
            };
            let entry = needed
                .entry(key)
                .or_insert_with(|| (service.dir.join(&program), Vec::new(), is_built));
            let name = service.name.to_string();
            if !entry.1.contains(&name) {
                entry.1.push(name);
            }
        }
    }
    let mut findings: Vec<Finding> = needed
        .into_iter()
        .map(|(program, (path, services, is_built))| {
            if program.contains('/') {
                file(&path, &services, is_built)
            } else {
                tool(&program, &services)
            }
        })
        .collect();
    if !containers.is_empty() {
        findings.push(docker(&containers));
    }
    findings
}

/// The programs a service runs: that of its build step and its own; the latter with whether the build makes it.
fn programs_of(service: &Service) -> Vec<(String, bool)> {
    let mut programs = Vec::new();
    if let Some(program) = service.build.as_deref().and_then(first_program) {
        programs.push((program, false));
    }
    let own = match &service.program {
        Program::Shell(line) => first_program(line),
        Program::Exec(words) => words.first().cloned(),
        Program::Container(_) | Program::External(_) => None,
    };
    programs.extend(own.map(|program| (program, service.build.is_some())));
    programs
}

/// The first program that a shell line names; `None` when that takes a shell to know.
fn first_program(line: &str) -> Option<String> {
    let is_assignment = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    };
    let mut words =
        line.split_whitespace().skip_while(|word| is_assignment(word) || *word == "exec");
    let word = words.next()?;
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._/+-".contains(c));
    (is_plain && !SHELL_WORDS.contains(&word)).then(|| word.to_owned())
}

/// A program that is named by path.
fn file(path: &Path, services: &[String], is_built: bool) -> Finding {
    let what = format!(
        "{} (for {})",
        path.file_name().unwrap_or_default().to_string_lossy(),
        services.join(", ")
    );
    match fs::metadata(path) {
        Ok(about) if about.is_file() && about.permissions().mode() & 0o111 != 0 => {
            Finding::good(GROUP, what, "there")
        }
        Ok(_) => Finding::fail(
            GROUP,
            what,
            format!("{} is not executable", path.display()),
            format!("chmod +x {}", path.display()),
        ),
        Err(_) if is_built => Finding::good(GROUP, what, "not there yet, the build step makes it"),
        Err(e) => Finding::fail(
            GROUP,
            what,
            format!("{}: {e}", path.display()),
            "build it, or write how with `build:`",
        ),
    }
}

/// A program that is looked for in `PATH`.
fn tool(program: &str, services: &[String]) -> Finding {
    let what = format!("{program} (for {})", services.join(", "));
    let Some(path) = in_path(program) else {
        return Finding::fail(GROUP, what, "not in PATH", install(program));
    };
    Finding::good(
        GROUP,
        what,
        version(program, &path).unwrap_or_else(|| path.display().to_string()),
    )
}

fn in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| {
        fs::metadata(path)
            .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    })
}

/// How to get a program that is not there.
fn install(program: &str) -> String {
    match program {
        "python3" | "python" => "install Python 3 (Debian: apt install python3)".to_owned(),
        "node" | "npm" | "npx" => "install Node.js (Debian: apt install nodejs npm)".to_owned(),
        "go" => "install Go (Debian: apt install golang-go)".to_owned(),
        "cargo" => "install Rust from rustup.rs".to_owned(),
        "java" | "mvn" => {
            "install a JDK and Maven (Debian: apt install default-jdk maven)".to_owned()
        }
        _ => format!("install `{program}`, or change the `run:` line"),
    }
}

/// The version of the tools that are known to answer quickly and change nothing. Others are not run: what an
/// unknown program does with `--version` is unknown too.
fn version(program: &str, path: &Path) -> Option<String> {
    let argument = match program {
        "python" | "python3" | "node" | "npm" | "cargo" | "ruby" | "deno" | "bun" | "php"
        | "uv" | "poetry" => "--version",
        "go" => "version",
        "java" => "-version",
        _ => return None,
    };
    let mut child = Command::new(path)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let (sender, answer) = std::sync::mpsc::sync_channel(1);
    let (stdout, stderr) = (child.stdout.take()?, child.stderr.take()?);
    let _thread = runtime::thread("version", move || {
        let mut text = String::new();
        // Java answers on standard error.
        let _out = stdout.take(VERSION_LEN_MAX).read_to_string(&mut text);
        if text.trim().is_empty() {
            let _err = stderr.take(VERSION_LEN_MAX).read_to_string(&mut text);
        }
        let _late = sender.send(text);
    })
    .ok()?;
    let text = answer.recv_timeout(VERSION_TIMEOUT).ok();
    // It has answered or hangs; in both cases it is not needed any more.
    let _ended = child.kill();
    let _reaped = child.wait();
    let line = text?.lines().next()?.trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// Whether a Docker engine answers.
fn docker(services: &[&str]) -> Finding {
    let what = format!("Docker (for {})", services.join(", "));
    let host = env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let path = match host.as_deref() {
        None => "/var/run/docker.sock".to_owned(),
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => path.to_owned(),
            None => {
                return Finding::warn(
                    GROUP,
                    what,
                    format!("DOCKER_HOST is {host}"),
                    "not looked at: only sockets are",
                );
            }
        },
    };
    match ping(&path) {
        Ok(()) => Finding::good(GROUP, what, format!("answers on {path}")),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Finding::fail(
            GROUP,
            what,
            format!("this user may not use {path}"),
            "add the user to the group `docker` and log in again",
        ),
        Err(e) => Finding::fail(
            GROUP,
            what,
            format!("does not answer on {path}: {e}"),
            "install and start Docker (Debian: apt install docker.io; systemctl start docker)",
        ),
    }
}

/// `GET /_ping` of the Engine API.
fn ping(path: &str) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(DOCKER_TIMEOUT))?;
    stream.set_write_timeout(Some(DOCKER_TIMEOUT))?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head)?;
    if head.starts_with(b"HTTP/1.") && head.ends_with(b"200") {
        return Ok(());
    }
    Err(std::io::Error::other("what answers there is not Docker"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn the_first_program_of_a_line_is_found_where_that_is_certain() {
        for (line, program) in [
            ("python3 app.py --port $PORT", Some("python3")),
            ("exec ./items --port $PORT", Some("./items")),
            ("LOG=1 MODE=x node server.js", Some("node")),
            ("cd web && npm start", None),
            ("$BIN/run", None),
            ("\"my program\" x", None),
            ("if true; then x; fi", None),
            ("", None),
        ] {
            assert_eq!(first_program(line).as_deref(), program, "{line}");
        }
    }

    #[test]
    fn a_program_that_is_missing_is_a_fail_unless_the_build_makes_it() {
        let services = ["users".to_owned()];
        let missing = Path::new("/nonexistent/users");
        assert_eq!(file(missing, &services, false).level, Level::Fail);
        assert_eq!(file(missing, &services, true).level, Level::Good);
        assert_eq!(file(Path::new("/bin/sh"), &services, false).level, Level::Good);
        assert_eq!(file(Path::new("/etc/passwd"), &services, false).level, Level::Fail);
        assert_eq!(tool("sh", &services).level, Level::Good);
        let gone = tool("no-such-program-anywhere", &services);
        assert_eq!(gone.level, Level::Fail);
        assert!(gone.help.unwrap().contains("`run:`"));
    }
}
