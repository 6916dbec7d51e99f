//! The committed protobuf code is what its `.proto` files give.
//!
//! Building Modelyard needs no protoc and runs no generator: the Rust code and the descriptor set
//! lie beside the `.proto` files. After a change there, `MODELYARD_BLESS=1 cargo test -p
//! modelyard-server --test codegen` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

const SOURCES: [&str; 2] = ["grpc_service.proto", "model_config.proto"];
/// Rust code, and the descriptors that server reflection answers with.
const GENERATED: [&str; 2] = ["inference.rs", "inference.bin"];

#[test]
fn committed_code_is_what_the_proto_files_give() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let fresh = tempfile::tempdir().unwrap();
    generate(&proto, fresh.path());
    for name in GENERATED {
        let (committed, fresh) = (proto.join(name), fresh.path().join(name));
        if std::env::var_os("MODELYARD_BLESS").is_some() {
            std::fs::copy(&fresh, &committed).unwrap();
        }
        let same = std::fs::read(&committed).ok() == std::fs::read(&fresh).ok();
        assert!(same, "{} is stale: see the top of this test", committed.display());
    }
}

fn generate(proto: &Path, target: &Path) {
    let sources: Vec<PathBuf> = SOURCES.iter().map(|name| proto.join(name)).collect();
    let mut descriptors = protox::compile(&sources, [proto]).unwrap();
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .build_server(false)
        .build_transport(false)
        .out_dir(target)
        .compile_fds(descriptors.clone())
        .unwrap();
    for file in &mut descriptors.file {
        // Comments are for the Rust code; reflection has no use for them.
        file.source_code_info = None;
    }
    std::fs::write(target.join(GENERATED[1]), prost::Message::encode_to_vec(&descriptors)).unwrap();
}
