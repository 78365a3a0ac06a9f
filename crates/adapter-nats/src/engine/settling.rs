//! Settling.

use super::Shared;
use crate::{
    link::{Ask, Fault},
    names,
    receipt::Stamp,
};
use bytes::Bytes;
use ports::broker::{ACK_WAIT_MAX, Error, GroupName, Receipt, Settle, TopicName};

impl Shared {
    pub(super) async fn settle(
        &self,
        topic: &TopicName,
        group: &GroupName,
        settlements: &[(Receipt, Settle)],
    ) -> Result<(), Error> {
        let stream = self.names.stream(topic);
        let mut stamps = Vec::with_capacity(settlements.len());
        for (receipt, _) in settlements {
            let stamp = Stamp::read(&receipt.0).filter(|stamp| stamp.stream == stream);
            let epoch = stamp.as_ref().and_then(|stamp| epoch(stamp, group));
            let (Some(stamp), Some(_)) = (stamp, epoch) else {
                return Err(Error::Invalid(format!(
                    "{:?} is no receipt of group `{group}` of topic `{topic}`",
                    receipt.0
                )));
            };
            stamps.push(stamp);
        }
        let mut asks = Vec::with_capacity(stamps.len());
        let mut asked = Vec::with_capacity(stamps.len());
        for ((receipt, how), stamp) in settlements.iter().zip(&stamps) {
            if let Some(payload) = self.payload(stamp, *how) {
                asks.push(Ask { subject: receipt.0.clone(), headers: None, payload });
                asked.push(stamp);
            }
        }
        if asks.is_empty() {
            return self.current(topic, group).await.map(|_epoch| ());
        }
        let answers = self.link.ask_all(asks).await;
        let mut unheard = Vec::new();
        for (answer, stamp) in answers.into_iter().zip(asked) {
            match answer {
                Ok(_) => {}
                Err(Fault::Nobody) => unheard.extend(epoch(stamp, group)),
                Err(fault) => return Err(self.writing(fault)),
            }
        }
        if unheard.is_empty() {
            return Ok(());
        }
        let current = self.current(topic, group).await?;
        // Those from before the group was sent elsewhere do nothing. Those of now should have been heard.
        if unheard.contains(&current) { Err(self.writing(Fault::Nobody)) } else { Ok(()) }
    }

    /// What is sent; `None`: it would do what it must not.
    fn payload(&self, stamp: &Stamp<'_>, how: Settle) -> Option<Bytes> {
        match how {
            Settle::Ack => {
                self.newest.settle(stamp);
                Some(Bytes::from_static(b"+ACK"))
            }
            Settle::Nack(pause) => {
                if !self.newest.is_newest(stamp) {
                    return None;
                }
                self.newest.give_back(stamp);
                let nanos = pause.min(ACK_WAIT_MAX).as_nanos();
                Some(match nanos {
                    0 => Bytes::from_static(b"-NAK"),
                    nanos => format!(r#"-NAK {{"delay":{nanos}}}"#).into(),
                })
            }
            Settle::Extend => self.newest.is_in_work(stamp).then(|| Bytes::from_static(b"+WPI")),
        }
    }

    /// The epoch of a group.
    async fn current(&self, topic: &TopicName, group: &GroupName) -> Result<u64, Error> {
        let no_group = || Error::NoGroup { topic: topic.clone(), group: group.clone() };
        self.epochs(topic, group).await?.pop().ok_or_else(no_group)
    }
}

fn epoch(stamp: &Stamp<'_>, group: &GroupName) -> Option<u64> {
    names::group(stamp.consumer).filter(|(name, _)| name == group).map(|(_, epoch)| epoch)
}
