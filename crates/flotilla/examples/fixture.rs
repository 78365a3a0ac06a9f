//! A service under test: behaves well, or badly in one known way.
//!
//! It knows nothing of Flotilla but the variables a service gets, and uses nothing but the standard library,
//! so that what the tests see is what any program would see. It does not handle SIGTERM: with a request open it
//! dies in the middle, which shows whether its traffic was drained before.
//!
//! ```text
//! fixture serve                 HTTP on $PORT, see `answer`
//! fixture exit CODE [LINE...]   prints the lines to standard error and ends
//! fixture print LINES           prints numbered lines and ends
//! fixture flood LINES           prints numbered lines as fast as it can, then serves
//! fixture ignore-term           serves and ignores SIGTERM
//! fixture fork-away             leaves another process behind and ends
//! fixture wrong-port            serves on a port of its own choice
//! fixture never-ready           serves, /ready says 503
//! fixture idle                  does nothing, listens nowhere
//! fixture child-tree            serves, with children and grandchildren
//! fixture crash-after MS        serves for a while, then ends with 7
//! fixture hungry MEGABYTES      takes that much memory, then serves
//! fixture __node                takes a node's place, and dies as soon as everything is given to it
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a plain program with threads, not a part of Flotilla"
)]
#![expect(clippy::exit, reason = "a program that ends badly is what this is for")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is what is tested")]
#![expect(clippy::unwrap_used, reason = "a fixture that cannot go on must end loudly")]

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Command, exit},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Longest body that is read, in bytes.
const BODY_LEN_MAX: usize = 1 << 20;

/// Speaks with the node on standard input as its successor does, as far as it must to be given the instances.
fn die_as_successor() {
    let mut node = std::os::unix::net::UnixStream::from(
        std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned().unwrap(),
    );
    for message in ["{\"Hello\":{\"version\":1}}", "\"Prepared\""] {
        let length = u32::try_from(message.len()).unwrap().to_le_bytes();
        node.write_all(&[length.as_slice(), message.as_bytes()].concat()).unwrap();
    }
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while !heard.windows(4).any(|word| word == b"\"Go\"") {
        let length = io::Read::read(&mut node, &mut piece).unwrap();
        assert!(length > 0, "the node is gone");
        heard.extend_from_slice(&piece[..length]);
    }
    eprintln!("the successor dies");
    exit(7);
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(port(), true),
        Some("exit") => {
            for line in arguments.iter().skip(2) {
                eprintln!("{line}");
            }
            exit(i32::try_from(number(1)).unwrap_or(1));
        }
        Some("print") => print_lines(number(1)),
        Some("flood") => {
            thread::spawn(|| serve(port(), true));
            print_lines(number(1));
            park();
        }
        Some("ignore-term") => ignore_term(),
        Some("fork-away") => {
            Command::new("sh").args(["-c", "setsid sleep 1000 &"]).status().unwrap();
            println!("gone into the background");
        }
        Some("wrong-port") => serve(0, true),
        Some("never-ready") => serve(port(), false),
        Some("idle") => park(),
        Some("__node") => die_as_successor(),
        Some("child-tree") => {
            let child = || Command::new("sh").args(["-c", "sleep 1000 & sleep 1000; true"]).spawn();
            let mut children = [child().unwrap(), child().unwrap()];
            serve(port(), true);
            children.iter_mut().for_each(|child| drop(child.wait()));
        }
        Some("crash-after") => {
            let after = Duration::from_millis(number(1));
            thread::spawn(|| serve(port(), true));
            thread::sleep(after);
            eprintln!("that was it");
            exit(7);
        }
        Some("hungry") => {
            // Written to, because memory that is only reserved is not used.
            let food = vec![1_u8; usize::try_from(number(1)).unwrap() << 20];
            println!("took {} bytes", food.len());
            serve(port(), true);
            drop(food);
        }
        other => {
            eprintln!("fixture: {other:?} is nothing it can be");
            exit(2);
        }
    }
}

fn port() -> u16 {
    env::var("PORT").expect("PORT is set").parse().expect("PORT is a number")
}

fn park() -> ! {
    loop {
        thread::park();
    }
}

fn print_lines(count: u64) {
    let mut out = BufWriter::new(io::stdout().lock());
    for number in 1..=count {
        writeln!(out, "line {number} of {count}").unwrap();
    }
    out.flush().unwrap();
}

