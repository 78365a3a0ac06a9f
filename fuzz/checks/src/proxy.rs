//! Parsers of the data plane's own codec.

pub(crate) mod chunked;
pub(crate) mod request;
pub(crate) mod response;
mod strict;

/// `data` in three parts, cut where its length and last byte say: as good as anywhere, and the same each time.
fn cut(data: &[u8]) -> [&[u8]; 3] {
    let last = usize::from(data.last().copied().unwrap_or(0));
    let (first, rest) = data.split_at(last.min(data.len()));
    let (second, third) = rest.split_at(rest.len() / 2);
    [first, second, third]
}

/// Each byte as a part of its own.
fn bytes(data: &[u8]) -> Vec<&[u8]> {
    data.chunks(1).collect()
}
