//! `flotilla restart` and `flotilla scale`: change what runs, and wait for the effect when asked to.

use super::{
    Context,
    args::{Restart, Scale, Waiting},
    exit::{Exit, Failure, Outcome},
    follow::{self, Follow, Goal},
    locate,
};
use api::Client;
use base::InstanceId;

/// Restarts the named services and instances, or all.
pub(crate) async fn restart(context: &Context, args: &Restart) -> Outcome {
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
