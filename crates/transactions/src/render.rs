//! Calls and joins with their place holders filled in.

use crate::{Call, Join, Payload, Spec, StepSpec, Target};
use bytes::Bytes;
use logic::template::{self, RenderError, Scope, Template};
use serde_json::Value;
use std::collections::BTreeMap;

/// What place holders get their values from.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    pub(crate) spec: &'a Spec,
    /// What steps have answered, by their position.
    pub(crate) results: &'a [(u16, Value)],
}

impl<'a> Values<'a> {
    fn result(&self, name: &str) -> Option<&'a Value> {
        let at = self.spec.steps.iter().position(|step| step.id == name)?;
        let found = self.results.iter().find(|(of, _)| usize::from(*of) == at);
        found.map(|(_, value)| value)
    }

    /// Nothing is a template for clients that know of none.
    fn is_plain(&self, text: &str) -> bool {
        self.spec.dialect.is_dtm() || !text.contains("{{")
    }

    fn text(
        &self,
        text: &str,
        render: impl FnOnce(&Template, &Scope<'_>) -> Result<String, RenderError>,
    ) -> Result<String, RenderError> {
        if self.is_plain(text) {
            return Ok(text.to_owned());
        }
        let template = Template::parse(text)?;
        let step = |name: &str| self.result(name);
        render(&template, &Scope { input: &self.spec.input, step: &step })
    }

    /// Where a call of a step goes, its headers and what it sends. Of no step: the query of a message.
    pub(crate) fn fill(
        &self,
        step: Option<&StepSpec>,
        call: &Call,
    ) -> Result<(Target, BTreeMap<String, String>, Bytes), RenderError> {
        let body = match step {
            Some(step) => self.body(step)?,
            None => self.query_body(&call.method),
        };
        Ok((self.target(&call.target)?, self.headers()?, body))
    }

    fn target(&self, target: &Target) -> Result<Target, RenderError> {
        Ok(match target {
            Target::Service { service, path } => {
                let path = self.text(path, Template::render_url)?;
                Target::Service { service: service.clone(), path }
            }
            Target::Url(url) => Target::Url(self.text(url, Template::render_url)?),
            Target::GrpcService { .. } | Target::Grpc { .. } => target.clone(),
        })
    }

    fn headers(&self) -> Result<BTreeMap<String, String>, RenderError> {
        let render = |(name, value): (&String, &String)| {
            Ok((name.clone(), self.text(value, Template::render_text)?))
        };
        self.spec.headers.iter().map(render).collect()
    }

    /// What a call of a step sends.
    fn body(&self, step: &StepSpec) -> Result<Bytes, RenderError> {
        match (&step.payload, &step.body) {
            (Some(Payload::Text(text)), _) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            (Some(Payload::Bytes(bytes)), _) => Ok(Bytes::copy_from_slice(bytes)),
            (None, Some(body)) => {
                let bytes = json(body);
                if self.spec.dialect.is_dtm() || !bytes.windows(2).any(|pair| pair == b"{{") {
                    return Ok(bytes);
                }
                Ok(json(&self.value(body)?))
            }
            (None, None) if self.spec.input.is_null() => Ok(Bytes::new()),
            (None, None) => Ok(json(&self.spec.input)),
        }
    }

    /// What is sent when the sender of a message is asked: what a client of DTM has given, as it has given it.
    fn query_body(&self, method: &str) -> Bytes {
        match &self.spec.input {
            _ if method == "GET" => Bytes::new(),
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
            other => json(other),
        }
    }

    fn value(&self, value: &Value) -> Result<Value, RenderError> {
        let step = |name: &str| self.result(name);
        template::render(value, &Scope { input: &self.spec.input, step: &step })
    }

    /// What a step that joins the decision asks for, and its value.
    pub(crate) fn join(&self, step: &StepSpec, join: &Join) -> Result<(Join, Value), RenderError> {
        let text = |text: &String| self.text(text, Template::render_text);
        let join = match join.clone() {
            Join::Put { store, key, etag } => Join::Put { store, key: text(&key)?, etag },
            Join::Delete { store, key, etag } => Join::Delete { store, key: text(&key)?, etag },
            Join::Publish { topic, key } => {
                Join::Publish { topic, key: key.as_ref().map(text).transpose()? }
            }
            Join::Holds { store, resource, token } => {
                Join::Holds { store, resource: text(&resource)?, token: text(&token)? }
            }
        };
        let value =
            step.body.as_ref().map_or_else(|| Ok(self.spec.input.clone()), |body| self.value(body));
        Ok((join, value?))
    }
}

fn json(value: &Value) -> Bytes {
    // JSON always can be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}
