//! The picture of a system as lines: while it starts, and the summary once it has.

use super::keys;
use crate::cli::{
    locate::Place,
    open,
    output::{Align, Cell, Output, Paint, Tint, table},
    words,
};
use api::wire;
use base::Diagnostic;
use manifest::PathMatch;
use std::time::Duration;

/// What stands in the heading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Name of the system.
    pub system: String,
    /// The file, as short as it can be named from here.
    pub file: String,
    /// What is in it: `3 services, 1 job`.
    pub content: String,
    /// Where the gateway answers.
    pub gateway: Option<String>,
    /// Where the dashboard answers, with the token.
    pub dashboard: Option<String>,
    /// A path that the gateway leads somewhere.
    pub path: Option<String>,
    /// The certificate that clients must trust to reach the gateway, when it was made on this machine.
    pub authority: Option<String>,
    /// What was said about the file already.
    pub told: Vec<Diagnostic>,
    /// What there is to say besides, once it runs.
    pub remarks: Remarks,
}

impl Head {
    /// What is known before the node runs.
    pub(crate) fn of(place: &Place, loaded: &manifest::Loaded) -> Self {
        let system = &loaded.system;
        Self {
            told: loaded.warnings.clone(),
            system: system.name.clone(),
            file: place.shown(),
            content: words::content(system),
            path: path_to_try(&system.gateway),
            ..Self::default()
        }
    }

    /// Adds what only the running node knows.
    pub(crate) fn learn(&mut self, place: &Place, system: &wire::System) {
        self.gateway.clone_from(&system.gateway_url);
        self.authority = system.authority.as_ref().map(|made| made.certificate.clone());
        self.dashboard = open::dashboard(place, system);
        self.remarks = Remarks::of(system, &self.told, None);
    }

    /// A command to try.
    fn curl(&self) -> Option<String> {
        let gateway = self.gateway.as_deref()?.trim_end_matches('/');
        let path = self.path.as_deref()?;
        Some(match &self.authority {
            Some(file) => format!("curl --cacert {} {gateway}{path}", words::shell(file)),
            None => format!("curl {gateway}{path}"),
        })
    }
}

/// What a system that runs has to say to whoever brought it up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remarks {
    /// What is not as the file asks for, or will not be for long.
    pub warnings: Vec<Diagnostic>,
    /// How to trust an authority that was made just now.
    pub trust: Option<String>,
}

impl Remarks {
    /// What `system` says that is not in `told` and was not so `before`.
    pub(crate) fn of(
        system: &wire::System,
        told: &[Diagnostic],
        before: Option<&wire::System>,
    ) -> Self {
        let is_told = |note: &wire::Diagnostic| {
            told.iter().any(|told| told.message == note.message)
                || before.is_some_and(|before| before.notes.contains(note))
        };
        let notes = system.notes.iter().filter(|note| !is_told(note));
        let authority = system.authority.as_ref().filter(|authority| {
            authority.is_new && before.and_then(|it| it.authority.as_ref()) != Some(*authority)
        });
        Self {
            warnings: notes.map(Diagnostic::from).collect(),
            trust: authority.map(|authority| authority.trust.clone()),
        }
    }

    /// Says it on standard error.
    pub(crate) fn tell(&self, out: &Output) {
        out.problems(&self.warnings);
        if let Some(trust) = &self.trust {
            out.say(trust);
        }
    }

    /// As lines for a terminal; empty when there is nothing.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let warnings = self.warnings.iter().map(|warning| warning.render(paint.on));
        warnings.chain(self.trust.clone()).collect()
    }
}

/// The path of the first route that a plain GET reaches.
fn path_to_try(gateway: &manifest::Gateway) -> Option<String> {
    let route = gateway.routes.iter().find(|route| {
        route.host.is_none()
            && route.headers.is_empty()
            && route.query.is_empty()
            && route.rules.auth.is_open()
            && route.rules.allow.is_none()
            && (route.methods.is_empty() || route.methods.iter().any(|method| method == "GET"))
    })?;
    let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &route.path;
    Some(path.clone())
}

