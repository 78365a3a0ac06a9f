//! What a process uses meanwhile.

use std::fs;

use super::report::Report;

/// Clock ticks per second in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Notes the CPU time of a process from its start to its stop.
#[derive(Debug)]
pub(crate) struct Gauge {
    pid: String,
    before: f64,
}

impl Gauge {
    pub(crate) fn start(pid: &str) -> Self {
        Self { pid: pid.to_owned(), before: cpu(pid) }
    }

    /// Adds the CPU time in seconds and the memory in MB.
    pub(crate) fn stop(self, report: Report) -> Report {
        let took = cpu(&self.pid) - self.before;
        report.number("cpu_s", took).number("memory_mb", memory(&self.pid))
    }
}

/// CPU time of a process with all its threads in seconds.
fn cpu(pid: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let (_, rest) = text.rsplit_once(')').expect("its name is in brackets");
    let words: Vec<f64> = rest.split(' ').map(|word| word.parse().unwrap_or(0.0)).collect();
    // User and system time; before them are the state and the eleven numbers behind it.
    (words[12] + words[13]) / TICKS_PER_SECOND
}

/// Resident memory of a process in MB.
fn memory(pid: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).expect("the process runs");
    let pages: f64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0 / 1e6
}
