//! Which store is meant, and what is typed in place of a value.

use super::{
    args,
    exit::{Exit, Failure},
    locate,
};
use api::{
    Client,
    wire::stores::{Store, StoreKind},
};
use std::io::{self, Read};

/// Longest value that is read from standard input: more than any store takes.
const INPUT_MAX: u64 = 4 << 20;

/// Where a command works.
pub(super) struct Place {
    pub(super) client: Client,
    pub(super) store: String,
}

/// The store of `kinds` that is named, or the only one there is, or the one called `usual`.
///
/// # Errors
/// When it does not exist, or several could be meant.
pub(super) async fn choose(
    client: Client,
    asked: &args::Store,
    kinds: &[StoreKind],
    usual: &str,
) -> Result<Place, Failure> {
    let stores = client.stores().await.map_err(|e| locate::unanswered(&e))?.stores;
    let store = pick(&stores, asked.store.as_deref(), kinds, usual)?;
    Ok(Place { client, store })
}

fn pick(
    stores: &[Store],
    asked: Option<&str>,
    kinds: &[StoreKind],
    usual: &str,
) -> Result<String, Failure> {
    let fitting = stores.iter().filter(|store| kinds.contains(&store.kind));
    let names: Vec<&str> = fitting.map(|store| store.name.as_str()).collect();
    let listed = || names.join(", ");
    match (asked, names.as_slice()) {
        (Some(asked), names) if names.contains(&asked) => Ok(asked.to_owned()),
        (Some(asked), names) => {
            let help = match manifest::nearest(asked, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", listed()),
            };
            Err(Failure::with_help(Exit::Usage, format!("there is no store `{asked}`"), help))
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, names) if names.contains(&usual) => Ok(usual.to_owned()),
        (None, []) => Err(Failure::new(Exit::Usage, "the file names no such store")),
        (None, _) => {
            let help = format!("name one of {} with `--store`", listed());
            Err(Failure::with_help(Exit::Usage, "there are several stores", help))
        }
    }
}

/// What was typed, or what standard input has when that was `-`.
///
/// # Errors
/// When standard input cannot be read, or has no end.
pub(super) fn value(typed: &str) -> Result<Vec<u8>, Failure> {
    if typed != "-" {
        return Ok(typed.as_bytes().to_vec());
    }
    let mut value = Vec::new();
    let read = io::stdin().lock().take(INPUT_MAX + 1).read_to_end(&mut value);
    read.map_err(|e| Failure::new(Exit::Failure, format!("standard input cannot be read: {e}")))?;
    if u64::try_from(value.len()).unwrap_or(u64::MAX) > INPUT_MAX {
        let text = format!("more than {} MiB came in", INPUT_MAX >> 20);
        return Err(Failure::new(Exit::Usage, text));
    }
    Ok(value)
}

/// As [`value`], as text without the line end that an editor or `echo` leaves.
///
/// # Errors
/// Those of [`value`], and when it is not UTF-8.
pub(super) fn text(typed: &str) -> Result<String, Failure> {
    let value = String::from_utf8(value(typed)?);
    let value =
        value.map_err(|_binary| Failure::new(Exit::Usage, "the value is not UTF-8 text"))?;
    let is_read = typed == "-";
    Ok(if is_read { value.strip_suffix('\n').unwrap_or(&value).to_owned() } else { value })
}

/// Characters that a terminal would act on, as escapes; what others have written is shown so.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let is_plain = !c.is_control();
            let plain = is_plain.then_some(c);
            let escaped = (!is_plain).then(|| c.escape_default());
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// At most so much of a text in a table.
pub(super) fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let visible = visible(text);
    if visible.chars().count() <= SHOWN {
        return visible;
    }
    visible.chars().take(SHOWN - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str, kind: StoreKind) -> Store {
        Store { name: name.into(), kind, namespace: name.into(), cache: None }
    }

    #[test]
    fn a_store_need_not_be_named_when_it_is_clear_which() {
        use StoreKind::{Cache, Lock, State};
        let stores = [store("carts", State), store("sessions", Cache), store("locks", Lock)];
        let pick = |asked, kinds: &[StoreKind], usual| {
            pick(&stores, asked, kinds, usual).map_err(|failure| failure.text())
        };
        assert_eq!(pick(None, &[Lock], "lockstore").unwrap(), "locks");
        assert_eq!(pick(None, &[State, Cache], "carts").unwrap(), "carts");
        assert_eq!(pick(Some("sessions"), &[State, Cache], "carts").unwrap(), "sessions");
        assert_eq!(
            pick(None, &[State, Cache], "statestore").unwrap_err(),
            "there are several stores"
        );
        assert_eq!(
            pick(Some("cart"), &[State, Cache], "").unwrap_err(),
            "there is no store `cart`"
        );
        assert_eq!(pick(Some("locks"), &[State], "").unwrap_err(), "there is no store `locks`");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        assert_eq!(visible("a\u{1b}[2Jé\n"), "a\\u{1b}[2Jé\\n");
        assert_eq!(short(&"x".repeat(80)).chars().count(), 60);
    }
}
