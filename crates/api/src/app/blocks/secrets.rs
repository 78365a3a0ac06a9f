//! Secrets: read only.

use super::{any_store, words};
use crate::app::{
    Caller, Shared,
    fault::{Code, Fault},
};
use coordination::{SecretAnswer, StoreKind};
use http::StatusCode;
use std::collections::BTreeMap;

type Values = BTreeMap<String, String>;

/// Whether the store is there for the caller.
fn check(shared: &Shared, caller: &Caller, store: &str) -> Result<(), Fault> {
    let kind = StoreKind::Secret;
    let is_there =
        shared.coordination.stores().iter().any(|it| it.kind == kind && it.name == store)
            && shared.backend.may_use(&caller.id.service, kind, store);
    match is_there {
        true => Ok(()),
        false if any_store(shared, caller, &[kind]) => Err(Fault::no_secret_store(store)),
        false => Err(Fault::no_secret_stores()),
    }
}

fn exposed(answer: SecretAnswer) -> Values {
    let values = answer.values.into_iter();
    values.map(|(key, secret)| (key, secret.expose().to_owned())).collect()
}

pub(crate) async fn get(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    name: &str,
) -> Result<Values, Fault> {
    check(shared, caller, store)?;
    if !shared.backend.may_read_secret(&caller.id.service, store, name) {
        let message = format!("access denied by policy to get {name:?} from {store:?}");
        let code = "ERR_PERMISSION_DENIED";
        return Err(Fault::new(StatusCode::FORBIDDEN, Code::PermissionDenied, code, message));
    }
    let read = shared.coordination.secrets().get(store, name).await;
    read.map(exposed).map_err(|e| Fault::secret_get(store, name, words(&e)).of(&e))
}

/// All that the caller may read.
pub(crate) async fn bulk(
    shared: &Shared,
    caller: &Caller,
    store: &str,
) -> Result<BTreeMap<String, Values>, Fault> {
    check(shared, caller, store)?;
    let all = shared.coordination.secrets().all(store).await;
    let all = all.map_err(|e| Fault::secret_bulk(store, words(&e)).of(&e))?;
    let mine = all.into_iter();
    let mine =
        mine.filter(|(name, _)| shared.backend.may_read_secret(&caller.id.service, store, name));
    Ok(mine.map(|(name, answer)| (name, exposed(answer))).collect())
}
