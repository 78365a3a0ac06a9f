//! The store against a `Vec` that keeps everything, and what happens at its edges.

use super::*;
use base::{InstanceId, ServiceName, Timestamp};
use ports::logs::Stream;
use proptest::prelude::*;
use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("flotilla-observe-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn config(&self) -> Config {
        Config::new(self.0.join("logs"))
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join("logs")).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _result = std::fs::remove_dir_all(&self.0);
    }
}

fn line(instance: &str, at: u64, text: &str) -> Line {
    Line {
        at: Timestamp(at),
        instance: InstanceId::parse(instance).unwrap(),
        stream: Stream::Out,
        text: text.to_owned(),
        is_cut: false,
    }
}

fn numbered(range: std::ops::Range<u64>) -> Vec<Line> {
    range.map(|number| line("a/1", number, &format!("line {number}"))).collect()
}

fn texts(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.text.as_str()).collect()
}

/// All pages of a question.
async fn all(handle: &Handle, query: &Query) -> Vec<Record> {
    let mut query = query.clone();
    let mut records = Vec::new();
    loop {
        let page = handle.query(&query).await;
        assert!(page.records.len() <= query.limit);
        records.extend(page.records);
        if !page.more {
            return records;
        }
        query.after = page.next;
        query.tail = None;
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("in time")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(within(work))
}

/// What the store should answer, from everything that was appended.
fn reference(kept: &[Record], query: &Query) -> Vec<Record> {
    let filter = &query.filter;
    let fits = |record: &&Record| {
        let instances = filter.services.contains(&record.instance.service)
            || filter.instances.contains(&record.instance);
        let level = Level::of(&record.text).unwrap_or(Level::Info);
        (instances || filter.services.is_empty() && filter.instances.is_empty())
            && (filter.streams.is_empty() || filter.streams.contains(&record.stream))
            && filter.since.is_none_or(|since| record.at >= since)
            && filter.until.is_none_or(|until| record.at < until)
            && filter.level.is_none_or(|least| level >= least)
    };
    let mut found: Vec<Record> = kept.iter().filter(fits).cloned().collect();
    if let Some(tail) = query.tail {
        let skip = found.len().saturating_sub(usize::try_from(tail).unwrap());
        found.drain(..skip);
    }
    found.retain(|record| record.seq > query.after);
    found
}

fn any_line() -> impl Strategy<Value = Line> {
    let text = prop_oneof![
        4 => (0..9_usize).prop_map(|len| "some words".repeat(len)),
        1 => Just("ERROR it broke".to_owned()),
        1 => Just("x".repeat(3_000)),
    ];
    let stream = prop_oneof![Just(Stream::Out), Just(Stream::Err), Just(Stream::Node)];
    (0..4_usize, 0..1_000_u64, stream, text).prop_map(|(instance, at, stream, text)| Line {
        stream,
        ..line(["a/1", "a/2", "b/1", "c/9"][instance], at, &text)
    })
}

fn any_query() -> impl Strategy<Value = Query> {
    let service = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![ServiceName::new("a").unwrap()]),
        1 => Just(vec![ServiceName::new("nobody").unwrap()]),
    ];
    let instance = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![InstanceId::parse("b/1").unwrap()]),
    ];
    let time = || prop::option::weighted(0.3, (0..1_000_u64).prop_map(Timestamp));
    let tail = prop::option::weighted(0.4, 0..60_u64);
    let level = prop::option::weighted(0.2, Just(Level::Error));
    (service, instance, time(), time(), tail, level, 0..300_u64, 1..50_usize).prop_map(
        |(services, instances, since, until, tail, level, after, limit)| Query {
            filter: Filter { services, instances, since, until, level, ..Filter::default() },
            after,
            tail,
            limit,
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Line>),
    Ask(Query),
    /// The node is killed; this many bytes of the newest file never reached the disk.
    Crash(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any_line(), 1..40).prop_map(Step::Append),
        4 => any_query().prop_map(Step::Ask),
        1 => (0..5_000_u64).prop_map(Step::Crash),
        1 => Just(Step::Crash(0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against the reference, with a ring that holds a part, segments that are full soon, and crashes that cut
    /// the newest file at any byte.
    #[test]
    fn the_store_answers_like_a_list_of_all_lines(
        steps in prop::collection::vec(any_step(), 1..30),
        memory_max in prop_oneof![Just(0_u64), Just(4_000), Just(1 << 20)],
    ) {
        let folder = Folder::new();
        // Segments of 64 KiB, eight of them.
        let config = Config { memory_max: ByteSize(memory_max), bytes_max: ByteSize(512 << 10), ..folder.config() };
        let mut service = Service::open(config.clone()).unwrap();
        let mut kept: Vec<Record> = Vec::new();
        for step in steps {
            let handle = service.handle();
            match step {
                Step::Append(lines) => {
                    let mut seq = handle.newest();
                    handle.append(&lines);
                    for line in lines {
                        seq += 1;
                        kept.push(Record {
                            seq,
                            at: line.at,
                            instance: line.instance,
                            stream: line.stream,
                            text: line.text,
                            is_cut: line.is_cut,
                        });
                    }
                    prop_assert_eq!(handle.newest(), seq);
                }
                Step::Ask(query) => {
                    let dropped = handle.stats().dropped_old;
                    kept.retain(|record| record.seq > dropped);
                    prop_assert_eq!(block_on(all(&handle, &query)), reference(&kept, &query));
                }
                Step::Crash(torn) => {
                    drop(handle);
                    drop(service);
                    tear(&folder, torn);
                    service = Service::open(config.clone()).unwrap();
                    let newest = service.handle().newest();
                    if torn == 0 {
                        prop_assert_eq!(kept.last().map_or(0, |record| record.seq), newest);
                    }
                    kept.retain(|record| record.seq <= newest);
                }
            }
        }
    }
}

fn tear(folder: &Folder, torn: u64) {
    let Some(path) = folder.files().pop() else { return };
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len.saturating_sub(torn)).unwrap();
}

#[test]
fn a_store_stays_within_its_room_and_says_what_it_deleted() {
    let folder = Folder::new();
    let bytes_max = ByteSize(512 << 10);
    let config = Config { bytes_max, memory_max: ByteSize(1_000), ..folder.config() };
    let service = Service::open(config.clone()).unwrap();
    let handle = service.handle();
    let text = "x".repeat(1_000);
    for at in 0..3_000 {
        handle.append(&[line("a/1", at, &text)]);
        let on_disk: u64 = folder.files().iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(on_disk <= bytes_max.0 + 4_096, "{on_disk}");
        assert_eq!(ByteSize(on_disk), handle.stats().size);
    }
    let stats = handle.stats();
    assert!(stats.dropped_old > 2_000 && stats.lines > 300, "{stats:?}");
    assert_eq!(stats.dropped_old + stats.lines, 3_000);
    let page = block_on(handle.query(&Query::default()));
    assert_eq!(page.dropped, stats.dropped_old);
    let notice = &handle.notices(&page)[0];
    assert_eq!(notice.code, Code::LOG_DROPPED);
    assert!(notice.message.contains("deleted to stay within 512KiB"), "{}", notice.message);

    // Who asks only for what is there hears of nothing.
    let tail = Query { tail: Some(10), ..Query::default() };
    assert_eq!(block_on(handle.query(&tail)).dropped, 0);
    let filter = Filter { since: Some(Timestamp(2_990)), ..Filter::default() };
    assert_eq!(block_on(handle.query(&Query { filter, ..Query::default() })).dropped, 0);

    // The numbers go on after a restart.
    drop(handle);
    service.close().unwrap();
    let handle = Service::open(config).unwrap().handle();
    assert_eq!(handle.newest(), 3_000);
    assert_eq!(handle.stats(), Stats { dropped_failed: 0, ..stats });
}

#[test]
fn a_file_cut_at_any_byte_keeps_every_whole_block_before_it() {
    let folder = Folder::new();
    let service = Service::open(folder.config()).unwrap();
    let mut ends = Vec::new();
    for at in 0..6 {
        service.handle().append(&[line("a/1", at, "some text"), line("b/2", at, "")]);
        ends.push(folder.files()[0].metadata().unwrap().len());
    }
    drop(service);
    let path = folder.files().remove(0);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let service = Service::open(folder.config()).unwrap();
        let cut = u64::try_from(cut).unwrap();
        let blocks = ends.iter().filter(|end| **end <= cut).count();
        let handle = service.handle();
        let on_disk: u64 = folder.files().iter().map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!(handle.stats().size, ByteSize(on_disk), "cut at {cut}");
        assert_eq!(handle.newest(), 2 * u64::try_from(blocks).unwrap(), "cut at {cut}");
        let end = blocks.checked_sub(1).map_or(16, |block| ends[block]);
        let torn = if cut < 16 { cut } else { cut - end };
        assert_eq!(service.recovery().torn_bytes, torn, "cut at {cut}");
        handle.append(&[line("a/1", 9, "after")]);
        let records = block_on(all(&handle, &Query::default()));
        assert_eq!(records.len(), 2 * blocks + 1, "cut at {cut}");
        assert_eq!(records.last().unwrap().text, "after");
        drop(service);
        for file in folder.files() {
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn lines_on_a_damaged_sector_are_missed_and_the_rest_is_read() {
    let folder = Folder::new();
    let config = Config { memory_max: ByteSize(0), ..folder.config() };
    let service = Service::open(config).unwrap();
    let handle = service.handle();
    let text = "y".repeat(30_000);
    for at in 0..10 {
        handle.append(&[line("a/1", at, &text)]);
    }
    let path = folder.files().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let page = block_on(handle.query(&Query::default()));
    assert!(page.damaged >= 1);
    assert_eq!(u64::try_from(page.records.len()).unwrap() + page.damaged, 10);
    assert!(handle.notices(&page)[0].message.contains("cannot be read back"));
}

#[test]
fn a_disk_that_refuses_is_said_and_the_newest_lines_can_still_be_read() {
    let folder = Folder::new();
    // A file where the folder should be: no segment can be made.
    let service = Service::open(folder.config()).unwrap();
    let handle = service.handle();
    std::fs::remove_dir(folder.0.join("logs")).unwrap();
    std::fs::write(folder.0.join("logs"), "in the way").unwrap();
    handle.append(&numbered(0..5));
    assert_eq!(handle.stats().dropped_failed, 5);
    let page = block_on(handle.query(&Query::default()));
    assert_eq!(page.records.len(), 5);
    assert!(handle.notices(&page)[0].message.contains("5 log lines could not be written"));

    std::fs::remove_file(folder.0.join("logs")).unwrap();
    handle.append(&numbered(5..7));
    assert_eq!(handle.stats().lines, 2);
    let page = block_on(handle.query(&Query { tail: Some(3), ..Query::default() }));
    assert_eq!(texts(&page), ["line 4", "line 5", "line 6"]);
}

#[test]
fn a_file_of_another_version_is_left_alone() {
    let folder = Folder::new();
    let dir = folder.0.join("logs");
    std::fs::create_dir_all(&dir).unwrap();
    let foreign = dir.join("0000000000000001.log");
    std::fs::write(&foreign, "FLOGSEG9 and something newer").unwrap();
    std::fs::write(dir.join("notes.txt"), "mine").unwrap();
    let service = Service::open(folder.config()).unwrap();
    assert_eq!(service.recovery().foreign, std::slice::from_ref(&foreign));
    service.handle().append(&numbered(0..3));
    assert_eq!(block_on(all(&service.handle(), &Query::default())).len(), 3);
    assert_eq!(std::fs::read_to_string(foreign).unwrap(), "FLOGSEG9 and something newer");
}

#[test]
fn grep_finds_text_in_any_case_when_asked() {
    let folder = Folder::new();
    let handle = Service::open(folder.config()).unwrap().handle();
    handle.append(&[
        line("a/1", 0, "Große ERROR"),
        line("a/1", 1, "gross error"),
        line("a/1", 2, ""),
    ]);
    let count = |text: &str, ignore_case| {
        let filter = Filter { grep: Some(Grep::new(text, ignore_case)), ..Filter::default() };
        block_on(handle.query(&Query { filter, ..Query::default() })).records.len()
    };
    assert_eq!(count("error", false), 1);
    assert_eq!(count("error", true), 2);
    assert_eq!(count("GROSSE", true), 0);
    assert_eq!(count("GROßE", true), 1);
    assert_eq!(count("", true), 3);
    assert_eq!(count("nothing", true), 0);
}

#[test]
fn long_lines_fill_a_page_before_its_count_does() {
    let folder = Folder::new();
    let handle = Service::open(folder.config()).unwrap().handle();
    let text = "z".repeat(64 * 1024);
    for at in 0..100 {
        handle.append(&[line("a/1", at, &text)]);
    }
    let page = block_on(handle.query(&Query::default()));
    assert!(page.more && page.records.len() == 32, "{}", page.records.len());
    assert_eq!(block_on(all(&handle, &Query::default())).len(), 100);
    let endless = "w".repeat(1 << 20);
    handle.append(&[line("a/1", 100, &endless)]);
    let page = block_on(handle.query(&Query { tail: Some(1), ..Query::default() }));
    assert!(page.records[0].is_cut && page.records[0].text.len() == 256 * 1024);
}

#[test]
fn a_cursor_from_the_future_counts_as_the_newest_line() {
    let folder = Folder::new();
    let handle = Service::open(folder.config()).unwrap().handle();
    handle.append(&numbered(0..3));
    let stale = Query { after: 1_000, ..Query::default() };
    let page = block_on(handle.query(&stale));
    assert_eq!((page.records.len(), page.next, page.more), (0, 3, false));
    let mut follow = handle.follow(stale);
    let page = block_on(async {
        let (page, ()) = tokio::join!(follow.next(), async { handle.append(&numbered(3..4)) });
        page.unwrap()
    });
    assert_eq!(texts(&page), ["line 3"]);
}

/// Followers of every pace see each line once, in order, while a writer writes as fast as it can, the ring
/// holds little and old segments are sealed under them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_see_every_line_once_while_a_writer_writes() {
    const LINES: u64 = 10_000;
    let folder = Folder::new();
    let config =
        Config { memory_max: ByteSize(20_000), bytes_max: ByteSize(16 << 20), ..folder.config() };
    let service = Service::open(config).unwrap();
    let handle = service.handle();
    handle.append(&numbered(0..100));
    let writer = {
        let handle = handle.clone();
        runtime::thread("writer", move || {
            let lines = numbered(100..LINES);
            for (number, batch) in lines.chunks(7).enumerate() {
                handle.append(batch);
                if number % 100 == 0 {
                    handle.append(&[line("other/1", 0, "not asked for")]);
                }
            }
        })
        .unwrap()
    };
    let services = vec![ServiceName::new("a").unwrap()];
    let filter = Filter { services, ..Filter::default() };
    let read = |limit: usize, tail: Option<u64>| {
        let mut follow =
            handle.follow(Query { filter: filter.clone(), limit, tail, ..Query::default() });
        async move {
            let mut texts = Vec::new();
            let end = format!("line {}", LINES - 1);
            while texts.last() != Some(&end) {
                let page = follow.next().await.unwrap();
                assert_eq!((page.dropped, page.damaged), (0, 0));
                texts.extend(page.records.into_iter().map(|record| record.text));
                // A follower that is cancelled at any point loses nothing.
                let _cancelled =
                    tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await;
            }
            texts
        }
    };
    let (fast, slow, tailing) =
        within(async { tokio::join!(read(10_000, None), read(13, None), read(100, Some(50))) })
            .await;
    let expected: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    assert!(fast == expected && slow == expected);
    assert!(tailing.len() >= 50 && tailing == expected[expected.len() - tailing.len()..]);
    writer.join().unwrap();
}

#[tokio::test]
async fn a_follower_ends_with_the_store_after_it_has_read_everything() {
    let folder = Folder::new();
    let service = Service::open(folder.config()).unwrap();
    let handle = service.handle();
    let mut follow = handle.follow(Query { limit: 2, ..Query::default() });
    handle.append(&numbered(0..3));
    service.close().unwrap();
    let mut read = Vec::new();
    while let Some(page) = within(follow.next()).await {
        read.extend(page.records);
    }
    assert_eq!(read.len(), 3);
}

#[tokio::test]
async fn a_follower_that_fell_behind_deletion_is_told_how_much_it_missed() {
    let folder = Folder::new();
    let config =
        Config { memory_max: ByteSize(0), bytes_max: ByteSize(512 << 10), ..folder.config() };
    let service = Service::open(config).unwrap();
    let handle = service.handle();
    let mut follow = handle.follow(Query::default());
    handle.append(&numbered(0..10));
    let page = within(follow.next()).await.unwrap();
    assert_eq!((page.records.len(), page.next), (10, 10));
    let text = "x".repeat(10_000);
    for at in 0..200 {
        handle.append(&[line("a/1", at, &text)]);
    }
    let page = within(follow.next()).await.unwrap();
    assert_eq!(page.dropped, page.records[0].seq - 11);
    assert!(page.dropped > 0);
}

#[test]
fn the_last_lines_of_an_instance_are_recalled_for_messages() {
    for memory_max in [0, 1 << 20] {
        let folder = Folder::new();
        let config = Config { memory_max: ByteSize(memory_max), ..folder.config() };
        let handle = Service::open(config).unwrap().handle();
        handle.append(&numbered(0..20));
        handle.append(&[line("b/1", 0, "other")]);
        handle.append(&[Line { stream: Stream::Node, ..line("a/1", 0, "killed") }]);
        let last =
            |instance: &str, count| handle.last(&InstanceId::parse(instance).unwrap(), count);
        assert_eq!(last("a/1", 2), ["line 18", "line 19"]);
        assert_eq!(last("a/1", 100).len(), 20);
        assert_eq!(last("b/1", 5), ["other"]);
        assert!(last("c/1", 5).is_empty() && last("a/1", 0).is_empty());
    }
}

#[test]
fn opening_reads_the_index_of_full_files_and_not_their_lines() {
    let folder = Folder::new();
    let config = Config { bytes_max: ByteSize(512 << 10), ..folder.config() };
    let service = Service::open(config.clone()).unwrap();
    let text = "x".repeat(1_000);
    for at in 0..200 {
        service.handle().append(&[line("a/1", at, &text)]);
    }
    drop(service);
    let files = folder.files();
    assert!(files.len() > 2);
    let tails_agree = |path: &Path| {
        let (segment, _) = segment::Segment::open(path).unwrap().unwrap();
        assert!(segment.is_sealed);
        // Without its footer the same is learned from the blocks.
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(segment.end).unwrap();
        let (scanned, damage) = segment::Segment::open(path).unwrap().unwrap();
        assert_eq!(scanned.chunks, segment.chunks);
        assert_eq!((scanned.lines, scanned.end), (segment.lines, segment.end));
        assert_eq!(damage.torn_bytes, 0);
    };
    for path in &files[..files.len() - 1] {
        tails_agree(path);
    }
    assert_eq!(Service::open(config).unwrap().handle().stats().lines, 200);
}
