//! What must hold of every parser of the data plane, whatever bytes it is given.
//!
//! Each [`Target`] is a plain function that panics when something does not hold. `cargo xtask fuzz NAME`
//! runs one under libFuzzer; the test here runs all of them over `fuzz/corpus/NAME/`, where the seeds
//! and the findings are. A check says more than "does not panic": what is accepted means the same
//! when it is written and read again, a result does not depend on how the input was cut up, an
//! independent and simpler reading comes to the same.
//!
//! A new parser gets a function in the module of its crate, a row in [`TARGETS`], seeds, and in
//! `fuzz/words/NAME` the words of its language that a fuzzer would not guess soon.

mod logic;
mod policy;
mod proxy;

/// A check and its name.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As on the command line and in `fuzz/corpus/`.
    pub name: &'static str,
    /// Panics when something does not hold for these bytes.
    pub check: fn(&[u8]),
}

const fn target(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check }
}

/// All checks.
pub const TARGETS: &[Target] = &[
    target("accept-encoding", policy::accept::check),
    target("basic", policy::basic::check),
    target("chunked", proxy::chunked::check),
    target("condition", logic::condition::check),
    target("cookie", logic::cookie::check),
    target("json", policy::json::check),
    target("jwks", policy::jwks::check),
    target("jwt", policy::jwt::check),
    target("origin", policy::origin::check),
    target("path", logic::path::check),
    target("query", logic::query::check),
    target("rate", policy::rate::check),
    target("redirect", policy::redirect::check),
    target("request", proxy::request::check),
    target("response", proxy::response::check),
    target("timeout", logic::timeout::check),
];

/// The check with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Splits `data` at its first two newlines: a way to give a check three texts.
fn three(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests;
