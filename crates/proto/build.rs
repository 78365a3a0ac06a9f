//! Compiles the definitions under `proto/` to Rust, without a `protoc` on the machine.

/// What we call.
const CLIENTS: &[&str] = &["etcd/kv.proto", "etcd/rpc.proto"];

/// What we both offer and call.
const BOTH: &[&str] = &[
    "dapr/app.proto",
    "dapr/common.proto",
    "dapr/jobs.proto",
    "dapr/runtime.proto",
    "dtm/dtm.proto",
    "dtm/workflow.proto",
    "google/rpc.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    compile(CLIENTS, false)?;
    compile(BOTH, true)?;
    Ok(())
}

fn compile(files: &[&str], is_offered: bool) -> Result<(), Box<dyn std::error::Error>> {
    if files.is_empty() {
        return Ok(());
    }
    let descriptors = protox::compile(files, ["proto"])?;
    // Bytes are shared with the buffer a message was read into: large values are not copied.
    tonic_prost_build::configure()
        .build_transport(false)
        .build_server(is_offered)
        // What a server does not say it can do, it answers with UNIMPLEMENTED.
        .generate_default_stubs(is_offered)
        .bytes(".")
        // Maps of names come in an order that tests and people can rely on.
        .btree_map(".dapr")
        .compile_fds(descriptors)?;
    Ok(())
}
