//! Builds what is needed to run a system from a fresh checkout, and runs it.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, Workspace},
    web,
};

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    let Arguments { dir, extra } = Arguments::read(args)?;
    let dir = dir.unwrap_or_else(|| workspace.root.join("examples/shop"));
    if !dir.is_dir() {
        bail!("there is no folder `{}`", dir.display());
    }
    web::build(workspace)?;
    process::run(workspace.cargo().args(["build", "--release", "--package", "flotilla"]))?;
    let binary = workspace.release_binary()?;
    println!("$ cd {} && flotilla up", dir.display());
    // Takes our place, so that Ctrl-C and the exit code are Flotilla's own.
    let cause = Command::new(&binary).current_dir(&dir).arg("up").args(extra).exec();
    Err(cause).with_context(|| format!("cannot start `{}`", binary.display()))
}

#[derive(Debug, PartialEq)]
struct Arguments<'a> {
    dir: Option<PathBuf>,
    extra: &'a [OsString],
}

impl<'a> Arguments<'a> {
    fn read(args: &'a [OsString]) -> Result<Self> {
        let (own, extra) = match args.iter().position(|argument| argument == "--") {
            Some(at) => (&args[..at], &args[at + 1..]),
            None => (args, &[][..]),
        };
        match own {
            [] => Ok(Self { dir: None, extra }),
            [dir] if !dir.as_encoded_bytes().starts_with(b"-") => {
                Ok(Self { dir: Some(dir.into()), extra })
            }
            [flag, ..] => {
                bail!("`{}`: use `up [DIR] [-- ARGS]`", flag.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_comes_first_and_the_rest_after_two_dashes() {
        let check = |line: &str, expected: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let read = Arguments::read(&args).map_or_else(
                |_refused| "refused".to_owned(),
                |Arguments { dir, extra }| format!("{dir:?} {extra:?}"),
            );
            assert_eq!(read, expected, "{line}");
        };
        check("", "None []");
        check("examples/hello", r#"Some("examples/hello") []"#);
        check("-- --env prod", r#"None ["--env", "prod"]"#);
        check("a -- -o json", r#"Some("a") ["-o", "json"]"#);
        check("a b", "refused");
        check("--env prod", "refused");
    }
}
