//! The connection between a node and its successor: messages and descriptors over a pair of Unix sockets.
//!
//! A message is its length (four bytes, little-endian) and JSON. Descriptors travel beside single bytes
//! (`SCM_RIGHTS`, unix(7)), some at a time, after the message that says how many there are.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

/// Longest message, in bytes: a thousand listeners take a tenth of it.
const MESSAGE_LEN_MAX: usize = 1 << 20;

/// Descriptors sent at once; Linux takes 253.
const DESCRIPTORS_AT_ONCE: usize = 64;

/// Most descriptors: each of a thousand listeners on a machine with 64 cores.
pub(super) const DESCRIPTORS_MAX: usize = 65_536;

/// How long the other end may leave what is sent to it untouched.
const SEND_MAX: Duration = Duration::from_secs(10);

/// Why the other end was not understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It is gone.
    #[error("the other node is gone")]
    Gone,
    /// It said nothing in time.
    #[error("the other node did not answer in time")]
    Late,
    /// What it says makes no sense.
    #[error("the other node speaks another language: {0}")]
    Unreadable(String),
    /// The system refused.
    #[error("the other node cannot be reached")]
    Broken(#[source] io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Broken(error),
        }
    }
}

/// One end. All calls block.
#[derive(Debug)]
pub(super) struct Link(UnixStream);

impl Link {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(SEND_MAX))?;
        Ok(Self(stream))
    }

    pub(super) fn send(&mut self, message: &impl Serialize) -> Result<(), Error> {
        let json = serde_json::to_vec(message).map_err(|e| Error::Unreadable(e.to_string()))?;
        let length = u32::try_from(json.len()).map_err(|e| Error::Unreadable(e.to_string()))?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(json);
        Ok(self.0.write_all(&bytes)?)
    }

    pub(super) fn receive<T: DeserializeOwned>(&mut self, until: Instant) -> Result<T, Error> {
        let mut length = [0; 4];
        self.fill(&mut length, until)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MESSAGE_LEN_MAX {
            return Err(Error::Unreadable(format!("a message of {length} bytes")));
        }
        let mut json = vec![0; length];
        self.fill(&mut json, until)?;
        serde_json::from_slice(&json).map_err(|e| Error::Unreadable(e.to_string()))
    }

    pub(super) fn send_descriptors(&self, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        for some in descriptors.chunks(DESCRIPTORS_AT_ONCE) {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_AT_ONCE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(some)) {
                return Err(Error::Broken(io::Error::other("too many descriptors at once")));
            }
            let sent = sendmsg(&self.0, &[IoSlice::new(b"+")], &mut control, SendFlags::NOSIGNAL);
            sent.map_err(io::Error::from)?;
        }
        Ok(())
    }

    pub(super) fn receive_descriptors(
        &self,
        count: usize,
        until: Instant,
    ) -> Result<Vec<OwnedFd>, Error> {
        let mut all = Vec::new();
        while all.len() < count {
            self.wait_at_most(until)?;
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_AT_ONCE))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let into = &mut [IoSliceMut::new(&mut byte)];
            let received = recvmsg(&self.0, into, &mut control, RecvFlags::CMSG_CLOEXEC)
                .map_err(io::Error::from)?;
            if received.bytes == 0 {
                return Err(Error::Gone);
            }
            let before = all.len();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    all.extend(descriptors);
                }
            }
            if all.len() == before {
                return Err(Error::Unreadable(
                    "a descriptor was announced and did not come".into(),
                ));
            }
        }
        if all.len() > count {
            return Err(Error::Unreadable("more descriptors than were announced".into()));
        }
        Ok(all)
    }

    /// Waits for the end of the other process, for as long as it takes.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn gone(&self) -> io::Result<()> {
        let stream = self.0.try_clone()?;
        stream.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let mut unasked = [0; 64];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut unasked) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // Reset: it was killed with something unread.
                Err(_) => return Ok(()),
            }
        }
    }

    fn fill(&mut self, into: &mut [u8], until: Instant) -> Result<(), Error> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            self.wait_at_most(until)?;
            match self.0.read(rest) {
                Ok(0) => return Err(Error::Gone),
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn wait_at_most(&self, until: Instant) -> Result<(), Error> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Late);
        }
        Ok(self.0.set_read_timeout(Some(left))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, os::fd::AsFd as _};

    fn pair() -> (Link, Link) {
        let (one, other) = UnixStream::pair().unwrap();
        (Link::new(one).unwrap(), Link::new(other).unwrap())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn messages_and_descriptors_arrive_in_order() {
        let (mut one, mut other) = pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        one.send(&"first").unwrap();
        let many: Vec<_> = (0..150).map(|_| listener.as_fd()).collect();
        one.send_descriptors(&many).unwrap();
        one.send(&["second"]).unwrap();
        assert_eq!(other.receive::<String>(soon()).unwrap(), "first");
        let received = other.receive_descriptors(150, soon()).unwrap();
        assert_eq!(other.receive::<Vec<String>>(soon()).unwrap(), ["second"]);
        drop(listener);
        for descriptor in received {
            assert_eq!(TcpListener::from(descriptor).local_addr().unwrap(), address);
        }
    }

    #[test]
    fn silence_nonsense_and_an_end_are_told_apart() {
        let (mut one, mut other) = pair();
        let now = Instant::now() + Duration::from_millis(5);
        assert!(matches!(other.receive::<String>(now), Err(Error::Late)));
        one.send(&7).unwrap();
        assert!(matches!(other.receive::<String>(soon()), Err(Error::Unreadable(_))));
        one.0.write_all(&[255; 4]).unwrap();
        assert!(matches!(other.receive::<String>(soon()), Err(Error::Unreadable(_))));
        one.0.write_all(b"x").unwrap();
        assert!(matches!(other.receive_descriptors(1, soon()), Err(Error::Unreadable(_))));
        drop(one);
        assert!(matches!(other.receive::<String>(soon()), Err(Error::Gone)));
        assert!(matches!(other.receive_descriptors(1, soon()), Err(Error::Gone)));
        assert!(matches!(other.send(&1), Err(Error::Gone)));
    }

    #[tokio::test]
    async fn the_end_of_the_other_process_is_noticed() {
        let (one, mut other) = pair();
        other.send(&"a late word").unwrap();
        let mut gone = std::pin::pin!(one.gone());
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut gone).await.is_err());
        drop(other);
        tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap().unwrap();
    }
}
