//! Origins and their patterns.

use policy::cors::{Pattern, Port, parse_pattern};

/// The first line is a pattern, the second an origin. A pattern reads back as it is written, and allows an
/// origin only if that is one itself, of the same scheme, host and port or below the host.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (pattern, origin) = text.split_once('\n').unwrap_or((text, text));
    let Ok(pattern) = parse_pattern(pattern) else { return };
    let Pattern::Host { scheme, host, is_below, port } = &pattern else { return };
    let labels = if *is_below { "*." } else { "" };
    let suffix = match port {
        Port::Usual => String::new(),
        Port::Is(number) => format!(":{number}"),
        Port::Any => ":*".to_owned(),
    };
    let written = format!("{scheme}://{labels}{host}{suffix}");
    assert_eq!(parse_pattern(&written).as_ref(), Ok(&pattern), "{written}");
    if !pattern.allows(origin.as_bytes()) {
        return;
    }
    let read = parse_pattern(origin).expect("what is allowed is an origin");
    assert!(read.allows(origin.as_bytes()), "an origin in its one spelling allows itself");
    let Pattern::Host { scheme: sent_scheme, host: sent_host, is_below: false, port: sent_port } =
        read
    else {
        panic!("{origin:?} is no single origin");
    };
    assert_eq!(&sent_scheme, scheme);
    assert!(*port == Port::Any || *port == sent_port, "{port:?} allows {sent_port:?}");
    if *is_below {
        assert!(sent_host.ends_with(&format!(".{host}")), "{sent_host} is not below {host}");
    } else {
        assert_eq!(&sent_host, host);
    }
}
