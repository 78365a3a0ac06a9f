//! The table, and what is made of it.

use super::{Folder, options};
use crate::{
    check::Checker,
    json_schema,
    problems::Problems,
    reference_markdown,
    shape::{Key, Shape, Table},
    source::Source,
    table, tree,
};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// All tables of the format.
fn tables() -> Vec<&'static Table> {
    fn walk(shape: &'static Shape, all: &mut Vec<&'static Table>) {
        match shape {
            Shape::Scalar(_) | Shape::Data => {}
            Shape::List(inner) | Shape::Names { value: inner, .. } => walk(inner, all),
            Shape::Any(shapes) => shapes.iter().for_each(|shape| walk(shape, all)),
            Shape::Mixed { table, value, .. } => {
                keys(table, all);
                walk(value, all);
            }
            Shape::Keys(table) => keys(table, all),
        }
    }
    fn keys(table: &'static Table, all: &mut Vec<&'static Table>) {
        if !all.iter().any(|known| std::ptr::eq(*known, table)) {
            all.push(table);
            table.keys.iter().for_each(|key| walk(key.shape, all));
        }
    }
    let mut all = Vec::new();
    walk(&table::ROOT, &mut all);
    all
}

#[test]
fn no_two_tables_have_one_name_and_no_two_keys_of_a_table() {
    let mut names = Vec::new();
    for table in tables() {
        assert!(!names.contains(&table.name), "{}", table.name);
        names.push(table.name);
        let mut keys: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count, "{}", table.name);
    }
    assert!(names.len() > 12, "{names:?}");
}

#[test]
fn hints_and_later_keys_are_not_keys() {
    for table in tables() {
        let is_key = |name: &str| table.keys.iter().any(|key| key.name == name);
        for (name, _) in table.hints {
            assert!(!is_key(name), "{}.{name}", table.name);
        }
        for name in table.later {
            assert!(!is_key(name), "{}.{name}", table.name);
            assert!(!table.hints.iter().any(|(hint, _)| hint == name), "{}.{name}", table.name);
        }
    }
}

/// What the check says of `key: example`.
fn problems_of(key: &'static Key) -> Vec<base::Diagnostic> {
    let source =
        Source::new("example", Path::new("/"), &format!("{}: {}\n", key.name, key.example));
    let mut problems = Problems::default();
    let mut tree = tree::parse(&source, &mut problems).unwrap();
    let vars = BTreeMap::new();
    if let tree::Value::Map(entries) = &mut tree.value {
        Checker::new(Some(&vars), None, &mut problems).check(&mut entries[0].value, key.shape);
    }
    problems.into_sorted()
}

#[test]
fn every_example_passes_the_check() {
    for table in tables() {
        for key in table.keys {
            assert_eq!(problems_of(key), [], "{}.{}: {}", table.name, key.name, key.example);
            assert!(key.doc.ends_with('.'), "{}.{}", table.name, key.name);
        }
    }
}

#[test]
fn every_key_is_in_the_schema_with_its_meaning() {
    let schema = json_schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for table in tables() {
        let object = match table.name {
            "file" => &schema,
            // Whose other keys are names.
            "transactions" => &schema["properties"]["transactions"],
            name => &schema["$defs"][name],
        };
        let is_open = table.name == "transactions";
        assert_eq!(object["additionalProperties"] != false, is_open, "{}", table.name);
        for key in table.keys {
            let description = object["properties"][key.name]["description"].as_str();
            assert!(
                description.is_some_and(|text| text.starts_with(key.doc)),
                "{}.{}",
                table.name,
                key.name
            );
        }
        let count = object["properties"].as_object().unwrap().len();
        assert_eq!(count, table.keys.len(), "{}", table.name);
    }
}

#[test]
fn every_reference_in_the_schema_leads_somewhere() {
    fn walk(value: &Value, schema: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(target) = map.get("$ref").and_then(Value::as_str) {
                    let name = target.strip_prefix("#/$defs/").unwrap();
                    assert!(schema["$defs"][name].is_object(), "{target}");
                }
                map.values().for_each(|value| walk(value, schema));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, schema)),
            _ => {}
        }
    }
    let schema = json_schema();
    walk(&schema, &schema);
}

/// `UPDATE=1` writes the page.
#[test]
fn the_reference_page_is_the_one_that_the_table_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/file.md");
    let text = reference_markdown();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == text,
        "docs/guide/file.md is out of date: run `UPDATE=1 cargo test -p manifest`"
    );
    for table in tables() {
        for key in table.keys {
            assert!(text.contains(&format!("| `{}` |", key.name)), "{}", key.name);
        }
    }
}

#[test]
fn the_file_of_a_folder_is_found_by_its_usual_names() {
    let folder = Folder::new(&[
        ("a/Procfile", ""),
        ("a/compose.yml", ""),
        ("b/flotilla.yml", ""),
        ("b/compose.yaml", ""),
        ("c/dapr.yaml", ""),
        ("d/", ""),
    ]);
    for (dir, expected) in [
        ("a", "a/compose.yml"),
        ("b", "b/flotilla.yml"),
        ("c", "c/dapr.yaml"),
        ("a/Procfile", "a/Procfile"),
    ] {
        assert_eq!(crate::find(&folder.path().join(dir)).unwrap(), folder.path().join(expected));
    }
    let none = crate::find(&folder.path().join("d")).unwrap_err();
    let nothing = crate::find(&folder.path().join("e")).unwrap_err();
    expect_test::expect![[r#"
        error[F025]: no file that describes a system is in `d`
          = looked for flotilla.yaml, flotilla.yml, compose.yaml, compose.yml, docker-compose.yaml, docker-compose.yml, Procfile, dapr.yaml
          help: write one with `flotilla init`, or name it with `-f FILE`
        error[F025]: `e` does not exist
          help: give the file with `-f FILE`, or write one with `flotilla init`
    "#]].assert_eq(&folder.show(&[*none, *nothing]));
    assert!(folder.load("b/flotilla.yml", &options(&[])).is_err());
}
