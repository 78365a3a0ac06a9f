//! `flotilla ps`: services, or instances with `-o wide` and for names such as `users/2`.

use super::{
    Context,
    args::{Format, Names},
    exit::{Exit, Failure, Outcome},
    locate,
    output::{Align, Cell, Paint, Tint, table},
    ui::board,
    words,
};
use api::wire;
use base::ByteSize;
use serde::Serialize;

pub(crate) async fn run(context: &Context, args: &Names) -> Outcome {
    let client = context.place()?.client();
    let mut status = client.status().await.map_err(|e| locate::unanswered(&e))?;
    locate::known(&args.names, &status)?;
    let has_instance = args.names.iter().any(|name| name.contains('/'));
    keep(&mut status, &args.names);
    let out = &context.out;
    match out.format {
        Format::Json => out.json(&to_json(&status)?)?,
        Format::Text if !has_instance => out.raw(&services(&status, out.paint, now()))?,
        Format::Text | Format::Wide => out.raw(&instances(&status, out.paint, now()))?,
    }
    Ok(Exit::Success)
}

/// Keeps what is named: services whole, or single instances of them.
fn keep(status: &mut wire::Status, names: &[String]) {
    if names.is_empty() {
        return;
    }
    status.services.retain_mut(|service| {
        if !names.contains(&service.name) {
            service.instances.retain(|i| names.contains(&i.id));
            return !service.instances.is_empty();
        }
        true
    });
}

/// A value of the API as JSON.
///
/// # Errors
/// Never for these types; a failure is still no reason to panic.
pub(crate) fn to_json(value: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value)
        .map_err(|e| Failure::new(Exit::Failure, format!("cannot write JSON: {e}")))
}

pub(crate) fn now() -> wire::Time {
    wire::Time(runtime::Clock::wall())
}

/// The table of services.
pub(crate) fn services(status: &wire::Status, paint: Paint, now: wire::Time) -> String {
    let head = [
        ("SERVICE", Align::Left),
        ("STATE", Align::Left),
        ("READY", Align::Right),
        ("RESTARTS", Align::Right),
        ("PORTS", Align::Left),
        ("AGE", Align::Right),
        ("CPU", Align::Right),
        ("MEMORY", Align::Right),
        ("", Align::Left),
    ];
    let rows: Vec<Vec<Cell>> = status
        .services
        .iter()
        .map(|s| {
            let (word, tint) = words::service_state(s.state);
            let restarts: u32 = s.instances.iter().map(|i| i.restarts).sum();
            let usage = total(&s.instances);
            let started = s.instances.iter().filter_map(|i| i.started_at).min();
            vec![
                s.name.as_str().into(),
                Cell::tinted(word, tint),
                format!("{}/{}", s.ready, s.desired).into(),
                restarts.to_string().into(),
                words::ports(&s.instances).into(),
                started.map(|at| words::age(at, now)).unwrap_or_default().into(),
                usage.map(|u| cpu(u.cpu_cores)).unwrap_or_default().into(),
                usage.map(|u| ByteSize(u.memory_bytes).to_string()).unwrap_or_default().into(),
                Cell::tinted(board::remark(s), Tint::Dim),
            ]
        })
        .collect();
    table(paint, &head, &rows)
}

/// The table of instances.
fn instances(status: &wire::Status, paint: Paint, now: wire::Time) -> String {
    let head = [
        ("INSTANCE", Align::Left),
        ("STATE", Align::Left),
        ("PID", Align::Right),
        ("ADDRESS", Align::Left),
        ("RESTARTS", Align::Right),
        ("AGE", Align::Right),
        ("CPU", Align::Right),
        ("MEMORY", Align::Right),
        ("PROCESSES", Align::Right),
        ("LAST EXIT", Align::Left),
        ("", Align::Left),
    ];
    let rows: Vec<Vec<Cell>> = status
        .services
        .iter()
        .flat_map(|s| &s.instances)
        .map(|i| {
            let (word, tint) = words::instance_state(i.state);
            let port = i.port.map(|port| format!(":{port}"));
            vec![
                i.id.as_str().into(),
                Cell::tinted(word, tint),
                i.pid.map(|pid| pid.to_string()).unwrap_or_default().into(),
                i.address.clone().or(port).unwrap_or_default().into(),
                i.restarts.to_string().into(),
                i.started_at.map(|at| words::age(at, now)).unwrap_or_default().into(),
                i.usage.map(|u| cpu(u.cpu_cores)).unwrap_or_default().into(),
                i.usage.map(|u| ByteSize(u.memory_bytes).to_string()).unwrap_or_default().into(),
                i.usage.map(|u| u.processes.to_string()).unwrap_or_default().into(),
                i.last_exit.as_deref().unwrap_or_default().into(),
                Cell::tinted(marks(i), Tint::Dim),
            ]
        })
        .collect();
    table(paint, &head, &rows)
}

/// What else there is to say about an instance.
fn marks(instance: &wire::Instance) -> String {
    let mut marks = Vec::new();
    if instance.adopted {
        marks.push("adopted");
    }
    if instance.outdated {
        marks.push("outdated");
    }
    if !instance.message.is_empty() {
        marks.push(&instance.message);
    }
    marks.join(", ")
}

/// What all instances use together; `None` when none is known.
fn total(instances: &[wire::Instance]) -> Option<wire::Usage> {
    instances.iter().filter_map(|i| i.usage).reduce(|a, b| wire::Usage {
        cpu_cores: a.cpu_cores + b.cpu_cores,
        memory_bytes: a.memory_bytes.saturating_add(b.memory_bytes),
        processes: a.processes.saturating_add(b.processes),
    })
}

/// Processor use, 100 % is one core.
pub(crate) fn cpu(cores: f64) -> String {
    format!("{:.1}%", cores * 100.0)
}

#[cfg(test)]
#[path = "ps/tests.rs"]
mod tests;