/// What a shell ignores, the programs it becomes ignore too.
fn ignore_term() -> ! {
    let itself = env::current_exe().unwrap();
    let error =
        Command::new("sh").args(["-c", r#"trap "" TERM; exec "$0" serve"#]).arg(itself).exec();
    panic!("no shell: {error}");
}

/// What all connections share.
struct Service {
    name: String,
    instance: String,
    count: AtomicU64,
    is_ready: AtomicBool,
    hangs: AtomicBool,
}

fn serve(port: u16, is_ready: bool) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|error| {
        eprintln!("cannot listen on {port}: {error}");
        exit(1);
    });
    println!("listening on {}", listener.local_addr().unwrap());
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let service = Arc::new(Service {
        name: variable("FLOTILLA_SERVICE"),
        instance: variable("FLOTILLA_INSTANCE"),
        count: AtomicU64::new(0),
        is_ready: AtomicBool::new(is_ready),
        hangs: AtomicBool::new(false),
    });
    for stream in listener.incoming() {
        let service = Arc::clone(&service);
        let Ok(stream) = stream else { continue };
        // A client that goes away is no reason to end.
        thread::spawn(move || converse(&service, stream).unwrap_or_default());
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn converse(service: &Service, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        if service.hangs.load(Ordering::SeqCst) {
            park();
        }
        let (status, body) = answer(service, &request);
        let mut message = format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-Instance: {}\r\n\r\n",
            body.len(),
            service.instance
        )
        .into_bytes();
        if request.method != "HEAD" {
            message.extend_from_slice(body.as_bytes());
        }
        writer.write_all(&message)?;
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let body = read_body(reader, &headers)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Ok(Some(Request { method, path: path.to_owned(), query, headers, body }))
}

fn read_body(reader: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    if header("transfer-encoding").is_none() {
        let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; BODY_LEN_MAX.min(length)];
        reader.read_exact(&mut body)?;
        return Ok(body);
    }
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; BODY_LEN_MAX.min(length)];
        reader.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk);
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// What is done is told by the last part of the path, so that it works below any prefix.
///
/// - `ready`, `live`: 200, or 503 after `unready`
/// - `slow?ms=N`: answers after a while
/// - `env`: the environment as an object
/// - `crash`: ends with 3 before it answers
/// - `unready`, `hang`: from now on not ready, or silent
/// - `record?id=N&ms=N`: after a while, appends the id to the file `$LEDGER`
/// - `event`: notes the request in the file `$LEDGER` and answers as `$LEDGER.answers` says, see [`take`]
/// - `print?text=T`: prints a line
/// - anything else: who answered what; `?size=N` makes it N bytes longer
fn answer(service: &Service, request: &Request) -> (u16, String) {
    let parameter = |name: &str| request.query.get(name).map(String::as_str).unwrap_or_default();
    match request.path.rsplit('/').next().unwrap_or_default() {
        "ready" if !service.is_ready.load(Ordering::SeqCst) => {
            (503, "{\"ready\":false}".to_owned())
        }
        "ready" | "live" => (200, "{}".to_owned()),
        "env" => {
            let pairs =
                env::vars().map(|(name, value)| format!("{}:{}", text(&name), text(&value)));
            (200, format!("{{{}}}", pairs.collect::<Vec<_>>().join(",")))
        }
        "crash" => exit(3),
        "unready" => {
            service.is_ready.store(false, Ordering::SeqCst);
            (200, "{}".to_owned())
        }
        "hang" => {
            service.hangs.store(true, Ordering::SeqCst);
            park();
        }
        "slow" => {
            thread::sleep(Duration::from_millis(parameter("ms").parse().unwrap_or(0)));
            (200, describe(service, request))
        }
        "record" => {
            thread::sleep(Duration::from_millis(parameter("ms").parse().unwrap_or(0)));
            let ledger = env::var("LEDGER").expect("LEDGER is set");
            let mut file = OpenOptions::new().append(true).create(true).open(ledger).unwrap();
            // One write: lines of several processes do not mix.
            file.write_all(format!("{}\n", parameter("id")).as_bytes()).unwrap();
            (201, describe(service, request))
        }
        "event" => take(service, request),
        "print" => {
            println!("{}", parameter("text"));
            (200, "{}".to_owned())
        }
        _ => (200, describe(service, request)),
    }
}

/// Notes a request and answers it: 200, or what the first line of `$LEDGER.answers` says whose text is in the body. A line
/// is `STATUS MS TEXT`; the answer comes after so many milliseconds.
fn take(service: &Service, request: &Request) -> (u16, String) {
    let ledger = env::var("LEDGER").expect("LEDGER is set");
    let told = fs::read_to_string(format!("{ledger}.answers")).unwrap_or_default();
    let body = String::from_utf8_lossy(&request.body);
    let line = told.lines().find_map(|line| {
        let (status, line) = line.split_once(' ')?;
        let (ms, wanted) = line.split_once(' ')?;
        body.contains(wanted).then_some((status.parse().ok()?, ms.parse().ok()?))
    });
    let (status, ms) = line.unwrap_or((200, 0));
    let mut file = OpenOptions::new().append(true).create(true).open(ledger).unwrap();
    // One write: lines of several processes do not mix.
    let line = format!("{{\"status\":{status},\"request\":{}}}\n", describe(service, request));
    file.write_all(line.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(ms));
    (status, "{}".to_owned())
}

fn describe(service: &Service, request: &Request) -> String {
    let count = service.count.fetch_add(1, Ordering::Relaxed) + 1;
    let headers =
        request.headers.iter().map(|(name, value)| format!("{}:{}", text(name), text(value)));
    let padding = request.query.get("size").and_then(|size| size.parse().ok()).unwrap_or(0);
    format!(
        "{{\"service\":{},\"instance\":{},\"pid\":{},\"count\":{count},\"method\":{},\"path\":{},\
         \"headers\":{{{}}},\"body\":{},\"padding\":\"{}\"}}",
        text(&service.name),
        text(&service.instance),
        std::process::id(),
        text(&request.method),
        text(&request.path),
        headers.collect::<Vec<_>>().join(","),
        text(&String::from_utf8_lossy(&request.body)),
        "x".repeat(BODY_LEN_MAX.min(padding))
    )
}

/// A JSON string.
fn text(value: &str) -> String {
    let escape = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", value.chars().map(escape).collect::<String>())
}
