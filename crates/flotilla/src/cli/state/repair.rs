//! `flotilla state repair`: makes a damaged store one that can be opened, and says what that costs.

use crate::{
    cli::{
        Context,
        exit::{Exit, Failure, Outcome},
        locate::{self, Place},
        output::{Align, Cell, Tint, table},
        store::visible,
    },
    node,
};
use adapter_embedded::kv::{self, Config, Error, Repaired};
use base::{Code, Diagnostic, ErrorChain};
use std::time::Duration;
use tokio::time::Instant;

/// How long a store that is in use is waited for: a node that cannot open its damaged store tries now and then, and has
/// the store each time for a moment.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// Between two looks whether it is free.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn run(context: &Context, system: &Place) -> Outcome {
    let folder = node::kv_folder(&system.state());
    let shown = locate::shorten(&folder);
    let repaired = if folder.is_dir() {
        context.out.say(&format!("reading all of {shown}"));
        repair(&Config { folder }).await.map_err(|e| refused(&e))?
    } else {
        // Nothing may be made where nothing is: the system may keep its state elsewhere.
        Repaired::default()
    };
    if context.out.is_json() {
        let aside: Vec<String> = repaired.aside.iter().map(|p| p.display().to_string()).collect();
        let answer = serde_json::json!({ "folder": shown, "aside": aside, "lost": repaired.lost });
        context.out.json(&answer)?;
        return Ok(Exit::Success);
    }
    if repaired == Repaired::default() {
        context.out.say(&format!("there is nothing to repair in {shown}"));
        return Ok(Exit::Success);
    }
    context.out.raw(&report(context, &repaired))?;
    if repaired.lost.is_empty() {
        context
            .out
            .say("repaired; no key is lost, at most history in which watches could have begun");
    } else {
        context.out.say("repaired; what was lost may be in the files that were put aside");
    }
    context.out.say("a node that runs opens the store by itself; `flotilla up` starts one");
    Ok(Exit::Success)
}

async fn repair(config: &Config) -> Result<Repaired, Error> {
    let until = Instant::now() + WAIT_MAX;
    loop {
        let config = config.clone();
        match runtime::blocking(move || kv::repair(&config)).await {
            Err(Error::InUse { .. }) if Instant::now() < until => tokio::time::sleep(LOOK).await,
            done => return done,
        }
    }
}

fn report(context: &Context, repaired: &Repaired) -> String {
    let row = |what: &str, tint: Tint, text: &str| -> Vec<Cell> {
        vec![Cell::tinted(what, tint), visible(text).into()]
    };
    let aside = repaired.aside.iter();
    let aside = aside.map(|path| row("put aside", Tint::Yellow, &locate::shorten(path)));
    let lost = repaired.lost.iter().map(|what| row("lost", Tint::Red, what));
    let rows: Vec<Vec<Cell>> = aside.chain(lost).collect();
    table(context.out.paint, &[("", Align::Left); 2], &rows)
}

fn refused(error: &Error) -> Failure {
    let text = ErrorChain(error).to_string();
    match error {
        Error::InUse { .. } => {
            let help = "`flotilla down` stops the node that has it; repair it then";
            Failure::with_help(Exit::Conflict, text, help)
        }
        Error::Newer { .. } | Error::Damaged { .. } | Error::Io { .. } => {
            let message = format!("the store cannot be repaired: {text}");
            let help = "nothing was thrown away; `flotilla explain F036` says more";
            Diagnostic::error(Code::KV_STORE, message).help(help).into()
        }
    }
}
