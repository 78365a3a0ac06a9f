//! Puts etcd under the load that the embedded engine is measured with: `kv_load_etcd PLACE SCENARIO CLIENTS SECONDS`.
//!
//! `cargo xtask bench kv` starts it; it prints one object of JSON.

#![expect(clippy::print_stdout, reason = "the result is what it is for")]

#[path = "../../adapter-embedded/examples/kv_load/load.rs"]
#[expect(dead_code, reason = "the other program that shares it uses more of it")]
mod load;

use adapter_etcd::{Config, Etcd};
use ports::kv::Kv;
use std::sync::Arc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [place, scenario, clients, seconds] = args.as_slice() else {
        panic!("kv_load_etcd PLACE SCENARIO CLIENTS SECONDS");
    };
    let number = |text: &String| text.parse().expect("a number");
    let (clients, seconds) = (number(clients), number(seconds));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the system has threads");
    let report = runtime.block_on(async {
        let config = Config::parse(&format!("etcd://{place}")).expect("the address is one");
        let kv: Arc<dyn Kv> = Arc::new(Etcd::new(&config).expect("nothing is missing"));
        match scenario.as_str() {
            "writes" => load::writes(kv, clients, seconds).await,
            "reads" => load::reads(kv, clients, seconds).await,
            "watches" => load::watches(kv, seconds).await,
            other => panic!("there is no scenario `{other}`"),
        }
    });
    println!("{}", report.json());
}
