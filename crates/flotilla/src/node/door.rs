//! What stands between the data plane and the app API, because the first outlives the second: control begins anew when a
//! replacement fails, and a node that was replaced still has connections that others have kept.
//!
//! ```text
//!  shut ──► open(app) ──► shut ──► open(app)     a replacement that failed
//!                           └────► moved         one that did not: what comes still is asked of the new node
//! ```

use api::app::App;
use arc_swap::ArcSwapOption;
use base::InstanceId;
use bytes::Bytes;
use http::{Request, Response};
use proxy::local::{BoxBody, BoxFuture, Direction, Local, LocalBody, Look, Refused};
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long a request waits at a door that is shut: longer than a node takes to replace another.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Where the app API of each instance listens.
pub(super) type Addresses = HashMap<InstanceId, SocketAddr>;

#[derive(Clone)]
enum State {
    Shut,
    Open(App),
    Moved(Arc<Addresses>),
}

/// The door.
pub(super) struct Door {
    /// The last app there was: where requests lead is known to it even when it cannot answer them.
    latest: ArcSwapOption<App>,
    state: watch::Sender<State>,
}

impl Door {
    /// One that is shut.
    pub(super) fn new() -> Arc<Self> {
        let state = watch::Sender::new(State::Shut);
        Arc::new(Self { latest: ArcSwapOption::empty(), state })
    }

    /// Lets requests through to `app`.
    pub(super) fn open(&self, app: App) {
        self.latest.store(Some(Arc::new(app.clone())));
        self.state.send_replace(State::Open(app));
    }

    /// Lets requests wait.
    pub(super) fn shut(&self) {
        self.state.send_replace(State::Shut);
    }

    /// Sends requests to another process that listens at these addresses by now.
    pub(super) fn moved(&self, to: Addresses) {
        self.state.send_replace(State::Moved(Arc::new(to)));
    }
}

impl Local for Door {
    fn direct(&self, caller: &InstanceId, look: &Look<'_>) -> Direction {
        match &*self.latest.load() {
            Some(app) => app.direct(caller, look),
            None => Direction::here(),
        }
    }

    fn answer(
        &self,
        caller: &InstanceId,
        request: Request<LocalBody>,
    ) -> BoxFuture<Response<BoxBody>> {
        if let State::Open(app) = &*self.state.borrow() {
            return app.answer(caller, request);
        }
        let (mut state, caller) = (self.state.subscribe(), caller.clone());
        Box::pin(async move {
            let waited = state.wait_for(|state| !matches!(state, State::Shut));
            let state = match tokio::time::timeout(WAIT_MAX, waited).await {
                Ok(Ok(state)) => state.clone(),
                Ok(Err(_)) | Err(_) => State::Shut,
            };
            match state {
                State::Open(app) => app.answer(&caller, request).await,
                State::Moved(to) => match to.get(&caller) {
                    Some(address) => api::app::relay(*address, request).await,
                    None => api::app::away(&request),
                },
                State::Shut => api::app::away(&request),
            }
        })
    }

    fn refusal(&self, caller: &InstanceId, refused: &Refused<'_>) -> Response<Bytes> {
        match &*self.latest.load() {
            Some(app) => app.refusal(caller, refused),
            None => {
                let mut response = Response::new(Bytes::from(refused.message.to_owned()));
                let status = http::StatusCode::from_u16(refused.status);
                *response.status_mut() = status.unwrap_or(http::StatusCode::SERVICE_UNAVAILABLE);
                response
            }
        }
    }
}
