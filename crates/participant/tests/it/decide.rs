//! Asking a node for a decision.

use crate::bank::run;
use flotilla_participant::{Decide as _, Decision, HttpDecide};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// What is asked of a node that answers so, and what is made of it.
async fn ask(gid: &str, answer: &str) -> (String, Result<Decision, String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    let decide = HttpDecide::new(&url).unwrap();
    let (line, decision) = tokio::join!(serve, decide.decide(gid));
    (line, decision.map_err(|error| error.to_string()))
}

fn json(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_decision_is_asked_for_by_the_name_of_the_transaction() {
    run(async {
        for (word, decision) in [
            ("commit", Decision::Commit),
            ("abort", Decision::Abort),
            ("undecided", Decision::Undecided),
        ] {
            let body = format!("{{\"gid\":\"a/b\",\"decision\":\"{word}\"}}");
            let (line, answer) = ask("a/b", &json(&body)).await;
            assert_eq!(line, "GET /v1/tx/a%2Fb/decision HTTP/1.1");
            assert_eq!(answer, Ok(decision));
        }
    });
}

#[test]
fn an_answer_without_a_decision_decides_nothing() {
    run(async {
        for answer in [
            json("{}"),
            json("{\"decision\":\"maybe\"}"),
            json("commit"),
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{\"decision\":".to_owned(),
            String::new(),
        ] {
            let (_, decision) = ask("a", &answer).await;
            assert!(decision.is_err(), "{answer}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert!(HttpDecide::new(&url).unwrap().decide("a").await.is_err());
        for url in ["", "127.0.0.1:3500", "https://node", "/v1"] {
            assert!(HttpDecide::new(url).is_err(), "{url}");
        }
    });
}
