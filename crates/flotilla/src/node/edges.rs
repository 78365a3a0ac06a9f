//! What a changed file changes besides the services: the gateway and the admin API.
//!
//! The supervisor compares services only. Without this, a moved gateway or a new route would be applied without a word.

use api::wire::{Action, Change};
use manifest::{Gateway, Route, System};
use std::net::SocketAddr;

/// What differs between the present system and the next one, with the reasons.
pub(super) fn changes(present: &System, next: &System) -> Vec<Change> {
    let mut gateway = Vec::new();
    if present.gateway.listen != next.gateway.listen {
        let (before, after) = (address(present.gateway.listen), address(next.gateway.listen));
        gateway.push(format!("listen {before} → {after}"));
    }
    if !is_same(&present.gateway.routes, &next.gateway.routes) {
        gateway.push("routes changed".to_owned());
    }
    if rest(&present.gateway) != rest(&next.gateway) {
        gateway.push("settings changed".to_owned());
    }
    let mut admin = Vec::new();
    if present.admin != next.admin {
        // Whoever asked for this is connected there.
        admin.push(format!("listen {} → {} at the next start", present.admin, next.admin));
    }
    [("gateway", gateway), ("admin", admin)]
        .into_iter()
        .filter(|(_, reasons)| !reasons.is_empty())
        .map(|(name, reasons)| Change { service: name.to_owned(), action: Action::Update, reasons })
        .collect()
}

fn address(listen: Option<SocketAddr>) -> String {
    listen.map_or_else(|| "nowhere".to_owned(), |address| address.to_string())
}

/// What of a gateway is neither its address nor a route, wherever it stands in the file.
fn rest(gateway: &Gateway) -> Gateway {
    Gateway {
        listen: None,
        listen_place: None,
        tls_place: None,
        http_redirect_place: None,
        routes: Vec::new(),
        ..gateway.clone()
    }
}

/// Whether all requests go where they went; a route that only moved in the file is the same.
fn is_same(before: &[Route], after: &[Route]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(before, after)| {
            *before == Route { place: before.place.clone(), ..after.clone() }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs};

    fn system(gateway: &str) -> System {
        let folder = env::temp_dir().join(format!("flotilla-edges-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("flotilla.yaml");
        fs::write(&file, format!("services: {{ a: {{ run: x }}, b: {{ run: y }} }}\n{gateway}\n"))
            .unwrap();
        let system = manifest::load(&file, &manifest::Options::default()).unwrap().system;
        fs::remove_dir_all(folder).unwrap();
        system
    }

    #[test]
    fn a_moved_gateway_and_changed_routes_are_told_and_moved_lines_are_not() {
        let before = system("gateway: { routes: { /: a } }");
        let moved = system("x-note: 1\ngateway: { routes: { /: a } }");
        assert_eq!(changes(&before, &moved), []);
        let after = system("gateway: { listen: 9000, routes: { /: b } }\nadmin: { listen: 9001 }");
        let told: Vec<String> = changes(&before, &after)
            .iter()
            .map(|change| format!("{}: {}", change.service, change.reasons.join(", ")))
            .collect();
        assert_eq!(
            told,
            [
                "gateway: listen 127.0.0.1:8080 → 127.0.0.1:9000, routes changed",
                "admin: listen 127.0.0.1:8081 → 127.0.0.1:9001 at the next start",
            ]
        );
        let gone = system("");
        assert_eq!(
            changes(&before, &gone)[0].reasons,
            ["listen 127.0.0.1:8080 → nowhere", "routes changed"]
        );
    }
}
