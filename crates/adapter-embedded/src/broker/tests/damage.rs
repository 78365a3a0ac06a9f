//! Files that are not as they were written.

use ports::broker::{Broker, Error, NewMessage, Offset, Start, TopicName};
use std::{error::Error as _, time::Duration};

use super::{all, made, open, publish, run, text, tiny};
use crate::{
    broker::{Error as OpenError, limits::Limits},
    disk::{Disk, simulated::Simulated},
};

/// A store that was ended in order, with everything in files: topic `a` with some of them, topic `b` with one.
async fn ended() -> Simulated {
    let disk = Simulated::default();
    let (service, broker) = open(&disk, tiny()).unwrap();
    for name in ["a", "b"] {
        let topic = made(&broker, name).await;
        for number in 0..if name == "a" { 40 } else { 3 } {
            publish(&broker, &topic, &format!("{number}:{}", "x".repeat(300))).await;
        }
    }
    service.shutdown().await;
    disk.kill()
}

/// The files of topics, in order.
fn files(disk: &Simulated) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

fn damaged(result: Result<(super::Service, super::Handle), OpenError>) -> (String, Option<u64>) {
    match result {
        Err(OpenError::Damaged { file, offset, .. }) => {
            (file.file_name().unwrap().to_str().unwrap().to_owned(), offset)
        }
        other => panic!("it is damaged: {other:?}"),
    }
}

/// Reads until an error comes. Returns how many messages came, and the error with its cause.
async fn read_until_error(broker: &super::Handle, topic: &TopicName) -> (usize, String) {
    let mut reader = broker.read(topic, Start::Beginning).await.unwrap();
    let mut count = 0;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(60), reader.next(1_000)).await.unwrap();
        match next {
            Ok(messages) => count += messages.len(),
            Err(error) => {
                assert!(matches!(error, Error::Refused { .. }), "{error:?}");
                return (count, error.source().unwrap().to_string());
            }
        }
    }
}

#[test]
fn a_checkpoint_that_is_damaged_at_any_byte_is_refused() {
    run(async {
        let disk = ended().await;
        let whole = disk.bytes("checkpoint");
        for at in 0..whole.len() {
            let disk = disk.copy();
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            disk.put("checkpoint", bytes);
            let (file, _) = damaged(open(&disk, tiny()));
            assert_eq!(file, "checkpoint");
        }
        for len in 0..whole.len() {
            let disk = disk.copy();
            disk.put("checkpoint", whole[..len].to_vec());
            assert_eq!(damaged(open(&disk, tiny())).0, "checkpoint");
        }
        let disk = disk.copy();
        disk.remove("checkpoint").unwrap();
        assert_eq!(damaged(open(&disk, tiny())), ("checkpoint".to_owned(), None));
    });
}

#[test]
fn a_checkpoint_or_a_file_of_a_later_release_is_told_apart_from_damage() {
    run(async {
        let disk = ended().await;
        let later = |bytes: &mut Vec<u8>| {
            bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
            let check = crc32fast::hash(&bytes[..12]);
            bytes[12..16].copy_from_slice(&check.to_le_bytes());
        };
        let newer = disk.copy();
        let mut bytes = newer.bytes("checkpoint");
        later(&mut bytes);
        newer.put("checkpoint", bytes);
        let opened = open(&newer, tiny());
        assert!(matches!(opened, Err(OpenError::Newer { version: 7, known: 1, .. })), "{opened:?}");

        let name = files(&disk).remove(0);
        let mut bytes = disk.bytes(&name);
        later(&mut bytes);
        disk.put(&name, bytes);
        let (_service, broker) = open(&disk, tiny()).unwrap();
        let (count, error) = read_until_error(&broker, &super::topic("a")).await;
        assert_eq!(count, 0);
        assert!(error.contains(&name) && error.contains("has format 7"), "{error}");
    });
}

