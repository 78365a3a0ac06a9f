//! Heads of requests.

use proxy::fuzzing::{Body, Request, request_head};

use super::{bytes, cut, strict};

/// - How the bytes come in makes no difference.
/// - An independent reading, line by line, finds the same fields and the same body, and nothing that another
///   reader could read in another way.
/// - Written again it is the same request.
pub(crate) fn check(data: &[u8]) {
    let whole = request_head(&[data]);
    assert_eq!(request_head(&cut(data)), whole, "cut in three");
    assert_eq!(request_head(&bytes(data)), whole, "byte by byte");
    let Ok(Some((request, length))) = whole else { return };
    let head = data.get(..length).expect("a head is a part of what came");
    let lines = strict::lines(head);
    let (first, rest) = lines.split_first().expect("there is a request line");
    strict::fields(rest, &request.fields);
    request_line(first, &request);
    host(&request);
    strict::framing(&request.fields, request.minor, request.body, false);
    assert_ne!(request.body, Body::UntilClose, "a request ends by itself");
    let again = write(&request);
    let (read, used) = request_head(&[&again]).ok().flatten().expect("what is written is read");
    assert_eq!(used, again.len());
    assert_eq!((&read.method, &read.path_and_query), (&request.method, &request.path_and_query));
    assert_eq!(
        (&read.host, read.body, &read.fields),
        (&request.host, request.body, &request.fields)
    );
    assert_eq!(read.keeps_alive, request.keeps_alive);
}

fn request_line(line: &[u8], request: &Request) {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words.as_slice() else {
        panic!("a request line has three words: {line:?}");
    };
    assert_eq!(*method, request.method.as_bytes());
    assert_eq!(*version, format!("HTTP/1.{}", request.minor).as_bytes());
    let path = request.path_and_query.as_bytes();
    assert!(path.starts_with(b"/") || path == b"*", "{path:?}");
    assert!(path.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'), "{path:?}");
    let tail = path.strip_prefix(b"/").unwrap_or(path);
    assert!(target.ends_with(tail), "{path:?} is not the end of {target:?}");
}

fn host(request: &Request) {
    let is_host = |field: &&(Vec<u8>, Vec<u8>)| field.0.eq_ignore_ascii_case(b"host");
    let hosts: Vec<_> = request.fields.iter().filter(is_host).collect();
    assert!(hosts.len() == 1 || (hosts.is_empty() && request.minor == 0));
    if let [(_, host)] = hosts.as_slice() {
        assert_eq!(host, request.host.as_bytes());
    }
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    assert!(request.host.bytes().all(is_fine), "{:?}", request.host);
}

/// As it would go to an instance that gets everything as it came.
fn write(request: &Request) -> Vec<u8> {
    let authority = request.host.as_str();
    // A host that only the target named can only be named there.
    let has_host = request.fields.iter().any(|field| field.0.eq_ignore_ascii_case(b"host"));
    let origin = if has_host || authority.is_empty() {
        String::new()
    } else {
        format!("http://{authority}")
    };
    let target = &request.path_and_query;
    let line = format!("{} {origin}{target} HTTP/1.{}\r\n", request.method, request.minor);
    let mut head = line.into_bytes();
    for (name, value) in &request.fields {
        head.extend([name, &b": "[..], value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}
