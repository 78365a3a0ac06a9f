//! The stores, and the engine below them.

use super::Reach;
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    wire::stores::{Cache, Kv, Store, StoreKind, Stores},
};
use coordination::{CacheStats, StoreInfo};
use http::StatusCode;

pub(crate) async fn list<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let all = context.backend.coordination().stores().into_iter();
    let seen = all.filter(|store| context.backend.may_use(store.kind, &store.name));
    let stores = seen.map(Store::from).collect();
    // An `await` so that all handlers are of one shape.
    std::future::ready(Ok(json(StatusCode::OK, &Stores { stores }))).await
}

pub(crate) async fn kv<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let engine = context.backend.coordination().engine();
    let status = engine.status.as_ref();
    let kv = Kv {
        place: engine.place,
        up: engine.is_up,
        since: engine.since.into(),
        trouble: engine.trouble,
        revision: status.map(|status| status.revision.0),
        compacted: status.map(|status| status.compacted.0),
        size_bytes: status.map(|status| status.size),
    };
    std::future::ready(Ok(json(StatusCode::OK, &kv))).await
}

impl From<StoreInfo> for Store {
    fn from(store: StoreInfo) -> Self {
        let kind = match store.kind {
            coordination::StoreKind::State => StoreKind::State,
            coordination::StoreKind::Cache => StoreKind::Cache,
            coordination::StoreKind::Lock => StoreKind::Lock,
            coordination::StoreKind::Configuration => StoreKind::Config,
            coordination::StoreKind::Secret => StoreKind::Secret,
        };
        let cache = store.cache.map(Cache::from);
        Self { name: store.name, kind, namespace: store.namespace, cache }
    }
}

impl From<CacheStats> for Cache {
    fn from(stats: CacheStats) -> Self {
        Self {
            items: stats.items,
            size_bytes: stats.bytes,
            size_max_bytes: stats.bytes_max,
            hits: stats.hits,
            misses: stats.misses,
            evictions: stats.evictions,
            expirations: stats.expirations,
        }
    }
}
