//! Peers that break off, stand still, or do things in an unusual order. Whatever one does, the others
//! get what is theirs, memory stays bounded, and nothing is left behind.

mod breaks;
mod early;
mod large;
mod slow;
mod stream;
mod time;
mod tunnel;

use crate::{
    socket::{Instance, Socket},
    strict::plane_to,
    support::*,
};

const GET: &str = "GET /x HTTP/1.1\r\nHost: s\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client, a data plane and an instance.
struct Line {
    plane: Plane,
    instance: Instance,
}

impl Line {
    async fn start() -> Self {
        let instance = Instance::start().await;
        let plane = plane_to(instance.endpoint());
        Self { plane, instance }
    }

    async fn client(&self) -> Socket {
        Socket::connect(self.plane.gateway).await
    }

    /// A client that has sent `request`, and the instance that has got its head.
    async fn asked(&self, request: &str) -> (Socket, Socket) {
        let mut client = self.client().await;
        client.send(request).await;
        let mut server = self.instance.accept().await;
        server.head().await;
        (client, server)
    }

    /// Nothing is under way any more, nobody is connected, and the next request is served.
    async fn is_well(&self) {
        let stats = || self.plane.handle.stats();
        let is_idle = || {
            let stats = stats();
            stats.listeners[0].open == 0 && stats.services[0].endpoints[0].in_flight == 0
        };
        until("all is let go", is_idle).await;
        let mut client = self.client().await;
        client.send(GET).await;
        // A connection that the data plane opened for nothing may come first.
        loop {
            let mut server = self.instance.accept().await;
            let next = async {
                let head = server.head_or_end().await?;
                assert!(head.starts_with("GET /x "), "{head}");
                server.send(OK).await;
                Some(server)
            };
            if let Some(_server) = next.await {
                assert!(client.head().await.starts_with("HTTP/1.1 200"));
                assert_eq!(client.take(2).await, b"ok");
                return;
            }
        }
    }
}

/// A small generator of numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}
