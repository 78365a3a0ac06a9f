//! The same messages with another engine below: an app cannot tell by what its topics are kept.

use super::{
    check,
    messages::{PYTHON, check_restart, quoted, start},
    program, python,
};
use crate::{
    events::nats::Nats,
    kit::{System, skip},
};

#[test]
fn messages_and_jobs_of_the_python_sdk_work_unmodified_over_nats() {
    let test = "messages of the Python SDK over NATS";
    let Some(python) = python() else {
        return skip(test, "its packages are not installed: `cargo xtask setup`");
    };
    let system = System::empty();
    let Some(nats) = Nats::start(test, &system) else { return };
    let broker = format!("nats://127.0.0.1:{}", nats.port);
    let run = format!("{}, '{}'", quoted(&python), program("python/messages.py"));
    start(&system, &broker, &run, "", true);
    check(&system, PYTHON);
    check_restart(&system, "hold", "release");
    system.down();
}
