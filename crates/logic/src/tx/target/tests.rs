use super::*;

/// What a text means: the method and where to, or why not.
fn check(text: &str, expected: &str) {
    let told = match parse(text) {
        Err(why) => why.to_string(),
        Ok(Call { method, target }) => match target {
            Target::Service { service, path } => format!("{method} {service} {path}"),
            Target::Url(url) => format!("{method} url {url}"),
            Target::GrpcService { service, method } => format!("grpc {service} {method}"),
            Target::Grpc { authority, method } => format!("grpc at {authority} {method}"),
        },
    };
    assert_eq!(told, expected, "{text}");
}

#[test]
fn a_call_is_read_as_it_is_written() {
    check("POST items/reserve", "POST items /reserve");
    check("items/reserve", "POST items /reserve");
    check("  GET   items/a/b?c=d ", "GET items /a/b?c=d");
    check("items", "POST items /");
    check("items?all=1", "POST items /?all=1");
    check("DELETE http://a.example:81/x", "DELETE url http://a.example:81/x");
    check("https://[::1]:8443", "POST url https://[::1]:8443");
    check("grpc://orders/shop.Orders/Charge", "grpc orders shop.Orders/Charge");
    check("grpc://127.0.0.1:50051/a.B/C", "grpc at 127.0.0.1:50051 a.B/C");
    check("items/go?to=https://x", "POST items /go?to=https://x");
}

#[test]
fn place_holders_stand_in_paths_only() {
    check("items/{{input.sku}}/r", "POST items /{{input.sku}}/r");
    check("PUT items/{{ input.sku }}", "PUT items /{{ input.sku }}");
    check(
        "https://a/{{ input.x }}?y={{input.y}}",
        "POST url https://a/{{ input.x }}?y={{input.y}}",
    );
    for text in ["{{input.service}}/x", "http://{{input.host}}/x", "grpc://a/b.C/{{input.m}}"] {
        check(text, "place holders may stand in the path and the query only");
    }
    check("items/{{input.sku", "a place holder that begins with `{{` ends with `}}`");
}

#[test]
fn what_is_no_call_is_told() {
    let empty = "must say where to: a method, a service and a path such as POST items/reserve";
    check("", empty);
    check("POST", empty);
    check("POST  ", empty);
    check("post a/b", "`post` is none of the methods GET, POST, PUT, PATCH, DELETE");
    check("CONNECT a/b", "`CONNECT` is none of the methods GET, POST, PUT, PATCH, DELETE");
    check("/reserve", "before the path stands the name of a service, as in items/reserve");
    check("items/a b", "the path must not have ' ' in it; write it percent-encoded");
    check("items/a#b", "the path must not have '#' in it; write it percent-encoded");
    check("items/ü", "the path must not have 'ü' in it; write it percent-encoded");
    check("http:///x", "`` is no host with or without a port");
    check("http://a:x/", "`a:x` is no host with or without a port");
    check("http://a:0/", "`a:0` is no host with or without a port");
    check("http://[::g]/", "`[::g]` is no host with or without a port");
    check("ftp://a/b", "`ftp://` is neither http, https nor grpc");
    check(
        "grpc://orders/Charge",
        "a gRPC method is written as grpc://orders/package.Service/Method",
    );
    check("grpc://orders", "a gRPC method is written as grpc://orders/package.Service/Method");
    check("POST grpc://a/b.C/D", "a call by gRPC has no `POST` before it");
    let told = parse("https://u:hunter2@a/").unwrap_err().to_string();
    assert!(told.contains("password") && !told.contains("hunter2"), "{told}");
    assert!(parse("Items/x").unwrap_err().to_string().starts_with("`Items` is no service: "));
    assert_eq!(parse(&"a".repeat(TARGET_LEN_MAX + 1)), Err(InvalidTarget::TooLong));
}

#[test]
fn the_keys_of_a_protocol_are_those_of_its_operations() {
    let ops = |mode| calls(mode).iter().map(|(_, op)| *op).collect::<Vec<_>>();
    assert_eq!(ops(Mode::Tcc), [Op::Try, Op::Confirm, Op::Cancel]);
    assert_eq!(modes_of("commit"), [Mode::TwoPhase, Mode::ThreePhase]);
    assert_eq!(modes_of("call"), [Mode::Saga, Mode::Message]);
    assert_eq!(modes_of(ONE_PHASE), [Mode::TwoPhase]);
    assert_eq!(modes_of("url"), []);
}
