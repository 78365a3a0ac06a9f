use super::Changes;
use crate::names::Names;
use bytes::Bytes;
use ports::kv::{Event, Range, Revision};
use proto::etcd::{
    etcdserverpb::{ResponseHeader, WatchResponse},
    mvccpb::{Event as Told, KeyValue},
};

/// A response as `4:a 4:-b 5:a`, with `...` at its end when it is a fragment; `@7` tells of progress.
fn response(text: &str) -> WatchResponse {
    let mut response = WatchResponse::default();
    for part in text.split_whitespace() {
        if part == "..." {
            response.fragment = true;
        } else if let Some(revision) = part.strip_prefix('@') {
            let revision = revision.parse().unwrap();
            response.header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        } else {
            let (revision, key) = part.split_once(':').unwrap();
            let is_delete = key.starts_with('-');
            let key = format!("p/{}", key.trim_start_matches('-'));
            let mod_revision = revision.parse().unwrap();
            let kv = KeyValue { key: Bytes::from(key), mod_revision, ..KeyValue::default() };
            response.events.push(Told { r#type: is_delete.into(), kv: Some(kv) });
        }
    }
    response
}

/// Takes responses, divided by `|`, and tells the changes as `4 a -b|5 a`. `!` opens the watch again.
fn check(from: Option<u64>, responses: &str, expected: &str) -> Changes {
    let mut changes = Changes::new(Names::new("p/"), Range::all(), from.map(Revision));
    changes.opened(3);
    for text in responses.split('|') {
        match text.trim() {
            "!" => changes.opened(100),
            text => changes.take(response(text)),
        }
    }
    let mut told = Vec::new();
    while let Some(change) = changes.pop() {
        let events = change.events.iter().map(|event| {
            let sign = if matches!(event, Event::Delete { .. }) { "-" } else { "" };
            format!(" {sign}{}", String::from_utf8_lossy(event.key()))
        });
        told.push(format!("{}{}", change.revision, events.collect::<String>()));
    }
    assert_eq!(told.join("|"), expected, "{responses}");
    changes
}

#[test]
fn a_change_holds_one_revision() {
    check(Some(1), "4:a 4:-b 5:a | 6:c", "4 a -b|5 a|6 c");
    check(Some(1), "4:a", "4 a");
    check(None, "4:a", "4 a");
}

#[test]
fn fragments_of_a_revision_are_joined() {
    check(Some(1), "4:a ... | 4:b ... | 4:c", "4 a b c");
    check(Some(1), "4:a 5:a ... | 5:b 6:a ... | 6:b 7:a", "4 a|5 a b|6 a b|7 a");
    // The last fragment may bring nothing of the revision that was open.
    check(Some(1), "4:a ... | 5:a", "4 a|5 a");
    // What is not whole is not told.
    check(Some(1), "4:a 5:a ...", "4 a");
}

#[test]
fn what_was_told_is_not_told_again() {
    check(Some(1), "4:a 5:a | ! | 4:a 5:a 6:a", "4 a|5 a|6 a");
    check(Some(5), "4:a 5:a", "5 a");
    check(Some(5), "3:a 4:a", "");
    // A revision that broke off in the middle comes whole.
    check(Some(1), "4:a 5:a ... | ! | 4:a 5:a 5:b", "4 a|5 a b");
}

#[test]
fn a_watch_begins_one_revision_early_and_goes_on_where_it_was() {
    let begin = |from| Changes::new(Names::new(""), Range::all(), from).begin();
    assert_eq!(begin(None), 0);
    assert_eq!(begin(Some(Revision(0))), 1);
    assert_eq!(begin(Some(Revision(1))), 1);
    assert_eq!(begin(Some(Revision(9))), 8);
    assert_eq!(begin(Some(Revision(u64::MAX))), i64::MAX);
    assert_eq!(check(None, "", "").begin(), 3);
    assert_eq!(check(Some(9), "", "").begin(), 8);
    assert_eq!(check(None, "4:a 9:b", "4 a|9 b").begin(), 9);
    assert_eq!(check(None, "4:a | @20", "4 a").begin(), 20);
    assert_eq!(check(Some(30), "@20", "").begin(), 29);
    assert_eq!(check(Some(1), "4:a ... | @20", "4 a").begin(), 4);
    // The header of a response with events is no promise that nothing else happened.
    assert_eq!(check(None, "4:a @20", "4 a").begin(), 4);
}

#[test]
fn other_keys_are_not_told() {
    let mut changes = Changes::new(Names::new("p/"), Range::key("a".into()), Some(Revision(1)));
    changes.opened(3);
    changes.take(response("4:a 4:b 5:c"));
    assert_eq!(changes.pop().map(|change| change.events.len()), Some(1));
    assert_eq!(changes.pop(), None);
}
