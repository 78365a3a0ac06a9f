//! `flotilla tx`: transactions over several services.

mod shown;

use super::{
    Context,
    args::{TxCommand, TxList, TxResolve, TxSubmit},
    data,
    exit::{Exit, Failure, Outcome},
    locate,
    logs::RECONNECT_PAUSE,
    ps::to_json,
    state::value,
    store::{self, visible},
};
use api::{
    Client,
    client::{Error, TransactionQuestion},
    wire::transactions::{Abort, Resolve, Submit, Transaction},
};
use std::{fs::File, io::Read as _, time::Duration};

/// Most transactions of one page.
const PAGE: u32 = 1_000;

/// Longest time that one request waits for the end, as the API has it; what is left is waited for by its events.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Largest input that is read from a file: more than a transaction takes.
const INPUT_MAX: u64 = 4 << 20;

pub(crate) async fn run(context: &Context, command: &TxCommand) -> Outcome {
    let client = context.place()?.client();
    match command {
        TxCommand::Ls(args) => list(context, &client, args).await,
        TxCommand::Show { id } => show(context, &client, id).await,
        TxCommand::Submit(args) => submit(context, &client, args).await,
        TxCommand::Retry { id } => {
            let done = client.retry_transaction(id).await;
            stands(context, &done.map_err(|e| locate::unanswered(&e))?)
        }
        TxCommand::Abort { id, reason } => {
            let abort = Abort { reason: reason.clone() };
            let done = client.abort_transaction(id, &abort).await;
            stands(context, &done.map_err(|e| locate::unanswered(&e))?)
        }
        TxCommand::Resolve(args) => resolve(context, &client, args).await,
        TxCommand::Watch { id } => watch(context, &client, id).await,
    }
}

async fn list(context: &Context, client: &Client, args: &TxList) -> Outcome {
    let mut question = TransactionQuestion {
        status: args.status.clone(),
        attention: args.attention,
        mode: args.mode.clone(),
        name: args.name.clone(),
        label: args.label.clone(),
        since: args.since.clone(),
        until: args.until.clone(),
        ..TransactionQuestion::default()
    };
    let mut left = args.limit;
    let mut found: Vec<Transaction> = Vec::new();
    loop {
        question.limit = Some(left.min(PAGE));
        let page = client.transactions(&question).await.map_err(|e| locate::unanswered(&e))?;
        left = left.saturating_sub(u32::try_from(page.transactions.len()).unwrap_or(u32::MAX));
        for transaction in page.transactions {
            match context.out.is_json() {
                true => context.out.line(&value::json_line(&transaction)?)?,
                false => found.push(transaction),
            }
        }
        question.cursor = page.next;
        if question.cursor.is_none() || left == 0 {
            break;
        }
    }
    if !context.out.is_json() {
        context.out.raw(&shown::list(context, &found))?;
        if found.is_empty() {
            context.out.say("there are no such transactions");
        }
    }
    if question.cursor.is_some() {
        context.out.say("there are more; `-n` shows them");
    }
    Ok(Exit::Success)
}

async fn show(context: &Context, client: &Client, id: &str) -> Outcome {
    let found = client.transaction(id).await.map_err(|e| locate::unanswered(&e))?;
    let history = client.transaction_events(id).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        let mut document = to_json(&found)?;
        if let serde_json::Value::Object(fields) = &mut document {
            fields.insert("events".to_owned(), to_json(&history.events)?);
        }
        context.out.json(&document)?;
        return Ok(Exit::Success);
    }
    context.out.raw(&shown::facts(context, &found)?)?;
    context.out.raw("\n")?;
    context.out.raw(&shown::branches(context, &found.branches))?;
    if !history.events.is_empty() {
        context.out.raw("\n")?;
        context.out.raw(&shown::history(context, &history.events))?;
    }
    Ok(Exit::Success)
}

async fn submit(context: &Context, client: &Client, args: &TxSubmit) -> Outcome {
    let submit = Submit {
        id: args.id.clone(),
        name: Some(args.name.clone()),
        input: args.input.as_deref().map(input).transpose()?.unwrap_or_default(),
        labels: args.labels.iter().cloned().collect(),
        ..Submit::default()
    };
    let asked = args.wait.map(|wait| wait.min(WAIT_MAX));
    let mut taken =
        client.submit_transaction(&submit, asked).await.map_err(|e| locate::unanswered(&e))?;
    let Some(wait) = args.wait else { return stands(context, &taken) };
    if let (false, Some(left)) = (is_over(&taken), wait.checked_sub(WAIT_MAX)) {
        // What is kept when the time is over is how it stood before; asking once more tells how it stands.
        let _ = tokio::time::timeout(left, ended(client, &taken.id, |_| Ok(()))).await;
        taken = client.transaction(&taken.id).await.map_err(|e| locate::unanswered(&e))?;
    }
    stands(context, &taken)?;
    if !is_over(&taken) {
        let text = format!("transaction {} has not ended yet", visible(&taken.id));
        let help = format!("`flotilla tx watch {}` shows how it goes on", visible(&taken.id));
        return Err(Failure::with_help(Exit::TimeOut, text, help));
    }
    Ok(exit(&taken))
}

