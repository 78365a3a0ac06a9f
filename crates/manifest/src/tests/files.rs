//! What files get that cannot be read, or that lead to others which cannot.

use super::{Folder, PYTHON, options, told};
use crate::Options;
use expect_test::{Expect, expect};

fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&told(yaml));
}

#[test]
fn an_environment_must_exist() {
    let folder = Folder::new(&[
        (
            "flotilla.yaml",
            "services: { api: {} }\nenvironments: { prod: {}, staging: { services: { api: { instances: x } } } }\n",
        ),
        ("api/app.py", PYTHON),
    ]);
    let options = Options { environment: Some("prdo".to_owned()), ..options(&[]) };
    expect![[r#"
        error[F003]: `instances` of service `api` has the wrong type
          ┌─ flotilla.yaml:2:68
        2 │ environments: { prod: {}, staging: { services: { api: { instances: x } } } }
          │                                                                    ^ `x` is not a whole number from 1 to 1000
        error[F004]: there is no environment `prdo` in the file
          help: did you mean `prod`?
    "#]].assert_eq(&folder.load("flotilla.yaml", &options).unwrap_err());
}

#[test]
fn includes_must_exist_and_not_go_in_a_circle() {
    let folder = Folder::new(&[
        ("flotilla.yaml", "include: [compos.yaml, other/flotilla.yaml]\nservices: { api: {} }\n"),
        ("compose.yaml", "services: {}\n"),
        (
            "other/flotilla.yaml",
            "include: ../flotilla.yaml\nservices: { web: { run: x, colour: y } }\n",
        ),
        ("api/app.py", PYTHON),
    ]);
    expect![[r#"
        error[F010]: `compos.yaml` does not exist
          ┌─ flotilla.yaml:1:11
        1 │ include: [compos.yaml, other/flotilla.yaml]
          │           ^^^^^^^^^^^ named here
          help: did you mean `compose.yaml`?
        error[F004]: `../flotilla.yaml` includes itself
          ┌─ other/flotilla.yaml:1:10
        1 │ include: ../flotilla.yaml
          │          ^^^^^^^^^^^^^^^^ already being read
          help: remove it from `include`
        error[F002]: unknown key `colour` in service `web`
          ┌─ other/flotilla.yaml:2:28
        2 │ services: { web: { run: x, colour: y } }
          │                            ^^^^^^
          help: the keys here are dir, run, build, image, entrypoint, command, volumes, publish, user, workdir, instances, needs, balance, port, listen, health, timeout, retries, traffic, restart, stop, limits, env, env_file, db, subscribes, outbox, api, config, components, external
    "#]].assert_eq(&folder.load("flotilla.yaml", &options(&[])).unwrap_err());
}

#[test]
fn files_of_variables_must_be_there_and_readable() {
    let folder = Folder::new(&[
        ("flotilla.yaml", "services:\n  api: { env_file: [.env.lcal, good.env] }\n"),
        (".env.local", ""),
        ("good.env", "A=1\nnot a pair\n"),
        ("api/app.py", PYTHON),
    ]);
    expect![[r#"
        error[F010]: `.env.lcal` does not exist
          ┌─ flotilla.yaml:2:21
        2 │   api: { env_file: [.env.lcal, good.env] }
          │                     ^^^^^^^^^ named here
          help: did you mean `.env.local`?
        error[F001]: this line is not KEY=VALUE
          ┌─ good.env:2:1
        2 │ not a pair
          │ ^^^^^^^^^^
          help: comments begin with `#`
    "#]]
    .assert_eq(&folder.load("flotilla.yaml", &options(&[])).unwrap_err());
}

#[test]
fn files_that_are_no_text_are_refused() {
    let folder = Folder::new(&[("big.yaml", &"# long line of nothing\n".repeat(60_000))]);
    std::fs::write(folder.path().join("binary.yaml"), b"name: shop\nservices: \xff\xfe\n").unwrap();
    let all: String = ["missing.yaml", "big.yaml", "binary.yaml", "."]
        .iter()
        .map(|file| folder.load(file, &options(&[])).unwrap_err())
        .collect();
    expect![[r#"
        error[F025]: `missing.yaml` does not exist
        error[F001]: `big.yaml` is larger than 1 MiB
          help: a file that describes a system is small; is this the right one?
        error[F001]: `binary.yaml` is not text in UTF-8
          = the first byte that does not fit is in line 2
          help: save the file as UTF-8
        error[F025]: `.` cannot be read
          = Is a directory (os error 21)
    "#]]
    .assert_eq(&all);
}

#[test]
fn aliases_that_grow_without_end_are_stopped() {
    let mut yaml = String::from("x-a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        yaml.push_str(&format!("x-a{level}: &a{level} [{}]\n", [before.as_str(); 10].join(", ")));
    }
    check(
        &yaml,
        expect![[r#"
        error[F001]: the file grows too large when its aliases are followed
          ┌─ flotilla.yaml:5:27
        5 │ x-a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
          │                           ^^^
          help: aliases are copied in where they are used; write fewer of them
    "#]],
    );
    check(
        &format!("x-deep: {}{}\n", "[".repeat(100), "]".repeat(100)),
        expect![[r#"
            error[F001]: values are nested too deeply
              ┌─ flotilla.yaml:1:48
            1 │ x-deep: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]…
              │                                                ^
              help: at most 40 levels are read
        "#]],
    );
}

#[test]
fn a_service_that_is_only_a_command_is_told_the_key_for_it() {
    assert_eq!(
        told("services:\n  worker: node x.js\n"),
        "error[F003]: service `worker` has the wrong type\n  \
         ┌─ flotilla.yaml:2:11\n\
         2 │   worker: node x.js\n  \
         │           ^^^^^^^^^ `node x.js` is not a map\n  \
         help: write `worker: { run: node x.js }`\n"
    );
}
