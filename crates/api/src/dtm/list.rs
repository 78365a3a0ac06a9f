//! Lists of transactions.

use super::{asked::Kind, desk::Desk, fault::Fault, http::Said, rows};
use logic::tx::Mode;
use serde_json::{Map, Value, json};
use transactions::{Filter, LIST_MAX};

/// How many pages are looked through for those of one kind that shares its protocol with another, before the client is given a
/// position to go on from.
const PAGES_MAX: usize = 10;

/// Those that fit what is said, and where the next ones begin.
pub(super) async fn all(desk: &Desk, said: &Said) -> Result<Value, Fault> {
    let gid = said.text("gid");
    if !gid.is_empty() {
        let found: Vec<_> = desk.query(gid).await?.iter().map(rows::transaction).collect();
        return Ok(page(found, None));
    }
    let (Some(phases), Some(mode)) = (rows::phases(said.text("status")), mode(said)) else {
        // DTM finds nothing by words that it does not know.
        return Ok(page(Vec::new(), None));
    };
    let limit = said.limit()?.clamp(1, LIST_MAX);
    let mut filter = Filter {
        phases,
        mode,
        since_ms: said.number("createTimeStart")?,
        until_ms: said.number("createTimeEnd")?,
        cursor: Some(said.text("position").to_owned()).filter(|position| !position.is_empty()),
        ..Filter::default()
    };
    let kind = said.text("transType");
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        filter.limit = Some(limit - found.len());
        let list = desk.list(&filter).await?;
        let fits = |word: &str| kind.is_empty() || word == kind;
        let fitting = list
            .transactions
            .iter()
            .filter(|view| fits(Kind::word(view.spec.mode, view.spec.dialect)));
        found.extend(fitting.map(rows::transaction));
        filter.cursor = list.next;
        if filter.cursor.is_none() || found.len() >= limit {
            break;
        }
    }
    Ok(page(found, filter.cursor))
}

/// The protocol that is asked for, if one is; `None`: it is none of ours.
fn mode(said: &Said) -> Option<Option<Mode>> {
    Some(match said.text("transType") {
        "" => None,
        "saga" => Some(Mode::Saga),
        "tcc" => Some(Mode::Tcc),
        "xa" | "2pc" => Some(Mode::TwoPhase),
        "msg" | "workflow" => Some(Mode::Message),
        _ => return None,
    })
}

fn page(found: Vec<Map<String, Value>>, next: Option<String>) -> Value {
    json!({ "transactions": found, "next_position": next.unwrap_or_default() })
}
