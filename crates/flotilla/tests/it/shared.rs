//! What services share, as services and operators see it: state, locks, configuration, secrets, and calls by name.

mod api;
mod engine;
mod repair;
mod values;
mod verbs;

use crate::kit::{
    System,
    http::{self, Answer, Request},
};
use serde_json::Value;
use std::net::SocketAddr;

/// The app API of an instance, as that instance has it in its environment.
fn app_api(instance: SocketAddr) -> SocketAddr {
    let env = http::get(instance, "/env").unwrap().json();
    let port = env["DAPR_HTTP_PORT"].as_str().unwrap_or_else(|| panic!("no port in {env:#}"));
    let endpoint = env["DAPR_HTTP_ENDPOINT"].as_str().unwrap();
    assert!(endpoint.ends_with(&format!(":{port}")), "{endpoint} {port}");
    endpoint.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Asks `to` and takes whatever status comes.
#[track_caller]
fn ask(to: SocketAddr, method: &'static str, path: &str, body: Option<&Value>) -> Answer {
    let request = match body {
        Some(body) => Request::with_json(method, path, body),
        None => Request { method, ..Request::get(path) },
    };
    request.send(to).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// Where the app API of the first instance of `service` is.
fn api_of(system: &System, service: &str) -> SocketAddr {
    app_api(system.status().address(service, 0))
}
