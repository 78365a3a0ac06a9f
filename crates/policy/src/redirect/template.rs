//! Paths and URLs with variables: `https://{host}/new{rest}`, `/search?q={path}`.
//!
//! Variables are filled in for the place where they stand: a path keeps its slashes and escapes, in a query
//! everything is one value. A template is taken apart when it is read, so that a request can never
//! change which part of the result is host, path or query.

use super::uri;
use crate::Request;

/// The longest template, in bytes.
pub const TEMPLATE_LEN_MAX: usize = 2048;

/// What may stand in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Host,
    Path,
    Query,
    Rest,
}

/// Why a text is no template. Offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// Not `http://…`, `https://…` or `/…`.
    #[error("it begins with `https://`, `http://` or one `/`")]
    Start,
    /// Not a path.
    #[error("it begins with one `/`")]
    NoPath,
    /// The host is none.
    #[error("`{0}` is no host, nor host and port")]
    Host(String),
    /// The path could be read in two ways.
    #[error("{}", .0.reason())]
    Path(logic::route::path::Refused),
    /// A character that may not stand in a URL, such as a space.
    #[error("the character at {offset} may not stand in a URL: write it as %XX")]
    Character {
        /// Where.
        offset: usize,
    },
    /// Something else in braces.
    #[error(
        "the brace at {offset} begins no variable: there are {{host}}, {{path}}, {{rest}} and {{query}}"
    )]
    Variable {
        /// Where.
        offset: usize,
    },
    /// A variable that has no place there.
    #[error("{{query}} stands after `?` only")]
    Misplaced,
    /// Longer than [`TEMPLATE_LEN_MAX`].
    #[error("at most 2048 bytes")]
    TooLong,
}

type Parts = Vec<Part>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// A path with variables, and perhaps a query and a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathTemplate {
    path: Parts,
    query: Option<Parts>,
    /// With its `#`.
    fragment: String,
}

/// A URL with variables: where, and the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlTemplate {
    /// Scheme and host; `None`: the same as the request's.
    origin: Option<(&'static str, Parts)>,
    path: PathTemplate,
}

/// What a request gives to a template.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) request: &'a dyn Request,
    /// The prefix that the route matched.
    pub(crate) prefix: &'a str,
}

impl UrlTemplate {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        check(text)?;
        let scheme = ["https", "http"].into_iter().find_map(|scheme| {
            let rest = text.strip_prefix(scheme)?.strip_prefix("://")?;
            Some((scheme, rest))
        });
        let Some((scheme, rest)) = scheme else {
            if text.starts_with("//") || !text.starts_with('/') {
                return Err(InvalidTemplate::Start);
            }
            return Ok(Self { origin: None, path: PathTemplate::split(text, 0)? });
        };
        let at = text.len() - rest.len();
        let starts = ["/", "?", "#", "{path}", "{rest}"];
        let end = starts.iter().filter_map(|start| rest.find(start)).min().unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let parts = parts(authority, at)?;
        let bad = || InvalidTemplate::Host(authority.to_owned());
        let is_fine =
            parts.iter().all(|part| matches!(part, Part::Text(_) | Part::Variable(Variable::Host)))
                && uri::is_authority(&authority.replace("{host}", "host.example"));
        if !is_fine {
            return Err(bad());
        }
        Ok(Self { origin: Some((scheme, parts)), path: PathTemplate::split(path, at + end)? })
    }

    /// The reference for `source`; `None` when the host of the request is none or the path would be ambiguous.
    pub(crate) fn fill(&self, source: Source<'_>) -> Option<String> {
        let mut url = String::new();
        if let Some((scheme, authority)) = &self.origin {
            let mut filled = String::new();
            for part in authority {
                match part {
                    Part::Text(text) => filled.push_str(text),
                    Part::Variable(_) => filled.push_str(&uri::host_of(source.request.host())?),
                }
            }
            // `www.{host}` with an address in brackets.
            if !uri::is_authority(&filled) {
                return None;
            }
            url = format!("{scheme}://{filled}");
        }
        let (target, has_query) = self.path.fill(source)?;
        url.push_str(&target);
        if !has_query && let Some(query) = source.request.query() {
            url.push('?');
            uri::push_query(query, &mut url);
        }
        url.push_str(&self.path.fragment);
        Some(url)
    }
}

