//! The terminal: its size, single keys, and giving it back as it was.
//!
//! Only line editing and echo are switched off (`cbreak`). Signals stay on, so Ctrl-C is SIGINT also when
//! nobody reads keys, and output is processed as ever, so no other part has to know.

use rustix::{
    process::getpgrp,
    stdio::{stdin, stdout},
    termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
        tcsetattr,
    },
};
use std::{
    env,
    io::{self, IsTerminal, Read},
    sync::Mutex,
};
use tokio::sync::mpsc;

/// Keys that wait to be handled. A person types slower than this; what is pasted beyond it waits in
/// the terminal's own buffer.
const KEYS_WAITING_MAX: usize = 64;

/// The modes to go back to. Global, because a panic on any thread must find them.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether the terminal understands cursor movement.
pub(crate) fn understands_cursor() -> bool {
    env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether a person sits here who can press keys: a terminal on both sides, and this process in its
/// foreground (a background job that reads is stopped by the kernel).
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal()
        && io::stdout().is_terminal()
        && understands_cursor()
        && tcgetpgrp(stdin()).is_ok_and(|foreground| foreground == getpgrp())
}

/// Rows of the terminal, 24 where it does not say.
pub(crate) fn height() -> usize {
    tcgetwinsize(stdout())
        .ok()
        .map(|size| usize::from(size.ws_row))
        .filter(|rows| *rows > 0)
        .unwrap_or(24)
}

/// Single keys for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Keyboard {
    keys: mpsc::Receiver<char>,
}

impl Keyboard {
    /// Switches line editing and echo off and reads keys.
    ///
    /// # Errors
    /// When the terminal refuses, or the system refuses a thread.
    pub(crate) fn open() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(before);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            hook(panic);
        }));
        cbreak()?;
        let (sender, keys) = mpsc::channel(KEYS_WAITING_MAX);
        runtime::thread("keys", move || read_keys(&sender))?;
        Ok(Self { keys })
    }

    /// The next key; waits for ever once standard input has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> char {
        match self.keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }

    /// Switches line editing off again, after the process was stopped (Ctrl-Z) and continued.
    pub(crate) fn resume(&self) {
        // A terminal that went away meanwhile has nothing to switch.
        let _gone = cbreak();
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        restore();
    }
}

fn cbreak() -> io::Result<()> {
    let mut modes = tcgetattr(stdin())?;
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    Ok(tcsetattr(stdin(), OptionalActions::Now, &modes)?)
}

/// Gives the terminal back as it was. May be called at any time, by anyone.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that went away needs no restoring.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Reads until standard input ends or nobody wants keys. The thread ends with the process: a read from a
/// terminal cannot be interrupted otherwise.
fn read_keys(keys: &mpsc::Sender<char>) {
    let mut buffer = [0_u8; 256];
    loop {
        let count = match io::stdin().lock().read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let typed = buffer.get(..count).unwrap_or_default();
        for key in decode(typed) {
            if keys.blocking_send(key).is_err() {
                return;
            }
        }
    }
}

/// The keys in one piece of input. Arrow and function keys send an escape sequence in one piece; they
/// mean nothing here, while a lone escape is a key.
fn decode(typed: &[u8]) -> Vec<char> {
    if typed.len() > 1 && typed.first() == Some(&0x1b) {
        return Vec::new();
    }
    String::from_utf8_lossy(typed).chars().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrow_keys_mean_nothing_and_escape_is_a_key() {
        assert!(decode(b"\x1b[A").is_empty());
        assert_eq!(decode(b"\x1b"), ['\x1b']);
        assert_eq!(decode(b"rusers\r"), ['r', 'u', 's', 'e', 'r', 's', '\r']);
        assert_eq!(decode("é".as_bytes()), ['é']);
    }
}
