use super::*;

const VARIABLES: &[Variable] = &[
    Variable { name: "claims", kind: Kind::Map },
    Variable { name: "request.client", kind: Kind::Single },
    Variable { name: "request.headers", kind: Kind::Fields },
    Variable { name: "request.method", kind: Kind::Single },
    Variable { name: "request.path", kind: Kind::Single },
    Variable { name: "subject", kind: Kind::Single },
];

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

/// A client of 10.1.2.3 asks for `GET /api/orders/7` with a token.
fn look_up<'a>(variable: &str, key: Option<&str>) -> Option<Value<'a>> {
    let roles = || Value::List(vec![text("clerk"), text("auditor")]);
    let claims = || {
        vec![
            (Cow::Borrowed("scope"), text("items orders")),
            (Cow::Borrowed("roles"), roles()),
            (Cow::Borrowed("age"), Value::Int(41)),
            (Cow::Borrowed("score"), Value::Float(0.5)),
            (Cow::Borrowed("nothing"), Value::Null),
            (Cow::Borrowed("realm"), Value::Map(vec![(Cow::Borrowed("roles"), roles())])),
            (Cow::Borrowed("realm.roles"), text("dotted")),
            (Cow::Borrowed("https://id.example/staff"), Value::Bool(true)),
            (Cow::Borrowed("many"), Value::List((0..1500).map(Value::Int).collect())),
        ]
    };
    let headers =
        || vec![(Cow::Borrowed("x-tenant"), text("acme")), (Cow::Borrowed("accept"), text("*/*"))];
    let entries = match variable {
        "request.method" => return Some(text("GET")),
        "request.path" => return Some(text("/api/orders/7")),
        "request.client" => return Some(text("10.1.2.3")),
        "subject" => return Some(text("ann")),
        "claims" => claims(),
        "request.headers" => headers(),
        _ => return None,
    };
    match key {
        None => Some(Value::Map(entries)),
        Some(key) => entries.into_iter().find(|(name, _)| name == key).map(|(_, value)| value),
    }
}

/// Shows where a condition cannot be compiled, else what it comes to.
fn run(condition: &str) -> String {
    match Condition::compile(condition, VARIABLES) {
        Err(error) => {
            assert!(condition.is_char_boundary(error.offset), "{condition}: {error:?}");
            let (before, after) = condition.split_at(error.offset);
            format!("{} at {before}^{after}", error.message)
        }
        Ok(compiled) => match compiled.evaluate(&look_up) {
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        },
    }
}

fn check(condition: &str, expected: &str) {
    assert_eq!(run(condition), expected, "{condition}");
}

#[test]
fn what_users_write_is_answered() {
    for condition in [
        "claims.scope.contains('orders')",
        "'orders' in claims.scope.split(' ')",
        "!('order' in claims.scope.split(' '))",
        "'auditor' in claims.roles",
        "claims.roles.exists(role, role == 'auditor')",
        "claims.roles.all(role, role.size() > 3)",
        "claims.roles.filter(role, role.startsWith('c')) == ['clerk']",
        "claims.age >= 18 && claims.age < 65",
        "claims.score > 0",
        "claims.realm.roles.size() == 2",
        "size(claims['realm']['roles']) == 2",
        "claims['realm.roles'] == 'dotted'",
        "claims['https://id.example/staff']",
        "has(claims.scope) && !has(claims.admin)",
        "'scope' in claims && !('admin' in claims)",
        "claims.nothing == null",
        "request.method == 'GET' || request.method == 'HEAD'",
        "request.method in ['GET', 'HEAD']",
        "request.path.startsWith('/api/') && request.path.endsWith('/7')",
        "request.path.matches('^/api/[a-z]+/[0-9]+$')",
        "matches(request.path, 'orders')",
        "!request.path.matches(r'\\d{2}')",
        "request.headers['X-Tenant'] == 'acme'",
        "request.headers['x-tenant'].matches('ac')",
        "'X-Tenant' in request.headers && !('x-debug' in request.headers)",
        "request.headers.accept == '*/*'",
        "request.headers.exists(name, name.startsWith('x-'))",
        "request.headers['x-' + 'tenant'] == 'acme'",
        "request.client.inNetwork('10.0.0.0/8') && !request.client.inNetwork('10.2.0.0/16')",
        "inNetwork(request.client, '10.1.2.3')",
        "inNetwork('2001:db8::1', '2001:db8::/32') && inNetwork('::ffff:10.0.0.9', '10.0.0.0/24')",
        "!inNetwork('::1', '0.0.0.0/0') && inNetwork('1.2.3.4', '0.0.0.0/0') && inNetwork('::1', '::/0')",
        "subject == 'ann' && subject.lowerAscii() == 'ann'",
        "type(claims.age) == int",
        "claims.age > 40 ? subject == 'ann' : false",
        "[1, 2, 3].map(n, n * 2).exists_one(n, n == 4)",
        "claims.roles.exists(subject, subject == 'clerk')",
        "claims.roles.exists(a, claims.realm.roles.exists(b, a == b))",
        "true",
        "claims.missing == 'x' || subject == 'ann'",
        "string(claims.age) == '41' && int('7') == 7",
        "'é'.size() == 1 && request.path != 'ü'",
    ] {
        check(condition, "true");
    }
    check("claims.scope.contains('admin')", "false");
}

