//! The reference of all keys, as the page `docs/guide/file.md`.

use crate::shape::{Form, Key, Shape, Table};
use crate::table;
use std::fmt::Write as _;

const HEAD: &str = "# The file `flotilla.yaml`

This page is made from the table that also checks the file; `UPDATE=1 cargo test -p manifest` writes it anew.

`flotilla check` validates a file without running it, `flotilla schema` prints its JSON Schema, `flotilla init` writes a first one.
Unknown keys are errors. Keys that begin with `x-` are yours: nothing reads them, so they can hold YAML anchors.

**Values.** Durations have a unit: `500ms`, `10s`, `1m30s`, `2h`, `7d`. Sizes: `512Mi` counts by 1024, `512M` by 1000.
Texts need no quotes unless YAML would take them apart; `no`, `010` and `1.10` stay texts where a text is wanted.

**Variables.** `${NAME}` in a value is replaced from the environment of `flotilla`; `${NAME:-default}` has a default, `${NAME:?message}` must
be set, `$$` is a dollar sign. In `run`, `build` and commands of probes everything is left to the shell, so `$PORT` works there.

**Secrets.** `${secret:NAME}` stands for a secret that `secrets:` finds. It may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service, has no
default, and is replaced only where the value is used: what `flotilla` shows, writes and compares is the reference.

**Several files.** `include:` reads `compose.yaml`, `Procfile`, `dapr.yaml` or another `flotilla.yaml` first, and keys of this file win: `run:` for a
service that is a container there makes it a process. `environments:` says what is different with `--env NAME`. Maps are merged, everything else is
replaced.
";

/// The reference in Markdown, made from the same table as the check.
#[must_use]
pub fn reference_markdown() -> String {
    let mut tables: Vec<&'static Table> = Vec::new();
    collect(&table::ROOT, &mut tables);
    let mut out = HEAD.to_owned();
    for table in tables {
        let _ = write!(
            out,
            "\n## {}\n\n{}\n\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n",
            title(table.name),
            table.doc
        );
        for key in table.keys {
            let default = if key.default.is_empty() { "" } else { key.default };
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} |",
                key.name,
                value(key.shape),
                default,
                key.doc
            );
        }
        let _ = write!(out, "\n```yaml\n{}```\n", example(table.keys));
    }
    out
}

fn title(name: &str) -> String {
    match name {
        "file" => "The top level".to_owned(),
        "listed_route" => "`routes` as a list".to_owned(),
        "transaction_step" => "A step of a transaction".to_owned(),
        "transaction_retry" => "`retry` of transactions".to_owned(),
        "route" | "probe" | "service" | "job" | "environment" | "transaction" => {
            format!("A {name}").replace("A e", "An e")
        }
        name => format!("`{name}`"),
    }
}

/// All tables, each once, in the order in which a reader meets them.
fn collect(shape: &'static Shape, tables: &mut Vec<&'static Table>) {
    match shape {
        Shape::Scalar(_) | Shape::Data => {}
        Shape::List(inner) | Shape::Names { value: inner, .. } => collect(inner, tables),
        Shape::Any(shapes) => shapes.iter().for_each(|shape| collect(shape, tables)),
        Shape::Mixed { table, value, .. } => {
            collect_keys(table, tables);
            collect(value, tables);
        }
        Shape::Keys(table) => collect_keys(table, tables),
    }
}

fn collect_keys(table: &'static Table, tables: &mut Vec<&'static Table>) {
    if !tables.iter().any(|known| known.name == table.name) {
        tables.push(table);
        table.keys.iter().for_each(|key| collect(key.shape, tables));
    }
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(Form::Text | Form::Value | Form::Variable) => "text".to_owned(),
        Shape::Scalar(Form::Word(words)) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        Shape::Scalar(form) => form.expected().replace('|', "\\|"),
        Shape::List(inner) => format!("list of {}", value(inner).trim_start_matches("a ")),
        Shape::Keys(table) => format!("map, see {}", title(table.name)),
        Shape::Names { what, value: inner } => format!("map {what} → {}", value(inner)),
        Shape::Mixed { table, .. } => format!("map, see {}", title(table.name)),
        Shape::Any(shapes) => shapes.iter().map(value).collect::<Vec<_>>().join("; or "),
        Shape::Data => "any value".to_owned(),
    }
}

fn example(keys: &[Key]) -> String {
    keys.iter().map(|key| format!("{}: {}\n", key.name, key.example)).collect()
}