#[test]
fn a_file_of_a_topic_that_is_missing_or_too_short_is_named_when_the_store_is_opened() {
    run(async {
        let disk = ended().await;
        let names = files(&disk);
        assert!(names.len() > 3, "{names:?}");
        for name in &names {
            let missing = disk.copy();
            missing.remove(name).unwrap();
            assert_eq!(damaged(open(&missing, tiny())), (name.clone(), Some(0)));

            let short = disk.copy();
            let mut bytes = short.bytes(name);
            bytes.pop();
            let len = bytes.len() as u64;
            short.put(name, bytes);
            assert_eq!(damaged(open(&short, tiny())), (name.clone(), Some(len)));
        }
    });
}

#[test]
fn a_damaged_message_is_named_to_who_reads_it_and_holds_up_nothing_else() {
    run(async {
        let disk = ended().await;
        let names = files(&disk);
        let name = &names[1];
        let mut bytes = disk.bytes(name);
        // In the second message: the first one is long by what stands in its head.
        let first = 64 + 8 + usize::from(bytes[64]) + 256 * usize::from(bytes[65]);
        bytes[first + 40] ^= 1;
        disk.put(name, bytes);
        let (service, broker) = open(&disk, tiny()).unwrap();
        let a = super::topic("a");
        let (count, error) = read_until_error(&broker, &a).await;
        assert!(count > 1, "{count}");
        let place = format!("`simulated/{name}` is damaged at byte {first}");
        assert!(error.contains(&place), "{error}, not {place}");

        // Publishing and the other topic go on, and so does this one behind the damage.
        assert_eq!(all(&broker, &super::topic("b")).await.len(), 3);
        let offset = publish(&broker, &a, "more").await;
        let mut reader = broker.read(&a, Start::Offset(Offset(offset))).await.unwrap();
        assert_eq!(text(&reader.next(1).await.unwrap()[0]), "more");
        broker.purge(&a, Some(Offset(u64::try_from(count).unwrap() + 2))).await.unwrap();
        assert_eq!(all(&broker, &a).await.len(), 40 + 1 - count - 1);
        service.shutdown().await;
    });
}

#[test]
fn a_damaged_head_of_a_file_is_named_to_who_reads_it() {
    run(async {
        let disk = ended().await;
        let name = files(&disk).remove(0);
        for at in 0..64 {
            let disk = disk.copy();
            let mut bytes = disk.bytes(&name);
            bytes[at] ^= 1;
            disk.put(&name, bytes);
            let (_service, broker) = open(&disk, tiny()).unwrap();
            let (count, error) = read_until_error(&broker, &super::topic("a")).await;
            assert_eq!(count, 0);
            assert!(error.contains(&name), "{error}");
        }
    });
}

/// Where messages stand is nowhere on disk but in the files themselves, so any place is found in a store that was
/// just opened.
#[test]
fn reading_begins_anywhere_in_a_store_that_was_just_opened() {
    run(async {
        let disk = Simulated::default();
        let limits = Limits { segment_bytes: 300 << 10, flush_bytes: 64 << 10, ..tiny() };
        let limits = Limits { unwritten_bytes_max: 1 << 20, journal_bytes_max: 8 << 20, ..limits };
        let (service, broker) = open(&disk, limits.clone()).unwrap();
        let topic = made(&broker, "a").await;
        for number in 0..40 {
            let messages = (0..25).map(|part| {
                NewMessage::new(format!("{}:{}", number * 25 + part + 1, "x".repeat(1_000)))
            });
            broker.publish(&topic, messages.collect()).await.unwrap();
        }
        service.shutdown().await;
        let (_service, broker) = open(&disk.kill(), limits).unwrap();
        for offset in (1..=1_000_u64).rev().step_by(7) {
            let mut reader = broker.read(&topic, Start::Offset(Offset(offset))).await.unwrap();
            let message = reader.next(1).await.unwrap().remove(0);
            assert_eq!(message.offset.0, offset);
            assert!(text(&message).starts_with(&format!("{offset}:")));
            let mut reader = broker.read(&topic, Start::Time(message.time)).await.unwrap();
            let first = reader.next(1).await.unwrap().remove(0);
            assert!(first.offset <= message.offset && first.time == message.time);
        }
    });
}
