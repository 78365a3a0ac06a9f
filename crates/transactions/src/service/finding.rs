//! Where a transaction is: in this node's table, with another node, or among those that have ended.

use super::Inner;
use crate::{
    Error, Gid,
    record::{self, Record},
    table::{self, Where},
};
use ports::kv::Entry;

impl Inner {
    /// Finds a transaction. One that is unfinished and that no other node may drive comes into the table.
    pub(super) async fn find(&self, gid: &Gid) -> Result<Where, Error> {
        if self.shard(gid).table().has(gid) {
            return Ok(Where::Here);
        }
        let found = self.read(gid).await?;
        if let Where::Elsewhere(record) = &found
            && (!self.engine.is_shared() || record.head.node == self.tools.node.as_str())
        {
            self.take_over(gid, record);
            return Ok(Where::Here);
        }
        Ok(found)
    }

    /// As it stands in the engine.
    pub(super) async fn read(&self, gid: &Gid) -> Result<Where, Error> {
        let keys = &self.tools.keys;
        if let Some(entry) = self.engine.get(&keys.live(gid)).await? {
            let record = decode(gid, &entry)?;
            return Ok(Where::Elsewhere(Box::new(Record { at: Some(entry), ..record })));
        }
        let Some(done) = self.engine.get(&keys.done(gid)).await? else {
            // It may have been begun here in between.
            let is_here = self.shard(gid).table().has(gid);
            return Ok(if is_here { Where::Here } else { Where::Nowhere });
        };
        let unreadable =
            || Error::Invalid(format!("what is kept of transaction `{gid}` cannot be read"));
        let (ms, _) = table::read_done(&done.value).ok_or_else(unreadable)?;
        match self.engine.get(&keys.ended(ms, gid)).await? {
            Some(entry) => Ok(Where::Ended(Box::new(decode(gid, &entry)?))),
            // It was forgotten in between.
            None => Ok(Where::Nowhere),
        }
    }

    /// Puts an unfinished transaction into the table, whoever drives it: its first write there finds out whether that was right.
    pub(super) fn take_over(&self, gid: &Gid, record: &Record) {
        if let Some(entry) = &record.at {
            self.shard(gid).with(|table| {
                if !table.is_closing() {
                    table.load(gid.clone(), &entry.value, entry.modified);
                }
            });
        }
    }
}

fn decode(gid: &Gid, entry: &Entry) -> Result<Record, Error> {
    record::decode(&entry.value).ok_or_else(|| {
        Error::Invalid(format!(
            "the record of transaction `{gid}` cannot be read; another release may have written it"
        ))
    })
}
