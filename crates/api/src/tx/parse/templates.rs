//! Place holders in steps: what they name must be there before the step is called.

use super::wrong;
use crate::answer::Problem;
use logic::template::{self, Reference, Root, Template};
use std::collections::{BTreeMap, BTreeSet};
use transactions::{Call, Join, StepSpec, Target};

/// Checks the place holders of all steps.
///
/// # Errors
/// Names the step, and what is wrong with which place holder.
pub(super) fn check(steps: &[StepSpec]) -> Result<(), Problem> {
    let mut before: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let called = steps.iter().filter(|step| step.join.is_none()).map(|step| step.id.as_str());
    let called: BTreeSet<&str> = called.collect();
    for (number, step) in steps.iter().enumerate() {
        let at = format!("steps[{number}] (`{}`)", step.id);
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for name in &step.after {
            seen.insert(name);
            seen.extend(before.get(name.as_str()).into_iter().flatten());
        }
        // With the decision everything has answered.
        let known = if step.join.is_some() { &called } else { &seen };
        for reference in references(step).map_err(|e| wrong(&at, e))? {
            if let Root::Step(name) = &reference.root
                && !known.contains(name.as_str())
            {
                let message =
                    format!("it uses the answer of `{name}`, which it does not come after");
                return Err(wrong(&at, message).help(format!("write `after: [\"{name}\"]`")));
            }
        }
        before.insert(&step.id, seen);
    }
    Ok(())
}

fn references(step: &StepSpec) -> Result<Vec<Reference>, String> {
    let mut all = match &step.body {
        Some(body) => template::references(body).map_err(|e| e.to_string())?,
        None => Vec::new(),
    };
    for text in texts(step) {
        // Most have none.
        if text.contains("{{") {
            let template = Template::parse(text).map_err(|e| e.to_string())?;
            all.extend(template.references().cloned());
        }
    }
    Ok(all)
}

/// The texts of a step besides its body that may have place holders.
fn texts(step: &StepSpec) -> Vec<&str> {
    let mut all: Vec<&str> = step.calls.values().filter_map(place).collect();
    match &step.join {
        None => {}
        Some(Join::Put { key, .. } | Join::Delete { key, .. }) => all.push(key),
        Some(Join::Publish { key, .. }) => all.extend(key.as_deref()),
        Some(Join::Holds { resource, token, .. }) => all.extend([resource.as_str(), token]),
    }
    all
}

fn place(call: &Call) -> Option<&str> {
    match &call.target {
        Target::Service { path, .. } => Some(path),
        Target::Url(url) => Some(url),
        Target::GrpcService { .. } | Target::Grpc { .. } => None,
    }
}
