//! `dapr run` and `daprd`: from what was typed to a session.

use super::{
    listing, parse,
    session::{App, SHARED_ENGINE, Session, Style, forgets, keeps_to_itself},
};
use crate::cli::{
    Context,
    exit::{Exit, Failure, Outcome},
};
use manifest::{Arguments, ArgumentsOf, Loaded, Options};
use std::{
    env,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

/// Where a sidecar listens when nobody says otherwise.
const HTTP_PORT: u16 = 3500;
const GRPC_PORT: u16 = 50001;

/// `dapr run`
pub(super) fn run(context: &Context, words: &[String]) -> Outcome {
    let mut arguments = parse(ArgumentsOf::Run, words)?;
    if arguments.help {
        return super::help(context);
    }
    if let Some(unknown) = arguments.unknown.first() {
        let text = format!("`{unknown}` is not a flag of `dapr run`");
        return Err(Failure::with_help(Exit::Usage, text, "write `--` before the app's command"));
    }
    tell_ignored(context, &arguments);
    if let Some(file) = arguments.run_file.take() {
        return several(context, Path::new(&file));
    }
    let here = here()?;
    if arguments.app_id.is_empty() {
        let folder = here.file_name().map(|name| name.to_string_lossy().into_owned());
        arguments.app_id = folder.unwrap_or_else(|| "app".to_owned());
    }
    one(context, &arguments, &here, Style::Single)
}

/// `daprd`
pub(super) fn daemon(context: &Context, mut arguments: Arguments) -> Outcome {
    if arguments.app_id.is_empty() {
        let help = "give the name of the app that it stands beside";
        return Err(Failure::with_help(Exit::Usage, "`--app-id` is missing", help));
    }
    if !arguments.unknown.is_empty() {
        context.out.say(&format!("not known, and without effect: {}", arguments.unknown.join(" ")));
    }
    tell_ignored(context, &arguments);
    arguments.http_port.get_or_insert(HTTP_PORT);
    arguments.grpc_port.get_or_insert(GRPC_PORT);
    one(context, &arguments, &here()?, Style::Daemon)
}

fn tell_ignored(context: &Context, arguments: &Arguments) {
    if !arguments.ignored.is_empty() {
        context.out.say(&format!("without effect here: {}", arguments.ignored.join(" ")));
    }
}

fn here() -> Result<PathBuf, Failure> {
    let cannot = |why: String| {
        Failure::new(Exit::Failure, format!("the current folder cannot be used: {why}"))
    };
    let here = env::current_dir().map_err(|e| cannot(e.to_string()))?;
    match here.to_str() {
        Some(_) => Ok(here),
        None => Err(cannot("its name is not UTF-8".to_owned())),
    }
}

/// One app, as its arguments say.
fn one(context: &Context, arguments: &Arguments, here: &Path, style: Style) -> Outcome {
    let mut session = Session::begin(&arguments.app_id, &arguments.app_id, style)?;
    let text = arguments.template(&here.to_string_lossy());
    session.write("dapr.yaml", &text)?;
    let loaded = load(context, &session.folder().join("dapr.yaml"))?;
    if keeps_to_itself(&loaded.system) {
        context.out.say(&format!(
            "what is stored and locked here is this process's own; `dapr run -f FILE` runs several apps over one store, and {SHARED_ENGINE}=etcd://… lets processes share one"
        ));
    }
    session.is_forgetful = forgets(&loaded.system);
    add_apps(&mut session, &loaded)?;
    session.run(context, "dapr.yaml")
}

/// All apps of a template.
fn several(context: &Context, given: &Path) -> Outcome {
    let file = listing::template(given)?;
    let loaded = load(context, &file)?;
    let path = file.to_string_lossy().into_owned();
    let mut session = Session::begin(&loaded.system.name, &path, Style::Several)?;
    session.run_file = Some(file);
    add_apps(&mut session, &loaded)?;
    session.run(context, &path)
}

fn load(context: &Context, file: &Path) -> Result<Loaded, Failure> {
    let vars = env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let loaded = manifest::load(file, &Options { environment: None, vars: vars.collect() })?;
    context.out.problems(&loaded.warnings);
    Ok(loaded)
}

/// Gives each app the ports of its API that it has not been given.
fn add_apps(session: &mut Session, loaded: &Loaded) -> Result<(), Failure> {
    // All are held until the last one is found, so that no two are the same.
    let mut held = Vec::new();
    let mut free = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.map_err(|e| no_port(&e))?;
        let port = listener.local_addr().map_err(|e| no_port(&e))?.port();
        held.push(listener);
        Ok::<u16, Failure>(port)
    };
    for service in &loaded.system.services {
        let http_port = service.api.http_port.map_or_else(&mut free, Ok)?;
        let grpc_port = service.api.grpc_port.map_or_else(&mut free, Ok)?;
        session.apps.push(App::new(service, http_port, grpc_port));
    }
    Ok(())
}

fn no_port(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Conflict, format!("the system has no free port: {error}"))
}
