use super::*;
use std::{collections::BTreeSet, fs, path::Path};

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

#[test]
fn every_check_holds_for_its_seeds_and_past_findings() {
    for target in TARGETS {
        let folder = corpus().join(target.name);
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let file = entry.unwrap().path();
            let data = fs::read(&file).unwrap();
            let outcome = std::panic::catch_unwind(|| (target.check)(&data));
            assert!(outcome.is_ok(), "{} fails for {}", target.name, file.display());
            count += 1;
        }
        assert!(count > 0, "{} has no seeds", target.name);
    }
}

/// A cheap look around each seed, so that a check that is plainly wrong does not wait for a fuzzer.
#[test]
fn every_check_holds_for_seeds_that_are_cut_and_repeated() {
    for target in TARGETS {
        for entry in fs::read_dir(corpus().join(target.name)).unwrap() {
            let data = fs::read(entry.unwrap().path()).unwrap();
            for at in 0..data.len().min(256) {
                (target.check)(&data[..at]);
                (target.check)(&data[at..]);
                (target.check)(&[&data[..at], &data[at + 1..]].concat());
                (target.check)(&[&data[..at], b"%", &data[at..]].concat());
                (target.check)(&[&data[..at], &data[at..=at], &data[at..]].concat());
            }
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_check() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let folders = fs::read_dir(corpus()).unwrap();
    let folders: BTreeSet<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders, names);
    assert_eq!(names.len(), TARGETS.len());
}
