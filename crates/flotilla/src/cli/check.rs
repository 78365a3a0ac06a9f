//! `flotilla check` and `flotilla schema`: the file, without running anything.

use super::{
    Context,
    exit::{Exit, Failure, Outcome},
    ps::to_json,
    words,
};
use api::wire;
use base::Diagnostic;

/// Reports everything that is wrong, by the same code that `up` uses.
pub(crate) fn run(context: &Context) -> Outcome {
    let place = context.place()?;
    let (system, problems) = match context.load(&place) {
        Ok(loaded) => (Some(loaded.system), loaded.warnings),
        Err(Failure::Problems(problems)) => (None, problems),
        Err(failure) => return Err(failure),
    };
    let out = &context.out;
    if out.is_json() {
        let diagnostics: Vec<wire::Diagnostic> =
            problems.iter().map(wire::Diagnostic::from).collect();
        out.json(&serde_json::json!({
            "file": place.file.display().to_string(),
            "valid": system.is_some(),
            "diagnostics": to_json(&diagnostics)?,
            "secrets": system.as_ref().map(secrets).unwrap_or_default(),
        }))?;
        return Ok(if system.is_some() { Exit::Success } else { Exit::InvalidFile });
    }
    match system {
        Some(system) => {
            out.problems(&problems);
            out.line(&verdict(&place.shown(), &system, &problems))?;
            for line in asked(&system) {
                out.line(&line)?;
            }
            Ok(Exit::Success)
        }
        None => Err(problems.into()),
    }
}

/// `flotilla.yaml is valid: 3 services, 1 job, 2 routes; 1 warning`.
fn verdict(file: &str, system: &manifest::System, warnings: &[Diagnostic]) -> String {
    let mut text = format!("{file} is valid: {}", words::content(system));
    let routes = system.gateway.routes.len();
    if routes > 0 {
        text.push_str(&format!(", {}", words::count(routes, "route")));
    }
    if !warnings.is_empty() {
        text.push_str(&format!("; {}", words::count(warnings.len(), "warning")));
    }
    text
}

/// The secrets that the file asks for, and where: `secret API_KEY for `env.KEY` of service `api``.
fn asked(system: &manifest::System) -> Vec<String> {
    let references = &system.coordination.references;
    let of = |name: &&str| {
        let keys = references.iter().filter(|reference| reference.name == **name);
        let keys: Vec<&str> = keys.map(|reference| reference.key.as_str()).collect();
        format!("secret {name} for {}", keys.join(", "))
    };
    system.coordination.referenced().iter().map(of).collect()
}

fn secrets(system: &manifest::System) -> Vec<serde_json::Value> {
    let references = system.coordination.references.iter();
    let one = |reference: &manifest::SecretReference| {
        serde_json::json!({
            "name": reference.name,
            "key": reference.key,
            "file": reference.place.as_ref().map(|place| place.file.to_string()),
            "line": reference.place.as_ref().map(|place| place.line),
        })
    };
    references.map(one).collect()
}

/// Prints the JSON Schema.
pub(crate) fn schema(context: &Context) -> Outcome {
    context.out.line(&format!("{:#}", manifest::json_schema()))?;
    Ok(Exit::Success)
}
