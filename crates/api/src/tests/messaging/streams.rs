//! Streams of events, and jobs.

use super::{super::blocks::refused, *};
use crate::{
    EventPage, EventQuestion,
    wire::{jobs, streams},
};

fn event(kind: &str, id: &str) -> streams::NewEvent {
    let data = Some(RawValue::from_string("{\n\"n\":1}".to_owned()).unwrap());
    streams::NewEvent {
        id: Some(id.to_owned()),
        kind: kind.to_owned(),
        tags: vec!["t".to_owned()],
        data,
        ..streams::NewEvent::default()
    }
}

fn append(expected: &str, events: Vec<streams::NewEvent>) -> streams::Append {
    streams::Append { expected: Some(expected.to_owned()), events }
}

#[tokio::test]
async fn events_are_appended_where_they_are_expected() {
    let Setup { client, .. } = &setup().await;
    let name = "account-7/a";
    let opened = append("no_stream", vec![event("opened", "1"), event("noted", "2")]);
    let done = client.append(name, &opened).await.unwrap();
    assert_eq!((done.revision, done.position, done.duplicate), (1, 2, false));
    assert!(client.append(name, &opened).await.unwrap().duplicate);
    let (status, body) =
        refused(client.append(name, &append("0", vec![event("closed", "3")])).await);
    assert_eq!((status, body.code.as_str()), (409, "wrong_revision"));
    let conflict = body.conflict.unwrap();
    assert_eq!((conflict.key.as_str(), conflict.found.as_deref()), (name, Some("1")));
    let odd = append("sometimes", vec![event("closed", "3")]);
    assert_eq!(refused(client.append(name, &odd).await).0, 400);
    client.append(name, &append("1", vec![event("closed", "3")])).await.unwrap();
    client.append("other", &append("any", vec![event("opened", "1")])).await.unwrap();

    let revisions = |found: &streams::Events| -> Vec<u64> {
        found.events.iter().map(|event| event.revision).collect()
    };
    let all = client.stream_events(name, EventPage::default()).await.unwrap();
    assert_eq!((revisions(&all), all.next), (vec![0, 1, 2], None));
    assert_eq!(all.events[0].data.as_ref().unwrap().get(), "{\n\"n\":1}");
    let page = EventPage { limit: Some(2), is_backwards: true, from: None };
    let back = client.stream_events(name, page).await.unwrap();
    assert_eq!((revisions(&back), back.next), (vec![2, 1], Some(0)));
    assert_eq!(refused(client.stream_events("none", page).await).1.code, "unknown_stream");
    let question = EventQuestion {
        category: None,
        kinds: vec!["opened".into(), "closed".into()],
        tags: vec!["t".into()],
    };
    let found = client.all_stream_events(&question, EventPage::default()).await.unwrap();
    let positions: Vec<u64> = found.events.iter().map(|event| event.position).collect();
    assert_eq!(positions, [1, 3, 4]);

    let listed = client.streams(None, None, Some(1)).await.unwrap();
    assert_eq!((listed.streams[0].name.as_str(), listed.next.as_deref()), (name, Some("other")));
    assert_eq!((listed.total, listed.position), (2, 4));
    let rest = client.streams(None, listed.next.as_deref(), None).await.unwrap();
    assert_eq!((rest.streams.len(), rest.next), (1, None));
}

#[tokio::test]
async fn events_come_as_a_stream_after_those_that_are_there() {
    let Setup { client, .. } = &setup().await;
    let question = EventQuestion { category: Some("a".into()), ..EventQuestion::default() };
    let mut one = client.stream_events_stream("a-1", 0).await.unwrap();
    let mut all = client.all_stream_events_stream(&question, 1).await.unwrap();
    client.append("b-1", &append("any", vec![event("x", "1")])).await.unwrap();
    for number in 0..40 {
        let id = number.to_string();
        client.append("a-1", &append("any", vec![event("x", &id)])).await.unwrap();
        client.append("a-2", &append("any", vec![event("y", &id)])).await.unwrap();
    }
    for number in 0..40 {
        let item = within(one.next()).await.unwrap().unwrap();
        assert_eq!((item.id, item.data.revision), (number, number));
    }
    for number in 2..82 {
        let item = within(all.next()).await.unwrap().unwrap();
        assert_eq!((item.id, item.data.position), (number, number));
    }
    let mut resumed = client.stream_events_stream("a-2", 38).await.unwrap();
    for revision in 38..40 {
        assert_eq!(within(resumed.next()).await.unwrap().unwrap().data.revision, revision);
    }
    let mut end = client.stream_events_stream("a-2", 40).await.unwrap();
    client.append("a-2", &append("39", vec![event("z", "40")])).await.unwrap();
    assert_eq!(within(end.next()).await.unwrap().unwrap().data.kind, "z");
}