#[test]
fn what_has_no_answer_says_why_and_repeats_no_value() {
    check("claims.admin == true", "`claims` has no `admin`");
    check("request.headers['x-debug'] == '1'", "`request.headers` has no `x-debug`");
    check("claims.realm.admin", "a key is missing");
    check("claims.scope", "the result is neither true nor false");
    check("claims.scope && true", "`&&` cannot be used with string and bool");
    check("claims.roles.contains('clerk')", "`contains` cannot be used with list and string");
    check("claims.age / 0 == 1", "division by zero");
    check("9223372036854775807 + claims.age > 0", "a number is out of range");
    check("claims.roles[7] == ''", "an index is out of bounds");
    check("claims.scope.inNetwork('10.0.0.0/8')", "`inNetwork`: no IP address");
    check("claims.scope.split('') == []", "`split`: an empty separator");
    check("int(claims.scope) == 1", "`int`: string parse error: invalid digit found in string");
}

#[test]
fn what_cannot_be_a_condition_is_refused_with_the_place() {
    check("", "the condition is empty at ^");
    check(" \n", "the condition is empty at ^ \n");
    check("claims.scope ==", "ends too early at claims.scope ==^");
    check("subject == 'ann", "a text without its closing quote at subject == ^'ann");
    check("subject == 'ü' &&\n ) 1", "`)` is not expected here at subject == 'ü' &&\n ^) 1");
    check("'ü' ) 1", "`)` is not expected here at 'ü' ^) 1");
    check("subject $ 1", "`$` means nothing here at subject ^$ 1");
    check("subject = 'ann'", "`= ` means nothing here at subject ^= 'ann'");
    check("claim.scope == 1", "there is no `claim` (do you mean `claims`?) at ^claim.scope == 1");
    check("'ü' == x", "there is no `x` at 'ü' == ^x");
    check(
        "true && request.metod == 'GET'",
        "`request` has no `metod` (do you mean `method`?) at true && request.^metod == 'GET'",
    );
    check(
        "request == 'GET'",
        "`request` is followed by what of it is meant, as in `request.client` at ^request == 'GET'",
    );
    check(
        "subject.startswith('a')",
        "there is no function `startswith` (do you mean `startsWith`?) at subject.^startswith('a')",
    );
    check(
        "1 == 1 && sise(subject) == 1",
        "there is no function `sise` (do you mean `size`?) at 1 == 1 && ^sise(subject) == 1",
    );
    check(
        "contains(subject, 'a')",
        "`contains` is written `….contains(…)` at ^contains(subject, 'a')",
    );
    check("subject.int() == 1", "`int` is written `int(…)` at subject.^int() == 1");
    check(
        "subject.contains()",
        "`contains` has the wrong number of arguments at subject.^contains()",
    );
    check("subject.matches('(')", "no pattern: unclosed group at subject.matches(^'(')");
    check(
        "subject.matches('(a{99}){99}{99}')",
        "no pattern: too large at subject.matches(^'(a{99}){99}{99}')",
    );
    check(
        "subject.matches(request.path)",
        "`matches` needs a text that stands here at subject.matches(request^.path)",
    );
    check(
        "request.client.inNetwork('10.0.0.0/33')",
        "no address block such as `10.0.0.0/8` at request.client.inNetwork(^'10.0.0.0/33')",
    );
    check(
        "request.client.inNetwork('10.0.0.0/+8')",
        "no address block such as `10.0.0.0/8` at request.client.inNetwork(^'10.0.0.0/+8')",
    );
    check(
        "claims.age + 1",
        "gives a number or text, and a condition must give true or false at ^claims.age + 1",
    );
    check("'yes'", "gives a text, and a condition must give true or false at ^'yes'");
    check(
        "claims.roles.exists(r, r == role)",
        "there is no `role` at claims.roles.exists(r, r == ^role)",
    );
    check(
        "claims.roles.exists(r, r == 'a') && r == 'b'",
        "there is no `r` at claims.roles.exists(r, r == 'a') && ^r == 'b'",
    );
    check("Thing{a: 1} == 2", "there is no type `Thing` at Thing^{a: 1} == 2");
    check("claims.?a == 1", "unsupported syntax '.?' at claims^.?a == 1");
    check("optional.none() == 1", "there is no function `none` at optional.^none() == 1");
    check("@0 == 1", "`@` means nothing here at ^@0 == 1");
}

