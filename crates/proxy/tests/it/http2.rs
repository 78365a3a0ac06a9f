//! HTTP/2 with prior knowledge, before instances that speak HTTP/1.1 or, for gRPC, HTTP/2.

mod abuse;
mod frames;
mod grpc;
mod shapes;
mod streams;

use crate::{socket::Socket, support::*};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use runtime::TaskSet;
use std::net::SocketAddr;

/// A client of the `h2` crate.
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
    _task: TaskSet,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::build(address, &h2::client::Builder::new()).await
    }

    async fn build(address: SocketAddr, builder: &h2::client::Builder) -> Self {
        let stream = Socket::connect(address).await.stream;
        let (sender, connection) = soon(builder.handshake(stream)).await.unwrap();
        let mut task = TaskSet::new("client");
        task.spawn("connection", move |_| async move { drop(connection.await) });
        Self { sender, _task: task }
    }

    /// Begins a request; its body is sent by hand unless `ends`.
    pub(crate) async fn begin(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = soon(self.sender.clone().ready()).await.unwrap();
        sender.send_request(request, ends).unwrap()
    }
}

/// Reads a body to its end, letting more come as it is read.
pub(crate) async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok((all, soon(body.trailers()).await?))
}

/// A request to `path` of the host `s`.
pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::post(format!("http://s{path}"))
}
