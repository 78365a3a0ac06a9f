//! `GET <node>/v1/tx/<gid>/decision`.

use super::{Decide, Decision};
use crate::{BoxError, branch::encoded};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a question may take. Who asks holds locks, but nothing is lost by asking again.
const ASK_MAX: Duration = Duration::from_secs(5);

/// The answer is one short line.
const ANSWER_MAX: usize = 64 * 1024;

/// Asks over HTTP.
#[derive(Clone, Debug)]
pub struct HttpDecide {
    authority: String,
    path: String,
}

impl HttpDecide {
    /// `url` is where the node answers this service, without `/v1`: `http://127.0.0.1:$DAPR_HTTP_PORT`.
    ///
    /// # Errors
    /// When it is no `http://` URL.
    pub fn new(url: &str) -> Result<Self, BoxError> {
        let uri: Uri = url.parse()?;
        let authority = match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) => authority,
            _ => {
                let text =
                    format!("`{url}` is no address of a node: write `http://127.0.0.1:3500`");
                return Err(text.into());
            }
        };
        let port = if authority.port().is_some() { "" } else { ":80" };
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: format!("{authority}{port}"), path })
    }

    async fn ask(&self, gid: &str) -> Result<Decision, BoxError> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(format!("{}/v1/tx/{}/decision", self.path, encoded(gid)))
            .header(header::HOST, &self.authority)
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await?;
            Ok::<_, BoxError>((status, body.to_bytes()))
        };
        // The connection moves only while somebody drives it.
        let mut exchange = std::pin::pin!(exchange);
        let (status, body) = tokio::select! {
            done = &mut exchange => done?,
            end = connection => {
                end?;
                exchange.await?
            }
        };
        read(status, &body)
    }
}

impl Decide for HttpDecide {
    async fn decide(&self, gid: &str) -> Result<Decision, BoxError> {
        let late = |_| format!("{} did not answer within {ASK_MAX:?}", self.authority);
        tokio::time::timeout(ASK_MAX, self.ask(gid)).await.map_err(late)?
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Decision, BoxError> {
    if status != StatusCode::OK {
        return Err(format!("the node answered {status} to the question for a decision").into());
    }
    let answer: serde_json::Value = serde_json::from_slice(body)?;
    match answer["decision"].as_str() {
        Some("commit") => Ok(Decision::Commit),
        Some("abort") => Ok(Decision::Abort),
        Some("undecided") => Ok(Decision::Undecided),
        _ => Err(format!("the node's answer has no decision: {answer}").into()),
    }
}
