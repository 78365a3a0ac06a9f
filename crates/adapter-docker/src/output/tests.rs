use super::*;
use proptest::prelude::*;

/// One frame as the engine sends it, `at` nanoseconds after a full second.
fn frame(at: u32, text: &str) -> Vec<u8> {
    format!("2026-11-21T01:18:03.{at:09}Z {text}").into_bytes()
}

/// Feeds `frames` to a reader at `place`; gives what came out (a cut piece ends with `…`), where it stands
/// and whether something was missing.
fn read(place: Place, frames: &[Vec<u8>]) -> (Vec<String>, Place, bool) {
    let mut reader = Reader::new(place);
    let mut pieces = Vec::new();
    let mut missing = false;
    for frame in frames {
        missing |= reader.take(Stream::Out, frame, &mut pieces);
    }
    let texts =
        pieces.into_iter().map(|piece| if piece.is_cut { piece.text + "…" } else { piece.text });
    (texts.collect(), reader.place(), missing)
}

#[test]
fn times_are_read_to_the_nanosecond() {
    for (text, ns) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00.5Z", 951_825_600_500_000_000),
        ("2026-11-21T01:18:03.603676609Z", 1_795_223_883_603_676_609),
    ] {
        assert_eq!(nanos(text), Some(ns), "{text}");
    }
    for bad in
        ["", "2026-11-21", "2026-13-01T00:00:00Z", "2026-11-21T01:18:03+01:00", "x-y-zTa:b:cZ"]
    {
        assert_eq!(nanos(bad), None, "{bad}");
    }
}

#[test]
fn a_reader_that_goes_on_skips_what_was_done_and_nothing_else() {
    let frames = [frame(1, "a\n"), frame(2, "b\n"), frame(2, "c\n"), frame(3, "d\n")];
    let (all, _, _) = read(Place::default(), &frames);
    assert_eq!(all, ["a", "b", "c", "d"]);
    let (first, place, _) = read(Place::default(), &frames[..2]);
    assert_eq!(first, ["a", "b"]);
    let (rest, _, missing) = read(place, &frames);
    assert_eq!(rest, ["c", "d"]);
    assert!(!missing);
}

#[test]
fn after_the_place_all_is_new_even_with_a_clock_that_was_set_back() {
    let frames = [frame(7, "a\n"), frame(8, "b\n"), frame(3, "c\n"), frame(4, "d\n")];
    assert_eq!(read(Place::default(), &frames).0, ["a", "b", "c", "d"]);
    let (_, place, _) = read(Place::default(), &frames[..2]);
    assert_eq!(read(place, &frames).0, ["c", "d"]);
}

#[test]
fn a_quiet_stream_does_not_make_the_engine_send_everything_again() {
    let mut reader = Reader::new(Place::default());
    let mut pieces = Vec::new();
    reader.take(Stream::Err, b"2026-11-21T01:00:00Z early\n", &mut pieces);
    reader.take(Stream::Out, b"2026-11-21T02:00:00Z late\n", &mut pieces);
    let late_s = i32::try_from(nanos("2026-11-21T02:00:00Z").unwrap() / 1_000_000_000).unwrap();
    assert_eq!(reader.place().since_s(), late_s - 2);
    // A line that is still open keeps its place.
    reader.take(Stream::Err, b"2026-11-21T02:00:01Z op", &mut pieces);
    reader.take(Stream::Out, b"2026-11-21T03:00:00Z later\n", &mut pieces);
    let mut again = Reader::new(reader.place());
    pieces.clear();
    assert!(!again.take(Stream::Err, b"2026-11-21T02:00:01Z op", &mut pieces));
    again.take(Stream::Err, b"2026-11-21T03:00:01Z en\n", &mut pieces);
    assert_eq!(pieces.first().map(|piece| piece.text.as_str()), Some("open"));
}

#[test]
fn frames_that_the_engine_dropped_are_noticed() {
    let frames = [frame(1, "a\n"), frame(2, "b\n"), frame(9, "z\n")];
    let (_, place, _) = read(Place::default(), &frames[..2]);
    let (rest, _, missing) = read(place, &frames[2..]);
    assert_eq!(rest, ["z"]);
    assert!(missing);
    let (_, _, missing) = read(place, &frames);
    assert!(!missing);
}

#[test]
fn a_line_in_parts_is_put_together_and_an_open_one_is_read_again() {
    let frames = [frame(1, "he"), frame(1, "llo\r\n"), frame(2, "op")];
    let (lines, place, _) = read(Place::default(), &frames);
    assert_eq!(lines, ["hello"]);
    let more = [frames[2].clone(), frame(2, "en\n")];
    assert_eq!(read(place, &more).0, ["open"]);

    let mut reader = Reader::new(place);
    let mut pieces = Vec::new();
    reader.take(Stream::Out, &frames[2], &mut pieces);
    reader.end(&mut pieces);
    assert_eq!(pieces.last().map(|piece| piece.text.as_str()), Some("op"));
    assert_eq!(read(reader.place(), &more).0, ["en"]);
}

#[test]
fn a_line_that_never_ends_is_cut_and_can_be_gone_on_with_in_its_middle() {
    let part = "x".repeat(16 * 1024);
    let frames: Vec<_> = (0..5).map(|_| frame(1, &part)).collect();
    let (pieces, place, _) = read(Place::default(), &frames);
    assert_eq!(pieces, [format!("{}…", "x".repeat(LINE_LEN_MAX))]);
    let mut more = frames;
    more.push(frame(1, "end\n"));
    assert_eq!(read(place, &more).0, [format!("{part}end")]);
    // A line of exactly the limit is whole.
    let exact = frame(1, &format!("{}\n", "y".repeat(LINE_LEN_MAX)));
    assert_eq!(read(Place::default(), &[exact]).0, ["y".repeat(LINE_LEN_MAX)]);
}

#[test]
fn a_cut_does_not_split_a_character() {
    let line = frame(1, &format!("a{}\n", "é".repeat(LINE_LEN_MAX / 2)));
    let (pieces, _, _) = read(Place::default(), &[line]);
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
}

#[test]
fn a_place_reads_back_what_it_wrote_and_nonsense_is_none() {
    let place = Place([
        Mark { at_ns: u64::MAX, frames: u32::MAX, bytes: u32::MAX },
        Mark { at_ns: 1, frames: 2, bytes: 3 },
    ]);
    let text = place.write();
    assert_eq!(Place::read(std::str::from_utf8(&text).unwrap()), Some(place));
    for bad in ["", "2 0 0 0 0 0 0", "1 0 0", "garbage"] {
        assert_eq!(Place::read(bad), None, "{bad}");
    }
}

proptest! {
    /// However often and wherever reading is interrupted, the lines come out once and in order.
    #[test]
    fn interruptions_lose_and_repeat_nothing(
        lines in prop::collection::vec((0_u32..3, "[a-c]{0,5}"), 1..30),
        cuts in prop::collection::vec(0_usize..40, 0..6),
    ) {
        let mut at = 0;
        let frames: Vec<_> = lines.iter().map(|(later, text)| {
            at += later;
            frame(at, &format!("{text}\n"))
        }).collect();
        let mut place = Place::default();
        let mut got = Vec::new();
        for cut in cuts.into_iter().map(|cut| cut.min(frames.len())).chain([frames.len()]) {
            let (lines, next, missing) = read(place, &frames[..cut]);
            prop_assert!(!missing);
            got.extend(lines);
            place = next;
        }
        let want: Vec<_> = lines.into_iter().map(|(_, text)| text).collect();
        prop_assert_eq!(got, want);
    }
}
