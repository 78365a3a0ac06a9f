//! Listings: unfinished transactions, the newest first, then those that have ended, the latest first.

use super::Inner;
use crate::{
    Error, Filter, Gid, LIST_MAX, Page, View, record,
    table::{Place, suits},
};
use ports::kv::{self, PAGE_MAX};
use std::collections::BTreeMap;

/// Transactions of a page unless it is said.
const LIMIT: usize = 100;

/// Records of which one page is made at most: a filter that nothing suits must not read all there is for one request.
const LOOK_MAX: usize = 20_000;

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cursor {
    /// Unfinished ones, before this one.
    Live(Option<Place>),
    /// Those that have ended, behind this key.
    Ended(Option<String>),
}

impl Inner {
    /// Some transactions.
    pub(super) async fn list(&self, filter: &Filter) -> Result<Page, Error> {
        let limit = filter.limit.unwrap_or(LIMIT).clamp(1, LIST_MAX);
        let mut cursor = match &filter.cursor {
            Some(text) => Cursor::parse(text)?,
            None => Cursor::Live(None),
        };
        let mut views = Vec::new();
        if let Cursor::Live(before) = &cursor {
            let (found, next) = self.list_live(filter, before.clone(), limit).await?;
            views = found;
            cursor = match next {
                Some(place) => Cursor::Live(Some(place)),
                None => Cursor::Ended(None),
            };
        }
        let wants_ended =
            filter.phases.is_empty() || filter.phases.iter().any(|phase| phase.outcome().is_some());
        let mut next = Some(cursor);
        if let Some(Cursor::Ended(after)) = &next {
            let room = limit - views.len();
            if !wants_ended || filter.attention {
                next = None;
            } else if room > 0 {
                let (found, after) = self.list_ended(filter, after.clone(), room).await?;
                views.extend(found);
                next = after.map(|name| Cursor::Ended(Some(name)));
            }
        }
        Ok(Page { transactions: views, next: next.map(|cursor| cursor.text()) })
    }

    /// Unfinished ones, and where the next page of them begins.
    async fn list_live(
        &self,
        filter: &Filter,
        before: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<View>, Option<Place>), Error> {
        let mut found = BTreeMap::new();
        for shard in &self.shards {
            let (mut before, mut count) = (before.clone(), 0);
            loop {
                let (views, next) = shard.table().page(filter, before.as_ref(), limit + 1 - count);
                count += views.len();
                found.extend(views.into_iter().map(|view| (place(&view), view)));
                before = next;
                if before.is_none() || count > limit {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        if self.engine.is_shared() {
            self.list_others(filter, before.as_ref(), limit, &mut found).await?;
        }
        let mut views: Vec<View> = found.into_values().rev().take(limit + 1).collect();
        let next = if views.len() > limit {
            views.truncate(limit);
            views.last().map(place)
        } else {
            None
        };
        Ok((views, next))
    }

    /// Those that other nodes drive. The engine has them by their names, so all are looked at.
    async fn list_others(
        &self,
        filter: &Filter,
        before: Option<&Place>,
        limit: usize,
        found: &mut BTreeMap<Place, View>,
    ) -> Result<(), kv::Error> {
        let mut range = self.tools.keys.all_live();
        loop {
            let page = self.engine.range(&range, PAGE_MAX).await?;
            for entry in page.entries {
                let Some(gid) = self.tools.keys.of_live(&entry.key) else { continue };
                if self.shard(&gid).table().has(&gid) {
                    continue;
                }
                let Some(record) = record::decode(&entry.value) else { continue };
                let view = record.view(gid);
                if before.is_none_or(|before| place(&view) < *before) && suits(filter, &view) {
                    found.insert(place(&view), view);
                    // No more of them are given than the newest.
                    if found.len() > limit + 1 {
                        found.pop_first();
                    }
                }
            }
            let Some(next) = page.next else { return Ok(()) };
            range.from = next;
        }
    }

    /// Those that have ended, and where the next page of them begins.
    async fn list_ended(
        &self,
        filter: &Filter,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<View>, Option<String>), Error> {
        let keys = &self.tools.keys;
        let mut range = keys.all_ended(after.as_deref());
        let (mut views, mut last, mut looked) = (Vec::new(), after, 0);
        loop {
            let page = self.engine.range(&range, PAGE_MAX.min(limit.saturating_mul(2))).await?;
            for entry in &page.entries {
                if views.len() >= limit || looked >= LOOK_MAX {
                    return Ok((views, last));
                }
                looked += 1;
                let Some(ended) = keys.of_ended(&entry.key) else { continue };
                // What ended before that moment began before it too.
                if filter.since_ms.is_some_and(|since| ended.ms < since) {
                    return Ok((views, None));
                }
                last = Some(ended.name.to_owned());
                let Some(record) = record::decode(&entry.value) else { continue };
                let view = record.view(ended.gid);
                if suits(filter, &view) {
                    views.push(view);
                }
            }
            let Some(next) = page.next else { return Ok((views, None)) };
            range.from = next;
        }
    }
}

fn place(view: &View) -> Place {
    (view.state.begun_ms, view.gid.clone())
}

impl Cursor {
    fn text(&self) -> String {
        match self {
            Self::Live(None) => "live".to_owned(),
            Self::Live(Some((begun, gid))) => format!("live.{begun}.{gid}"),
            Self::Ended(None) => "ended".to_owned(),
            Self::Ended(Some(name)) => format!("ended.{name}"),
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Invalid("the cursor is none that a listing has given".to_owned());
        let (kind, rest) = match text.split_once('.') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        match (kind, rest) {
            ("live", None) => Ok(Self::Live(None)),
            ("ended", None) => Ok(Self::Ended(None)),
            ("live", Some(rest)) => {
                let (begun, gid) = rest.split_once('.').ok_or_else(wrong)?;
                let begun = begun.parse().ok().ok_or_else(wrong)?;
                Ok(Self::Live(Some((begun, Gid::new(gid)?))))
            }
            ("ended", Some(name)) if name.len() <= 256 && !name.contains('\0') => {
                Ok(Self::Ended(Some(name.to_owned())))
            }
            _ => Err(wrong()),
        }
    }
}
