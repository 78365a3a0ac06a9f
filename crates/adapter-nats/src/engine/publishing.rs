//! Publishing.

use super::{Shared, topics};
use crate::{
    envelope,
    link::{Answer, Ask, Fault, read},
    names::Ids,
    wire::Taken,
};
use ports::broker::{Error, NewMessage, Offset, Published, TopicName};
use std::sync::Arc;

impl Shared {
    pub(super) async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Published>, Error> {
        let named = |mut message: NewMessage| {
            message.id.get_or_insert_with(|| self.unique(""));
            message
        };
        let messages: Vec<NewMessage> = messages.into_iter().map(named).collect();
        let mut ids = match self.ids(topic) {
            Some(ids) => ids,
            None => self.look_up(topic).await?,
        };
        let mut is_again = false;
        loop {
            let answers = self.link.ask_all(self.asks(topic, &messages, ids)?).await;
            if !answers.iter().all(|answer| matches!(answer, Err(Fault::Nobody))) {
                return self.published(answers);
            }
            // The topic may be gone, or listen to another subject because its settings have changed.
            self.forget(topic);
            let now = self.look_up(topic).await?;
            if now == ids || is_again {
                return Err(self.writing(Fault::Nobody));
            }
            (ids, is_again) = (now, true);
        }
    }

    async fn look_up(&self, topic: &TopicName) -> Result<Ids, Error> {
        let ids = topics::ids(&self.stream(topic).await?);
        self.remember(topic, ids);
        Ok(ids)
    }

    fn asks(
        &self,
        topic: &TopicName,
        messages: &[NewMessage],
        ids: Ids,
    ) -> Result<Vec<Ask>, Error> {
        let subject = self.names.subject(topic, ids);
        let limit = self.link.size_max();
        let mut asks = Vec::with_capacity(messages.len());
        for message in messages {
            let id = message.id.as_deref().unwrap_or_default();
            let headers = envelope::headers(message, id, ids == Ids::Compared);
            let Some(headers) = headers else {
                return Err(Error::Invalid(format!("message `{id}` cannot be written for NATS")));
            };
            let size = envelope::size(&headers, &message.payload);
            if size > limit {
                let what = "bytes in one message, for this NATS (its `max_payload`)";
                return Err(Error::TooLarge { what, size, limit });
            }
            let payload = message.payload.clone();
            asks.push(Ask { subject: subject.clone(), headers: Some(headers), payload });
        }
        Ok(asks)
    }

    fn published(&self, answers: Vec<Answer>) -> Result<Vec<Published>, Error> {
        let mut published = Vec::with_capacity(answers.len());
        let (mut fault, mut is_open) = (None, false);
        for answer in answers {
            let taken = match answer {
                // Here it means that nobody takes messages, not that JetStream is away.
                Err(Fault::Nobody) => Err(Fault::Nobody),
                answer => read::<Taken>(answer),
            };
            match taken {
                Ok(Taken { seq, duplicate }) => {
                    published.push(Published { offset: Offset(seq), duplicate });
                }
                Err(other) => {
                    is_open |= matches!(other, Fault::Broken(_));
                    fault.get_or_insert(other);
                }
            }
        }
        let Some(fault) = fault else { return Ok(published) };
        if published.is_empty() && !is_open {
            return Err(self.writing(fault));
        }
        // A part of them was taken, or may have been.
        match self.writing(fault) {
            Error::Unavailable { place, cause } | Error::Refused { place, cause } => {
                Err(Error::Unknown { place, cause })
            }
            other @ Error::Unknown { .. } => Err(other),
            other => {
                let place = self.link.place().to_owned();
                Err(Error::Unknown { place, cause: Arc::new(other) })
            }
        }
    }
}
