//! Which host a request is for (RFC 9112 §3.2, RFC 9110 §7.2).

use super::{Case, Sends::Raw, passes, refused};

pub(in crate::strict) const HOSTS: &[Case] = &[
    passes(
        "a host with a port and spaces around it",
        "the spaces are not part of the value",
        Raw(b"GET /x HTTP/1.1\r\nhOST: \tShop.example:8080 \r\n\r\n"),
        "GET /x [host: Shop.example:8080]",
    ),
    passes(
        "an IPv6 address",
        "a host may be a literal in brackets",
        Raw(b"GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
        "GET /x [host: [::1]:80]",
    ),
    passes(
        "a name with an underscore",
        "no host name of the DNS, but names in compose networks have it",
        Raw(b"GET /x HTTP/1.1\r\nHost: my_shop\r\n\r\n"),
        "GET /x [host: my_shop]",
    ),
    refused("no host", "HTTP/1.1 needs one", Raw(b"GET /x HTTP/1.1\r\nX-A: 1\r\n\r\n")),
    refused(
        "two hosts that are equal",
        "a request with two is refused whatever they are (RFC 9112 §3.2)",
        Raw(b"GET /x HTTP/1.1\r\nHost: s\r\nHost: s\r\n\r\n"),
    ),
    refused(
        "two hosts that differ",
        "readers take the first or the last",
        Raw(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ),
    refused(
        "two hosts in HTTP/1.0",
        "readers take the first or the last",
        Raw(b"GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    ),
    refused(
        "two hosts far apart",
        "a check of neighbours is not enough",
        Raw(b"GET /x HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 2\r\nhost: b\r\n\r\n"),
    ),
    refused(
        "two hosts in one field",
        "a comma joins fields, and there is only one host",
        Raw(b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ),
    refused("an empty host", "an http URI has a host", Raw(b"GET /x HTTP/1.1\r\nHost:\r\n\r\n")),
    refused("only a port", "an http URI has a host", Raw(b"GET /x HTTP/1.1\r\nHost: :80\r\n\r\n")),
    refused(
        "a host with a space",
        "readers take the first or the last word",
        Raw(b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ),
    refused(
        "a host with a tab",
        "readers take the first or the last word",
        Raw(b"GET /x HTTP/1.1\r\nHost: a\tb\r\n\r\n"),
    ),
    refused(
        "a host with a user",
        "`good@evil` is read as either",
        Raw(b"GET /x HTTP/1.1\r\nHost: good@evil\r\n\r\n"),
    ),
    refused(
        "a host with user and password",
        "`u:80@evil` is read as host `u`, port 80, or as `evil`",
        Raw(b"GET /x HTTP/1.1\r\nHost: u:80@evil\r\n\r\n"),
    ),
    refused(
        "a host with a path",
        "who builds a URL from it asks for another path",
        Raw(b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ),
    refused(
        "a host with a query",
        "who builds a URL from it asks for another path",
        Raw(b"GET /x HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    ),
    refused(
        "a host with a fragment",
        "who builds a URL from it asks for another path",
        Raw(b"GET /x HTTP/1.1\r\nHost: a#b\r\n\r\n"),
    ),
    refused(
        "a host with a backslash",
        "browsers' URL readers take it for a slash",
        Raw(b"GET /x HTTP/1.1\r\nHost: a\\b\r\n\r\n"),
    ),
    refused(
        "a host with a quote",
        "it breaks out of attributes where it is printed",
        Raw(b"GET /x HTTP/1.1\r\nHost: a\"b\r\n\r\n"),
    ),
    refused(
        "a host with angle brackets",
        "it breaks out of text where it is printed",
        Raw(b"GET /x HTTP/1.1\r\nHost: <b>\r\n\r\n"),
    ),
    refused(
        "a port that is no number",
        "some readers drop it, others fail",
        Raw(b"GET /x HTTP/1.1\r\nHost: s:8a\r\n\r\n"),
    ),
    refused(
        "two ports",
        "readers split at the first or the last colon",
        Raw(b"GET /x HTTP/1.1\r\nHost: s:80:90\r\n\r\n"),
    ),
    refused(
        "a bracket that is not closed",
        "it is no address",
        Raw(b"GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ),
    refused(
        "words after a bracket",
        "`[::1]evil` is read as either host",
        Raw(b"GET /x HTTP/1.1\r\nHost: [::1]evil\r\n\r\n"),
    ),
    refused(
        "a host that is not ASCII",
        "names of the DNS travel in ASCII",
        Raw(b"GET /x HTTP/1.1\r\nHost: b\xc3\xbccher\r\n\r\n"),
    ),
    refused(
        "a host that is a URL",
        "it is none",
        Raw(b"GET /x HTTP/1.1\r\nHost: http://s\r\n\r\n"),
    ),
];
