//! `flotilla up`: three ways to a running system.
//!
//! - A node runs this system already: it is told to apply the file, and every change is shown with its reason.
//! - Attached: the node runs in this process and ends with it; [`super::ui`] shows it.
//! - Detached (`-d`): a node is started in a session of its own, and this process returns when everything is
//!   ready.

mod attached;
mod detached;
pub(crate) mod log;
mod race;
pub(crate) mod signals;

pub(crate) use detached::node;

use super::{
    Context,
    args::Up,
    exit::{Exit, Failure, Outcome},
    follow::{self, Follow, Followed, Goal},
    locate::{self, Place},
    open,
    output::{Align, Cell, Output, table},
    ps::to_json,
    ui::board::{self, Head, Remarks},
    wait_for, words,
};
use api::{Client, client, wire};
use base::Diagnostic;
use std::time::{Duration, Instant};

/// How long everything may take to be ready when nobody said otherwise and somebody waits for it; time in build
/// steps is not counted. A service has 30 s by default to become ready, and two in a row may need each other.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn run(context: &Context, args: &Up) -> Outcome {
    let started = Instant::now();
    let place = context.place()?;
    let loaded = context.load(&place)?;
    context.out.problems(&loaded.warnings);
    known(&args.services, &loaded.system)?;
    let mut is_told = false;
    for _ in 0..race::RACES_MAX {
        match once(context, args, &place, &loaded, &mut is_told, started) {
            Err(failure) if race::is_lost(&failure) => {}
            outcome => return outcome,
        }
        let mut is_settled = false;
        wait_for(async {
            is_settled = race::settle(&place.client(), |text| context.out.say(text)).await;
            Ok(Exit::Success)
        })?;
        if !is_settled {
            break;
        }
    }
    // A node that was killed a moment ago may have let go of its lock by now.
    once(context, args, &place, &loaded, &mut is_told, started)
}

/// Applies the file to the node that is there, or starts one.
fn once(
    context: &Context,
    args: &Up,
    place: &Place,
    loaded: &manifest::Loaded,
    is_told: &mut bool,
    started: Instant,
) -> Outcome {
    let client = place.client();
    if is_running(&client)? {
        return wait_for(apply(context, args, place, &client, &loaded.warnings, started));
    }
    if args.dry_run {
        return would_start(&context.out, &loaded.system);
    }
    let head = Head::of(place, loaded);
    if !args.detach {
        return attached::run(context, args, place, head, started);
    }
    if !std::mem::replace(is_told, true) {
        context.out.say(&board::heading(&head, context.out.paint_err));
    }
    detached::run(context, args, place, head, started)
}

/// How long a node that was killed may still seem to listen.
const DYING_MAX: Duration = Duration::from_secs(2);

/// How often it is looked at meanwhile.
const DYING_LOOK: Duration = Duration::from_millis(20);

