//! One file of the log store, and what the index keeps of it.
//!
//! ```text
//! "FLOGSEG1" u64 number of the first line │ block block … │ footer, once the file is full
//! footer: chunks × 56 bytes, u32 count of chunks, u32 CRC-32, "FLOGIDX1"
//! ```
//! A *chunk* is up to 64 KiB of neighbouring blocks; the index says for each where it is, which lines and times
//! it spans and which services occur, so a reader skips what cannot fit without touching it. A file without a
//! footer (the newest one, or one whose node was killed) is read once from the front to learn that.

use crate::{
    block::{self, Cursor, HEAD_LEN, Summary},
    crc::crc32,
};
use base::Timestamp;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

const MAGIC: &[u8; 8] = b"FLOGSEG1";
const FOOTER_MAGIC: &[u8; 8] = b"FLOGIDX1";
pub(crate) const HEADER_LEN: u64 = 16;
const TRAILER_LEN: u64 = 16;
const CHUNK_ENTRY_LEN: usize = 56;
/// Most chunks a footer is believed to have: a segment of 8 MiB has 128, of single huge lines 40.
const CHUNKS_MAX: usize = 65_536;
/// Length after which a chunk is closed, in bytes.
const CHUNK_LEN_TARGET: u32 = 64 * 1024;
/// How much is read at once when a file is scanned; above the longest block.
const SCAN_LEN: usize = 4 * 1024 * 1024;

/// Neighbouring blocks in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) lines: u32,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) time_min: Timestamp,
    pub(crate) time_max: Timestamp,
    pub(crate) services: u64,
}

/// A file of the store.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) path: Arc<Path>,
    pub(crate) first_seq: u64,
    /// Length of header and blocks, in bytes: where the next block goes.
    pub(crate) end: u64,
    /// Length of the whole file, in bytes.
    pub(crate) len: u64,
    pub(crate) lines: u64,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) is_sealed: bool,
}

/// What was wrong with a file that was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Bytes after the last whole block.
    pub(crate) torn_bytes: u64,
}

impl Segment {
    /// The name under which a segment that starts with line `first_seq` is stored.
    pub(crate) fn path_of(dir: &Path, first_seq: u64) -> PathBuf {
        dir.join(format!("{first_seq:016x}.log"))
    }

