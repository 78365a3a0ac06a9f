//! The fields that a configuration may not change, with the reason.

use super::Message;

/// What would be done to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set,
    Add,
    Remove,
}

const HOP: &str = "it belongs to one connection, and the data plane writes it (RFC 9110 §7.6.1)";
const FRAMING: &str = "it says where the message ends, and the data plane writes it";
const CHAIN: &str = "services trust it to name the client, and the data plane writes it";
const CODING: &str = "it must say how the body is packed: use `compress`";

/// Why `change` of field `name` (lowercase) is refused; `None`: it is fine.
pub(super) fn reason(name: &str, message: Message, change: Change) -> Option<&'static str> {
    let is_request = message == Message::Request;
    match name {
        "connection" | "keep-alive" | "proxy-connection" | "te" | "upgrade" | "http2-settings" => {
            Some(HOP)
        }
        "content-length" | "transfer-encoding" | "trailer" => Some(FRAMING),
        "content-encoding" | "content-range" => Some(CODING),
        "host" if is_request => Some("use `rewrite: { host: … }`"),
        "expect" if is_request => Some("the data plane answers it (RFC 9110 §10.1.1)"),
        "forwarded" | "via" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto"
        | "x-forwarded-port" | "x-real-ip"
            if is_request =>
        {
            Some(CHAIN)
        }
        "vary" if !is_request && change != Change::Add => {
            Some("caches would mix up answers that differ; `add` is possible")
        }
        "date" if !is_request && change != Change::Remove => {
            Some("the data plane writes it where the service did not (RFC 9110 §6.6.1)")
        }
        _ => None,
    }
}