/// The first line: `flotilla 0.1.0  shop  (flotilla.yaml, 4 services)`.
pub(crate) fn heading(head: &Head, paint: Paint) -> String {
    format!(
        "flotilla {}  {}  {}",
        env!("CARGO_PKG_VERSION"),
        paint.tint(Tint::Bold, &head.system),
        paint.tint(Tint::Dim, &format!("({}, {})", head.file, head.content))
    )
}

/// One line a service: how far it is, and why it is not further.
pub(crate) fn board(
    status: &wire::Status,
    shown: &dyn Fn(&str) -> bool,
    paint: Paint,
) -> Vec<String> {
    let rows: Vec<Vec<Cell>> = status.services.iter().filter(|s| shown(&s.name)).map(row).collect();
    let text = table(paint, &[("", Align::Left); 5], &rows);
    text.lines().map(|line| format!("  {line}")).collect()
}

fn row(service: &wire::Service) -> Vec<Cell> {
    let (word, tint) = words::service_state(service.state);
    vec![
        service.name.as_str().into(),
        Cell::tinted(format!("{}/{} {word}", service.ready, service.desired), tint),
        Cell::tinted(service.language.as_str(), Tint::Dim),
        words::ports(&service.instances).into(),
        Cell::tinted(remark(service), if service.problem.is_some() { tint } else { Tint::Dim }),
    ]
}

/// What there is to say about a service besides its state.
pub(crate) fn remark(service: &wire::Service) -> String {
    if service.state == wire::ServiceState::Waiting && !service.waiting_for.is_empty() {
        return format!("waiting for {}", service.waiting_for.join(", "));
    }
    if let Some(problem) = &service.problem {
        return problem.message.clone();
    }
    if !service.reason.is_empty() {
        return service.reason.clone();
    }
    if let Some(next) = service.next_run {
        return format!("next run {}", words::minute(next));
    }
    match service.waited_ms {
        // Less is not worth a word: nobody waits for a tenth of a second.
        Some(ms) if ms >= 100 && service.state == wire::ServiceState::Ready => {
            format!("waited {}", words::duration(Duration::from_millis(ms)))
        }
        _ => String::new(),
    }
}

/// What is printed once a start has come to its end.
pub(crate) fn summary(
    status: &wire::Status,
    head: &Head,
    took: Duration,
    paint: Paint,
    is_interactive: bool,
) -> String {
    let (word, tint) = words::phase(status.phase);
    let outcome = match status.phase {
        wire::Phase::Ready => format!("ready in {}", words::duration(took)),
        _ => format!("{word} after {}", words::duration(took)),
    };
    let mut text = format!("{}  {}\n", heading(head, paint), paint.tint(tint, &outcome));
    let urls: Vec<String> = [("gateway", &head.gateway), ("dashboard", &head.dashboard)]
        .into_iter()
        .filter_map(|(name, url)| url.as_ref().map(|url| format!("{name}  {url}")))
        .collect();
    if !urls.is_empty() {
        text.push_str(&format!("  {}\n", urls.join("    ")));
    }
    for line in board(status, &|_| true, paint) {
        text.push_str(&line);
        text.push('\n');
    }
    // A line each: together they are wider than most terminals.
    if let Some(curl) = head.curl() {
        text.push_str(&format!("  try: {curl}\n"));
    }
    if is_interactive {
        text.push_str(&format!("  {}\n", paint.tint(Tint::Dim, keys::HINT)));
    }
    text
}

/// The same for a pipe, where the single changes were printed before.
pub(crate) fn plain_summary(status: &wire::Status, head: &Head, took: Duration) -> String {
    let word = words::phase(status.phase).0;
    let time = words::duration(took);
    let mut text = match status.phase {
        wire::Phase::Ready => format!("{} ready in {time}\n", head.system),
        _ => format!("{} {word} after {time}\n", head.system),
    };
    for (name, value) in
        [("gateway", &head.gateway), ("dashboard", &head.dashboard), ("try", &head.curl())]
    {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}

#[cfg(test)]
#[path = "board/tests.rs"]
mod tests;
