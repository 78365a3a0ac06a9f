//! `flotilla init`: looks at a folder and writes `flotilla.yaml` for it.

use super::{
    Context,
    args::Init,
    doctor,
    exit::{Exit, Failure, Outcome},
    locate::{STATE_DIR, shorten},
    words,
};
use base::{Code, Diagnostic};
use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file that is written.
const FILE: &str = "flotilla.yaml";
/// Tells editors where the schema is. The language server of YAML understands it, in every editor that uses it.
const SCHEMA_LINE: &str = "# yaml-language-server: $schema=./.flotilla/schema.json\n";

pub(crate) fn run(context: &Context, args: &Init) -> Outcome {
    let dir = folder(args.dir.as_deref().or(context.file.as_deref()))?;
    let proposal = manifest::inspect(&dir).map_err(|problem| Failure::from(*problem))?;
    let text = with_schema(&proposal.yaml);
    if args.print {
        context.out.raw(&text)?;
        return Ok(Exit::Success);
    }
    let file = dir.join(FILE);
    write_file(&file, &text, args.force)?;
    write_schema(&dir);
    let out = &context.out;
    let found = &proposal.services;
    let with = if found.is_empty() {
        String::new()
    } else {
        format!(" with {}", words::count(found.len(), "service"))
    };
    out.line(&format!("wrote {}{with}", shorten(&file)))?;
    for (name, language, why) in found {
        out.say(&format!("  {name}: {language}, from {why}"));
    }
    for note in &proposal.notes {
        out.say(&format!("  {note}"));
    }
    let here = Context { file: Some(file), environment: None, verbose: 0, out: context.out };
    doctor::brief(&here)?;
    let at = if args.dir.is_some() { format!(" -f {}", shorten(&dir)) } else { String::new() };
    out.say(&format!(
        "next:\n  flotilla up{at}        start everything and watch it\n  flotilla doctor{at}    what could go wrong, and how to mend it\n  flotilla check{at}     after each change of the file"
    ));
    Ok(Exit::Success)
}

/// The folder that is meant, absolute.
fn folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = given.unwrap_or(Path::new("."));
    let missing = |note: String| {
        Diagnostic::error(Code::MISSING_FILE, format!("`{}` is not a folder", path.display()))
            .note(note)
            .help("give the folder that holds your services")
    };
    let here = env::current_dir().map_err(|e| missing(e.to_string()))?;
    let path = fs::canonicalize(here.join(path)).map_err(|e| missing(e.to_string()))?;
    if path.is_dir() { Ok(path) } else { Err(missing("it is a file".to_owned()).into()) }
}

/// Puts the line for editors first, once.
fn with_schema(yaml: &str) -> String {
    if yaml.contains("yaml-language-server:") {
        return yaml.to_owned();
    }
    format!("{SCHEMA_LINE}{yaml}")
}

/// Writes the file; one that is there stays unless `force`.
fn write_file(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let opened = if force { fs::File::create(file) } else { fs::File::create_new(file) };
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Failure::with_help(
            Exit::Failure,
            format!("{} is already there", shorten(file)),
            "`--force` overwrites it, `--print` only shows what would be written",
        ),
        _ => Failure::new(Exit::Failure, format!("{} cannot be written: {e}", shorten(file))),
    })
}

/// Writes the schema beside the file. Without it only the editor's help is missing, so a failure is no failure.
fn write_schema(dir: &Path) {
    let state = dir.join(STATE_DIR);
    let text = format!("{:#}\n", manifest::json_schema());
    let written =
        fs::create_dir_all(&state).and_then(|()| fs::write(state.join("schema.json"), text));
    crate::node::places::hide_from_git(&state);
    if let Err(error) = written {
        tracing::info!(%error, "the schema for editors was not written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_editors_stands_first_and_only_once() {
        let once = with_schema("services: {}\n");
        assert_eq!(once, format!("{SCHEMA_LINE}services: {{}}\n"));
        assert_eq!(with_schema(&once), once);
    }

    #[test]
    fn a_file_that_is_there_is_only_overwritten_by_force() {
        let file = env::temp_dir().join(format!("flotilla-init-{}.yaml", std::process::id()));
        fs::write(&file, "mine").unwrap();
        let refused = write_file(&file, "new", false).unwrap_err();
        assert!(refused.text().contains("is already there"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        write_file(&file, "new", true).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        fs::remove_file(file).unwrap();
    }
}
