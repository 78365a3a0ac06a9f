//! Reads server-sent events (WHATWG HTML §9.2) of the admin API.

use super::{Error, exchange::Exchange};
use serde::de::DeserializeOwned;
use std::{collections::VecDeque, marker::PhantomData, time::Duration};

/// Silence after which the node counts as gone: the server says something at least every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Longest message that is read. A status of a thousand instances has less than 1 MiB, a batch of
/// log lines at most 2 MiB of text before escaping.
const MESSAGE_LEN_MAX: usize = 64 << 20;

/// One message of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<T> {
    /// Number to resume after.
    pub id: u64,
    /// What came.
    pub data: T,
}

/// A stream of messages. Drop it to end it.
#[derive(Debug)]
pub struct Stream<T> {
    exchange: Exchange,
    parser: Parser,
    data: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Stream<T> {
    pub(super) fn new(exchange: Exchange) -> Self {
        Self { exchange, parser: Parser::default(), data: PhantomData }
    }

    /// The next message; `None` when the node ended the stream, which it does when it ends itself.
    ///
    /// # Errors
    /// `Broken` when the connection breaks, `TimedOut` when the node is silent for 60 s, `Unreadable` when
    /// what comes is not this API.
    /// # Cancel safety
    /// Cancel safe: no message is lost.
    pub async fn next(&mut self) -> Result<Option<Item<T>>, Error> {
        loop {
            if let Some(message) = self.parser.ready.pop_front() {
                let data = serde_json::from_str(&message.data)
                    .map_err(|e| Error::Unreadable(e.to_string()))?;
                return Ok(Some(Item { id: message.id, data }));
            }
            let piece = tokio::time::timeout(SILENCE_MAX, self.exchange.piece()).await;
            match piece.map_err(|_elapsed| Error::TimedOut)?? {
                Some(bytes) => self.parser.feed(&bytes)?,
                None => return Ok(None),
            }
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    /// Bytes of a line whose end has not come.
    line: Vec<u8>,
    data: String,
    id: u64,
    /// A line ended with CR; an LF right after it belongs to it.
    after_cr: bool,
    ready: VecDeque<Message>,
}

#[derive(Debug, PartialEq)]
struct Message {
    id: u64,
    data: String,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut rest = bytes;
        if self.after_cr && rest.first() == Some(&b'\n') {
            rest = rest.get(1..).unwrap_or_default();
        }
        self.after_cr = self.after_cr && bytes.is_empty();
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (head, tail) = rest.split_at(at);
            self.line.extend_from_slice(head);
            self.end_of_line()?;
            let is_cr = tail.first() == Some(&b'\r');
            let skip = if is_cr && tail.get(1) == Some(&b'\n') { 2 } else { 1 };
            rest = tail.get(skip..).unwrap_or_default();
            self.after_cr = is_cr && skip == 1 && rest.is_empty();
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.data.len() > MESSAGE_LEN_MAX {
            return Err(Error::Unreadable("a message without an end".to_owned()));
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<(), Error> {
        let line = String::from_utf8(std::mem::take(&mut self.line))
            .map_err(|_invalid| Error::Unreadable("not UTF-8".to_owned()))?;
        if line.is_empty() {
            if !self.data.is_empty() {
                self.data.pop();
                let data = std::mem::take(&mut self.data);
                self.ready.push_back(Message { id: self.id, data });
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" => self.id = value.parse().unwrap_or(self.id),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(pieces: &[&[u8]]) -> Vec<(u64, String)> {
        let mut parser = Parser::default();
        for piece in pieces {
            parser.feed(piece).unwrap();
        }
        parser.ready.into_iter().map(|message| (message.id, message.data)).collect()
    }

    #[test]
    fn messages_are_read_wherever_the_stream_is_cut() {
        let text = b": hello\n\nid: 7\nevent: x\ndata: {\"a\":1}\n\ndata:b\r\ndata: c\r\n\r\nid: 8\rdata: d\r\r: \n\ndata: not ended\n";
        let whole = messages(&[text]);
        assert_eq!(whole, [(7, "{\"a\":1}".into()), (7, "b\nc".into()), (8, "d".into())]);
        for cut in 0..text.len() {
            assert_eq!(messages(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(messages(&single), whole);
    }
}
