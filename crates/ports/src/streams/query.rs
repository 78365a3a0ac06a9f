//! Which events somebody wants.

use super::Event;

/// Events that match any of its items; without any item: all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// At most [`super::QUERY_MAX`].
    pub items: Vec<Item>,
}

/// Events that match all that it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Of one of these types; none: of any.
    pub kinds: Vec<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Of a stream of this category: what stands before the first `-` of its name, or all of it.
    pub category: Option<String>,
}

impl Query {
    /// Whether it means `event`.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.items.is_empty()
            || self.items.iter().any(|item| item.matches(&event.stream, &event.kind, &event.tags))
    }
}

impl Item {
    /// Whether it means an event of this stream, type and tags.
    #[must_use]
    pub fn matches(&self, stream: &str, kind: &str, tags: &[String]) -> bool {
        (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind))
            && self.tags.iter().all(|wanted| tags.contains(wanted))
            && self.category.as_ref().is_none_or(|wanted| wanted == category(stream))
    }
}

/// The category of a stream.
#[must_use]
pub fn category(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}
