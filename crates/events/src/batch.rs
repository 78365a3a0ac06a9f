//! Messages in as many publishes as they need.

use ports::broker::{BATCH_MAX, BATCH_SIZE_MAX, NewMessage};

/// Cuts `messages` into batches that every broker takes, in their order.
pub(crate) fn batches<T>(
    messages: impl IntoIterator<Item = T>,
    message: impl Fn(&T) -> &NewMessage,
) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in messages {
        let size = message(&item).size();
        match batches.last_mut() {
            Some(last) if last.len() < BATCH_MAX && size <= room => {
                last.push(item);
                room -= size;
            }
            _ => {
                batches.push(vec![item]);
                room = BATCH_SIZE_MAX.saturating_sub(size);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn batches_keep_the_order_and_the_bounds() {
        let of = |len: usize| NewMessage::new(Bytes::from(vec![0; len]));
        let lengths = |messages: Vec<NewMessage>| -> Vec<usize> {
            batches(messages, |message| message).iter().map(Vec::len).collect()
        };
        assert_eq!(lengths(Vec::new()), Vec::<usize>::new());
        assert_eq!(lengths(vec![of(1); BATCH_MAX + 1]), [BATCH_MAX, 1]);
        assert_eq!(lengths(vec![of(BATCH_SIZE_MAX / 4); 9]), [4, 4, 1]);
    }
}
