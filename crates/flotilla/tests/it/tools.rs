//! The commands around the running system.

use crate::kit::{System, wait::eventually};

const ONE: &str = "
services:
  web: { run: FIXTURE serve }
gateway: { listen: GATEWAY, routes: { /: web } }
";

#[test]
fn init_writes_a_file_that_check_accepts_and_up_runs() {
    let system = System::empty();
    let server = "
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'hi')
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";
    system.file("api/app.py", server);
    system.file("web/app.py", server);
    system.file("notes/readme.txt", "no service");
    let printed = system.flotilla("init --print").expect(0).out;
    assert!(!system.dir().join("flotilla.yaml").exists());
    system.flotilla("init").expect(0).says("wrote flotilla.yaml with 2 services");
    let file = system.dir().join("flotilla.yaml");
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, printed);
    system.flotilla("check").expect(0).says("2 services");
    system.flotilla("init").expect(1).says("already there");
    let schema = std::fs::read_to_string(system.dir().join(".flotilla/schema.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&schema).unwrap();

    // The default ports may be somebody else's.
    let moved = written
        .replace("127.0.0.1:8080", &system.gateway.to_string())
        .replace("127.0.0.1:8081", &system.admin.to_string());
    let moved = if moved.contains("\nadmin:") {
        moved
    } else {
        format!("{moved}\nadmin: {{ listen: \"{}\" }}\n", system.admin)
    };
    std::fs::write(file, moved).unwrap();
    if system.flotilla("doctor").expect(0).out.contains("python3") {
        system.up();
        let status = system.status();
        for service in ["api", "web"] {
            let answer = crate::kit::http::get(status.address(service, 0), "/").unwrap();
            assert_eq!(answer.text(), "hi");
        }
        system.down();
    }
}

#[test]
fn what_is_printed_for_machines_can_be_read_by_them() {
    let system = System::new(ONE);
    let schema = system.flotilla("schema").expect(0).json();
    assert!(schema["properties"]["services"].is_object(), "{schema:#}");
    assert_eq!(
        system.flotilla("version -o json").expect(0).json()["version"],
        env!("CARGO_PKG_VERSION")
    );
    system.flotilla("version").expect(0).says(env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish"] {
        system.flotilla(&format!("completion {shell}")).expect(0).says("flotilla").says("restart");
    }
    system.flotilla("explain F012").expect(0).says("F012").says("readiness");
    let all = system.flotilla("explain -o json").expect(0).json();
    assert!(all.as_array().unwrap().len() >= 30);
    for code in all.as_array().unwrap() {
        system.flotilla(&format!("explain {}", code["code"].as_str().unwrap())).expect(0);
    }
    system.flotilla("explain F999").expect(2);
    system.flotilla("--help").expect(0).says("Usage").says("7 rolled back");
    system.flotilla("frobnicate").expect(2);
    let findings = system.flotilla("doctor -o json").expect(0).json();
    assert_eq!(findings["ok"], true, "{findings:#}");
}

#[test]
fn doctor_tells_by_its_exit_code_whether_up_can_work() {
    let system = System::new(ONE);
    system.flotilla("doctor").expect(0).says("`flotilla up` can start");
    system.write("services: { web: { rum: x } }");
    system.flotilla("doctor").expect(3).says("[F002]");
    system.write("services: { web: { run: [no-such-program] } }");
    system.flotilla("doctor").expect(4).says("no-such-program");
    system.write(ONE);
    system.up();
    system.flotilla("doctor").expect(0);
    system.kill_node();
    system.flotilla("doctor").expect(0).says("adopt");
    system.up();
    system.down();
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let system = System::new(ONE);
    system.up();
    for _ in 0..50 {
        system.get("/print?text=a-line-in-the-logs");
    }
    eventually("the lines", || (system.logs("web").len() > 50).then_some(()));
    let program = env!("CARGO_BIN_EXE_flotilla");
    for words in ["ps", "logs", "logs -o json", "explain", "schema", "completion bash", "top"] {
        let line = format!("{program} {words} | head -1");
        let done = system.finish(system.command("sh").args(["-c", &line])).expect(0);
        assert!(!done.err.contains("panic") && !done.err.contains("rror"), "{words}: {done:?}");
        assert_eq!(done.out.lines().count(), 1, "{words}: {done:?}");
    }
    system.down();
}

#[test]
fn commands_find_the_system_from_a_folder_below_and_by_name() {
    let system = System::new(ONE);
    system.file("deep/down/x.txt", "");
    let below = |words: &str| {
        let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
        system.finish(command.current_dir(system.dir().join("deep/down")).args(words.split(' ')))
    };
    below("up -d").expect(0).says("using");
    below("ps").expect(0).says("web");
    let elsewhere = System::empty();
    let file = system.dir().join("flotilla.yaml");
    elsewhere.flotilla(&format!("-f {} ps", file.display())).expect(0).says("web");
    elsewhere.flotilla(&format!("ps -f {}", system.dir().display())).expect(0).says("web");
    below("down").expect(0);
    system.assert_nothing_left();
}
