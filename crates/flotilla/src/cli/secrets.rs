//! `flotilla secrets`: what there is, and what is stored. Values are read from standard input, never from the command
//! line, which other users of the machine can see.

use super::{
    Context,
    args::{self, SecretsCommand},
    exit::{Exit, Failure, Outcome},
    locate,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    store::{self, Place, visible},
    words,
};
use api::{
    Client,
    wire::{secrets::Info, secrets::Set, stores::StoreKind},
};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{self, BufRead as _, IsTerminal as _};

pub(crate) async fn run(context: &Context, command: &SecretsCommand) -> Outcome {
    let client = context.place()?.client();
    match command {
        SecretsCommand::Ls { store } => list(context, &choose(client, store).await?).await,
        SecretsCommand::Get { name, reveal, store } => {
            get(context, &choose(client, store).await?, name, *reveal).await
        }
        SecretsCommand::Set { name, store } => {
            let place = choose(client, store).await?;
            let value = read(context, name)?;
            let stored = place.client.set_secret(&place.store, name, &Set { value }).await;
            let stored = stored.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&stored)?)?;
            } else {
                let help = "instances that are running keep what they got at their start";
                context.out.say(&format!("{} is stored; {help}", visible(name)));
            }
            Ok(Exit::Success)
        }
        SecretsCommand::Rm { name, store } => {
            let place = choose(client, store).await?;
            let deleted = place.client.delete_secret(&place.store, name).await;
            let deleted = deleted.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&deleted)?)?;
            } else {
                context.out.say(if deleted.deleted { "deleted" } else { "it was not stored" });
            }
            Ok(Exit::Success)
        }
        SecretsCommand::Rotate => {
            let rotated = client.rotate_secrets().await.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&rotated)?)?;
            } else {
                let count = usize::try_from(rotated.secrets).unwrap_or(usize::MAX);
                let are = if rotated.secrets == 1 { "is" } else { "are" };
                let (secrets, key) = (words::count(count, "secret"), rotated.key);
                context.out.say(&format!("{secrets} {are} sealed with key {key}"));
            }
            Ok(Exit::Success)
        }
    }
}

async fn choose(client: Client, store: &args::Store) -> Result<Place, Failure> {
    store::choose(client, store, &[StoreKind::Secret], "secretstore").await
}

async fn list(context: &Context, place: &Place) -> Outcome {
    let found = place.client.secrets(&place.store).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let head = [("NAME", Align::Left), ("SOURCE", Align::Left), ("CHANGED", Align::Left)];
    let row = |secret: &Info| -> Vec<Cell> {
        let changed = secret.changed_at.as_ref().map(ToString::to_string);
        vec![
            visible(&secret.name).into(),
            visible(&secret.source).into(),
            Cell::tinted(changed.unwrap_or_default(), Tint::Dim),
        ]
    };
    let rows: Vec<Vec<Cell>> = found.secrets.iter().map(row).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    Ok(Exit::Success)
}

async fn get(context: &Context, place: &Place, name: &str, reveal: bool) -> Outcome {
    let found = place.client.secret(&place.store, name, reveal).await;
    let found = found.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let mut values = found.values.iter();
    match (values.next(), values.next()) {
        (Some((_, only)), None) => context.out.line(only)?,
        _ => {
            for (key, value) in &found.values {
                context.out.line(&format!("{}={value}", visible(key)))?;
            }
        }
    }
    if !reveal {
        context.out.say("`--reveal` shows the value, and the node's log notes that");
    }
    Ok(Exit::Success)
}

/// The value from standard input; at a terminal one line, which is not shown.
fn read(context: &Context, name: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return store::text("-");
    }
    context.out.say(&format!("value of {} (not shown):", visible(name)));
    let unreadable =
        |e: io::Error| Failure::new(Exit::Failure, format!("the terminal cannot be read: {e}"));
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin).map_err(|e| unreadable(e.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(|e| unreadable(e.into()))?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    let _restored = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    read.map_err(unreadable)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    if line.is_empty() {
        return Err(Failure::new(Exit::Usage, "no value was given"));
    }
    Ok(line.to_owned())
}