/// Whether a node answers for this system.
///
/// # Errors
/// When one is there and cannot be asked.
fn is_running(client: &Client) -> Result<bool, Failure> {
    let until = Instant::now() + DYING_MAX;
    let asked = async {
        loop {
            match client.health().await {
                Ok(_) => return Ok(true),
                Err(client::Error::NotRunning { .. }) => return Ok(false),
                // A node that was just killed takes connections until the kernel has taken it apart.
                Err(client::Error::Broken(_)) if Instant::now() < until => {
                    tokio::time::sleep(DYING_LOOK).await;
                }
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
    };
    let mut is_running = false;
    wait_for(async {
        is_running = asked.await?;
        Ok(Exit::Success)
    })?;
    Ok(is_running)
}

/// Checks names before anything is started.
fn known(names: &[String], system: &manifest::System) -> Result<(), Failure> {
    let unknown =
        names.iter().find(|name| system.services.iter().all(|s| s.name.as_str() != **name));
    let Some(unknown) = unknown else { return Ok(()) };
    Err(locate::unknown(unknown, system.services.iter().map(|s| s.name.as_str())))
}

/// What `--dry-run` says when nothing runs.
fn would_start(out: &Output, system: &manifest::System) -> Outcome {
    let changes = system
        .services
        .iter()
        .map(|service| wire::Change {
            service: service.name.to_string(),
            action: wire::Action::Start,
            reasons: vec!["nothing runs yet".to_owned()],
        })
        .collect();
    show_changes(out, &wire::Applied { dry_run: true, changes, ..wire::Applied::default() })?;
    Ok(Exit::Success)
}

/// Tells the running node to apply the file, and follows until it has.
async fn apply(
    context: &Context,
    args: &Up,
    place: &Place,
    client: &Client,
    told: &[Diagnostic],
    started: Instant,
) -> Outcome {
    let before = client.status().await.map_err(|e| locate::unanswered(&e))?.revision;
    let system = client.system().await.map_err(|e| locate::unanswered(&e))?;
    let path = place.file.display().to_string();
    let request = wire::Apply {
        // The node knows its own file by a shorter name, which reads better in problems.
        file: (system.files.first() != Some(&path)).then_some(path),
        environment: context.environment.clone(),
        dry_run: args.dry_run,
    };
    let applied = client.apply(&request).await.map_err(|e| match &e {
        client::Error::Api { body, .. } if body.code == "stopping" => race::stopping(),
        _ => locate::unanswered(&e),
    })?;
    show_changes(&context.out, &applied)?;
    if args.dry_run {
        return Ok(Exit::Success);
    }
    let now = client.system().await.map_err(|e| locate::unanswered(&e))?;
    Remarks::of(&now, told, Some(&system)).tell(&context.out);
    let is_changed = applied.changes.iter().any(|change| change.action != wire::Action::Keep);
    let follow = Follow {
        client,
        out: &context.out,
        goal: Goal::Ready,
        services: &args.services,
        after: is_changed.then_some(before),
        timeout: Some(args.wait_timeout.unwrap_or(WAIT_TIMEOUT)),
        is_shown: true,
        is_start: false,
    };
    let followed = follow.run().await?;
    if is_changed && matches!(followed, Followed::Reached(_)) {
        context.out.say(&format!("ready in {}", words::duration(started.elapsed())));
    }
    follow::conclude(&context.out, &followed, Goal::Ready, &args.services, "applying the file")
}

/// One line a service: what happens to it and why.
fn show_changes(out: &Output, applied: &wire::Applied) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&to_json(applied)?);
    }
    let rows: Vec<Vec<Cell>> = applied
        .changes
        .iter()
        .chain(&applied.edges)
        .filter(|change| change.action != wire::Action::Keep)
        .map(|change| {
            let (word, tint) = words::action(change.action);
            vec![
                change.service.as_str().into(),
                Cell::tinted(word, tint),
                change.reasons.join(", ").into(),
            ]
        })
        .collect();
    if rows.is_empty() {
        out.say("nothing to change");
        return Ok(());
    }
    out.raw(&table(out.paint, &[("", Align::Left); 3], &rows))
}

/// Follows a node that was started in the background, and sums up.
async fn sum_up(
    context: &Context,
    args: &Up,
    place: &Place,
    mut head: Head,
    started: Instant,
) -> Outcome {
    let client = place.client();
    let follow = Follow {
        client: &client,
        out: &context.out,
        goal: Goal::Ready,
        services: &args.services,
        after: None,
        timeout: Some(args.wait_timeout.unwrap_or(WAIT_TIMEOUT)),
        is_shown: true,
        is_start: true,
    };
    let followed = follow.run().await?;
    if let Followed::Reached(status) | Followed::Hopeless(status) = &followed {
        let system = client.system().await.map_err(|e| locate::unanswered(&e))?;
        head.learn(place, &system);
        if context.out.is_json() {
            let dashboard = open::dashboard(place, &system);
            let mut json = to_json(status)?;
            if let Some(object) = json.as_object_mut() {
                object.insert("gateway_url".to_owned(), system.gateway_url.clone().into());
                object.insert("dashboard_url".to_owned(), dashboard.into());
            }
            context.out.json(&json)?;
        } else {
            let took = started.elapsed();
            context.out.raw(&board::summary(status, &head, took, context.out.paint, false))?;
            head.remarks.tell(&context.out);
            context.out.say("runs in the background; `flotilla logs -f` shows its output, `flotilla down` stops it");
        }
    }
    follow::conclude(&context.out, &followed, Goal::Ready, &args.services, "starting")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn each_change_is_shown_with_its_reason_and_what_stays_is_not() {
        let change = |service: &str, action, reasons: &[&str]| wire::Change {
            service: service.into(),
            action,
            reasons: reasons.iter().map(|r| (*r).to_owned()).collect(),
        };
        let rows: Vec<Vec<Cell>> = [
            change("users", wire::Action::Replace, &["run changed", "env LOG_LEVEL changed"]),
            change("items-next", wire::Action::Scale, &["instances 2 → 3"]),
        ]
        .iter()
        .map(|c| {
            vec![
                c.service.as_str().into(),
                words::action(c.action).0.into(),
                c.reasons.join(", ").into(),
            ]
        })
        .collect();
        let paint = super::super::output::Paint { on: false };
        expect![[r#"
            users       replace  run changed, env LOG_LEVEL changed
            items-next  scale    instances 2 → 3
        "#]]
        .assert_eq(&table(paint, &[("", Align::Left); 3], &rows));
    }
}
