//! Addresses of brokers: `nats://user:password@host:4222,host2:4222`.

use super::{credentials, decoded, endpoints};
use crate::{BrokerEngine, Nats, Secret};

/// Where NATS listens for clients when the address does not say.
const NATS_PORT: u16 = 4222;

/// What may be written, for messages.
const SCHEMES: &str = "the brokers are embedded, nats://host:port and natss://host:port (with TLS)";

/// Reads a broker. The text may hold a password or a token: it is in no message.
pub(crate) fn broker(text: &str) -> Result<BrokerEngine, String> {
    if text == "embedded" {
        return Ok(BrokerEngine::Embedded);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(SCHEMES.to_owned());
    };
    let tls = match scheme {
        "nats" => false,
        "natss" => true,
        other => return Err(format!("{}{SCHEMES}", super::none_such(other))),
    };
    // The last one: a password may have an `@`.
    let (before, hosts) = match rest.rsplit_once('@') {
        Some((before, hosts)) => (Some(before), hosts),
        None => (None, rest),
    };
    let (user, token) = match before {
        None => (None, None),
        Some(text) => match credentials(text) {
            Ok(user) => (Some(user), None),
            // As everywhere with NATS: one word alone is a token.
            Err(_) if !text.is_empty() && !super::has_colon(text) => {
                (None, Some(Secret::new(decoded(text)?)))
            }
            Err(_) => return Err("before `@` stands user:password, or a token".to_owned()),
        },
    };
    Ok(BrokerEngine::Nats(Nats {
        servers: endpoints(hosts, NATS_PORT)?,
        tls,
        user,
        token,
        ca: None,
        certificate: None,
        prefix: String::new(),
        replicas: 1,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match broker(text) {
            Ok(BrokerEngine::Embedded) => "embedded".to_owned(),
            Ok(BrokerEngine::Nats(nats)) => {
                let user = nats.user.map(|(user, word)| format!(" {user}|{}", word.reveal()));
                let token = nats.token.map(|token| format!(" token {}", token.reveal()));
                let tls = if nats.tls { " tls" } else { "" };
                let (user, token) = (user.unwrap_or_default(), token.unwrap_or_default());
                format!("{}{tls}{user}{token}", nats.servers.join(" "))
            }
            Err(why) => format!("no: {why}"),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn addresses_of_brokers_are_read() {
        check("embedded", "embedded");
        check("nats://a", "a:4222");
        check("natss://a:1,b.c-d:2/", "a:1 b.c-d:2 tls");
        check("nats://u:p%40@[::1]", "[::1]:4222 u|p@");
        check("nats://t%6fken@a", "a:4222 token token");
        check("nats://${secret:nats:token}@a", "a:4222 token ${secret:nats:token}");
        check("nats://${secret:U}:${secret:P}@a", "a:4222 ${secret:U}|${secret:P}");
    }

    #[test]
    fn what_is_no_broker_is_told_without_its_password() {
        check("kafka://u:hunter2@a", &format!("no: `kafka` is none; {SCHEMES}"));
        check("hunter2", &format!("no: {SCHEMES}"));
        check("nats://", "no: member 1 is not host:port");
        check("nats://a,", "no: member 2 is not host:port");
        check("nats://@a", "no: before `@` stands user:password, or a token");
        check("nats://hunter2:@a", "no: before `@` stands user:password, or a token");
        check("nats://%zz@a", "no: a `%` in user or password is written `%25`");
    }
}
