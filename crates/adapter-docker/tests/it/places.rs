//! Where containers are reached, and whom they reach.

use crate::support::{Fixture, free_port, get, shell, until};
use ports::host::{Container, Host, Program};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
};

const SERVE: &str =
    "echo hello from $NAME >/srv/index.html; exec httpd -f -p ${LISTEN:-$PORT} -h /srv";

fn with(spec: &mut ports::host::Spec, change: impl FnOnce(&mut Container)) {
    if let Program::Container(container) = &mut spec.program {
        change(container);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_reached_on_loopback_at_its_port_and_at_its_address() {
    let Some(fixture) = Fixture::new().await else { return };
    let mut spec = shell("web/1", SERVE);
    let port = free_port();
    spec.port = Some(port);
    spec.env = [("PORT", port.to_string()), ("NAME", "one".to_owned())]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
    let mut other = shell("fixed/1", SERVE);
    let (fixed, extra) = (free_port(), free_port());
    other.port = Some(fixed);
    other.env =
        [("LISTEN", "80"), ("NAME", "two")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    with(&mut other, |container| {
        container.port = Some(80);
        container.publish = vec![(extra, 80)];
    });
    let run = fixture.start(&spec).await;
    let second = fixture.start(&other).await;
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    for (address, name) in [
        (local(port), "one"),
        (run.address.unwrap(), "one"),
        (local(fixed), "two"),
        (local(extra), "two"),
        (second.address.unwrap(), "two"),
    ] {
        until(&format!("{name} at {address}"), async || {
            get(address).await.contains(&format!("hello from {name}"))
        })
        .await;
    }
    if second.pid.is_some() {
        assert_eq!(fixture.host.listening(&run.id).await.unwrap(), [local(port)]);
        assert_eq!(fixture.host.listening(&second.id).await.unwrap(), [local(fixed)]);
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_find_each_other_by_service_name() {
    let Some(fixture) = Fixture::new().await else { return };
    let mut web = shell("web/1", SERVE);
    web.env = [("LISTEN", "80"), ("NAME", "web")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    fixture.start(&web).await;
    let ask = "until wget -q -O - http://web/; do sleep 0.1; done";
    let run = fixture.start(&shell("caller/1", ask)).await;
    fixture.host.wait(&run.id).await.unwrap();
    assert_eq!(fixture.lines.out(), ["hello from web"]);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_reach_this_machine_where_the_host_says() {
    let Some(fixture) = Fixture::new().await else { return };
    fixture.host.check().await.unwrap();
    let ip = fixture.host.reach();
    if ip.is_loopback() {
        // The engine's networks end elsewhere; there is nothing to listen on.
        return fixture.end().await;
    }
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = runtime::thread("answers twice", move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            drop(stream.read(&mut [0; 1024]));
            drop(stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom outside\n"));
        }
    })
    .unwrap();
    let ask = format!(
        "wget -q -O - http://{ip}:{port}/; wget -q -O - http://host.docker.internal:{port}/"
    );
    let run = fixture.start(&shell("caller/1", &ask)).await;
    fixture.host.wait(&run.id).await.unwrap();
    assert_eq!(fixture.lines.out(), ["from outside", "from outside"]);
    runtime::blocking(move || server.join().unwrap()).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_user_and_folder_are_as_asked() {
    let Some(fixture) = Fixture::new().await else { return };
    let dir = fixture.config.state_dir.join("service");
    std::fs::create_dir_all(dir.join("conf")).unwrap();
    std::fs::write(dir.join("conf/greeting"), "mounted\n").unwrap();
    let mut spec = shell(
        "job/1",
        "cat greeting; id -u; (echo x > new) 2>/dev/null && echo wrote || echo read only",
    );
    spec.dir = dir;
    with(&mut spec, |container| {
        container.volumes = vec!["./conf:/conf:ro".to_owned()];
        container.workdir = Some("/conf".to_owned());
        container.user = Some("1000".to_owned());
    });
    let run = fixture.start(&spec).await;
    fixture.host.wait(&run.id).await.unwrap();
    assert_eq!(fixture.lines.out(), ["mounted", "1000", "read only"]);
    fixture.end().await;
}