    /// The number in a file's name, when it is one of ours.
    pub(crate) fn seq_of(path: &Path) -> Option<u64> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
        (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok())?
    }

    /// Makes an empty file for lines from `first_seq` on. One that is there is emptied: it can only hold a header,
    /// because its lines would have moved the number on.
    pub(crate) fn create(dir: &Path, first_seq: u64) -> io::Result<(Self, File)> {
        std::fs::create_dir_all(dir)?;
        let path = Self::path_of(dir, first_seq);
        let file =
            OpenOptions::new().write(true).read(true).create(true).truncate(true).open(&path)?;
        let mut header = Vec::from(MAGIC);
        header.extend_from_slice(&first_seq.to_le_bytes());
        file.write_all_at(&header, 0)?;
        Ok((Self::empty(&path, first_seq), file))
    }

    fn empty(path: &Path, first_seq: u64) -> Self {
        Self {
            path: path.into(),
            first_seq,
            end: HEADER_LEN,
            len: HEADER_LEN,
            lines: 0,
            chunks: Vec::new(),
            is_sealed: false,
        }
    }

    /// Reads a file's index: from its footer, else from its blocks up to the first that is torn. `None`
    /// when the file is not one of this version.
    pub(crate) fn open(path: &Path) -> io::Result<Option<(Self, Damage)>> {
        let file = File::open(path)?;
        let file_len = file.metadata()?.len();
        let mut header = [0; 16];
        if file_len < HEADER_LEN {
            // Killed while it was made.
            let seq = Self::seq_of(path);
            return Ok(seq.map(|seq| (Self::empty(path, seq), Damage { torn_bytes: file_len })));
        }
        file.read_exact_at(&mut header, 0)?;
        let mut cursor = Cursor(&header);
        let is_ours = cursor.take(8) == Some(MAGIC);
        let Some(first_seq) = cursor.u64().filter(|_| is_ours) else { return Ok(None) };
        if let Some(segment) = read_footer(&file, path, first_seq, file_len)? {
            return Ok(Some((segment, Damage::default())));
        }
        let mut segment = Self::empty(path, first_seq);
        segment.scan(&file, file_len)?;
        let damage = Damage { torn_bytes: file_len - segment.end };
        segment.len = file_len;
        Ok(Some((segment, damage)))
    }

    /// Learns the blocks from the front on.
    fn scan(&mut self, file: &File, file_len: u64) -> io::Result<()> {
        let mut window = Vec::new();
        while self.end < file_len {
            let left = usize::try_from(file_len - self.end).unwrap_or(usize::MAX);
            window.resize(left.min(SCAN_LEN), 0);
            file.read_exact_at(&mut window, self.end)?;
            let mut at = 0;
            while let Some(block) = window.get(at..).and_then(block::decode) {
                at += usize::try_from(block.summary.len).unwrap_or(usize::MAX);
                self.add(&block.summary);
            }
            if at == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Counts a block that stands at `end`.
    pub(crate) fn add(&mut self, block: &Summary) {
        let last_seq = block.first_seq + u64::from(block.count.saturating_sub(1));
        let offset = self.end;
        self.end += u64::from(block.len);
        self.len = self.len.max(self.end);
        self.lines += u64::from(block.count);
        // A gap in the numbers (lines that could not be written) starts a new chunk, so that within
        // a chunk the numbers tell how many lines there are.
        match self.chunks.last_mut() {
            Some(chunk)
                if chunk.len + block.len <= CHUNK_LEN_TARGET
                    && chunk.last_seq + 1 == block.first_seq =>
            {
                chunk.len += block.len;
                chunk.lines += block.count;
                chunk.last_seq = last_seq;
                chunk.time_min = chunk.time_min.min(block.time_min);
                chunk.time_max = chunk.time_max.max(block.time_max);
                chunk.services |= block.services;
            }
            _ => self.chunks.push(Chunk {
                offset,
                len: block.len,
                lines: block.count,
                first_seq: block.first_seq,
                last_seq,
                time_min: block.time_min,
                time_max: block.time_max,
                services: block.services,
            }),
        }
    }

    /// The number after the last line.
    pub(crate) fn next_seq(&self) -> u64 {
        self.chunks.last().map_or(self.first_seq, |chunk| chunk.last_seq + 1)
    }

    /// The footer's bytes.
    pub(crate) fn footer(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.chunks.len() * CHUNK_ENTRY_LEN + 16);
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.offset.to_le_bytes());
            out.extend_from_slice(&chunk.len.to_le_bytes());
            out.extend_from_slice(&chunk.lines.to_le_bytes());
            out.extend_from_slice(&chunk.first_seq.to_le_bytes());
            out.extend_from_slice(&chunk.last_seq.to_le_bytes());
            out.extend_from_slice(&chunk.time_min.0.to_le_bytes());
            out.extend_from_slice(&chunk.time_max.0.to_le_bytes());
            out.extend_from_slice(&chunk.services.to_le_bytes());
        }
        let sum = crc32(&out);
        let count = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(FOOTER_MAGIC);
        out
    }
}

fn read_footer(
    file: &File,
    path: &Path,
    first_seq: u64,
    file_len: u64,
) -> io::Result<Option<Segment>> {
    if file_len < HEADER_LEN + TRAILER_LEN {
        return Ok(None);
    }
    let mut trailer = [0; 16];
    file.read_exact_at(&mut trailer, file_len - TRAILER_LEN)?;
    let mut cursor = Cursor(&trailer);
    let (Some(count), Some(sum)) = (cursor.u32(), cursor.u32()) else { return Ok(None) };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if cursor.0 != FOOTER_MAGIC || count > CHUNKS_MAX {
        return Ok(None);
    }
    let mut entries = vec![0; count * CHUNK_ENTRY_LEN];
    let entries_len = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let Some(end) = (file_len - TRAILER_LEN).checked_sub(entries_len) else { return Ok(None) };
    file.read_exact_at(&mut entries, end)?;
    if crc32(&entries) != sum {
        return Ok(None);
    }
    let mut segment = Segment::empty(path, first_seq);
    let mut cursor = Cursor(&entries);
    while let Some(chunk) = read_chunk(&mut cursor) {
        segment.lines += u64::from(chunk.lines);
        segment.chunks.push(chunk);
    }
    segment.end = end;
    segment.len = file_len;
    segment.is_sealed = true;
    Ok(Some(segment))
}

fn read_chunk(cursor: &mut Cursor<'_>) -> Option<Chunk> {
    Some(Chunk {
        offset: cursor.u64()?,
        len: cursor.u32()?,
        lines: cursor.u32()?,
        first_seq: cursor.u64()?,
        last_seq: cursor.u64()?,
        time_min: Timestamp(cursor.u64()?),
        time_max: Timestamp(cursor.u64()?),
        services: cursor.u64()?,
    })
}

const _: () = assert!(HEAD_LEN < SCAN_LEN, "a scan sees at least a whole head");
