//! Programs that run beside us and must not outlive us, however we end.
//!
//! Each one is the child of a small shell that waits for the end of a pipe we hold. When we let go of it, or
//! die by Ctrl-C, by a panic or by `kill -9`, the shell ends the program and removes its folder. So there is
//! nothing to clean up on the way out, and nothing is ever ended but the shell's own child.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::usage;

/// `$1` is the folder, the rest the command. A thousand connections on both sides need more
/// descriptors than the usual 1024.
const GUARD: &str = r#"
dir=$1; shift
ulimit -n 20000 || ulimit -n "$(ulimit -H -n)"
"$@" </dev/null >"$dir/output" 2>&1 &
pid=$!
echo $pid
exec >/dev/null
cat
kill -TERM $pid
(sleep 5; kill -KILL $pid) &
wait $pid
kill $!
rm -rf -- "$dir"
"#;

/// How long a program may take until it listens.
const START_MAX: Duration = Duration::from_secs(20);
/// How much of what a failed program said is shown.
const OUTPUT_LINES_MAX: usize = 20;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder for a program's files, made before the program, removed with it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let name = format!("flotilla-xtask-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        // Fails when it is there: nobody else's folder is ever used, or removed.
        fs::create_dir(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing to say when the guard was first.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    pid: u32,
    guard: Child,
    folder: Folder,
}

impl Server {
    /// Starts a program and waits until it listens on all of `listens`.
    pub(crate) fn start(
        name: &str,
        folder: Folder,
        command: &[String],
        listens: &[SocketAddr],
    ) -> Result<Self> {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(folder.path()).args(command);
        guard.current_dir(folder.path());
        // A group of its own: Ctrl-C is for us, and the guard sees that we are gone.
        guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = guard.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut line = String::new();
        let output = guard.stdout.take().context("the guard has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let pid = line.trim().parse().with_context(|| format!("cannot start {name}"))?;
        let server = Self { name: name.to_owned(), pid, guard, folder };
        for listen in listens {
            server.until_it_listens(*listen)?;
        }
        Ok(server)
    }

    /// Its process; it may have children.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        usage::is_alive(self.pid)
    }

    fn until_it_listens(&self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            if !self.is_alive() {
                bail!("{} ended at once:\n{}", self.name, self.output());
            }
            if Instant::now() > deadline {
                let name = &self.name;
                bail!("{name} does not listen on {address}:\n{}", self.output());
            }
            pause(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The last lines it printed.
    pub(crate) fn output(&self) -> String {
        let text = fs::read(self.folder.path().join("output")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(OUTPUT_LINES_MAX)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // It takes five seconds at most, then it kills.
        drop(self.guard.wait());
    }
}

/// Ports that nobody has at this moment. Between this and their use another program could take one; then the
/// start fails and says so.
pub(crate) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = std::net::TcpListener::bind(*address).context("no free port")?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

#[expect(clippy::disallowed_methods, reason = "waits for other programs, which cannot wake us")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_server_and_its_folder_is_removed() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        let sleep = ["sleep".to_owned(), "1000".to_owned()];
        let server = Server::start("sleep", folder, &sleep, &[]).unwrap();
        let pid = server.pid();
        assert!(server.is_alive() && path.is_dir());
        drop(server);
        assert!(!usage::is_alive(pid) && !path.exists());
    }

    #[test]
    fn a_program_that_ends_before_it_listens_is_an_error_with_what_it_said() {
        let [address] = free_addresses().unwrap();
        let command = ["sh", "-c", "echo no such thing >&2"].map(str::to_owned);
        let error = Server::start("it", Folder::new().unwrap(), &command, &[address]).unwrap_err();
        assert_eq!(error.to_string(), "it ended at once:\nno such thing");
    }
}
