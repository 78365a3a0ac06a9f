//! From what is asked for to what the machine runs, and what is wrong with it.

use crate::{Error, Join, Spec, StepSpec, Target};
use logic::{
    template::{self, Reference, Root, Template},
    tx::{Branch, Mode, OpSet, Plan},
};
use std::collections::{BTreeMap, BTreeSet};

/// Most labels of a transaction.
pub const LABELS_MAX: usize = 16;

/// Longest name or value of a label, and longest name of a step, in bytes.
pub const NAME_LEN_MAX: usize = 256;

/// What the machine runs.
///
/// # Errors
/// Names of steps that are not there. What else may be wrong is found by [`check`] and by the machine.
pub(crate) fn plan(spec: &Spec, begun_ms: u64) -> Result<Plan, Error> {
    let used = used(spec)?;
    let mut at = BTreeMap::new();
    let mut branches = Vec::with_capacity(spec.steps.len());
    for (index, step) in spec.steps.iter().enumerate() {
        let place = |name: &String| {
            at.get(name.as_str()).copied().ok_or_else(|| {
                let id = &step.id;
                Error::Invalid(format!(
                    "step `{id}` comes after `{name}`, which is no step before it"
                ))
            })
        };
        let after = step.after.iter().map(place).collect::<Result<_, _>>()?;
        branches.push(Branch { after, feeds: used.contains(step.id.as_str()), ..branch(step) });
        at.insert(step.id.as_str(), u16::try_from(index).unwrap_or(u16::MAX));
    }
    Ok(Plan {
        mode: spec.mode,
        branches,
        retry: spec.retry.unwrap_or_default(),
        timeout_ms: spec.timeout_ms,
        durable_steps: spec.durable_steps,
        concurrent: spec.concurrent,
        has_query: spec.query.is_some(),
        not_before_ms: spec.delay_ms.map(|delay| begun_ms.saturating_add(delay)),
    })
}

/// A step that comes after no other, and that none uses.
pub(crate) fn branch(step: &StepSpec) -> Branch {
    Branch {
        id: step.id.clone(),
        after: Vec::new(),
        ops: step.calls.keys().copied().collect::<OpSet>(),
        joins: step.join.is_some(),
        feeds: false,
        tried_by_client: step.tried_by_client,
        reserve_ms: step.reserve_ms,
        retry: step.retry,
    }
}

/// Checks what the machine does not see: labels, templates, and what they name.
pub(crate) fn check(spec: &Spec) -> Result<(), Error> {
    if spec.labels.len() > LABELS_MAX {
        let count = spec.labels.len();
        return Err(Error::Invalid(format!("{count} labels, {LABELS_MAX} are allowed")));
    }
    let is_long = |text: &String| text.len() > NAME_LEN_MAX;
    if let Some((name, _)) =
        spec.labels.iter().find(|(name, value)| is_long(name) || is_long(value))
    {
        let name = crate::notes::cut(name, 64);
        return Err(Error::Invalid(format!("label `{name}` is longer than {NAME_LEN_MAX} bytes")));
    }
    for (index, step) in spec.steps.iter().enumerate() {
        if step.id.is_empty() || is_long(&step.id) {
            return Err(Error::Invalid(format!(
                "step {} must have a name of 1 to {NAME_LEN_MAX} bytes",
                index + 1
            )));
        }
        if step.join.is_some() && !step.calls.is_empty() {
            return Err(Error::Invalid(format!(
                "step `{}` joins the decision and has calls",
                step.id
            )));
        }
        check_references(spec, index)?;
    }
    for header in spec.headers.values().filter(|_| !spec.dialect.is_dtm()) {
        for reference in of_text(header)? {
            if let Root::Step(name) = &reference.root {
                let text = format!(
                    "a header of every call cannot use step `{name}`, which may come later"
                );
                return Err(Error::Invalid(text));
            }
        }
    }
    Ok(())
}

/// Whether what a step uses has come before it.
fn check_references(spec: &Spec, index: usize) -> Result<(), Error> {
    let Some(step) = spec.steps.get(index) else { return Ok(()) };
    let wrong = |text: String| Err(Error::Invalid(format!("step `{}`: {text}", step.id)));
    let found = match references(spec, step) {
        Ok(found) => found,
        Err(error) => return wrong(error.to_string()),
    };
    let names: BTreeSet<&str> = found.iter().filter_map(step_of).collect();
    if names.is_empty() {
        return Ok(());
    }
    let before = before(spec, index);
    for name in names {
        let Some(other) = spec.steps.iter().find(|step| step.id == name) else {
            return wrong(format!("there is no step `{name}` whose answer it could use"));
        };
        if spec.mode != Mode::Saga {
            return wrong(format!("only steps of a saga use answers of others, here of `{name}`"));
        }
        if other.join.is_some() {
            return wrong(format!("`{name}` joins the decision and has no answer"));
        }
        // What joins the decision comes after all that is called.
        if step.join.is_none() && !before.contains(name) {
            return wrong(format!(
                "it uses the answer of `{name}` and does not come after it; say `after`"
            ));
        }
    }
    Ok(())
}

/// The steps that have been answered when this one is called.
fn before(spec: &Spec, index: usize) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut wanted: Vec<&str> = spec
        .steps
        .get(index)
        .into_iter()
        .flat_map(|step| &step.after)
        .map(String::as_str)
        .collect();
    while let Some(name) = wanted.pop() {
        if names.insert(name) {
            let step = spec.steps.iter().take(index).find(|step| step.id == name);
            wanted.extend(step.into_iter().flat_map(|step| &step.after).map(String::as_str));
        }
    }
    names
}

/// Names of steps whose answers others use.
fn used(spec: &Spec) -> Result<BTreeSet<String>, Error> {
    let mut used = BTreeSet::new();
    for step in &spec.steps {
        let found = references(spec, step)
            .map_err(|error| Error::Invalid(format!("step `{}`: {error}", step.id)))?;
        used.extend(found.iter().filter_map(step_of).map(str::to_owned));
    }
    Ok(used)
}

fn step_of(reference: &Reference) -> Option<&str> {
    match &reference.root {
        Root::Step(name) => Some(name),
        Root::Input => None,
    }
}

/// All that the texts of a step name.
fn references(spec: &Spec, step: &StepSpec) -> Result<Vec<Reference>, template::RenderError> {
    if spec.dialect.is_dtm() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for call in step.calls.values() {
        match &call.target {
            Target::Service { path: text, .. } | Target::Url(text) => {
                found.extend(of_template(text)?);
            }
            Target::GrpcService { .. } | Target::Grpc { .. } => {}
        }
    }
    match &step.join {
        Some(Join::Put { key, .. } | Join::Delete { key, .. }) => found.extend(of_template(key)?),
        Some(Join::Publish { key: Some(key), .. }) => found.extend(of_template(key)?),
        Some(Join::Holds { resource, token, .. }) => {
            found.extend(of_template(resource)?);
            found.extend(of_template(token)?);
        }
        Some(Join::Publish { key: None, .. }) | None => {}
    }
    if let Some(body) = &step.body {
        found.extend(template::references(body)?);
    }
    Ok(found)
}

fn of_text(text: &str) -> Result<Vec<Reference>, Error> {
    of_template(text).map_err(|error| Error::Invalid(error.to_string()))
}

fn of_template(text: &str) -> Result<Vec<Reference>, template::RenderError> {
    if !text.contains("{{") {
        return Ok(Vec::new());
    }
    Ok(Template::parse(text)?.references().cloned().collect())
}
