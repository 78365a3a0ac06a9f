use super::*;
use crate::peers::About;
use async_trait::async_trait;
use ports::traffic::{AppAddresses, AppWish};
use std::{io, net::IpAddr, sync::Mutex};

/// Writes down what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Traffic for Told {
    fn route(&self, instance: &InstanceId, address: SocketAddr, _: u32) {
        self.0.lock().unwrap().push(format!("{} at {}", instance.service, address.port()));
    }
    fn unroute(&self, instance: &InstanceId) {
        self.0.lock().unwrap().push(format!("{} gone", instance.service));
    }
    fn in_flight(&self, _: &InstanceId) -> u64 {
        0
    }
    async fn idle(&self, _: &InstanceId) {}
    async fn need_address(
        &self,
        _: &ServiceName,
        _: &ServiceName,
        _: IpAddr,
    ) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
    async fn app_addresses(&self, _: &InstanceId, _: AppWish) -> io::Result<AppAddresses> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn close_app(&self, _: &InstanceId) {}
}

fn entry(file: &str, app_id: &str, port: u16, pid: u32) -> (OsString, Entry) {
    let about = About {
        app_id: app_id.to_owned(),
        address: (port > 0).then(|| ([127, 0, 0, 1], port).into()),
        protocol: "grpc",
        http_port: 1,
        grpc_port: 2,
        command: String::new(),
        run_file: None,
    };
    let mut entry = Entry::new(about);
    entry.pid = pid;
    (file.into(), entry)
}

#[test]
fn apps_of_other_processes_come_and_go() {
    let (peers, told) = (Peers::default(), Told::default());
    let (mut routed, mut next) = (Routed::new(), NUMBER_FIRST);
    let mut update = |found: &[(OsString, Entry)]| {
        peers.update(found, &mut routed, &mut next, &told);
        told.take()
    };
    let own = std::process::id();
    let other = own.wrapping_add(1);
    let all = [
        entry("1", "a", 1, other),
        entry("2", "a", 2, other),
        entry("3", "B_b", 3, other),
        entry("4", "quiet", 0, other),
        entry("5", "mine", 5, own),
    ];
    let first = update(&all);
    assert_eq!(first[..2], ["a at 1", "a at 2"]);
    assert!(first[2].starts_with("b-b-") && first.len() == 3, "{first:?}");
    assert!(update(&all).is_empty());
    assert_eq!(peers.service("B_b").unwrap().protocol, Protocol::Grpc);
    assert!(peers.service("quiet").is_none() && peers.service("mine").is_none());
    assert_eq!(update(&[entry("1", "a", 9, other)])[0], "a at 9");
    assert_eq!(update(&[]), ["a gone"]);
    assert!(peers.service("a").is_none());
}

#[test]
fn names_of_apps_that_are_no_names_stay_apart() {
    let of = |id: &str| name(id).unwrap();
    assert_eq!(of("orders").as_str(), "orders");
    assert_ne!(of("A_b"), of("a-B"));
    assert_ne!(of("é"), of("ü"));
    assert!(of(&"X".repeat(300)).as_str().len() <= 63);
}
