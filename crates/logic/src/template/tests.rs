use super::*;
use serde_json::json;

fn data() -> (Value, Value) {
    (
        json!({"sku": "a/b c", "n": 3, "list": [10, {"x": true}], "nothing": null, "a.b": 1, "7": "seven", "up": ".."}),
        json!({"id": "r-1", "items": [1, 2]}),
    )
}

fn with<T>(act: impl FnOnce(&Scope<'_>) -> T) -> T {
    let (input, reserve) = data();
    let step = |name: &str| (name == "reserve").then_some(&reserve);
    act(&Scope { input: &input, step: &step })
}

fn check(text: &str, expected: Value) {
    let found = with(|scope| render(&json!(text), scope)).map_err(|error| error.to_string());
    assert_eq!(found, Ok(expected), "{text}");
}

fn fails(text: &str, expected: &str) {
    let found = with(|scope| render(&json!(text), scope)).map_err(|error| error.to_string());
    let Err(error) = found else { panic!("{text}: {found:?}") };
    assert!(error.contains(expected), "{text}: {error}");
}

#[test]
fn a_single_place_holder_keeps_the_type() {
    check("{{input.n}}", json!(3));
    check("{{ input.list }}", json!([10, {"x": true}]));
    check("{{input.nothing}}", Value::Null);
    check("{{steps.reserve.body}}", json!({"id": "r-1", "items": [1, 2]}));
}

#[test]
fn in_a_longer_text_values_become_text() {
    check("n={{input.n}}, {{input.sku}}!", json!("n=3, a/b c!"));
    check("{{input.list[1]}}{{input.nothing}}", json!("{\"x\":true}"));
    check("no place holder: } }} {", json!("no place holder: } }} {"));
    check("{\"n\":{{input.n}}}", json!("{\"n\":3}"));
}

#[test]
fn paths_go_into_objects_and_lists() {
    check("{{input.list[0]}}", json!(10));
    check("{{input.list.1.x}}", json!(true));
    check("{{input[\"a.b\"]}}", json!(1));
    check("{{input.7}}", json!("seven"));
    check("{{steps.reserve.body.items[1]}}", json!(2));
    check("{{steps[\"reserve\"].body.id}}", json!("r-1"));
}

#[test]
fn what_may_be_missing_is_null_and_what_may_not_is_named() {
    check("{{input.none?}}", Value::Null);
    check("x{{input.none.deeper[3]?}}", json!("x"));
    check("{{steps.charge.body.id?}}", Value::Null);
    fails("{{input.none.deeper}}", "`{{input.none.deeper}}`: there is no such value");
    fails("{{input.list[7]}}", "write `{{input.list[7]?}}` if it may be missing");
    fails("{{steps.charge.body.id}}", "`{{steps.charge.body.id}}`");
}

#[test]
fn four_braces_write_two() {
    check("{{{{input.n}} is {{input.n}}", json!("{{input.n}} is 3"));
    check("{{{{", json!("{{"));
}

#[test]
fn what_is_no_place_holder_is_told_with_the_way_out() {
    fails("a {{input.n", "`}}` is missing");
    fails("{{output.n}}", "begins with `input` or `steps`");
    fails("{{}}", "begins with `input` or `steps`");
    fails("{{inputs}}", "begins with");
    fails("{{steps}}", "name the step");
    fails("{{steps.a.status}}", "`steps.NAME.body`");
    fails("{{input..n}}", "letters, digits");
    fails("{{input.n + 1}}", "letters, digits");
    fails("{{input[x]}}", "in brackets");
    fails("{{input[\"x}}", "`}}` is missing");
    fails("{{input[0]n}}", "after `]`");
    fails("{{{input.n}}}", "begins with");
    fails(&"{{input.n}}".repeat(PLACES_MAX * 2 + 1), "too many");
}

#[test]
fn an_error_says_at_which_byte_the_place_holder_begins() {
    assert_eq!(Template::parse("äb {{{{ {{x}}").unwrap_err().at, 9);
}

#[test]
fn whole_values_are_rendered_and_keys_are_not() {
    let value = json!({"{{input.n}}": ["{{input.n}}", {"deep": "{{input.sku}}"}], "plain": 1});
    let rendered = with(|scope| render(&value, scope));
    assert_eq!(rendered, Ok(json!({"{{input.n}}": [3, {"deep": "a/b c"}], "plain": 1})));
}

#[test]
fn no_value_changes_which_path_is_called() {
    let url = |text: &str| with(|scope| Template::parse(text).unwrap().render_url(scope));
    assert_eq!(url("/items/{{input.sku}}?n={{input.n}}"), Ok("/items/a%2Fb%20c?n=3".to_owned()));
    assert!(matches!(url("/items/{{input.up}}/x"), Err(RenderError::Dots(_))));
}

#[test]
fn references_are_told_as_they_are_written() {
    let value =
        json!({"a": "{{input.list.0}} {{steps.reserve.body[\"x y\"]?}}", "b": ["{{input}}"]});
    let told: Vec<String> = references(&value).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["input.list[0]", "steps.reserve.body[\"x y\"]", "input"]);
}

#[test]
fn a_value_that_is_nested_without_end_is_refused() {
    let mut value = json!("{{input.n}}");
    for _ in 0..200 {
        value = json!([value]);
    }
    assert_eq!(with(|scope| render(&value, scope)), Err(RenderError::Deep));
    assert_eq!(references(&value), Err(RenderError::Deep));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[{}a-z.\\[\\]\"?\\\\ 0-9äü]{0,40}") {
        if let Ok(template) = Template::parse(&text) {
            let _ = with(|scope| template.render(scope).is_ok());
        }
    }

    #[test]
    fn what_is_told_of_a_reference_reads_as_the_same(names in proptest::collection::vec(".{0,6}", 0..4)) {
        let path = names.into_iter().map(Segment::Name).collect();
        let reference = Reference { root: Root::Step("s 1".to_owned()), path, is_optional: false };
        // A name of digits reads as a position; both find the same.
        let text = format!("{{{{{reference}}}}}");
        let template = Template::parse(&text);
        proptest::prop_assert!(template.is_ok(), "{text}: {template:?}");
    }
}
