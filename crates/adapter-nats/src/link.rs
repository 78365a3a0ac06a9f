//! The one connection: asking, waiting, and what an end without an answer means.

mod connecting;
mod fault;

use crate::{
    config::{Config, Error as ConfigError},
    wire::Page,
};
use async_nats::{
    Client, HeaderMap, Message, Request, RequestErrorKind, Subscriber, connection::State,
};
use bytes::Bytes;
use connecting::Status;
pub(crate) use fault::{Fault, Says};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};
use tokio::{
    sync::watch,
    task::coop::unconstrained,
    time::{Instant, timeout},
};

/// How long nothing may be heard from NATS by one who waits for an answer. Servers answer in milliseconds; a cluster that has
/// to elect a leader may take two or three seconds.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Most answers that are waited for at the same time by one call.
const WINDOW: usize = ports::broker::BATCH_MAX;

/// Where JetStream's own interface is.
const API: &str = "$JS.API";

/// The connection. It is there from the beginning, and leads somewhere as soon and as long as NATS is there.
pub(crate) struct Link {
    client: Client,
    status: Arc<Status>,
    place: String,
    /// Unlike any other's.
    id: String,
}

/// One thing to ask.
pub(crate) struct Ask {
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

pub(crate) type Answer = Result<Message, Fault>;

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.place).finish()
    }
}

impl Link {
    /// Begins to connect, and goes on trying for as long as it lives. It needs a tokio runtime.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        let status = Arc::new(Status::default());
        let place = config.place();
        let problem = |problem: String| ConfigError::Config { place: place.clone(), problem };
        let scheme = if config.tls.is_some() { "tls" } else { "nats" };
        let servers: Vec<String> =
            config.servers.iter().map(|server| format!("{scheme}://{server}")).collect();
        // Without a first attempt to wait for, this ends at once.
        let client = connecting::options(config, &status).connect(servers).now_or_never();
        let client = client
            .ok_or_else(|| problem("the client waits for it".to_owned()))?
            .map_err(|error| problem(error.to_string()))?;
        let id = client.new_inbox().rsplit('.').next().unwrap_or_default().to_owned();
        Ok(Self { client, status, place, id })
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Most bytes of a message with its headers.
    pub(crate) fn size_max(&self) -> usize {
        self.client.max_payload()
    }

    /// The connection of now, to wait for its end. The first attempt to connect is waited for.
    pub(crate) async fn line(&self) -> Result<Line, Fault> {
        let mut losses = self.status.losses.subscribe();
        losses.mark_unchanged();
        let mut attempts = self.status.attempts.subscribe();
        let first = async {
            while self.client.connection_state() == State::Pending
                && self.status.lock().connecting.is_none()
            {
                if attempts.changed().await.is_err() {
                    return;
                }
            }
        };
        // An attempt that takes too long has failed as well.
        timeout(ANSWER_TIME_MAX, first).await.unwrap_or_default();
        if self.client.connection_state() == State::Connected {
            return Ok(Line { losses });
        }
        Err(self.down())
    }

    /// Why nobody can be asked.
    pub(crate) fn down(&self) -> Fault {
        match self.status.lock().connecting.clone() {
            Some(text) if text.contains("authorization violation") => {
                Fault::Refused(Says::cause(text))
            }
            Some(text) => Fault::Down(Says::cause(text)),
            None => Fault::Down(Says::cause("it is not connected")),
        }
    }

