//! What a policy sees of a request.

use base::{Moment, Timestamp};
use std::net::IpAddr;

/// A request as policies look at it. Header names are asked in lowercase.
pub trait Request {
    /// Its method, as sent.
    fn method(&self) -> &str;
    /// `http` or `https`, as the client speaks to us.
    fn scheme(&self) -> &str;
    /// The host it is for, as sent, with the port if there is one.
    fn host(&self) -> &str;
    /// Its path in the normal form of `logic::route::path`.
    fn path(&self) -> &str;
    /// Its path as sent: percent-encoded, perhaps with repeated slashes; what [`Request::path`] was made of.
    fn raw_path(&self) -> &str;
    /// What follows `?`, as sent.
    fn query(&self) -> Option<&str>;
    /// Where the client is (the first address that is not a trusted proxy's).
    fn client(&self) -> IpAddr;
    /// Calls `see` with the value of every field `name`, in their order, until it returns false.
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> bool);
    /// Calls `see` with the lowercase name and the value of every field.
    fn all(&self, see: &mut dyn FnMut(&str, &[u8]));

    /// The value of field `name` when there is exactly one.
    fn only(&self, name: &str) -> Option<Vec<u8>> {
        let (mut found, mut count) = (None, 0_u32);
        self.each(name, &mut |value| {
            count += 1;
            found = Some(value.to_vec());
            count < 2
        });
        found.filter(|_| count == 1)
    }
}

/// The time of a request, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For limits and deadlines.
    pub moment: Moment,
    /// For `exp` and `nbf`.
    pub timestamp: Timestamp,
    /// 64 random bits drawn for this request, for `fault: { percent }`; need not be secret.
    pub random: u64,
}
