//! Reading on after a restart, with files made by hand.

use super::{Opened, Options, Tail};
use crate::{
    record::Places,
    tests::{folder, run_async},
};
use base::InstanceId;
use ports::{host::conformance::Recorder, logs::Stream};
use std::{fs, io::Write, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

/// Lets a new reader read what is in the file, with `position` as an earlier one left it.
fn check(output: &[u8], hole_len: usize, position: &str, expected: &[&str]) {
    let dir = folder("tail");
    let places = Places::new(&dir);
    places.create().unwrap();
    let run: Arc<str> = "users.1.0123456789abcdef".into();
    fs::write(places.output(&run, "out"), [&vec![0; hole_len], output].concat()).unwrap();
    fs::write(places.output(&run, "err"), "").unwrap();
    fs::write(places.position(&run, "out"), position).unwrap();
    if hole_len > 0 {
        let file = super::open_output(&places.output(&run, "out")).unwrap();
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&file, flags, 0, hole_len as u64).is_err() {
            return eprintln!("skipped: this file system makes no holes");
        }
    }
    run_async(async {
        let sink = Recorder::new();
        let tail =
            Tail::start(places.out.clone(), Arc::clone(&sink) as _, Options::default()).unwrap();
        let opened = Opened::both(&places, &run, &InstanceId::parse("users/1").unwrap()).unwrap();
        tail.follow_async(opened).await;
        assert!(tail.drain(&run, Duration::from_secs(30)).await);
        assert_eq!(sink.texts(Stream::Out), expected, "{position}");
        assert!(tail.end(Duration::from_secs(30)).await);
    });
}

fn at(offset: u64, collapse: u64) -> String {
    format!("1 {offset:020} {collapse:020}\n")
}

#[test]
fn reading_goes_on_where_the_last_node_stopped() {
    check(b"a\nb\nc\n", 0, "", &["a", "b", "c"]);
    check(b"a\nb\nc\n", 0, &at(2, 0), &["b", "c"]);
    check(b"a\nb\nc\n", 0, &at(6, 0), &[]);
}

#[test]
fn a_position_that_cannot_be_right_costs_a_repetition_and_no_line() {
    check(b"a\nb\n", 0, &at(1000, 0), &["a", "b"]);
    check(b"a\nb\n", 0, "garbage", &["a", "b"]);
    check(b"a\nb\n", 1 << 16, "garbage", &["a", "b"]);
}

#[test]
fn a_cut_at_the_head_that_was_announced_is_told_from_one_that_was_done() {
    // Announced and not done: the head is still a hole.
    check(b"a\nb\n", 1 << 16, &at((1 << 16) + 2, 1 << 16), &["b"]);
    // Done: the head is data, and the position moved with it.
    check(b"a\nb\n", 0, &at((1 << 16) + 2, 1 << 16), &["b"]);
}

#[test]
fn a_file_that_was_read_is_cut_at_its_head_where_that_can_be_done() {
    let dir = folder("collapse");
    let places = Places::new(&dir);
    places.create().unwrap();
    let run: Arc<str> = "users.1.0123456789abcdef".into();
    let path = places.output(&run, "out");
    fs::write(places.output(&run, "err"), "").unwrap();
    let mut file = fs::File::options().create(true).append(true).open(&path).unwrap();
    run_async(async {
        let sink = Recorder::new();
        let options =
            Options { give_back_len: 1 << 17, collapse_len: 1 << 18, ..Options::default() };
        let tail = Tail::start(places.out.clone(), Arc::clone(&sink) as _, options).unwrap();
        let opened = Opened::both(&places, &run, &InstanceId::parse("users/1").unwrap()).unwrap();
        tail.follow_async(opened).await;
        for round in 0..64 {
            for line in 0..1000 {
                writeln!(file, "{round:>20} {line:>20}").unwrap();
            }
            assert!(tail.drain(&run, Duration::from_secs(30)).await);
        }
        let texts = sink.texts(Stream::Out);
        assert_eq!(texts.len(), 64_000);
        assert!(texts.is_sorted());
        let meta = fs::metadata(&path).unwrap();
        assert!(meta.blocks() * 512 < 1 << 20, "{meta:?}");
        eprintln!("the file shows {} of {} bytes", meta.len(), 64_000 * 42);
    });
}

/// Reads two runs' files, made by hand, and returns what arrived of standard output.
fn read_both(first: &[u8], second: &[u8], options: Options) -> (Vec<String>, Vec<String>) {
    let dir = folder("both");
    let places = Places::new(&dir);
    places.create().unwrap();
    let sink = Recorder::new();
    run_async(async {
        let tail = Tail::start(places.out.clone(), Arc::clone(&sink) as _, options).unwrap();
        let mut opened = Vec::new();
        let runs = ["users.1.0123456789abcdef", "users.2.0123456789abcdef"].map(Arc::<str>::from);
        for (run, output) in runs.iter().zip([first, second]) {
            fs::write(places.output(run, "out"), output).unwrap();
            opened.extend(
                Opened::both(&places, run, &InstanceId::parse("users/1").unwrap()).unwrap(),
            );
        }
        tail.follow_async(opened).await;
        for run in &runs {
            assert!(tail.drain(run, Duration::from_secs(30)).await);
        }
        assert!(tail.end(Duration::from_secs(30)).await);
    });
    (sink.texts(Stream::Out), sink.texts(Stream::Node))
}

#[test]
fn a_flood_does_not_keep_others_waiting() {
    let flood = b"flood\n".repeat(1 << 20);
    let (texts, _) = read_both(&flood, b"heard\n", Options::default());
    assert_eq!(texts.len(), (1 << 20) + 1);
    let at = texts.iter().position(|text| text == "heard").unwrap();
    assert!(at < 100_000, "it came after {at} lines of the flood");
}

#[test]
fn the_oldest_output_goes_when_the_disk_is_nearly_full_and_that_is_said() {
    let flood: String = (1..=500_000).map(|number| format!("{number:>9}\n")).collect();
    let options = Options { backlog_len: 1 << 20, is_disk_short: |_| true, ..Options::default() };
    let (texts, words) = read_both(flood.as_bytes(), b"", options);
    assert_eq!(texts.last().map(|text| text.trim()), Some("500000"));
    assert!(texts.len() < 200_000, "{} lines were kept", texts.len());
    assert_eq!(words.len(), 1);
    assert!(words[0].starts_with("F030: "), "{}", words[0]);
    let room = Options { is_disk_short: |_| false, ..options };
    assert_eq!(read_both(flood.as_bytes(), b"", room).0.len(), 500_000);
}