#[test]
fn loops_are_bounded_in_depth_and_in_items() {
    check("claims.many.exists(n, n == 1499)", "true");
    check(
        "claims.many.exists(n, n < 0) || claims.many.exists(n, n == 1)",
        "`loop`: goes over too many items",
    );
    check(
        "claims.many.exists(a, claims.many.exists(b, a + b < 0))",
        "`loop`: goes over too many items",
    );
    check(
        "[1].all(a, [1].all(b, [1].all(c, true)))",
        "more than 2 loops in one another at [1].all(a, [1].all(b, [1].all^(c, true)))",
    );
}

#[test]
fn size_and_nesting_are_bounded() {
    let deep = |count: usize| format!("{}true{}", "(".repeat(count), ")".repeat(count));
    assert_eq!(run(&deep(20)), "true");
    for hostile in [
        deep(1000),
        format!("{}true", "!".repeat(2000)),
        format!("{}1 == 1", "-".repeat(2000)),
        format!("1{} == 1", "+1".repeat(1000)),
        format!("claims{} == 1", ".a".repeat(900)),
        format!("true{}", "||true".repeat(340)),
        format!("{}true", "true?true:".repeat(200)),
        "[".repeat(2000),
        format!("{}{}", "[".repeat(900), "]".repeat(900)),
        format!("claims{}", "[claims".repeat(280)),
        "true || ".repeat(1000),
        "\u{0}".repeat(100),
        "'\\".repeat(500),
    ] {
        // None may end the process, whatever it says.
        let said = run(&hostile);
        assert!(!said.contains("panicked"), "{hostile}: {said}");
    }
    let long = format!("subject == '{}'", "ü".repeat(1100));
    assert!(
        run(&long).starts_with("the condition is longer than 2048 bytes at subject"),
        "{}",
        run(&long)
    );
}

#[test]
fn only_what_is_referred_to_is_looked_up() {
    let asked = |condition: &str| {
        let asked = std::cell::RefCell::new(Vec::new());
        let compiled = Condition::compile(condition, VARIABLES).unwrap();
        let _ = compiled.evaluate(&|variable, key| {
            asked
                .borrow_mut()
                .push(key.map_or(variable.to_owned(), |key| format!("{variable}[{key}]")));
            look_up(variable, key)
        });
        asked.into_inner().join(" ")
    };
    assert_eq!(asked("claims.scope == '' || claims.scope.contains('x')"), "claims[scope]");
    assert_eq!(
        asked("has(claims.a) && request.headers['Accept'] == ''"),
        "claims[a] request.headers[accept]"
    );
    assert_eq!(
        asked("claims.realm.roles == [] && request.method == ''"),
        "claims[realm] request.method"
    );
    assert_eq!(asked("request.headers.exists(name, name == subject)"), "request.headers subject");
    assert_eq!(asked("true"), "");
}

#[test]
fn a_condition_is_shared_between_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Condition>();
}

proptest::proptest! {
    #[test]
    fn no_text_ends_the_process(text in "[a-z@._'\"()\\[\\]{}?:!&|=<>+*/%,0-9 \\\\\\-éü\n]{0,60}") {
        let said = run(&text);
        assert!(!said.contains("panicked"), "{said}");
    }

    #[test]
    fn no_arrangement_of_words_ends_the_process(words in proptest::collection::vec(proptest::sample::select(vec![
        "claims", ".scope", "['a']", "(", ")", "[", "]", "{", "}", ":", "?", ",", "&&", "||", "!", "-", "==", "<", "in",
        "'x'", "1", "1u", "1.5", "true", "null", ".exists(a,", ".map(b,", "has(", "size(", "matches(", "request", ".path",
        "subject", "type(", "b'x'", "r'x'", "\"\"\"", ".all(c,d,", "+", "*", "/", "%", ".contains(", "int(", "-9223372036854775808",
    ]), 0..24)) {
        let said = run(&words.concat());
        assert!(!said.contains("panicked"), "{said}");
        let said = run(&words.join(" "));
        assert!(!said.contains("panicked"), "{said}");
    }
}
