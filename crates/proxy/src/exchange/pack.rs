//! Packing of response bodies: `policy::compress` decides and packs, here is when.

use super::Exchange;
use crate::{
    buffer::Buffer,
    config::ENCODERS_MAX,
    flow::{Broken, Sink, Source},
    h1::{Fields, ResponseHead, body::Part},
    worker::Worker,
};
use policy::compress::{Encoder, Failed, Response};
use std::rc::Rc;

/// A body that is being packed. Each piece is packed so that the client can read it at once: what the instance
/// sends in pieces it means to be read in pieces.
pub(crate) struct Packer {
    encoder: Encoder,
    packed: Vec<u8>,
    /// Trailers that came with the first part.
    early: Option<Fields>,
    _permit: Permit,
}

/// One of the encoders that a worker may have at the same time.
struct Permit(Rc<Worker>);

impl Drop for Permit {
    fn drop(&mut self) {
        let encoders = self.0.encoders();
        encoders.set(encoders.get().saturating_sub(1));
    }
}

/// A response as compression looks at it.
struct View<'a>(&'a ResponseHead);

impl Response for View<'_> {
    fn status(&self) -> u16 {
        self.0.status
    }
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> bool) {
        for value in self.0.fields.named(name) {
            if !see(value) {
                return;
            }
        }
    }
}

impl Exchange<'_> {
    /// Decides whether the response is packed, and says so in its head.
    pub(super) fn packer(&self, head: &mut ResponseHead, length: Option<u64>) -> Option<Packer> {
        let policy = self.route?.settings.policy.as_ref()?;
        let compress = policy.compress()?;
        let worker = self.context.worker;
        let mut edits = Vec::new();
        let coding = compress.answer(self.asked, &View(head), &mut edits);
        let made = coding.filter(|_| worker.encoders().get() < ENCODERS_MAX);
        let encoder = made.and_then(|coding| Encoder::new(coding, length).ok());
        if coding.is_some() && encoder.is_none() {
            // Without an encoder only what every such response says is said.
            edits.retain(|edit| matches!(edit, policy::Edit::Vary(_)));
        }
        super::guard::edit(&mut head.fields, &edits);
        let encoder = encoder?;
        worker.encoders().set(worker.encoders().get() + 1);
        let _permit = Permit(Rc::clone(worker));
        Some(Packer { encoder, packed: Vec::new(), early: None, _permit })
    }
}

impl Packer {
    /// Packs a whole body.
    pub(crate) fn whole(mut self, data: &[u8]) -> Option<Vec<u8>> {
        self.encoder.push(data, &mut self.packed).ok()?;
        self.encoder.finish(&mut self.packed).ok()?;
        Some(self.packed)
    }

    /// Takes in the first part of a body, which was taken out of `buffer` already. It must have more to come.
    pub(crate) fn add(&mut self, buffer: &mut Buffer, part: &Part) -> Result<(), Failed> {
        self.encoder.push(buffer.part(part.data.clone()), &mut self.packed)?;
        self.encoder.flush(&mut self.packed)?;
        buffer.skip_to(part.next);
        self.early = part.trailers.clone();
        Ok(())
    }

    /// Moves a body from `source` to `sink`, packed. `before` goes in front of its first piece. `seen` is
    /// told of every piece that is sent.
    pub(crate) async fn pump(
        mut self,
        source: &mut Source<'_>,
        buffer: &mut Buffer,
        sink: &mut Sink<'_>,
        mut before: &[u8],
        mut seen: impl FnMut(usize),
    ) -> Result<(), Broken> {
        let refused = |_error| Broken::Refused;
        let failed = |_error| Broken::Ended;
        loop {
            if !self.packed.is_empty() && !source.is_done() {
                seen(self.packed.len());
                sink.send(before, &self.packed, false).await.map_err(refused)?;
                before = &[];
                self.packed.clear();
            }
            let mut part = if source.is_done() {
                let end = buffer.range().start;
                Part { data: end..end, next: end, trailers: self.early.take() }
            } else {
                source.next(buffer).await?
            };
            let is_last = source.is_done();
            self.encoder.push(buffer.part(part.data), &mut self.packed).map_err(failed)?;
            buffer.skip_to(part.next);
            if is_last {
                self.encoder.finish(&mut self.packed).map_err(failed)?;
                seen(self.packed.len());
                let trailers = part.trailers.take();
                sink.send(before, &self.packed, trailers.is_none()).await.map_err(refused)?;
                return match trailers {
                    Some(trailers) => sink.end(Some(&trailers)).await.map_err(refused),
                    None => Ok(()),
                };
            }
            // What an encoder holds back is flushed, so that nothing of a piece waits for the next.
            self.encoder.flush(&mut self.packed).map_err(failed)?;
        }
    }
}
