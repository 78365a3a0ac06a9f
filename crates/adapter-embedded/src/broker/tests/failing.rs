//! Disks that fail and run full.

use ports::broker::{Broker, Error, NewMessage, Retry, Settle, TopicName};

use super::{
    all,
    ledger::{config, group},
    made, open, publish, run, text, tiny,
};
use crate::{
    broker::{Handle, limits::Limits},
    disk::simulated::{Cut, Simulated},
};

fn message(id: &str) -> NewMessage {
    NewMessage { id: Some(id.to_owned()), payload: id.to_owned().into(), ..NewMessage::default() }
}

/// Publishes until it succeeds.
async fn publish_again(broker: &Handle, topic: &TopicName, id: &str) -> u64 {
    loop {
        match broker.publish(topic, vec![message(id)]).await {
            Ok(published) => return published[0].offset.0,
            Err(error) => assert_ne!(error.retry(), Retry::Never, "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn payloads(broker: &Handle, topic: &TopicName) -> Vec<String> {
    all(broker, topic).await.iter().map(text).collect()
}

#[test]
fn a_failed_sync_is_told_as_unknown_and_stops_publishers_but_no_readers_until_the_journal_is_open_again()
 {
    run(async {
        let disk = Simulated::default();
        let (service, broker) = open(&disk, Limits::default()).unwrap();
        let topic = made(&broker, "a").await;
        publish(&broker, &topic, "1").await;
        // One for the publish, one for the first attempt to open the journal again.
        disk.fail(|faults| faults.failing_syncs = Some((".log", 2)));
        let lost = broker.publish(&topic, vec![message("2")]).await;
        assert!(matches!(lost, Err(Error::Unknown { .. })), "{lost:?}");
        assert_eq!(payloads(&broker, &topic).await, ["1"]);
        let refused = broker.publish(&topic, vec![message("3")]).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");

        // Whether it turned out to be in the journal or not, with its id it is there once.
        publish_again(&broker, &topic, "2").await;
        assert_eq!(publish_again(&broker, &topic, "3").await, 3);
        let before = payloads(&broker, &topic).await;
        assert_eq!(before, ["1", "2", "3"]);
        // Cut before it is dropped: it must not end in order.
        let disk = disk.cut(Cut::Strict);
        drop(service);
        let (_service, broker) = open(&disk, Limits::default()).unwrap();
        assert_eq!(payloads(&broker, &topic).await, before, "what was read must be durable");
    });
}

#[test]
fn a_full_disk_refuses_messages_and_takes_them_again_when_there_is_room() {
    run(async {
        let disk = Simulated::default();
        let (service, broker) = open(&disk, tiny()).unwrap();
        let topic = made(&broker, "a").await;
        let full = disk.used() + (40 << 10);
        disk.fail(|faults| faults.capacity = Some(full));
        let mut acknowledged = Vec::new();
        let refused = loop {
            let payload = format!("{}:{}", acknowledged.len(), "x".repeat(500));
            match broker.publish(&topic, vec![NewMessage::new(payload.clone())]).await {
                Ok(_) => acknowledged.push(payload),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(acknowledged.len() > 5, "{}", acknowledged.len());
        assert_eq!(payloads(&broker, &topic).await, acknowledged);
        disk.fail(|faults| faults.capacity = None);
        publish_again(&broker, &topic, "more").await;
        acknowledged.push("more".to_owned());
        assert_eq!(payloads(&broker, &topic).await, acknowledged);
        let disk = disk.cut(Cut::Strict);
        drop(service);
        let (_service, broker) = open(&disk, tiny()).unwrap();
        assert_eq!(payloads(&broker, &topic).await, acknowledged);
    });
}

/// A settlement that the journal could not take is in memory. Made again it is kept, though nothing seems to change.
#[test]
fn a_settlement_that_found_no_room_is_kept_when_it_is_made_again() {
    run(async {
        let disk = Simulated::default();
        let (service, broker) = open(&disk, Limits::default()).unwrap();
        let topic = made(&broker, "a").await;
        for payload in ["1", "2"] {
            publish(&broker, &topic, payload).await;
        }
        let mut subscription = broker.subscribe(&topic, &group(), config()).await.unwrap();
        let mut deliveries = subscription.next(2).await.unwrap();
        deliveries.truncate(1);
        let full = disk.used();
        disk.fail(|faults| faults.capacity = Some(full));
        let settlement = vec![(deliveries[0].receipt.clone(), Settle::Ack)];
        let refused = broker.settle(&topic, &group(), settlement.clone()).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        disk.fail(|faults| faults.capacity = None);
        broker.settle(&topic, &group(), settlement).await.unwrap();
        let disk = disk.cut(Cut::Strict);
        drop((service, subscription));
        let (_service, broker) = open(&disk, Limits::default()).unwrap();
        let mut subscription = broker.subscribe(&topic, &group(), config()).await.unwrap();
        let left = subscription.next(2).await.unwrap();
        let left: Vec<u64> = left.iter().map(|it| it.message.offset.0).collect();
        let settled = deliveries[0].message.offset.0;
        assert_eq!(left, [3 - settled]);
    });
}

/// Checkpoints need the files of topics to be durable. While they are not, the journal is not trimmed, and it has a
/// bound.
#[test]
fn files_that_cannot_be_synced_hold_up_nothing_until_the_journal_is_full_and_are_written_again() {
    run(async {
        let disk = Simulated::default();
        let (service, broker) =
            open(&disk, Limits { journal_bytes_max: 64 << 10, ..tiny() }).unwrap();
        let topic = made(&broker, "a").await;
        disk.fail(|faults| faults.failing_syncs = Some((".seg", u32::MAX)));
        let mut acknowledged = Vec::new();
        let refused = loop {
            let payload = format!("{}:{}", acknowledged.len(), "x".repeat(200));
            match broker.publish(&topic, vec![NewMessage::new(payload.clone())]).await {
                Ok(_) => acknowledged.push(payload),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(acknowledged.len() > 50, "{}", acknowledged.len());
        disk.fail(|faults| faults.failing_syncs = None);
        publish_again(&broker, &topic, "more").await;
        acknowledged.push("more".to_owned());
        service.shutdown().await;
        let disk = disk.cut(Cut::Strict);
        let journal = disk.used();
        let (_service, broker) = open(&disk, tiny()).unwrap();
        assert_eq!(payloads(&broker, &topic).await, acknowledged, "of {journal} bytes");
    });
}