/// JSON that was typed, or that stands in a file (`@file`) or comes from standard input (`-`).
fn input(typed: &str) -> Result<serde_json::Value, Failure> {
    let text = match typed.strip_prefix('@') {
        None => store::text(typed)?,
        Some(path) => {
            let unreadable = |e: std::io::Error| {
                Failure::new(Exit::Usage, format!("`{path}` cannot be read: {e}"))
            };
            let mut text = String::new();
            let file = File::open(path).map_err(unreadable)?;
            file.take(INPUT_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
            if u64::try_from(text.len()).unwrap_or(u64::MAX) > INPUT_MAX {
                let text = format!("`{path}` has more than {} MiB", INPUT_MAX >> 20);
                return Err(Failure::new(Exit::Usage, text));
            }
            text
        }
    };
    serde_json::from_str(&text).map_err(|e| {
        let help = "a text is in quotes: --input '\"text\"'; a file is named as --input @FILE";
        Failure::with_help(Exit::Usage, format!("the input is no JSON: {e}"), help)
    })
}

async fn resolve(context: &Context, client: &Client, args: &TxResolve) -> Outcome {
    let id = visible(&args.id);
    let what = match (&args.branch, &args.outcome) {
        (Some(branch), _) => format!("branch {} of {id} counts as done", visible(branch)),
        (None, outcome) => {
            format!(
                "{id} ends as {}, and nobody is called any more",
                outcome.as_deref().unwrap_or_default()
            )
        }
    };
    data::sure(context, &args.sure, &what)?;
    let resolve = Resolve {
        branch: args.branch.clone(),
        outcome: args.outcome.clone(),
        reason: Some(args.reason.clone()),
    };
    let done = client.resolve_transaction(&args.id, &resolve).await;
    stands(context, &done.map_err(|e| locate::unanswered(&e))?)
}

async fn watch(context: &Context, client: &Client, id: &str) -> Outcome {
    // A transaction that is not there is told before anything is waited for.
    client.transaction(id).await.map_err(|e| locate::unanswered(&e))?;
    let is_stopped = !ended(client, id, |event| shown::event(context, event)).await?;
    if is_stopped {
        context.out.say("the system was stopped; the transaction goes on when it is started again");
        return Ok(Exit::NoSystem);
    }
    let last = client.transaction(id).await.map_err(|e| locate::unanswered(&e))?;
    if !context.out.is_json() {
        stands(context, &last)?;
    }
    Ok(exit(&last))
}

/// Follows a transaction until it has ended, over restarts of the node; `false` when the system was stopped.
async fn ended(
    client: &Client,
    id: &str,
    mut each: impl FnMut(&api::wire::transactions::Event) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let mut after = None;
    loop {
        let mut stream = match client.transaction_stream(id, after).await {
            Ok(stream) => stream,
            Err(Error::NotRunning { .. }) => return Ok(false),
            // A node that has just taken over may not have its engine yet.
            Err(Error::Api { status: 503, .. }) if after.is_some() => {
                tokio::time::sleep(RECONNECT_PAUSE).await;
                continue;
            }
            Err(e) => return Err(locate::unanswered(&e)),
        };
        loop {
            match stream.next().await {
                Ok(Some(item)) => {
                    each(&item.data)?;
                    after = Some(item.id);
                }
                Ok(None) | Err(Error::Broken(_)) => break,
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
        // A stream ends with the transaction, and also with the node.
        match client.transaction(id).await {
            Ok(found) if is_over(&found) => return Ok(true),
            Ok(_) | Err(Error::Api { status: 503, .. } | Error::Broken(_)) => {}
            Err(Error::NotRunning { .. }) => return Ok(false),
            Err(e) => return Err(locate::unanswered(&e)),
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

fn is_over(transaction: &Transaction) -> bool {
    matches!(transaction.status.as_str(), "committed" | "aborted" | "mixed")
}

/// How a command ends that has waited for the end.
fn exit(transaction: &Transaction) -> Exit {
    match transaction.status.as_str() {
        "committed" => Exit::Success,
        _ => Exit::Failure,
    }
}

/// Tells how a transaction stands.
fn stands(context: &Context, transaction: &Transaction) -> Outcome {
    if context.out.is_json() {
        context.out.json(&to_json(transaction)?)?;
    } else {
        context.out.line(&shown::line(context, transaction))?;
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_typed_or_stands_in_a_file() {
        assert_eq!(input("{\"a\": 1}").unwrap(), serde_json::json!({ "a": 1 }));
        assert_eq!(input("-5").unwrap(), serde_json::json!(-5));
        let path = std::env::temp_dir().join(format!("flotilla-tx-input-{}", std::process::id()));
        std::fs::write(&path, "[1]\n").unwrap();
        assert_eq!(input(&format!("@{}", path.display())).unwrap(), serde_json::json!([1]));
        std::fs::write(&path, [0xff]).unwrap();
        for typed in ["{", "a-1", "@/nowhere/input.json", &format!("@{}", path.display())] {
            assert_eq!(input(typed).unwrap_err().exit(), Exit::Usage, "{typed}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn who_waited_learns_how_it_ended() {
        let stands = |status: &str| Transaction { status: status.into(), ..Transaction::default() };
        assert_eq!(exit(&stands("committed")), Exit::Success);
        assert_eq!(exit(&stands("aborted")), Exit::Failure);
        assert_eq!(exit(&stands("mixed")), Exit::Failure);
        assert!(is_over(&stands("mixed")) && !is_over(&stands("committing")));
    }
}
