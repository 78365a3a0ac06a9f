//! One view out of three layers: what is newer hides what is older.

use bytes::Bytes;
use ports::kv::Range;
use std::{collections::VecDeque, sync::Arc};

use super::{base::Base, overlay::Overlay, row::Version, trouble::Trouble};

/// Most rows that are taken out of a layer at once: a lock is held meanwhile.
const CHUNK: usize = 128;

/// Most bytes of values that are taken out of the tree at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The layers as of one revision.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub(super) revision: u64,
    pub(super) active: Arc<Overlay>,
    pub(super) frozen: Option<Arc<Overlay>>,
    pub(super) base: Arc<Base>,
}

impl Layers {
    /// A key as it was at the revision.
    pub(super) fn get(&self, key: &[u8], with_value: bool) -> Result<Option<Version>, Trouble> {
        // Only the writer asks, to whom the newest is the present one.
        if let Some(version) = self.active.get(key) {
            return Ok(Some(version));
        }
        if let Some(version) = self.frozen.as_ref().and_then(|frozen| frozen.get(key)) {
            return Ok(Some(version));
        }
        self.base.get(key, with_value)
    }

    /// The rows of a range in the order of keys.
    pub(super) fn rows<'a>(&'a self, range: &Range, with_value: bool) -> Merge<'a> {
        let overlays = [Some(&self.active), self.frozen.as_ref()];
        let newest = overlays.into_iter().flatten().map(|it| Layer::Overlay(it, self.revision));
        let layers = newest.chain([Layer::Base(&self.base, with_value)]);
        Merge { cursors: layers.map(|layer| Cursor::new(layer, range.clone())).collect() }
    }
}

#[derive(Debug)]
enum Layer<'a> {
    Overlay(&'a Overlay, u64),
    Base(&'a Base, bool),
}

/// Where the reading of a layer stands.
#[derive(Debug)]
struct Cursor<'a> {
    layer: Layer<'a>,
    ready: VecDeque<(Bytes, Version)>,
    /// What is not read yet; `None`: nothing.
    left: Option<Range>,
}

impl<'a> Cursor<'a> {
    fn new(layer: Layer<'a>, range: Range) -> Self {
        Self { layer, ready: VecDeque::new(), left: Some(range) }
    }

    fn fill(&mut self) -> Result<(), Trouble> {
        while self.ready.is_empty()
            && let Some(mut range) = self.left.take()
        {
            let (rows, is_all) = match self.layer {
                Layer::Overlay(overlay, revision) => {
                    let rows = overlay.page(&range, revision, CHUNK);
                    let is_all = rows.len() < CHUNK;
                    (rows, is_all)
                }
                Layer::Base(base, with_value) => {
                    base.page(&range, CHUNK, CHUNK_BYTES, with_value)?
                }
            };
            if let Some((key, _)) = rows.last()
                && !is_all
            {
                range.from = Range::key(key.clone()).to.unwrap_or_default();
                self.left = Some(range);
            }
            self.ready = rows.into();
        }
        Ok(())
    }
}

/// The rows of a range, those that are there.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    /// Newest first.
    cursors: Vec<Cursor<'a>>,
}

impl Merge<'_> {
    /// The next key that has a value.
    pub(super) fn next(&mut self) -> Result<Option<(Bytes, Version)>, Trouble> {
        loop {
            for cursor in &mut self.cursors {
                cursor.fill()?;
            }
            let fronts = self.cursors.iter().filter_map(|cursor| cursor.ready.front());
            let Some(least) = fronts.map(|(key, _)| key).min().cloned() else { return Ok(None) };
            let mut found = None;
            for cursor in &mut self.cursors {
                if cursor.ready.front().is_some_and(|(key, _)| *key == least) {
                    let version = cursor.ready.pop_front();
                    found = found.or(version);
                }
            }
            if let Some((key, version)) = found
                && version.row.is_some()
            {
                return Ok(Some((key, version)));
            }
        }
    }
}
