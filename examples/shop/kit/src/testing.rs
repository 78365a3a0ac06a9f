//! Tries the steps of a service with what happens in bad hours: calls that come twice, failures at
//! every step, undos without their step, steps after their undo.

use std::fmt::Debug;

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
pub use flotilla_participant::testing::Step;
use flotilla_participant::testing::{self, Service};
use http_body_util::BodyExt;
use rusqlite::Connection;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service as _;

use crate::{Db, Result};

/// A service on an empty database.
struct Tried<T> {
    runtime: Runtime,
    db: Db,
    routes: Router,
    state: fn(&Connection) -> Result<T>,
    _folder: tempfile::TempDir,
}

/// Tries `steps` on fresh services, whose database `prepare` filled. What `state` reads must be as
/// before whenever all was undone.
///
/// # Panics
/// When a step does not hold, and says which call showed it.
#[track_caller]
pub fn check_steps<T: PartialEq + Debug + Send + 'static>(
    schema: &'static str,
    prepare: fn(&Connection) -> Result<()>,
    routes: impl Fn(Db) -> Router,
    state: fn(&Connection) -> Result<T>,
    steps: &[Step],
) {
    let fresh = || {
        let runtime = here(Builder::new_current_thread().enable_all().build());
        let folder = here(tempfile::tempdir());
        let url = format!("sqlite://{}/tried.db", folder.path().display());
        let db = here(runtime.block_on(async {
            let db = Db::open(&url, schema).await?;
            db.write(prepare).await?;
            Result::Ok(db)
        }));
        Tried { routes: routes(db.clone()), runtime, db, state, _folder: folder }
    };
    testing::check_steps(fresh, steps);
}

impl<T: PartialEq + Debug + Send + 'static> Service for Tried<T> {
    type State = T;

    fn call(&mut self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let answer = self.routes.call(request.map(Body::from));
        here(self.runtime.block_on(async {
            let (head, body) = answer.await.unwrap_or_else(|never| match never {}).into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            Ok::<_, axum::Error>(Response::from_parts(head, body))
        }))
    }

    fn state(&mut self) -> T {
        let state = self.state;
        here(self.runtime.block_on(self.db.read(state)))
    }
}

#[track_caller]
fn here<T, E: Debug>(result: std::result::Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error:?}"))
}
