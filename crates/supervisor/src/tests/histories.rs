//! Random histories: whatever is asked in whatever order, it ends where it was asked to.

use crate::{
    Phase, RunRequest, Target,
    testing::{Make, Node, job, name, service},
};
use manifest::{Program, System};
use ports::host::Exit;
use std::time::Duration;

/// A small generator (Steele, Lea, Flood 2014, `SplitMix64`), so that a seed tells the whole history.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

const NAMES: [&str; 4] = ["db", "users", "web", "import"];

/// Some file or other: services may be missing, broken, built, scaled.
fn file(random: &mut Random, healthy: bool) -> Vec<Make> {
    let lines: &[&str] = if healthy {
        &["ok", "ok, v2", "ok, ready after 2000 ms", "ok, stop takes 3000 ms", "ok, ignore term"]
    } else {
        &["ok", "exit 1", "never ready", "refused", "ignore term", "exit 0, leftover"]
    };
    let builds: &[&str] = if healthy { &["exit 0 after 500 ms"] } else { &["exit 1", "exit 0"] };
    let mut services = Vec::new();
    for name in &NAMES[..3] {
        if !healthy && random.below(6) == 0 {
            continue;
        }
        let count = u32::try_from(random.below(4)).unwrap();
        let mut make = service(name, random.pick(lines)).instances(count);
        let present: Vec<String> = services.iter().map(|m: &Make| m.0.name.to_string()).collect();
        if let Some(need) = present.last().filter(|_| random.below(2) == 0) {
            let empty = services.last().is_some_and(|m: &Make| m.0.instances == 0);
            make = if empty { make } else { make.needs(need) };
        }
        if random.below(4) == 0 {
            make = make.build(random.pick(builds));
        }
        services.push(make);
    }
    let work: &[&str] = if healthy { &["exit 0 after 700 ms"] } else { &["exit 0", "exit 1"] };
    services.push(job(NAMES[3], random.pick(work)));
    services
}

async fn deed(node: &Node, random: &mut Random) {
    let service = name(random.pick(&NAMES));
    let instance = format!("{service}/{}", 1 + random.below(4));
    // What is refused is refused; what counts is where it ends.
    match random.below(12) {
        0 => drop(node.apply(&file(random, false)).await),
        1 => drop(node.apply(&file(random, true)).await),
        2 => drop(node.handle.scale(&service, u32::try_from(random.below(5)).unwrap()).await),
        3 => drop(node.handle.restart(&Target::Service(service)).await),
        4 => drop(node.handle.restart(&Target::All).await),
        5 => {
            let target = Target::Instance(base::InstanceId::parse(&instance).unwrap());
            drop(node.handle.restart(&target).await);
        }
        6 => drop(node.handle.stop_service(&service).await),
        7 => drop(node.handle.start_service(&service).await),
        8 => node.world.crash(&instance, &Exit::Signal(9)),
        9 => {
            let program = Some(Program::Shell(random.pick(&["exit 0", "ignore term"]).to_owned()));
            let request = RunRequest { service, program, env: [].into() };
            drop(node.handle.run(request).await);
        }
        10 => node.world.change(|w| {
            if !w.sick.remove(&instance) {
                w.sick.insert(instance);
            }
        }),
        _ => tokio::time::sleep(Duration::from_millis(random.below(5_000))).await,
    }
}

async fn history(seed: u64) {
    let mut random = Random(seed);
    let mut node = Node::start(&file(&mut random, true)).await;
    for _ in 0..random.below(40) {
        deed(&node, &mut random).await;
        if random.below(20) == 0 {
            let (world, system) = node.die().await;
            let services = file(&mut random, false).into_iter().map(|make| make.0).collect();
            node = Node::start_in(world, System { services, ..system }).await;
        }
        let instances: usize =
            node.handle.status().services.iter().map(|s| s.instances.len()).sum();
        assert!(instances < 150, "seed {seed}: they pile up\n{}", node.show());
    }
    if random.below(4) == 0 {
        return node.stop().await;
    }
    node.world.change(|w| w.sick.clear());
    let last = file(&mut random, true);
    node.apply(&last).await;
    for make in &last {
        node.handle.start_service(&make.0.name).await.unwrap();
        if make.0.kind == manifest::Kind::Service {
            node.handle.scale(&make.0.name, make.0.instances).await.unwrap();
        }
    }
    node.until(&format!("seed {seed}: all is ready"), |status| {
        status.phase == Phase::Ready && status.services.len() == last.len()
    })
    .await;
    for make in last.iter().filter(|make| make.0.kind == manifest::Kind::Service) {
        let service = node.of(make.0.name.as_str());
        assert_eq!(service.ready, make.0.instances, "seed {seed}\n{}", node.show());
        let routed = node.world.routed();
        let prefix = format!("{}/", make.0.name);
        let routed = routed.iter().filter(|id| id.starts_with(&prefix)).count();
        assert_eq!(routed, make.0.instances as usize, "seed {seed}\n{}", node.show());
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_history_ends_settled_and_a_stop_leaves_nothing() {
    for seed in 0..60 {
        history(seed).await;
    }
}
