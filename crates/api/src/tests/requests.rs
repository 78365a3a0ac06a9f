//! Finished requests: what is kept, what comes live, what is asked for.

use super::*;

impl Fake {
    /// A request was finished.
    pub(super) fn answered(&self, path: &str, status: u16) {
        let took = Duration::from_micros(1_500);
        let record = Record {
            at: Timestamp(1_700_000_000_000_000),
            method: "GET".into(),
            host: "shop.example".into(),
            path: path.into(),
            query: Some("page=1&token=hidden".into()),
            status,
            duration: took,
            first_byte: (status != 0).then_some(took),
            bytes_in: 3,
            bytes_out: 7,
            client: "127.0.0.1:4711".parse().unwrap(),
            protocol: Protocol::Http2,
            is_tls: true,
            caller: Some(ServiceName::new("cleanup").unwrap()),
            route: Some("/a".into()),
            service: Some(ServiceName::new("users").unwrap()),
            instance: Some(InstanceId::parse("users/1").unwrap()),
            retries: 1,
            trace: Some("0123456789abcdef0123456789abcdef".into()),
            user_agent: Some("curl".into()),
            referer: Some("https://shop.example/x?code=hidden".into()),
            refusal: (status == 503).then_some("no_instance"),
            error: None,
        };
        self.requests.record(0, &record.summary(), || record.clone());
    }
}

fn paths(requests: &wire::Requests) -> Vec<(&str, Option<u16>)> {
    requests.requests.iter().map(|request| (&*request.path, request.status)).collect()
}

#[tokio::test]
async fn failed_requests_can_be_read_later_and_all_of_them_live() {
    let Setup { fake, client, .. } = &setup().await;
    fake.answered("/a/1", 200);
    fake.answered("/a/2", 503);
    fake.answered("/b/3", 500);
    fake.answered("/b/4", 0);
    let all = client.requests(&wire::RequestQuery::default()).await.unwrap();
    let query = "?page=1&token=REDACTED";
    let expected = [("/a/2", Some(503)), ("/b/3", Some(500)), ("/b/4", None)];
    let with_query: Vec<_> =
        expected.map(|(path, status)| (format!("{path}{query}"), status)).into();
    let found: Vec<_> =
        paths(&all).into_iter().map(|(path, status)| (path.to_owned(), status)).collect();
    assert_eq!(found, with_query);
    let first = &all.requests[0];
    assert_eq!((first.duration_ms, first.first_byte_ms), (1.5, Some(1.5)));
    assert_eq!(first.referer.as_deref(), Some("https://shop.example/x?code=REDACTED"));
    assert_eq!(first.refusal.as_deref(), Some("no_instance"));

    let question = wire::RequestQuery {
        services: vec!["users".into()],
        statuses: vec!["5xx".into()],
        path: Some("/b".into()),
        slower: Some("1ms".into()),
        tail: Some(1),
    };
    assert_eq!(client.requests(&question).await.unwrap().requests.len(), 1);
    let mut stream = client.request_stream(&question).await.unwrap();
    let batch = within(stream.next()).await.unwrap().expect("the stream goes on");
    assert_eq!(paths(&batch.data), [("/b/3?page=1&token=REDACTED", Some(500))]);
    for number in 0..1_200 {
        fake.answered("/b/live", if number % 2 == 0 { 502 } else { 200 });
    }
    let mut count = 0;
    while count < 600 {
        let batch = within(stream.next()).await.unwrap().expect("the stream goes on").data;
        assert_eq!(batch.dropped, 0);
        assert!(batch.requests.iter().all(|request| request.status == Some(502)));
        count += batch.requests.len();
    }
    assert_eq!(count, 600);
}

#[tokio::test]
async fn requests_come_as_lines_of_json_for_scripts_and_bad_questions_are_refused() {
    let setup = setup().await;
    setup.fake.answered("/a", 500);
    setup.fake.answered("/b", 501);
    let bearer = bearer();
    let headers = [HOST, &bearer, "Accept: application/x-ndjson"];
    let page = raw(setup.address, "GET /v1/requests?tail=1", &headers, "").await;
    let lines: Vec<wire::FinishedRequest> =
        page.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0].status), (1, Some(501)));
    for bad in ["status=6xx", "slower=soon", "service=a%20b", "colour=red"] {
        let answer =
            raw(setup.address, &format!("GET /v1/requests?{bad}"), &[HOST, &bearer], "").await;
        assert_eq!(answer.status, 400, "{bad}");
    }
}
