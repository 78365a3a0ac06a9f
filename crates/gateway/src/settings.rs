//! From what the file says to what the data plane is set to.

use manifest::{Gateway, Retries, Route, Sticky, System, Timeouts};
use policy::redirect;
use proxy::{Clients, Exchange, Network, Retry, Stickiness, Traffic};
use std::{sync::Arc, time::Duration};

/// Begins the names of cookies that the file gives none.
const COOKIE_PREFIX: &str = "flotilla-";

/// Times and retries, what is not said filled in. `said`: the most important one first.
pub(crate) fn exchange(said: &[(Timeouts, Retries)]) -> Exchange {
    let nothing = (Timeouts::default(), Retries::default());
    let (timeouts, retries) = said
        .iter()
        .fold(nothing, |(times, retries), next| (times.over(next.0), retries.over(next.1)));
    let default = Exchange::default();
    // Zero switches a time off.
    let unless_zero = |time: Duration| (!time.is_zero()).then_some(time);
    Exchange {
        timeouts: proxy::Timeouts {
            connect: timeouts.connect.unwrap_or(default.timeouts.connect),
            response: timeouts.response.unwrap_or(default.timeouts.response),
            per_try: retries.per_try,
            idle: timeouts.idle.map_or(default.timeouts.idle, unless_zero),
            overall: timeouts.overall.map_or(default.timeouts.overall, unless_zero),
        },
        retry: Retry {
            max: retries.max.unwrap_or(default.retry.max),
            on: retries.on.unwrap_or(default.retry.on),
        },
    }
}

/// For each target of `route`: what the route says, then its service, then the gateway.
pub(crate) fn exchanges(route: &Route, system: &System) -> Arc<[Exchange]> {
    let gateway = &system.gateway;
    let of = |target: &manifest::Target| {
        let service = system.services.iter().find(|service| service.name == target.service);
        let service = service.map(|service| (service.traffic.timeouts, service.traffic.retries));
        let own = (route.timeouts, route.retries);
        exchange(&[own, service.unwrap_or_default(), (gateway.timeouts, gateway.retries)])
    };
    route.to.iter().map(of).collect()
}

/// How the traffic to `service` is bounded.
pub(crate) fn traffic(service: &manifest::Service) -> Traffic {
    let said = &service.traffic;
    Traffic {
        exchange: exchange(&[(said.timeouts, said.retries)]),
        limits: said.limits,
        connections_max: said.max_connections,
        pending_timeout: said.pending_timeout,
        slow_start: said.slow_start,
        sticky: cookie(&said.sticky, service.name.as_str()),
        breaker: said.breaker,
        outlier: said.outlier,
        shed: said.shed,
    }
}

/// What `route` says of stickiness.
pub(crate) fn stickiness(route: &Route) -> Stickiness {
    let name = route.to.first().map(|target| target.service.as_str()).unwrap_or_default();
    match &route.sticky {
        None => Stickiness::Service,
        Some(said) => cookie(said, name).map_or(Stickiness::Off, Stickiness::On),
    }
}

fn cookie(said: &Sticky, service: &str) -> Option<proxy::Sticky> {
    match said {
        Sticky::Off => None,
        Sticky::Cookie { name, max_age } => {
            let name = name.clone().unwrap_or_else(|| format!("{COOKIE_PREFIX}{service}"));
            Some(proxy::Sticky { cookie: name.into(), max_age: *max_age })
        }
    }
}

/// What clients of the gateway may do.
pub(crate) fn clients(gateway: &Gateway, sticky_key: logic::sticky::Key) -> Clients {
    let limits = &gateway.limits;
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let bytes = |size: base::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    let redirect_plain = match (gateway.listen, gateway.http_redirect) {
        (Some(listen), Some(_)) => {
            let port = Some(listen.port()).filter(|port| !matches!(port, 0 | 443));
            let redirect = redirect::Redirect::new(redirect::Config::https(port))
                .expect("`https` and a port above 0 are all that a redirect needs");
            Some(Arc::new(redirect))
        }
        _ => None,
    };
    let networks = gateway.trusted_proxies.iter();
    Clients {
        head_size_max: limits.head.map(bytes),
        fields_max: limits.headers.map(count),
        connections_max: limits.connections.map(count),
        streams_max: limits.streams,
        head_timeout: limits.head_timeout,
        idle_timeout: limits.idle_timeout,
        sticky_key: Some(sticky_key),
        redirect_plain,
        trusted_proxies: networks.map(|it| Network::new(it.address, it.bits)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_said_first_counts_and_the_rest_is_filled_in() {
        let route = (
            Timeouts { response: Some(5 * SECOND), ..Timeouts::default() },
            Retries { max: Some(0), ..Retries::default() },
        );
        let service = (
            Timeouts {
                response: Some(9 * SECOND),
                idle: Some(Duration::ZERO),
                ..Timeouts::default()
            },
            Retries { max: Some(4), per_try: Some(SECOND), ..Retries::default() },
        );
        let gateway =
            (Timeouts { overall: Some(60 * SECOND), ..Timeouts::default() }, Retries::default());
        let made = exchange(&[route, service, gateway]);
        assert_eq!(
            made,
            Exchange {
                timeouts: proxy::Timeouts {
                    connect: SECOND,
                    response: 5 * SECOND,
                    per_try: Some(SECOND),
                    idle: None,
                    overall: Some(60 * SECOND),
                },
                retry: Retry { max: 0, ..Retry::default() },
            }
        );
        assert_eq!(exchange(&[]), Exchange::default());
    }

    #[test]
    fn a_cookie_without_a_name_is_called_by_its_service() {
        let unnamed = Sticky::Cookie { name: None, max_age: Some(SECOND) };
        let made = cookie(&unnamed, "users").unwrap();
        assert_eq!((&*made.cookie, made.max_age), ("flotilla-users", Some(SECOND)));
        assert_eq!(cookie(&Sticky::Off, "users"), None);
    }
}
