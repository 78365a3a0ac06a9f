//! `flotilla doctor`: finds what would make `up` fail, and says how to mend it.
//!
//! It changes nothing and starts nothing but `<tool> --version`. What only matters to some systems (Docker, limits)
//! is looked at only when the file asks for it.

mod machine;
mod ports;
mod programs;
mod state;

use super::{
    Context,
    exit::{Exit, Failure, Outcome},
    output::{Output, Paint, Tint},
    words,
};
use base::{Code, Diagnostic, Severity};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing to do.
    Good,
    /// Works, but not as it could.
    Warn,
    /// `up` would fail.
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Under which heading it stands.
    pub group: &'static str,
    /// What was looked at.
    pub what: String,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl Finding {
    /// Nothing to do.
    pub(crate) fn good(
        group: &'static str,
        what: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { group, what: what.into(), level: Level::Good, found: found.into(), help: None }
    }

    /// Works, but not as it could.
    pub(crate) fn warn(
        group: &'static str,
        what: impl Into<String>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let good = Self::good(group, what, found);
        Self { level: Level::Warn, help: Some(help.into()), ..good }
    }

    /// `up` would fail.
    pub(crate) fn fail(
        group: &'static str,
        what: impl Into<String>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { level: Level::Fail, ..Self::warn(group, what, found, help) }
    }
}

/// Looks at everything. Exit code 4 when `up` would fail, 3 when the file is to blame.
pub(crate) fn run(context: &Context) -> Outcome {
    let (findings, problems) = examine(context)?;
    let out = &context.out;
    let worst = findings.iter().map(|f| f.level).max().unwrap_or(Level::Good);
    if out.is_json() {
        let all: Vec<_> = findings.iter().map(json).collect();
        out.json(&serde_json::json!({ "ok": worst != Level::Fail, "findings": all }))?;
    } else {
        out.raw(&render(&findings, out.paint, Level::Good))?;
        out.problems(&problems);
        out.line(&conclusion(&findings))?;
    }
    let has_file_error = Exit::of(&problems) != Exit::Success;
    Ok(match worst {
        Level::Fail if has_file_error => Exit::InvalidFile,
        Level::Fail => Exit::NotReady,
        Level::Good | Level::Warn => Exit::Success,
    })
}

/// Says only what is not good; for `init`.
///
/// # Errors
/// When the file cannot be found.
pub(crate) fn brief(context: &Context) -> Result<(), Failure> {
    let (findings, problems) = examine(context)?;
    let out: &Output = &context.out;
    let text = render(&findings, out.paint, Level::Warn);
    if text.is_empty() {
        out.say("doctor found nothing to mend");
    } else {
        out.say(&text);
    }
    out.problems(&problems);
    Ok(())
}

/// All findings, and the problems of the file in full.
fn examine(context: &Context) -> Result<(Vec<Finding>, Vec<Diagnostic>), Failure> {
    let place = context.place()?;
    let mut findings = Vec::new();
    let (system, problems) = match context.load(&place) {
        Ok(loaded) => (Some(loaded.system), loaded.warnings),
        Err(Failure::Problems(problems)) => (None, problems),
        Err(failure) => return Err(failure),
    };
    findings.extend(file(&place.shown(), system.as_ref(), &problems));
    let node = state::look(&place, &mut findings);
    if let Some(system) = &system {
        findings.extend(ports::look(system, node));
        findings.extend(programs::look(system));
    }
    findings.extend(machine::look(&place.root, system.as_ref()));
    Ok((findings, problems))
}

/// The file itself and the variables it names.
fn file(name: &str, system: Option<&manifest::System>, problems: &[Diagnostic]) -> Vec<Finding> {
    let count = |wanted| problems.iter().filter(|p| p.severity == wanted).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let mut findings = vec![match system {
        None => Finding::fail("file", name, words::count(errors, "error"), "they stand below"),
        Some(_) if warnings > 0 => {
            Finding::warn("file", name, words::count(warnings, "warning"), "they stand below")
        }
        Some(system) => Finding::good("file", name, format!("valid, {}", words::content(system))),
    }];
    let unset: Vec<&Diagnostic> = problems.iter().filter(|p| p.code == Code::VARIABLE).collect();
    if !unset.is_empty() {
        let list: Vec<&str> = unset.iter().map(|p| p.message.as_str()).collect();
        findings.push(Finding::fail(
            "file",
            "variables",
            list.join("; "),
            "set them, or write a default: ${NAME:-default}",
        ));
    }
    findings
}

fn json(finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "group": finding.group,
        "what": finding.what,
        "level": finding.level.word(),
        "found": finding.found,
        "help": finding.help,
    })
}

/// Findings at least as bad as `least`, under their groups.
fn render(findings: &[Finding], paint: Paint, least: Level) -> String {
    let mut text = String::new();
    let mut group = "";
    for finding in findings.iter().filter(|f| f.level >= least) {
        if finding.group != group {
            group = finding.group;
            text.push_str(&format!("{}\n", paint.tint(Tint::Bold, group)));
        }
        let (mark, tint) = match finding.level {
            Level::Good => ("✓", Tint::Green),
            Level::Warn => ("!", Tint::Yellow),
            Level::Fail => ("✗", Tint::Red),
        };
        let level = format!("{mark} {:<4}", finding.level.word());
        text.push_str(&format!(
            "  {} {}: {}\n",
            paint.tint(tint, &level),
            finding.what,
            finding.found
        ));
        if let Some(help) = &finding.help {
            text.push_str(&format!("         {} {help}\n", paint.tint(Tint::Dim, "→")));
        }
    }
    text
}

/// The last line.
fn conclusion(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "everything is fine: `flotilla up` can start".to_owned(),
        (0, warnings) => format!("{}; `flotilla up` can start", words::count(warnings, "warning")),
        (fails, 0) => format!("{} to mend before `flotilla up`", words::count(fails, "thing")),
        (fails, warnings) => format!(
            "{} to mend before `flotilla up`; {}",
            words::count(fails, "thing"),
            words::count(warnings, "warning")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn findings_stand_under_their_groups_with_a_word_and_a_remedy() {
        let findings = [
            Finding::good("file", "flotilla.yaml", "valid, 3 services"),
            Finding::fail("ports", "gateway 127.0.0.1:8080", "held by nginx (pid 7)", "stop it"),
            Finding::warn("machine", "open files", "256 at most", "ulimit -n 4096"),
        ];
        let plain = Paint { on: false };
        expect![[r#"
            file
              ✓ ok   flotilla.yaml: valid, 3 services
            ports
              ✗ fail gateway 127.0.0.1:8080: held by nginx (pid 7)
                     → stop it
            machine
              ! warn open files: 256 at most
                     → ulimit -n 4096
        "#]]
        .assert_eq(&render(&findings, plain, Level::Good));
        assert!(!render(&findings, plain, Level::Warn).contains("flotilla.yaml"));
        assert_eq!(conclusion(&findings), "1 thing to mend before `flotilla up`; 1 warning");
        assert_eq!(conclusion(&[]), "everything is fine: `flotilla up` can start");
    }
}
