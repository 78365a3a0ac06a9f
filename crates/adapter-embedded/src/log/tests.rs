//! Tests of the log by itself.

use std::sync::Arc;

use super::{Batch, Error, Frame, Log, Next, Reader, salvage, segment};
use crate::disk::{
    Disk,
    simulated::{Cut, Simulated},
};

fn disk(simulated: &Simulated) -> Arc<dyn Disk> {
    Arc::new(simulated.clone())
}

fn open(simulated: &Simulated, from: u64) -> Result<(Log, Vec<Frame>), Error> {
    let mut frames = Vec::new();
    let log = Log::open(&disk(simulated), 500, from, |frame| -> Result<(), Error> {
        frames.push(frame.clone());
        Ok(())
    })?;
    Ok((log, frames))
}

/// Appends `count` entries in one frame.
fn append(log: &mut Log, count: u32) {
    let mut batch = Batch::new();
    for entry in 0..count {
        batch.entry().extend_from_slice(format!("entry {entry};").as_bytes());
    }
    let mark = log.next() * 10;
    log.append(&mut batch, mark).unwrap();
}

#[test]
fn entries_are_read_back_from_a_number_on() {
    let simulated = Simulated::default();
    let (mut log, frames) = open(&simulated, 0).unwrap();
    assert_eq!((frames.len(), log.next()), (0, 0));
    for count in 1..20 {
        append(&mut log, count % 3 + 1);
    }
    let next = log.next();
    drop(log);
    let simulated = simulated.cut(Cut::Strict);
    for from in 0..=next {
        let (log, frames) = open(&simulated, from).unwrap();
        assert_eq!(log.next(), next);
        if let Some(first) = frames.first() {
            assert!(first.first <= from && from < first.first + u64::from(first.count));
        } else {
            assert_eq!(from, next);
        }
        let joined = frames.windows(2).all(|pair| match pair {
            [a, b] => a.first + u64::from(a.count) == b.first,
            _ => true,
        });
        assert!(joined);
    }
    assert!(matches!(open(&simulated, next + 1), Err(Error::Damaged { .. })));
}

#[test]
fn a_reader_follows_who_appends_over_segments_and_learns_what_was_removed() {
    let simulated = Simulated::default();
    let (mut log, _) = open(&simulated, 0).unwrap();
    let mut reader = Reader::open(&disk(&simulated), log.segments(), 1).unwrap().unwrap();
    assert!(matches!(reader.next().unwrap(), Next::End));
    let mut late = Reader::open(&disk(&simulated), log.segments(), 1).unwrap().unwrap();
    let mut next = 0;
    for _ in 0..60 {
        append(&mut log, 2);
        let Next::Frame(frame) = reader.next().unwrap() else { panic!("there is one more") };
        assert_eq!((frame.first, frame.count), (next, 2));
        assert_eq!(&*frame.payload, b"entry 0;entry 1;");
        next += 2;
        assert!(matches!(reader.next().unwrap(), Next::End));
    }
    let segments = log.segments().list();
    assert!(segments.len() > 3, "{segments:?}");
    assert!(segments.iter().all(|segment| segment.mark == segment.first * 10));
    // What is asked for by its mark is found from there on.
    for segment in &segments[1..] {
        let mut reader =
            Reader::open(&disk(&simulated), log.segments(), segment.mark + 1).unwrap().unwrap();
        assert!(
            matches!(reader.next().unwrap(), Next::Frame(frame) if frame.first == segment.first)
        );
    }
    log.trim(next, segments[2].mark).unwrap();
    assert_eq!(log.segments().list()[0], segments[2]);
    log.trim(0, u64::MAX).unwrap();
    assert_eq!(log.segments().list()[0], segments[2], "what is not in the tree stays");
    let gone = loop {
        match late.next().unwrap() {
            Next::Frame(_) => {}
            Next::End => break false,
            Next::Gone => break true,
        }
    };
    assert!(gone);
    assert!(Reader::open(&disk(&simulated), log.segments(), 1).unwrap().is_none());
    drop(log);
    let (log, _) = open(&simulated.cut(Cut::Strict), next).unwrap();
    assert_eq!(log.next(), next);
}

#[test]
fn an_entry_longer_than_a_segment_has_one_for_itself() {
    let simulated = Simulated::default();
    let (mut log, _) = open(&simulated, 0).unwrap();
    append(&mut log, 1);
    append(&mut log, 300);
    append(&mut log, 1);
    assert_eq!(log.segments().list().len(), 3);
    let (_, frames) = open(&simulated.cut(Cut::Strict), 0).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.count).collect::<Vec<_>>(), [1, 300, 1]);
}

/// Appends one entry, which may fail.
fn try_append(log: &mut Log) -> bool {
    let mut batch = Batch::new();
    batch.entry().extend_from_slice(&[7; 100]);
    log.append(&mut batch, 0).is_ok()
}

#[test]
fn what_is_appended_after_a_kill_survives_a_power_cut_whatever_the_kill_left_half_done() {
    for step in 0..60 {
        let simulated = Simulated::default();
        let (mut log, _) = open(&simulated, 0).unwrap();
        let at = simulated.steps() + step;
        simulated.fail(|faults| faults.cut_at = Some(at));
        let acknowledged = (0..8).take_while(|_| try_append(&mut log)).count();
        let simulated = simulated.kill();
        let (mut log, _) = open(&simulated, 0).unwrap();
        assert!(log.next() >= acknowledged as u64, "{step}");
        assert!(try_append(&mut log));
        let next = log.next();
        let (log, _) =
            open(&simulated.cut(Cut::Strict), 0).unwrap_or_else(|e| panic!("{step}: {e}"));
        assert_eq!(log.next(), next, "{step}");
    }
}

#[test]
fn a_salvage_says_what_is_lost_with_the_last_segments_too() {
    let simulated = Simulated::default();
    let (mut log, _) = open(&simulated, 0).unwrap();
    while log.segments().list().len() < 3 {
        append(&mut log, 2);
    }
    let segments = log.segments().list();
    drop(log);
    let simulated = simulated.cut(Cut::Strict);
    let aside = |_: &str| Err(std::io::Error::other("it is not set aside"));
    let damage = |at: usize, byte: usize, bit: u8| {
        let disk = simulated.copy();
        let mut bytes = disk.bytes(&segments[at].name());
        bytes[byte] ^= bit;
        disk.put(&segments[at].name(), bytes);
        disk
    };
    for (at, segment) in segments.iter().enumerate() {
        let disk = damage(at, 20, 1);
        let keep = |name: &str| {
            disk.rename(name, &format!("{name}.kept"))?;
            Ok(disk.path(name))
        };
        let salvaged = salvage(&self::disk(&disk), 0, 0, keep).unwrap();
        assert_eq!(salvaged.lost_from, Some(segment.first), "{at}");
    }
    // What a later release wrote is not understood, which is no damage.
    let disk = damage(0, 30, 1);
    let mut bytes = disk.bytes(&segments[2].name());
    bytes[8] += 1;
    let check = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
    disk.put(&segments[2].name(), bytes);
    let salvaged = salvage(&self::disk(&disk), 0, 0, aside);
    assert!(
        matches!(salvaged, Err(Error::Newer { version, .. }) if version == segment::VERSION + 1)
    );
}
