//! The bounds of this port, which every engine checks first.

use super::{
    APPEND_MAX, APPEND_SIZE_MAX, Append, EVENT_SIZE_MAX, Error, NewEvent, QUERY_MAX, Query,
    STREAM_LEN_MAX, TAGS_MAX, WORD_LEN_MAX,
};

/// Checks an append against the bounds of this port.
///
/// # Errors
/// [`Error::TooLarge`] and [`Error::Invalid`].
pub fn check(append: &Append) -> Result<(), Error> {
    check_stream(&append.stream)?;
    if append.events.is_empty() {
        return invalid("there is no event to append".to_owned());
    }
    too_large("events in one append", append.events.len(), APPEND_MAX)?;
    let mut size = 0;
    for (index, event) in append.events.iter().enumerate() {
        check_event(event)?;
        size += event.size();
        if append.events[..index].iter().any(|other| other.id == event.id) {
            return invalid(format!("the id `{}` is there twice", event.id));
        }
    }
    too_large("bytes in one append", size, APPEND_SIZE_MAX)?;
    append.condition.as_ref().map_or(Ok(()), |condition| condition.query.check())
}

/// Checks the name of a stream.
///
/// # Errors
/// [`Error::TooLarge`] and [`Error::Invalid`].
pub fn check_stream(stream: &str) -> Result<(), Error> {
    too_large("bytes in the name of a stream", stream.len(), STREAM_LEN_MAX)?;
    if stream.is_empty() || stream.chars().any(char::is_control) {
        return invalid(format!(
            "{stream:?} is no name of a stream: it must have characters, and no control characters"
        ));
    }
    Ok(())
}

fn check_event(event: &NewEvent) -> Result<(), Error> {
    word("the id of an event", &event.id)?;
    word("the type of an event", &event.kind)?;
    too_large("tags of an event", event.tags.len(), TAGS_MAX)?;
    for (index, tag) in event.tags.iter().enumerate() {
        word("a tag", tag)?;
        if event.tags[..index].contains(tag) {
            return invalid(format!("the tag `{tag}` is there twice"));
        }
    }
    too_large("bytes in one event", event.size(), EVENT_SIZE_MAX)
}

fn word(what: &str, text: &str) -> Result<(), Error> {
    too_large("bytes in an id, type or tag", text.len(), WORD_LEN_MAX)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return invalid(format!(
            "{what} must have characters, and no control characters: {text:?}"
        ));
    }
    Ok(())
}

fn invalid(text: String) -> Result<(), Error> {
    Err(Error::Invalid(text))
}

fn too_large(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

impl NewEvent {
    /// Bytes of all its parts.
    #[must_use]
    pub fn size(&self) -> usize {
        let tags: usize = self.tags.iter().map(String::len).sum();
        self.data.len() + self.metadata.len() + self.id.len() + self.kind.len() + tags
    }
}

impl Query {
    /// Checks it against the bounds of this port.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        too_large("items of a query", self.items.len(), QUERY_MAX)?;
        for item in &self.items {
            too_large("types of a query", item.kinds.len(), QUERY_MAX)?;
            too_large("tags of a query", item.tags.len(), QUERY_MAX)?;
            if item.kinds.is_empty() && item.tags.is_empty() && item.category.is_none() {
                let text = "an item of a query must say a type, a tag or a category";
                return invalid(text.to_owned());
            }
        }
        Ok(())
    }
}
