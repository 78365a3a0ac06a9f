//! A line for the shell, so that a stop signal reaches the program and not only the shell.
//!
//! A stop signal goes to the whole process group. A shell that waits for its program would die of it at once, the
//! run would count as ended, and the program would be killed in the middle of its last requests. So:
//!
//! - A line that is one command replaces the shell by it (`exec`): the program is the run's main process, its
//!   end and its exit code are the run's.
//! - Any other line runs in a shell that ends only when the command it is at has ended. A line that sets traps of
//!   its own keeps them.

/// What makes a line more than one command, or the command more than a program. Quoted ones count too: then the
/// line is run in the careful way, which is right for every line.
const SIGNS: &[char] = &[';', '&', '|', '<', '>', '(', ')', '{', '}', '`', '\n', '\r', '!', '#'];

/// Commands of the shell itself (POSIX.1-2017, 2.14 and 2.9.4, and what dash and bash add) and its keywords.
const OWN: &[&str] = &[
    ".", ":", "[", "[[", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue",
    "declare", "do", "done", "echo", "elif", "else", "enable", "esac", "eval", "exec", "exit",
    "export", "false", "fc", "fg", "fi", "for", "function", "getopts", "hash", "if", "in", "jobs",
    "kill", "let", "local", "printf", "pwd", "read", "readonly", "return", "select", "set",
    "shift", "shopt", "source", "test", "then", "time", "times", "trap", "true", "type", "typeset",
    "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
];

/// The signals that stop an instance, as `stop.signal` has them. 143 is what a shell says of an end by SIGTERM.
const TRAP: &str = "trap 'exit 143' TERM INT HUP QUIT USR1 USR2";

/// The script that runs `line`.
pub(crate) fn script(line: &str) -> String {
    match command_at(line) {
        Some(at) => {
            let (assignments, command) = line.split_at(at);
            format!("{assignments}exec {command}")
        }
        None => format!("{TRAP}; {line}"),
    }
}

/// Where the command begins behind its assignments, when the line is one command that is a program.
fn command_at(line: &str) -> Option<usize> {
    // `${NAME}` is a value, other braces group.
    if line.replace("${", "").replace('}', "").contains(SIGNS) || line.contains("$(") {
        return None;
    }
    let mut at = 0;
    loop {
        let rest = line.get(at..)?;
        let begin = at + (rest.len() - rest.trim_start().len());
        let word = rest.split_whitespace().next()?;
        if !is_assignment(word) {
            let is_plain = !word.starts_with(['$', '"', '\'', '\\', '-']) && !OWN.contains(&word);
            return is_plain.then_some(begin);
        }
        if word.contains(['"', '\'', '\\', '$']) {
            // Its value may have blanks, so where it ends is not plain to see.
            return None;
        }
        at = begin + word.len();
    }
}

fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn one_command_replaces_the_shell_and_other_lines_wait_for_what_they_are_at() {
        for (line, script_of_it) in [
            ("node server.js --port $PORT", "exec node server.js --port $PORT"),
            ("./bin/web --name=${NAME}", "exec ./bin/web --name=${NAME}"),
            ("A=1 B=two go run .", "A=1 B=two exec go run ."),
            ("  python3 app.py", "  exec python3 app.py"),
        ] {
            assert_eq!(script(line), script_of_it);
        }
        for line in [
            "cd app && node server.js",
            "exec node server.js",
            "A=\"1 2\" node server.js",
            "$PROGRAM --port 1",
            "echo $(date)",
            "while true; do date; done",
            "seq 3 > out",
            "test -f x",
            "{ a; }",
            "A=1",
            "",
        ] {
            assert_eq!(script(line), format!("{TRAP}; {line}"));
        }
    }

    #[test]
    fn lines_do_what_they_did() {
        for (line, code, output) in [
            ("A=1 printenv A", 0, "1\n"),
            ("printenv NOTHING_OF_THAT_NAME", 1, ""),
            ("exit 7", 7, ""),
            ("A=1; B=2; echo $A $B", 0, "1 2\n"),
            ("sh -c 'exit 9'", 9, ""),
            ("true && false", 1, ""),
            ("", 0, ""),
            ("# nothing", 0, ""),
            ("no-such-program-here 2> /dev/null", 127, ""),
        ] {
            let done = Command::new("/bin/sh").args(["-c", &script(line)]).output().unwrap();
            assert_eq!(done.status.code(), Some(code), "{line}");
            assert_eq!(String::from_utf8_lossy(&done.stdout), output, "{line}");
        }
    }
}