impl PathTemplate {
    /// Reads a path with a query or without; a fragment has no place in what a service gets.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        check(text)?;
        let is_path = text.starts_with('/') && !text.starts_with("//")
            || text.starts_with("{path}")
            || text.starts_with("{rest}");
        if !is_path || text.contains('#') {
            return Err(InvalidTemplate::NoPath);
        }
        Self::split(text, 0)
    }

    /// `at`: where `text` begins in the whole, for messages.
    fn split(text: &str, at: usize) -> Result<Self, InvalidTemplate> {
        let (text, fragment) = text.find('#').map_or((text, ""), |end| text.split_at(end));
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(parts(query, at + path.len() + 1)?)),
            None => (text, None),
        };
        if fragment.contains('{') {
            return Err(InvalidTemplate::Variable { offset: at + text.len() });
        }
        let example = path.replace("{path}", "/x").replace("{rest}", "/x").replace("{host}", "x");
        if !example.is_empty() {
            logic::route::path::clean(&example).map_err(InvalidTemplate::Path)?;
        }
        let path = parts(path, at)?;
        if path.contains(&Part::Variable(Variable::Query)) {
            return Err(InvalidTemplate::Misplaced);
        }
        Ok(Self { path, query, fragment: fragment.to_owned() })
    }

    /// The path, with its query if the template has one, and whether it has; `None` when it would be ambiguous.
    pub(crate) fn fill(&self, source: Source<'_>) -> Option<(String, bool)> {
        let mut target = String::new();
        for part in &self.path {
            let path = source.request.raw_path();
            match part {
                Part::Text(text) => uri::push_path(text, &mut target),
                Part::Variable(Variable::Path) => uri::push_path(path, &mut target),
                Part::Variable(Variable::Rest) => {
                    uri::push_path(uri::rest(path, source.prefix), &mut target);
                }
                Part::Variable(_) => target.push_str(&uri::host_of(source.request.host())?),
            }
        }
        if target.is_empty() {
            target.push('/');
        }
        logic::route::path::clean(&target).ok()?;
        if let Some(query) = &self.query {
            let path_len = target.len();
            target.push('?');
            fill_query(query, source, &mut target);
            if target.len() == path_len + 1 {
                target.truncate(path_len);
            }
        }
        Some((target, self.query.is_some()))
    }
}

fn fill_query(query: &[Part], source: Source<'_>, into: &mut String) {
    let path = source.request.raw_path();
    for part in query {
        match part {
            Part::Text(text) => uri::push_query(text, into),
            Part::Variable(Variable::Path) => uri::push_value(path, into),
            Part::Variable(Variable::Rest) => {
                uri::push_value(uri::rest(path, source.prefix), into);
            }
            Part::Variable(Variable::Host) => uri::push_value(source.request.host(), into),
            Part::Variable(Variable::Query) => {
                uri::push_query(source.request.query().unwrap_or_default(), into);
            }
        }
    }
}

/// Takes `text` apart; `at` is where it begins in the whole.
fn parts(text: &str, at: usize) -> Result<Parts, InvalidTemplate> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        let (literal, after) = rest.split_at(end);
        if !literal.is_empty() {
            parts.push(Part::Text(literal.to_owned()));
        }
        if after.is_empty() {
            break;
        }
        let offset = at + text.len() - after.len();
        let inside = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let (name, next) = inside.ok_or(InvalidTemplate::Variable { offset })?;
        parts.push(Part::Variable(match name {
            "host" => Variable::Host,
            "path" => Variable::Path,
            "query" => Variable::Query,
            "rest" => Variable::Rest,
            _ => return Err(InvalidTemplate::Variable { offset }),
        }));
        rest = next;
    }
    Ok(parts)
}

fn check(text: &str) -> Result<(), InvalidTemplate> {
    if text.len() > TEMPLATE_LEN_MAX {
        return Err(InvalidTemplate::TooLong);
    }
    let is_wrong = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`|".contains(&byte);
    match text.bytes().position(is_wrong) {
        Some(offset) => Err(InvalidTemplate::Character { offset }),
        None => Ok(()),
    }
}
