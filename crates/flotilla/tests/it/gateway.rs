//! The gateway as its clients see it: who may pass, how often, over what, and what is changed on the way.

mod bounds;
mod identity;
mod live;
mod policies;
mod streams;
mod tls;
mod upstreams;

use crate::kit::{Done, System, http::Answer, skip};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Whether a program can be started with these words; says so when not.
fn has(test: &str, lines: &[&str]) -> bool {
    let works = |line: &&&str| {
        let (out, err) = (Stdio::null(), Stdio::null());
        let status = Command::new("sh").args(["-c", line]).stdout(out).stderr(err).status();
        status.is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = lines.iter().filter(|line| !works(line)).collect();
    if !missing.is_empty() {
        skip(test, &format!("these do not work here: {missing:?}"));
    }
    missing.is_empty()
}

/// What curl got: its head and its body.
fn curl(system: &System, words: &[&str]) -> Answer {
    let (head, body) = (system.dir().join("curl.head"), system.dir().join("curl.body"));
    let mut command = system.command("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--dump-header"]);
    command.arg(&head).arg("--output").arg(&body).args(words);
    // An answer without a body makes no file.
    drop(fs::remove_file(&body));
    system.finish(&mut command).expect(0);
    let text = fs::read_to_string(head).unwrap();
    // The last head: earlier ones are those of 100 Continue and the like.
    let last = text.trim_end().rsplit("\r\n\r\n").next().unwrap();
    let mut lines = last.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_owned(), value.trim().to_owned())
    };
    let headers = lines.map(header).collect();
    Answer { status, headers, body: fs::read(body).unwrap_or_default() }
}

/// Makes a certificate for `localhost` with its key, which its own authority has signed; `name` tells it from others.
fn certificate(system: &System, name: &str) -> (PathBuf, PathBuf) {
    let (cert, key) =
        (system.dir().join(format!("{name}.pem")), system.dir().join(format!("{name}.key")));
    let mut command = system.command("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-nodes", "-days", "90", "-addext", "subjectAltName=DNS:localhost"]);
    command.arg("-subj").arg(format!("/CN={name}")).arg("-out").arg(&cert).arg("-keyout").arg(&key);
    system.finish(&mut command).expect(0);
    (cert, key)
}

/// `flotilla` with a home of its own, where `tls: dev` keeps its authority.
fn at_home(system: &System, words: &str) -> Done {
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    command.env("XDG_DATA_HOME", system.dir().join("home")).args(words.split(' '));
    system.finish(&mut command)
}