    /// Asks one thing.
    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let mut line = self.line().await?;
        let start = Instant::now();
        let request = unlimited(&ask.payload, ask.headers);
        tokio::select! {
            biased;
            answer = timeout(ANSWER_TIME_MAX, self.client.send_request(ask.subject, request)) => {
                match answer {
                    Ok(answer) => answer.map_err(|error| judge(&error)),
                    Err(_elapsed) => Err(self.silence(start)),
                }
            }
            () = line.lost() => Err(Fault::Broken(Says::cause("the connection was lost"))),
        }
    }

    /// Asks many things, in this order, without waiting for one before the next. Answers each.
    pub(crate) async fn ask_all(&self, mut asks: Vec<Ask>) -> Vec<Answer> {
        if asks.len() == 1
            && let Some(ask) = asks.pop()
        {
            return vec![self.ask(ask).await];
        }
        let mut answers = Vec::with_capacity(asks.len());
        let mut asks = asks.into_iter();
        loop {
            let part: Vec<Ask> = asks.by_ref().take(WINDOW).collect();
            if part.is_empty() {
                return answers;
            }
            answers.extend(self.ask_some(part).await);
        }
    }

    async fn ask_some(&self, asks: Vec<Ask>) -> Vec<Answer> {
        let mut line = match self.line().await {
            Ok(line) => line,
            Err(fault) => return asks.iter().map(|_| Err(fault.clone())).collect(),
        };
        let start = Instant::now();
        let mut answers: Vec<Option<Answer>> = asks.iter().map(|_| None).collect();
        let mut sending: Vec<Pin<Box<_>>> = Vec::with_capacity(asks.len());
        for (number, ask) in asks.into_iter().enumerate() {
            let request = unlimited(&ask.payload, ask.headers);
            let asked = self.client.send_request(ask.subject, request);
            sending.push(Box::pin(asked.map(move |answer| (number, answer))));
        }
        // Whoever is polled first is written first. That none of them waits only because the runtime wants it to is what
        // keeps the order.
        let mut waiting = Vec::with_capacity(sending.len());
        let first = unconstrained(poll_fn(|context| {
            for mut one in sending.drain(..) {
                match one.as_mut().poll(context) {
                    Poll::Ready((number, answer)) => {
                        answers[number] = Some(answer.map_err(|error| judge(&error)));
                    }
                    Poll::Pending => waiting.push(one),
                }
            }
            Poll::Ready(())
        }));
        first.await;
        let mut waiting: FuturesUnordered<_> = waiting.into_iter().collect();
        let fault = loop {
            tokio::select! {
                biased;
                next = timeout(ANSWER_TIME_MAX, waiting.next()) => match next {
                    Ok(Some((number, answer))) => {
                        answers[number] = Some(answer.map_err(|error| judge(&error)));
                    }
                    Ok(None) => break Fault::Broken(Says::cause("it was not asked")),
                    Err(_elapsed) => break self.silence(start),
                },
                () = line.lost() => {
                    break Fault::Broken(Says::cause("the connection was lost"));
                }
            }
        };
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(fault.clone()))).collect()
    }

    /// Asks JetStream.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        verb: &str,
        body: &Value,
    ) -> Result<T, Fault> {
        read(self.ask(api(verb, body)).await)
    }

    /// Asks JetStream for all of a list.
    pub(crate) async fn list<P: Page + DeserializeOwned>(
        &self,
        verb: &str,
        mut body: Value,
    ) -> Result<Vec<P::Item>, Fault> {
        let mut items = Vec::new();
        loop {
            body["offset"] = json!(items.len());
            let page: P = self.api(verb, &body).await?;
            let total = page.total();
            let more = page.items();
            let is_last = more.is_empty();
            items.extend(more);
            if is_last || items.len() >= total {
                return Ok(items);
            }
        }
    }

    /// A subject of its own, and what comes there.
    pub(crate) async fn inbox(&self) -> Result<(String, Subscriber), Fault> {
        let inbox = self.client.new_inbox();
        let subscribing = self.client.subscribe(format!("{inbox}.*"));
        match timeout(ANSWER_TIME_MAX, subscribing).await {
            Ok(Ok(subscriber)) => Ok((inbox, subscriber)),
            Ok(Err(error)) => Err(Fault::Down(Arc::new(error))),
            Err(_elapsed) => Err(Fault::Down(Says::cause("it takes nothing"))),
        }
    }

    /// Sends something whose answers go to an inbox.
    ///
    /// # Cancel safety
    /// Cancel safe: when it is dropped nothing was sent.
    pub(crate) async fn send(
        &self,
        subject: String,
        reply: String,
        payload: Bytes,
    ) -> Result<(), Fault> {
        let sending = self.client.publish_with_reply(subject, reply, payload);
        match timeout(ANSWER_TIME_MAX, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Fault::Down(Arc::new(error))),
            Err(_elapsed) => Err(Fault::Down(Says::cause("it takes nothing"))),
        }
    }

    /// Sends something that may get lost, without waiting: for those who cannot wait.
    pub(crate) fn send_now(&self, subject: String, payload: &'static str) {
        if let Some(Err(error)) = self.client.publish(subject, payload.into()).now_or_never() {
            tracing::debug!(%error, "not sent");
        }
    }

    /// What it means that nobody answered.
    fn silence(&self, start: Instant) -> Fault {
        match &self.status.lock().forbidden {
            Some((time, text)) if *time >= start => Fault::Refused(Says::cause(text.clone())),
            _ => {
                Fault::Broken(Says::cause(format!("no answer for {} s", ANSWER_TIME_MAX.as_secs())))
            }
        }
    }
}

/// A connection, until it is lost.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    losses: watch::Receiver<u64>,
}

impl Line {
    /// Waits until it is lost.
    ///
    /// # Cancel safety
    /// Cancel safe: one that is lost stays lost.
    pub(crate) async fn lost(&mut self) {
        if self.losses.changed().await.is_ok() {
            self.losses.mark_changed();
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.losses.has_changed().unwrap_or(true)
    }
}

/// A request whose time is bounded elsewhere.
fn unlimited(payload: &Bytes, headers: Option<HeaderMap>) -> Request {
    let request = Request::new().payload(payload.clone()).timeout(None);
    match headers {
        Some(headers) => request.headers(headers),
        None => request,
    }
}

fn judge(error: &async_nats::RequestError) -> Fault {
    let cause = Says::cause(error.to_string());
    match error.kind() {
        RequestErrorKind::NoResponders => Fault::Nobody,
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            Fault::Refused(cause)
        }
        RequestErrorKind::TimedOut | RequestErrorKind::Other => Fault::Broken(cause),
    }
}

/// What is asked of JetStream itself.
pub(crate) fn api(verb: &str, body: &Value) -> Ask {
    let payload = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    Ask { subject: format!("{API}.{verb}"), headers: None, payload }
}

/// Reads an answer of JetStream.
pub(crate) fn read<T: DeserializeOwned>(answer: Answer) -> Result<T, Fault> {
    let message = match answer {
        Err(Fault::Nobody) => {
            return Err(Fault::Down(Says::cause("JetStream does not answer: is it switched on?")));
        }
        answer => answer?,
    };
    let odd = |error: serde_json::Error| Fault::Refused(Arc::new(error));
    let mut value: Value = serde_json::from_slice(&message.payload).map_err(odd)?;
    if let Some(refusal) = value.get_mut("error").map(Value::take) {
        return Err(Fault::Said(serde_json::from_value(refusal).map_err(odd)?));
    }
    serde_json::from_value(value).map_err(odd)
}
