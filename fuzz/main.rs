//! libFuzzer around one of the checks: which one is named by the variable `FUZZ_TARGET`.
//!
//! Built and run by `cargo xtask fuzz`, which instruments it.

#![no_main]

use std::{env, sync::OnceLock};

use fuzz_checks::{Target, find};

fn target() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = env::var("FUZZ_TARGET").unwrap_or_default();
        find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET is `{name}`, which is no target"))
    })
}

// With the usual hook a panic that is caught, as those of the expression evaluator are, ends nothing; one
// that is not is a finding all the same.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |data: &[u8]| (target().check)(data));
