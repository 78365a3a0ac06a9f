use super::*;

fn check(program: Program, line: &str, expected: &str) {
    let words = crate::words::split(line);
    let shown = match Arguments::parse(program, words) {
        Err(why) => format!("no: {why}"),
        Ok(all) => {
            let mut shown = all.template("/here").replace("version: 1\napps:\n", "");
            for (what, list) in [("ignored", &all.ignored), ("unknown", &all.unknown)] {
                if !list.is_empty() {
                    shown.push_str(&format!("{what} {}\n", list.join(" ")));
                }
            }
            if let Some(file) = all.run_file {
                shown = format!("file {file}\n");
            }
            for (what, is_on) in [("help", all.help), ("version", all.version)] {
                if is_on {
                    shown = what.to_owned();
                }
            }
            shown
        }
    };
    assert_eq!(shown.trim_end(), expected.trim(), "{line}");
}

#[test]
fn the_command_line_of_dapr_run_is_read() {
    check(
        Program::Run,
        "--app-id order-processor --resources-path ../../components/ -- python3 app.py --x",
        r#"
- appID: "order-processor"
  appDirPath: "/here"
  resourcesPaths: ["../../components/"]
  command: ["python3", "app.py", "--x"]"#,
    );
    check(
        Program::Run,
        "-a b -p 3000 -P GRPC -H 3500 -G 50001 -d c1 --resources-path=c2 --config cfg.yaml \
         --enable-app-health-check --app-health-probe-interval 5 --max-body-size 8Mi \
         --log-level debug -M 9090 node app.js -p 1",
        r#"
- appID: "b"
  appDirPath: "/here"
  appPort: 3000
  daprHTTPPort: 3500
  daprGRPCPort: 50001
  appProtocol: "grpc"
  enableAppHealthCheck: true
  appHealthProbeInterval: 5
  maxBodySize: "8Mi"
  resourcesPaths: ["c1", "c2"]
  configFilePath: "cfg.yaml"
  command: ["node", "app.js", "-p", "1"]
ignored --log-level --metrics-port"#,
    );
    check(Program::Run, "-f .", "file .");
    check(Program::Run, "--run-file=apps.yaml", "file apps.yaml");
    check(Program::Run, "--help", "help");
    check(
        Program::Run,
        "--app-port -1 --app-protocol grpc --app-ssl \"a: b\"",
        "- appID: \"\"\n  appDirPath: \"/here\"\n  appProtocol: \"grpcs\"\n  command: [\"a: b\"]",
    );
}

#[test]
fn the_usual_arguments_of_daprd_are_read() {
    check(
        Program::Daemon,
        "--log-level=debug --app-id=abc --app-port=4000 --app-protocol=http --dapr-grpc-port=5 \
         --dapr-http-port=6 --dapr-internal-grpc-port=7 --dapr-public-port=8 --metrics-port=9 \
         --dapr-listen-addresses=127.0.0.1 --enable-app-health-check=false --resources-path=/tmp/r \
         --mode=standalone --enable-mtls=false -profile-port 10 --new-flag=x --other y --last",
        r#"
- appID: "abc"
  appDirPath: "/here"
  appPort: 4000
  daprHTTPPort: 6
  daprGRPCPort: 5
  appProtocol: "http"
  enableAppHealthCheck: false
  resourcesPaths: ["/tmp/r"]
ignored --log-level --dapr-internal-grpc-port --dapr-public-port --metrics-port --dapr-listen-addresses --mode --enable-mtls --profile-port
unknown --new-flag=x --other --last"#,
    );
    check(Program::Daemon, "--version", "version");
}

#[test]
fn what_cannot_be_read_is_told() {
    check(Program::Run, "--app-id", "no: `--app-id` needs a value");
    check(Program::Run, "--app-port x y", "no: `--app-port` is a port, not `x`");
    check(Program::Run, "--app-port 70000", "no: `--app-port` is a port, not `70000`");
    check(
        Program::Run,
        "-f x --app-id y",
        "no: `--run-file` says what runs; give neither an app nor a command",
    );
    check(
        Program::Run,
        "--app-health-threshold many",
        "no: `--app-health-threshold` is a whole number, not `many`",
    );
    check(Program::Daemon, "run", "no: `run` is not a flag");
    check(
        Program::Daemon,
        "--enable-mtls=maybe --enable-app-health-check=maybe",
        "no: `--enable-app-health-check` is true or false, not `maybe`",
    );
}

#[test]
fn what_is_written_reads_back_whatever_stands_in_it() {
    let words = ["--app-id", "a\"b\n{c}: #", "--", "x", "'\"$`\\", "\u{7f}é\t"];
    let all = Arguments::parse(Program::Run, words.map(str::to_owned)).unwrap();
    let text = all.template("/a b");
    let source = crate::source::Source::new("t", std::path::Path::new("/"), &text);
    let mut problems = crate::problems::Problems::default();
    let tree = crate::tree::parse(&source, &mut problems).unwrap();
    let app = &tree.get("apps").unwrap().items()[0];
    let text = |key: &str| app.get(key).unwrap().text().map(str::to_owned);
    assert_eq!(text("appID").unwrap(), words[1]);
    let command: Vec<&str> =
        app.get("command").unwrap().items().iter().filter_map(|item| item.text()).collect();
    assert_eq!(command, words[3..]);
}
