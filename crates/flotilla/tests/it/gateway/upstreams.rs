//! Servers that others wrote, behind the gateway.

use super::has;
use crate::kit::{
    System, alone,
    http::{Connection, Request},
};

/// Bytes that a server sends and gets in one message; more than all buffers on the way have together.
const LARGE: usize = 5_000_000;

/// What each server has to do: `/hello` says hello, `/large` sends `LARGE` times `x`, and a POST to `/length` is
/// answered with the length of its body.
fn check(system: &System) {
    let mut kept = Connection::open(system.gateway).unwrap();
    for _ in 0..3 {
        let answer = kept.ask(&Request::get("/app/hello?a=b%20c")).unwrap();
        assert_eq!((answer.status, answer.text().trim()), (200, "hello"));
        assert!(!answer.is_last(), "the connection is kept");
    }
    let large = kept.ask(&Request::get("/app/large")).unwrap();
    assert_eq!((large.status, large.body.len()), (200, LARGE));
    assert!(large.body.iter().all(|byte| *byte == b'x'));
    let head = kept.ask(&Request { method: "HEAD", ..Request::get("/app/hello") }).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(kept.ask(&Request::get("/app/missing")).unwrap().status, 404);
    assert_eq!(kept.ask(&Request::get("/app/hello")).unwrap().text().trim(), "hello");
}

fn check_posts(system: &System) {
    let mut kept = Connection::open(system.gateway).unwrap();
    for length in [0, 1, 100_000, LARGE] {
        let body = vec![b'y'; length];
        let post = Request { method: "POST", body, ..Request::get("/app/length") };
        let answer = kept.ask(&post).unwrap();
        assert_eq!((answer.status, answer.text().trim()), (200, length.to_string().as_str()));
    }
    // The same in chunks.
    system.file("body", &"z".repeat(300_000));
    let url = format!("http://{}/app/length", system.gateway);
    let words = ["-H", "Transfer-Encoding: chunked", "--data-binary", "@body", &url];
    let answer = super::curl(system, &words);
    assert_eq!((answer.status, answer.text().trim()), (200, "300000"));
}

/// A system with one service, and the files it needs.
fn system(run: &str, files: &[(&str, &str)]) -> System {
    let system = System::new(&format!(
        "
services: {{ app: {{ run: '{run}', health: {{ ready: /hello, start_timeout: 1m }} }} }}
gateway: {{ listen: GATEWAY, routes: {{ /app: {{ to: app, strip: true }} }} }}
"
    ));
    for (name, text) in files {
        system.file(name, text);
    }
    system.flotilla("up -d --wait-timeout 2m").expect(0);
    system
}

#[test]
fn flask_works_behind_the_gateway() {
    if !has("Flask", &["python3 -c 'import flask'", "curl --version"]) {
        return;
    }
    let app = "
import os
from flask import Flask, request
app = Flask(__name__)
app.add_url_rule('/hello', 'hello', lambda: 'hello')
app.add_url_rule('/large', 'large', lambda: 'x' * 5_000_000)
app.add_url_rule('/length', 'length', lambda: str(len(request.get_data())), methods=['POST'])
app.run(port=int(os.environ['PORT']))
";
    let system = system("python3 app.py", &[("app.py", app)]);
    check(&system);
    check_posts(&system);
    system.down();
}

#[test]
fn node_works_behind_the_gateway() {
    if !has("Node", &["node --version", "curl --version"]) {
        return;
    }
    let app = "
require('http').createServer((request, response) => {
  const url = request.url.split('?')[0];
  if (url === '/hello') return response.end('hello');
  if (url === '/large') return response.end('x'.repeat(5_000_000));
  if (url !== '/length') return response.writeHead(404).end();
  let length = 0;
  request.on('data', (piece) => { length += piece.length; });
  request.on('end', () => response.end(String(length)));
}).listen(process.env.PORT, '127.0.0.1');
";
    let system = system("node app.js", &[("app.js", app)]);
    check(&system);
    check_posts(&system);
    system.down();
}

#[test]
fn go_works_behind_the_gateway() {
    if !has("Go", &["go version", "curl --version"]) {
        return;
    }
    let _alone = alone();
    let app = r#"
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	http.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat("x", 5000000)) })
	http.HandleFunc("/length", func(w http.ResponseWriter, r *http.Request) {
		length, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, length)
	})
	if err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil); err != nil {
		panic(err)
	}
}
"#;
    let system = system_of_go(app);
    check(&system);
    check_posts(&system);
    system.down();
}

/// Built before, because a compiler takes longer than a service may take to become ready.
fn system_of_go(app: &str) -> System {
    let builder = System::empty();
    builder.file("go.mod", "module app\n\ngo 1.18\n");
    builder.file("main.go", app);
    let mut go = builder.command("go");
    go.args(["build", "-o", "app", "."]).env("GOFLAGS", "-mod=mod").env("GOPROXY", "off");
    builder.finish(&mut go).expect(0);
    let program = std::env::temp_dir().join(format!("flotilla-it-go-{}", std::process::id()));
    std::fs::rename(builder.dir().join("app"), &program).unwrap();
    let system = system(&program.display().to_string(), &[]);
    std::fs::remove_file(program).unwrap();
    system
}

#[test]
fn nginx_works_behind_the_gateway() {
    if !has("nginx", &["nginx -v"]) {
        return;
    }
    // One process with the rights of the tests; it logs to standard error and has nothing outside its folder.
    let conf = "
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  default_type text/plain;
  server {
    listen 127.0.0.1:THE_PORT;
    root www;
  }
}
";
    let start = "sed s/THE_PORT/$PORT/ nginx.conf > ready.conf && exec nginx -p \"$PWD\" -c ready.conf -e stderr\n";
    let large = "x".repeat(LARGE);
    let files =
        [("nginx.conf", conf), ("start.sh", start), ("www/hello", "hello"), ("www/large", &large)];
    let system = system("sh start.sh", &files);
    check(&system);
    // A part of a file.
    let part =
        Request::get("/app/large").header("Range", "bytes=10-19").send(system.gateway).unwrap();
    assert_eq!((part.status, part.text().as_str()), (206, "xxxxxxxxxx"));
    assert_eq!(part.header("content-range"), Some("bytes 10-19/5000000"));
    // What has not changed is not sent again.
    let etag = system.get("/app/hello").header("etag").unwrap().to_owned();
    let same =
        Request::get("/app/hello").header("If-None-Match", &etag).send(system.gateway).unwrap();
    assert_eq!((same.status, same.body.len()), (304, 0));
    let post = Request { method: "POST", body: b"x".to_vec(), ..Request::get("/app/hello") };
    assert_eq!(post.send(system.gateway).unwrap().status, 405);
    system.down();
}
