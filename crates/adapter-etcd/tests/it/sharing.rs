//! Several systems on one etcd.

use crate::cluster;
use ports::kv::{Event, Kv, Life, Operation, Page, Range, Revision, Transaction};
use std::time::Duration;

fn names(page: &Page) -> Vec<String> {
    page.entries.iter().map(|entry| String::from_utf8_lossy(&entry.key).into_owned()).collect()
}

#[test]
fn neighbours_do_not_see_each_other() {
    cluster::with(1, |cluster| async move {
        let (shop, shopping) = (cluster.engine("/shop"), cluster.engine("/shopping"));
        let whole = cluster.engine("");
        cluster.ready(&whole).await;
        let mut watches = Vec::new();
        for kv in [&shop, &shopping] {
            watches.push(kv.watch(Range::all(), Some(Revision(1))).await.unwrap());
        }
        let lease = shop.grant(Duration::from_secs(1_000)).await.unwrap();
        let life = Life::Lease(lease.id);
        for kv in [&shop, &shopping] {
            let put = Transaction::put("a", "1").and_put("\u{7f}", "2", life);
            kv.commit(put).await.unwrap();
        }
        for key in ["a", "shop", "shop0", "shop/a/b", "zoo"] {
            whole.commit(Transaction::put(key, "")).await.unwrap();
        }
        assert_eq!(names(&shop.range(&Range::all(), 100).await.unwrap()), ["a", "a/b", "\u{7f}"]);
        let all = shopping.snapshot().await.unwrap().range(&Range::all(), 100).await.unwrap();
        assert_eq!(names(&all), ["a", "\u{7f}"]);
        let from = Range { from: "b".into(), to: None };
        assert_eq!(names(&shop.range(&from, 100).await.unwrap()), ["\u{7f}"]);
        assert_eq!(
            names(&whole.range(&Range::all(), 100).await.unwrap()),
            [
                "a",
                "shop",
                "shop/a",
                "shop/a/b",
                "shop/\u{7f}",
                "shop0",
                "shopping/a",
                "shopping/\u{7f}",
                "zoo",
            ]
        );
        // A lease is the whole etcd's, its keys are everybody's own.
        for kv in [&shop, &shopping] {
            let keys = kv.lease(lease.id).await.unwrap().keys;
            assert_eq!(keys, ["a", "\u{7f}"][1..]);
        }
        let operations = vec![Operation::DeleteRange { range: Range::all() }];
        let conditions = Vec::new();
        shop.commit(Transaction { conditions, operations }).await.unwrap();
        assert_eq!(names(&shop.range(&Range::all(), 100).await.unwrap()), Vec::<String>::new());
        assert_eq!(shopping.range(&Range::all(), 100).await.unwrap().entries.len(), 2);
        shopping.commit(Transaction::delete("a")).await.unwrap();

        let mut told = Vec::new();
        for (watch, count) in watches.iter_mut().zip([3, 2]) {
            for _ in 0..count {
                let mut events: Vec<_> = watch.next().await.unwrap().events;
                events.sort_by(|a, b| a.key().cmp(b.key()));
                let text = events.iter().map(|event| {
                    let sign = if matches!(event, Event::Put(_)) { '+' } else { '-' };
                    format!("{sign}{}", String::from_utf8_lossy(event.key()))
                });
                told.push(text.collect::<Vec<_>>().join(" "));
            }
        }
        assert_eq!(told, ["+a +\u{7f}", "+a/b", "-a -a/b -\u{7f}", "+a +\u{7f}", "-a"]);
        assert!(!format!("{shop:?}").is_empty());
    });
}
