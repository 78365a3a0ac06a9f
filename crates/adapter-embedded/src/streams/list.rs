//! Lists of places: of all events, of a stream, of a type, of a tag, of a category.
//!
//! In redb a list is many rows, each with some consecutive places. The key of a row is the name of the list and the
//! *ordinal* of the row's last place: its revision in the list of a stream, its position in all others. So what is wanted
//! from some ordinal on begins in the first row whose key is not less.

use ports::streams::category;

use super::record::Record;
use crate::bits::{Bits, put_number};

/// Most places of a row: a page of redb has room for them, and a list of a million takes few rows.
pub(super) const ROW_PLACES: usize = 256;

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: u64,
    /// Where its entry begins in the file that the position is in.
    pub(super) offset: u32,
}

/// The list of all events.
pub(super) fn all() -> Vec<u8> {
    b"a".to_vec()
}

/// The list of the stream that has this number.
pub(super) fn of_stream(number: u64) -> Vec<u8> {
    let mut name = Vec::with_capacity(9);
    put_stream(&mut name, number);
    name
}

/// The list of the events of a type.
pub(super) fn of_kind(kind: &str) -> Vec<u8> {
    named(b'k', kind)
}

/// The list of the events with a tag.
pub(super) fn of_tag(tag: &str) -> Vec<u8> {
    named(b't', tag)
}

/// The list of the events of a category.
pub(super) fn of_category(category: &str) -> Vec<u8> {
    named(b'c', category)
}

fn named(letter: u8, word: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(word.len() + 1);
    put_named(&mut name, letter, word);
    name
}

fn put_named(out: &mut Vec<u8>, letter: u8, word: &str) {
    out.push(letter);
    out.extend_from_slice(word.as_bytes());
}

fn put_stream(out: &mut Vec<u8>, number: u64) {
    out.push(b's');
    out.extend_from_slice(&number.to_be_bytes());
}

/// Tells the names of all lists that an event is in. Tells them in a piece of memory that is used again.
pub(super) fn each(record: &Record<'_>, mut tell: impl FnMut(&[u8])) {
    let mut name = Vec::with_capacity(64);
    name.push(b'a');
    tell(&name);
    name.clear();
    put_stream(&mut name, record.number);
    tell(&name);
    let words = [(b'k', record.kind), (b'c', category(record.stream))];
    let tags = record.tags.iter().map(|tag| (b't', *tag));
    for (letter, word) in words.into_iter().chain(tags) {
        name.clear();
        put_named(&mut name, letter, word);
        tell(&name);
    }
}

/// Whether this is the list of a stream.
pub(super) fn is_of_stream(name: &[u8]) -> bool {
    name.first() == Some(&b's')
}

/// The key of a row. No word has a zero in it, and the numbers of streams are of one length, so the rows of a list stand
/// together.
pub(super) fn key(name: &[u8], ordinal: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 9);
    key.extend_from_slice(name);
    key.push(0);
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

/// The ordinal in a key of a list. `None`: it is none.
pub(super) fn ordinal(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Appends the places of a row, which are ascending.
pub(super) fn put_places(out: &mut Vec<u8>, places: &[Place]) {
    let mut before = Place { position: 0, offset: 0 };
    for place in places {
        put_number(out, place.position - before.position);
        // Offsets mostly grow. Where a file ends and the next one begins they do not.
        match place.offset.checked_sub(before.offset) {
            Some(step) => put_number(out, u64::from(step) << 1),
            None => put_number(out, u64::from(place.offset) << 1 | 1),
        }
        before = *place;
    }
}

/// Reads the places of a row. `None`: it is none.
pub(super) fn places(bytes: &[u8]) -> Option<Vec<Place>> {
    let mut bits = Bits(bytes);
    let mut places = Vec::with_capacity(ROW_PLACES);
    let mut before = Place { position: 0, offset: 0 };
    while !bits.0.is_empty() {
        let position = before.position.checked_add(bits.number()?)?;
        let number = bits.number()?;
        let offset = u32::try_from(number >> 1).ok()?;
        let offset = if number & 1 == 0 { before.offset.checked_add(offset)? } else { offset };
        before = Place { position, offset };
        places.push(before);
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_were_written() {
        let place = |position, offset| Place { position, offset };
        for list in [
            vec![],
            vec![place(1, 64)],
            vec![place(1, 64), place(2, 300), place(900, 70), place(901, u32::MAX)],
            vec![place(u64::MAX, u32::MAX)],
        ] {
            let mut bytes = Vec::new();
            put_places(&mut bytes, &list);
            assert_eq!(places(&bytes), Some(list));
        }
        assert_eq!(places(&[0x80]), None);
        assert_eq!(places(&[1]), None);
    }

    #[test]
    fn rows_of_a_list_stand_together_in_their_order() {
        let lists =
            [all(), of_category(""), of_kind("a"), of_kind("ab"), of_stream(1), of_stream(256)];
        let mut keys: Vec<_> = lists
            .iter()
            .flat_map(|name| [0, 1, 255, 256, u64::MAX].map(|it| key(name, it)))
            .collect();
        let before = keys.clone();
        keys.sort();
        assert_eq!(keys, before);
        assert_eq!(ordinal(&key(&of_kind("a"), 77)), Some(77));
    }
}