#[tokio::test]
async fn snapshots_and_subscriptions_to_streams_are_shown() {
    let Setup { client, fake, .. } = &setup().await;
    client.append("a-1", &append("any", vec![event("x", "1"), event("y", "2")])).await.unwrap();
    let (status, body) = refused(client.stream_snapshot("a-1").await);
    assert_eq!((status, body.message.as_str()), (404, "stream `a-1` has no snapshot"));
    let handle = fake.messaging().unwrap();
    let snapshot = events::Snapshot {
        revision: 1,
        content_type: None,
        data: bytes::Bytes::from_static(b"{\"sum\":2}"),
    };
    assert!(handle.streams().put_snapshot("a-1", snapshot).await.unwrap());
    let found = client.stream_snapshot("a-1").await.unwrap();
    assert_eq!((found.revision, found.data.unwrap().get()), (1, "{\"sum\":2}"));
    assert_eq!(client.event_stream_status("a-1").await.unwrap().snapshot, Some(1));

    let position = |wanted: u64| async move {
        until(|| async {
            let all = client.stream_subscriptions().await.unwrap().subscriptions;
            all.into_iter().find(|it| it.position == wanted && it.lag == 2 - wanted)
        })
        .await
    };
    assert_eq!(position(2).await.name, "totals");
    let reset = streams::Reset { position: 0 };
    assert_eq!(client.reset_stream_subscription("totals", &reset).await.unwrap(), reset);
    until(|| async {
        let all = client.stream_subscriptions().await.unwrap().subscriptions;
        all.into_iter().find(|it| it.done == 4)
    })
    .await;
    assert_eq!(refused(client.reset_stream_subscription("total", &reset).await).0, 404);
}

#[tokio::test]
async fn jobs_are_listed_run_and_deleted() {
    let Setup { client, fake, .. } = &setup().await;
    let job = events::Job {
        owner: "orders".into(),
        name: "remind/7".into(),
        schedule: Some("@every 1h".into()),
        due: None,
        repeats: Some(3),
        ttl: None,
        overwrite: false,
        retry: None,
        data: bytes::Bytes::from_static(b"{\"id\":7}"),
        type_url: String::new(),
    };
    let service = ServiceName::new("users").unwrap();
    let to = events::Target::post(service, "/remind");
    fake.messaging().unwrap().jobs().schedule(job, to).await.unwrap();
    let all = until(|| async {
        let all = client.jobs(None).await.unwrap().jobs;
        (all.len() == 2).then_some(all)
    });
    let names: Vec<String> =
        all.await.into_iter().map(|job| format!("{}/{}", job.owner, job.name)).collect();
    assert!(names.contains(&"file/nightly".to_owned()), "{names:?}");
    let own = client.jobs(Some("orders")).await.unwrap().jobs;
    assert_eq!((own.len(), own[0].data.as_ref().unwrap().get()), (1, "{\"id\":7}"));
    let job = client.job("orders", "remind/7").await.unwrap();
    assert_eq!((job.schedule.as_deref(), job.repeats, job.runs), (Some("@every 1h"), Some(3), 0));
    assert!(job.next_at.is_some());
    assert!(client.run_job("orders", "remind/7").await.unwrap().started);
    let run = until(|| async {
        let last = client.job("orders", "remind/7").await.unwrap().last;
        last.filter(|run| run.outcome == jobs::Outcome::Done)
    });
    assert_eq!(run.await.attempts, 1);
    client.run_job("file", "nightly").await.unwrap();
    until(|| async {
        let found = client.messages("nights", "beginning", None).await;
        found.ok().filter(|found| !found.messages.is_empty())
    })
    .await;
    assert!(client.delete_job("orders", "remind/7").await.unwrap().deleted);
    assert_eq!(refused(client.delete_job("orders", "remind/7").await).0, 404);
    assert_eq!(refused(client.job("file", "nightl").await).0, 404);
    assert_eq!(refused(client.run_job("orders", "none").await).0, 404);
}
