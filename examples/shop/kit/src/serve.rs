//! From the environment to a listening service, and back to a clean end.

use std::{
    env, fmt,
    io::{self, Write},
    net::Ipv4Addr,
    process::ExitCode,
    time::Instant,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    db::Db,
    error::{Error, Result},
};

type Failure = Box<dyn std::error::Error>;

/// Runs a service until SIGTERM or SIGINT: opens the database, listens on `$PORT`, answers.
///
/// `/ready`, `/live` and `/whoami` are added to `routes`, and every request but the probes
/// is logged.
pub fn run(
    service: &'static str,
    schema: &'static str,
    routes: impl FnOnce(Db) -> std::result::Result<Router, Failure>,
) -> ExitCode {
    // One thread serves: nine instances on a laptop do not need a thread per core each.
    let ended = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(serve(service, schema, routes)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{service}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(
    service: &'static str,
    schema: &'static str,
    routes: impl FnOnce(Db) -> std::result::Result<Router, Failure>,
) -> std::result::Result<(), Failure> {
    let port: u16 = needed("PORT")?.parse().map_err(|cause| format!("PORT: {cause}"))?;
    let db = Db::open(&needed("DATABASE_URL")?, schema).await?;
    let app = routes(db.clone())?
        .route("/whoami", get(async move || whoami(service)))
        .fallback(async || Error::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            let message = "this path does not know the method";
            Error::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        })
        .layer(middleware::from_fn(log_request))
        .route("/live", get(async || Json(json!({ "live": true }))))
        .route("/ready", get(ready).with_state(db));

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|cause| format!("cannot listen on 127.0.0.1:{port}: {cause}"))?;
    log(format_args!("{service} listening on {}", listener.local_addr()?));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            log(format_args!("{service} stopping"));
        })
        .await?;
    log(format_args!("{service} stopped"));
    Ok(())
}

fn needed(name: &str) -> std::result::Result<String, String> {
    env::var(name).map_err(|cause| format!("{name}: {cause}"))
}

async fn ready(State(db): State<Db>) -> Result<Json<Value>> {
    db.read(|db| Ok(db.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_row| Ok(()))?))
        .await?;
    Ok(Json(json!({ "ready": true })))
}

fn whoami(service: &str) -> Json<Value> {
    let service = env::var("FLOTILLA_SERVICE").unwrap_or_else(|_unset| service.to_owned());
    let instance = env::var("FLOTILLA_INSTANCE").ok();
    Json(json!({ "service": service, "instance": instance }))
}

async fn log_request(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let took_ms = started.elapsed().as_secs_f64() * 1000.0;
    log(format_args!("{method} {uri} {} {took_ms:.1}ms", response.status().as_u16()));
    response
}

/// Writes a line to stdout. A reader that went away is no reason to stop serving, which is why
/// this is not `println!`.
pub fn log(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Runs `work` to its end even when the caller hangs up.
///
/// A handler is dropped at its next `.await` when its connection closes; work that changes
/// several places must not stop half-way.
///
/// # Errors
/// Those of `work`, and 500 when it panics.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "the example stands alone, without TaskSet")]
    let task = tokio::spawn(work);
    task.await.map_err(|cause| Error::internal(&cause))?
}
