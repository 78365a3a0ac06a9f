//! `flotilla restart` and `flotilla scale`: change what runs, and wait for the effect when asked to.

use super::{
    Context,
    args::{Restart, Scale, Waiting},
    exit::{Exit, Failure, Outcome},
    follow::{self, Follow, Goal},
    locate,
    ps::to_json,
    words,
};
use api::{Client, wire};
use base::InstanceId;
use std::{env, time::Instant};

/// Restarts the named services and instances, or all, or the node.
pub(crate) async fn restart(context: &Context, args: &Restart) -> Outcome {
    if args.node {
        return node(context, args).await;
    }
    let client = context.place()?.client();
    let status = client.status().await.map_err(|e| locate::unanswered(&e))?;
    locate::known(&args.names, &status)?;
    let mut revision = status.revision;
    let mut services: Vec<String> = Vec::new();
    if args.all {
        revision = client.restart_all().await.map_err(|e| locate::unanswered(&e))?.revision;
        context.out.say("restarting all services");
    }
    for name in &args.names {
        revision = revision.max(restart_one(&client, name).await?);
        context.out.say(&format!("restarting {name}"));
        services
            .push(name.split_once('/').map_or(name.as_str(), |(service, _)| service).to_owned());
    }
    effect(context, &client, &services, Some(revision), &args.waiting, "restarting").await
}

/// Replaces the node by a new process of this program.
async fn node(context: &Context, args: &Restart) -> Outcome {
    let started = Instant::now();
    let client = context.place()?.client();
    let system = client.system().await.map_err(|e| locate::unanswered(&e))?;
    if !system.detached {
        let text =
            format!("the node (process {}) belongs to a terminal and ends with it", system.pid);
        let help = "stop it there with `q` and start it anew; a node that was started with \
                    `flotilla up -d` can be replaced while its system runs";
        return Err(Failure::with_help(Exit::Failure, text, help));
    }
    let program = env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    let grace_ms = u64::try_from(args.grace.as_millis()).unwrap_or(u64::MAX);
    context.out.say(&format!("replacing the node (process {})", system.pid));
    let request = wire::ReplaceNode { program, grace_ms: Some(grace_ms) };
    let replaced = client.restart_node(&request).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&replaced)?)?;
        return Ok(Exit::Success);
    }
    let (pid, took) = (replaced.pid, words::duration(started.elapsed()));
    context.out.say(&format!("the node is process {pid} now, after {took}; the services went on"));
    Ok(Exit::Success)
}

/// Restarts a service or an instance and returns the revision before the effect.
///
/// # Errors
/// When the name makes no sense or the node refuses.
pub(crate) async fn restart_one(client: &Client, name: &str) -> Result<u64, Failure> {
    let accepted = if name.contains('/') {
        let id = InstanceId::parse(name).map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
        client.restart_instance(&id).await
    } else {
        client.restart_service(name).await
    };
    Ok(accepted.map_err(|e| locate::unanswered(&e))?.revision)
}

/// Changes how many instances run.
pub(crate) async fn scale(context: &Context, args: &Scale) -> Outcome {
    let client = context.place()?.client();
    let status = client.status().await.map_err(|e| locate::unanswered(&e))?;
    let names: Vec<String> = args.targets.iter().map(|(name, _)| name.clone()).collect();
    locate::known(&names, &status)?;
    let mut revision = None;
    for (name, count) in &args.targets {
        let present = status.services.iter().find(|s| s.name == *name).map(|s| s.desired);
        if present == Some(*count) {
            context.out.say(&format!("{name} already has {count}"));
            continue;
        }
        let accepted = client.scale(name, *count).await.map_err(|e| locate::unanswered(&e))?;
        revision = Some(accepted.revision);
        let before = present.map(|n| format!("{n} → ")).unwrap_or_default();
        context.out.say(&format!("scaling {name} {before}{count}"));
    }
    effect(context, &client, &names, revision, &args.waiting, "scaling").await
}

/// Waits for the effect when asked to.
async fn effect(
    context: &Context,
    client: &Client,
    services: &[String],
    after: Option<u64>,
    waiting: &Waiting,
    what: &str,
) -> Outcome {
    if !waiting.wait {
        return Ok(Exit::Success);
    }
    let follow = Follow {
        client,
        out: &context.out,
        goal: Goal::Ready,
        services,
        after,
        timeout: Some(waiting.timeout),
        is_shown: true,
        is_start: false,
    };
    let followed = follow.run().await?;
    follow::conclude(&context.out, &followed, Goal::Ready, services, what)
}
