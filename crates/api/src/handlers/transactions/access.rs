//! Whom and what a transaction may reach that is submitted here. Definitions of the file were checked with it.

use crate::{
    answer::Problem,
    app::not_own,
    handlers::{Reach, messaging},
};
use coordination::StoreKind;
use transactions::{Ask, Call, Join, StepSpec, Target};

/// Checks what is asked for.
pub(super) fn ask<B: Reach + ?Sized>(backend: &B, ask: &mut Ask) -> Result<(), Problem> {
    match ask {
        Ask::Spec(spec) => {
            if let Some(query) = &mut spec.query {
                call(backend, query, "query")?;
            }
            steps(backend, &mut spec.steps)
        }
        Ask::Use { .. } => Ok(()),
    }
}

/// Checks steps, and writes services by their own names.
pub(super) fn steps<B: Reach + ?Sized>(backend: &B, steps: &mut [StepSpec]) -> Result<(), Problem> {
    for step in steps {
        let at = format!("step `{}`", step.id);
        for target in step.calls.values_mut() {
            call(backend, target, &at)?;
        }
        if let Some(step) = &step.join {
            join(backend, step, &at)?;
        }
    }
    Ok(())
}

fn call<B: Reach + ?Sized>(backend: &B, call: &mut Call, at: &str) -> Result<(), Problem> {
    if let Target::Service { service, .. } | Target::GrpcService { service, .. } = &mut call.target
    {
        let known = backend.callee(service).map_err(within(at))?;
        *service = known.to_string();
    }
    Ok(())
}

fn join<B: Reach + ?Sized>(backend: &B, join: &Join, at: &str) -> Result<(), Problem> {
    let (kind, store) = match join {
        Join::Publish { topic, .. } => {
            return messaging::topic(topic).and_then(|topic| not_own(&topic)).map_err(within(at));
        }
        Join::Put { store, .. } | Join::Delete { store, .. } => (StoreKind::State, store),
        Join::Holds { store, .. } => (StoreKind::Lock, store),
    };
    let stores = backend.coordination().stores();
    let is_there = stores.iter().any(|it| it.kind == kind && it.name == *store);
    if is_there && backend.may_use(kind, store) {
        return Ok(());
    }
    let seen = stores.into_iter().filter(|it| it.kind == kind && backend.may_use(kind, &it.name));
    let known = seen.map(|it| it.name).collect();
    let error = coordination::Error::UnknownStore { kind, name: store.clone(), known };
    Err(within(at)(error.into()))
}

/// Says where something is wrong.
fn within(at: &str) -> impl FnOnce(Problem) -> Problem {
    move |mut problem| {
        problem.detail.message = format!("{at}: {}", problem.detail.message);
        problem
    }
}
