use super::*;
use base::ByteSize;
use ports::host::Program;
use std::net::IpAddr;

fn config() -> Config {
    Config {
        docker_host: None,
        system: "My Shop".to_owned(),
        state_dir: "/srv/shop/.flotilla".into(),
        lifetime: crate::Lifetime::Survives,
    }
}

fn facts() -> Facts {
    Facts {
        has_init: true,
        limits_cpu: true,
        limits_memory: true,
        limits_swap: true,
        limits_pids: true,
        cpus: 4,
    }
}

fn spec(container: Container) -> Spec {
    Spec {
        instance: InstanceId::parse("mailer/2").unwrap(),
        program: Program::Container(container),
        dir: "/srv/shop/mailer".into(),
        env: BTreeMap::from([("PORT".to_owned(), "80".to_owned())]),
        port: Some(31_000),
        limits: Limits { cpu: Some(1.5), memory: Some(ByteSize(64 << 20)), pids: Some(20) },
        labels: BTreeMap::from([("hash".to_owned(), "a \"b\"".to_owned())]),
    }
}

fn planned(container: Container, facts: &Facts) -> Result<ContainerCreateBody, Error> {
    let network = Network { name: "net".to_owned(), gateway: Some(IpAddr::from([172, 18, 0, 1])) };
    body(&spec(container.clone()), &container, HashMap::new(), facts, &network)
}

#[test]
fn labels_read_back_what_was_written() {
    let container = Container { port: Some(80), ..Container::default() };
    let run = run_id(&config(), &InstanceId::parse("mailer/2").unwrap(), [1, 2, 3, 4]);
    assert_eq!(&*run.0, "flotilla-my-shop-mailer-2-01020304");
    let labels = Labels::new(run, &spec(container.clone()), &container, Timestamp(7));
    let mut written = labels.write(&config());
    assert_eq!(Labels::read(&written), Some(labels));
    written.remove(LABEL_RUN);
    assert_eq!(Labels::read(&written), None, "somebody else's container");
}

#[test]
fn ports_are_published_on_loopback_only() {
    let container = Container {
        port: Some(80),
        publish: vec![(9000, 9000), (8080, 80)],
        ..Container::default()
    };
    let body = planned(container, &facts()).unwrap();
    let bindings = body.host_config.unwrap().port_bindings.unwrap();
    let ports = |inner: &str| -> Vec<String> {
        let all = bindings[inner].as_ref().unwrap().iter();
        all.map(|b| format!("{}:{}", b.host_ip.as_ref().unwrap(), b.host_port.as_ref().unwrap()))
            .collect()
    };
    assert_eq!(ports("80/tcp"), ["127.0.0.1:31000", "127.0.0.1:8080"]);
    assert_eq!(ports("9000/tcp"), ["127.0.0.1:9000"]);
    assert_eq!(body.exposed_ports.unwrap(), ["80/tcp", "9000/tcp"]);
}

#[test]
fn mounts_start_from_the_services_folder_and_bad_ones_are_refused() {
    let with =
        |volume: &str| Container { volumes: vec![volume.to_owned()], ..Container::default() };
    for (volume, bind) in [
        ("/etc/x:/x:ro", "/etc/x:/x:ro"),
        ("./conf:/conf", "/srv/shop/mailer/conf:/conf"),
        ("../shared/a:/a", "/srv/shop/shared/a:/a"),
        ("data:/var/lib", "data:/var/lib"),
    ] {
        let body = planned(with(volume), &facts()).unwrap();
        assert_eq!(body.host_config.unwrap().binds.unwrap(), [bind]);
    }
    let body = planned(with("/cache"), &facts()).unwrap();
    assert_eq!(body.volumes.unwrap(), ["/cache"]);
    for bad in ["data", "data:relative", ":/x", ""] {
        assert!(matches!(planned(with(bad), &facts()), Err(Error::Refused(_))), "{bad}");
    }
}

#[test]
fn limits_the_engine_cannot_enforce_are_left_out_instead_of_failing_the_start() {
    let full = planned(Container::default(), &facts()).unwrap().host_config.unwrap();
    assert_eq!(
        (full.nano_cpus, full.memory, full.memory_swap, full.pids_limit),
        (Some(1_500_000_000), Some(64 << 20), Some(64 << 20), Some(20))
    );
    let few = planned(Container::default(), &Facts { cpus: 1, ..facts() }).unwrap();
    assert_eq!(few.host_config.unwrap().nano_cpus, Some(1_000_000_000), "one core is all there is");
    let none = Facts { limits_cpu: false, limits_memory: false, limits_pids: false, ..facts() };
    let bare = planned(Container::default(), &none).unwrap().host_config.unwrap();
    assert_eq!(
        (bare.nano_cpus, bare.memory, bare.memory_swap, bare.pids_limit),
        (None, None, None, None)
    );
}

#[test]
fn signals_reach_the_group_only_where_there_is_an_init() {
    let env = |facts| planned(Container::default(), &facts).unwrap().env.unwrap();
    assert_eq!(env(facts()), ["PORT=80", INIT_SIGNALS_GROUP]);
    assert_eq!(env(Facts { has_init: false, ..facts() }), ["PORT=80"]);
}
