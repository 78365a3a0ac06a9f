//! What changes something. All answer when it has begun.

use crate::{
    answer::{Answer, Problem, json},
    backend::{Apply, Replace, Run, RunProgram, Target},
    context::Context,
    wire,
};
use base::ServiceName;
use http::StatusCode;
use std::{path::PathBuf, time::Duration};

/// How long open connections of a node that was replaced may go on when nobody said: as long as a request may
/// take until its answer begins, and longer than most clients keep a connection they do not use.
const GRACE: Duration = Duration::from_secs(60);

/// The longest such time: a day. Whoever keeps a connection longer loses it to other things too.
const GRACE_MAX: Duration = Duration::from_secs(86_400);

pub(crate) async fn restart_service(context: Context) -> Result<Answer, Problem> {
    let accepted = accepted(&context);
    context.backend.restart(Target::Service(context.service()?)).await?;
    Ok(accepted)
}

pub(crate) async fn restart_instance(context: Context) -> Result<Answer, Problem> {
    let accepted = accepted(&context);
    context.backend.restart(Target::Instance(context.instance()?)).await?;
    Ok(accepted)
}

pub(crate) async fn restart_all(context: Context) -> Result<Answer, Problem> {
    let accepted = accepted(&context);
    context.backend.restart(Target::All).await?;
    Ok(accepted)
}

pub(crate) async fn start(context: Context) -> Result<Answer, Problem> {
    let accepted = accepted(&context);
    context.backend.start(&context.service()?).await?;
    Ok(accepted)
}

pub(crate) async fn stop(context: Context) -> Result<Answer, Problem> {
    let accepted = accepted(&context);
    context.backend.stop(&context.service()?).await?;
    Ok(accepted)
}

pub(crate) async fn scale(context: Context) -> Result<Answer, Problem> {
    let accepted = accepted(&context);
    let service = context.service()?;
    let request: wire::Scale = context.read()?;
    context.backend.scale(&service, request.instances).await?;
    Ok(accepted)
}

pub(crate) async fn apply(context: Context) -> Result<Answer, Problem> {
    let request: wire::Apply =
        if context.body.is_empty() { wire::Apply::default() } else { context.read()? };
    let dry_run = request.dry_run;
    let file = request.file.map(PathBuf::from);
    let request = Apply { file, environment: request.environment, dry_run };
    let applied = context.backend.apply(request).await?;
    let answer = wire::Applied {
        dry_run,
        changes: applied.changes.iter().map(Into::into).collect(),
        edges: applied.edges,
        warnings: applied.warnings.iter().map(Into::into).collect(),
    };
    Ok(json(StatusCode::OK, &answer))
}

pub(crate) async fn run(context: Context) -> Result<Answer, Problem> {
    let request: wire::Run = context.read()?;
    let service = ServiceName::new(&request.service)
        .map_err(|_invalid| context.no_service(&request.service))?;
    let program = match (request.command, request.shell) {
        (None, None) => None,
        (Some(command), None) if !command.is_empty() => Some(RunProgram::Exec(command)),
        (None, Some(shell)) if !shell.trim().is_empty() => Some(RunProgram::Shell(shell)),
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("`command` and `shell` cannot be given together"));
        }
        _ => return Err(Problem::bad_request("the command is empty")),
    };
    let events_after = context.backend.newest_event();
    let instance = context.backend.run(Run { service, program, env: request.env }).await?;
    let started = wire::Started { instance: instance.to_string(), events_after };
    Ok(json(StatusCode::ACCEPTED, &started))
}

pub(crate) async fn replace(context: Context) -> Result<Answer, Problem> {
    let request: wire::ReplaceNode =
        if context.body.is_empty() { wire::ReplaceNode::default() } else { context.read()? };
    let grace = request.grace_ms.map_or(GRACE, Duration::from_millis);
    if grace > GRACE_MAX {
        let most = GRACE_MAX.as_secs();
        return Err(Problem::bad_request(format!("`grace_ms` is at most {most}000")));
    }
    let program = request.program.map(PathBuf::from);
    let pid = context.backend.replace(Replace { program, grace }).await?;
    Ok(json(StatusCode::OK, &wire::Replaced { pid }))
}

pub(crate) async fn shutdown(context: Context) -> Result<Answer, Problem> {
    let accepted = accepted(&context);
    context.backend.shutdown();
    // An `await` so that all handlers are of one shape.
    std::future::ready(Ok(accepted)).await
}

/// Read before the request is carried out: later revisions show its effect.
fn accepted(context: &Context) -> Answer {
    let revision = context.backend.status().revision;
    json(StatusCode::ACCEPTED, &wire::Accepted { revision })
}
