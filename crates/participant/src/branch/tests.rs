use super::*;
use http::HeaderValue;

/// `query | header | metadata` to the line of the branch, or what is wrong.
fn check(query: &str, header: &str, expected: &str) {
    let mut headers = HeaderMap::new();
    if !header.is_empty() {
        headers.insert(HEADER, HeaderValue::from_str(header).unwrap());
    }
    let query = (!query.is_empty()).then_some(query);
    let found = match Branch::from_parts(query, &headers) {
        Ok(branch) => branch.to_line(),
        Err(error) => error.to_string(),
    };
    assert!(found.contains(expected), "{query:?} {header}\n{found}");
}

const LINE: &str = "gid=a;branch=01;op=action;attempt=3;mode=saga";

#[test]
fn a_branch_is_read_from_the_header_or_from_the_parameters_of_dtm() {
    check("", LINE, LINE);
    check("gid=a&branch_id=01&op=action&trans_type=saga", LINE, LINE);
    check("op=action&trans_type=saga", LINE, LINE);
    let classic = "gid=a;branch=x;op=pre_commit;attempt=1;mode=3pc_classic;deadline=1767225600000";
    check("gid=a&branch_id=x&op=pre_commit&trans_type=3pc", classic, classic);
    check(
        "",
        " gid=a ; branch=01; op=action;later=1; mode=saga",
        "gid=a;branch=01;op=action;attempt=1;mode=saga",
    );
    check(
        "sku=1&gid=%61%2Bb&branch_id=0101&op=try&trans_type=tcc&x",
        "",
        "gid=a+b;branch=0101;op=try;attempt=1;mode=tcc",
    );
    check("gid=a&branch_id=00&op=msg&trans_type=msg", "", "op=msg;attempt=1;mode=msg");
    check("gid=a&branch_id=01&op=commit&trans_type=xa", "", "op=commit;attempt=1;mode=xa");
}

#[test]
fn a_path_may_have_parameters_of_the_same_names() {
    check("op=fast&gid=a&branch_id=01&op=action&trans_type=saga", "", "gid=a;branch=01;op=action;");
    check("op=fast&gid=a&branch_id=01&op=action&trans_type=saga", LINE, LINE);
    check("op=fast&gid=a", LINE, "differ in `op`");
}

#[test]
fn the_metadata_of_grpc_is_read_like_headers() {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("dtm-gid", "a"), ("dtm-branch_id", "01"), ("dtm-op", "cancel"), ("dtm-trans_type", "tcc")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let branch = Branch::from_parts(None, &headers).unwrap();
    assert_eq!(branch.to_line(), "gid=a;branch=01;op=cancel;attempt=1;mode=tcc");
    assert_eq!(branch.key(), "a/01/cancel");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    check("", "", "names no transaction");
    check("branch_id=01", "", "names no transaction");
    check("", "branch=01;op=action;mode=saga", "names no transaction");
    check("gid=a", "", "`branch_id`");
    check("gid=a&branch_id=01", "", "`op`");
    check("gid=a&branch_id=01&op=action", "", "`trans_type`");
    check("gid=a&branch_id=01&op=act&trans_type=saga", "", "`act` is no operation: action,");
    check("gid=a&branch_id=01&op=action&trans_type=sage", "", "`sage` is no mode");
    check("gid=a&branch_id=01&op=try&trans_type=saga", "", "`saga` has no `try`");
    check("gid=&branch_id=01&op=action&trans_type=saga", "", "is no transaction id");
    check("gid=a+b&branch_id=01&op=action&trans_type=saga", "", "`a b` is no transaction id");
    check(
        &format!("gid={}&branch_id=01&op=action&trans_type=saga", "x".repeat(129)),
        "",
        "1 to 128 bytes",
    );
    check("gid=b", LINE, "differ in `gid`");
    check("gid=a&branch_id=02", LINE, "differ in `branch`");
    check("op=compensate", LINE, "differ in `op`");
    check("", "gid=a;branch=01;op=action;attempt=x;mode=saga", "`x` is no number of an attempt");
    check("", "gid=a;branch=01;op=action;mode=saga;deadline=soon", "`soon` is no deadline");
}

#[test]
fn encoding_that_is_none_stays_as_it_is() {
    for (text, expected) in [
        ("a%2", "a%2"),
        ("%zz", "%zz"),
        ("%41%20", "A "),
        ("%C3%A4", "ä"),
        ("%+a", "% a"),
        ("%ff", "\u{fffd}"),
    ] {
        assert_eq!(decoded(text), expected);
    }
    assert_eq!(decoded(&encoded("ä/:%~")), "ä/:%~");
}

#[test]
fn only_undoing_operations_have_an_origin() {
    for mode in [
        Mode::Saga,
        Mode::Tcc,
        Mode::TwoPhase,
        Mode::ThreePhase,
        Mode::ThreePhaseClassic,
        Mode::Xa,
        Mode::Msg,
    ] {
        let origins: Vec<_> = mode
            .ops()
            .iter()
            .filter_map(|op| {
                let origin = Branch::new("a", "01", mode, *op).unwrap().origin()?;
                assert!(mode.ops().contains(&origin));
                Some(format!("{op}<-{origin}"))
            })
            .collect();
        let expected = match mode {
            Mode::Saga => "compensate<-action",
            Mode::Tcc => "cancel<-try",
            Mode::TwoPhase => "rollback<-prepare",
            Mode::ThreePhase => "rollback<-pre_commit",
            Mode::ThreePhaseClassic => "rollback<-can_commit",
            Mode::Xa => "rollback<-action",
            Mode::Msg | Mode::Workflow => "",
        };
        assert_eq!(origins.join(" "), expected);
    }
}
