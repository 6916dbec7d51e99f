//! Makes the files of `tests/golden/SCHEMA`: a registry as this modelyard writes it.
//!
//! ```sh
//! cargo run -p modelyard-registry --example golden -- crates/registry/tests/golden/1
//! ```
//!
//! The files of a schema are made once and never again: later versions of modelyard must read what
//! former ones wrote. `tests/golden.rs` states what is in them.

#![allow(clippy::unwrap_used, reason = "a tool for developers that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use modelyard_registry::keys::Signer;
use modelyard_registry::{
    About, Actor, AliasName, Archive, Begin, Lineage, ModelName, Parent, Publication, Registry,
    Signature, State, Tensor,
};
use serde_json::json;

/// The key that signs: golden files keep no secret.
const SEED: [u8; 32] = [7; 32];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Some(root) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("expected the folder to make, such as crates/registry/tests/golden/1");
        std::process::exit(2);
    };
    let registry = Registry::open(&root).await.unwrap();
    fill(&registry, &root.join("tmp")).await;
    let first = registry.find(&"digits:1".parse().unwrap()).await.unwrap();
    std::fs::write(root.join("manifest.json"), &first.bytes).unwrap();
    let backup = Archive::parse(root.join("backup").to_str().unwrap()).unwrap();
    registry.back_up(&backup, &at(11)).await.unwrap();
    registry.close().await;
    for tmp in ["tmp", "backup/tmp"] {
        std::fs::remove_dir_all(root.join(tmp)).unwrap();
    }
}

/// Publishes, moves, deprecates and removes.
async fn fill(registry: &Registry, aside: &Path) {
    let digits: ModelName = "digits".parse().unwrap();
    let stable: AliasName = "stable".parse().unwrap();
    let signer = Signer::new(&SEED);
    let first = publication("digits", &[("model.onnx", "graph one"), ("w.bin", "weights")], aside);
    let first = Publication { about: about(), ..first };
    let first = registry.publish(&first, Some(&signer), &at(1)).await.unwrap();
    registry.set_alias(&digits, &stable, 1, &at(2)).await.unwrap();
    let mut second =
        publication("digits", &[("model.onnx", "graph two"), ("w.bin", "weights")], aside);
    let parent = Parent { model: digits.clone(), version: 1, manifest: first.manifest };
    second.about.lineage = Lineage { parent: Some(parent), ..Lineage::default() };
    second.aliases = vec!["canary".parse().unwrap()];
    registry.publish(&second, None, &at(3)).await.unwrap();
    registry.set_alias(&digits, &stable, 2, &at(4)).await.unwrap();
    registry.roll_back(&digits, &stable, &at(5)).await.unwrap();
    let third = publication("digits", &[("model.onnx", "graph three")], aside);
    registry.publish(&third, None, &at(6)).await.unwrap();
    registry.set_state(&digits, 3, State::Removed, &at(7)).await.unwrap();
    let other = publication("words", &[("model.onnx", "graph of words")], aside);
    registry.publish(&other, None, &at(8)).await.unwrap();
    registry.set_state(&other.model, 1, State::Deprecated, &at(9)).await.unwrap();
    roll_out(registry, (&digits, &stable)).await;
}

/// A rollout that is under way.
async fn roll_out(registry: &Registry, (model, alias): (&ModelName, &AliasName)) {
    let (plan, state, stage) = ("{\"plan\":1}", "{\"state\":1}", "in step 1");
    let (candidate, sticky) = (2, Some("x-user"));
    let begin = Begin { model, alias, candidate, plan, sticky, state, stage };
    registry.begin_rollout(&begin, &at(10)).await.unwrap();
    registry.report_figures((model, "1/7"), "replica", "{\"figures\":1}").await.unwrap();
}

fn at(now_us: i64) -> Actor {
    Actor { name: "golden@here".into(), now_us, why: format!("step {now_us}") }
}

fn publication(model: &str, files: &[(&str, &str)], aside: &Path) -> Publication {
    let file = |&(name, text): &(&str, &str)| {
        let path = aside.join(name);
        std::fs::write(&path, text).unwrap();
        (name.to_owned(), path)
    };
    Publication {
        model: model.parse().unwrap(),
        files: files.iter().map(file).collect(),
        about: About::default(),
        notes: "made to last".into(),
        tags: ["tiny".to_owned()].into(),
        aliases: Vec::new(),
    }
}

/// All that can be said of a version.
fn about() -> About {
    let tensor = |name: &str, datatype: &str, shape: &[i64]| Tensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
    };
    About {
        signature: Signature {
            inputs: vec![tensor("image", "FP32", &[-1, 784])],
            outputs: vec![tensor("class", "INT64", &[-1])],
        },
        opsets: BTreeMap::from([("ai.onnx".into(), 17)]),
        engine: Some("rten".into()),
        labels: BTreeMap::from([("class".into(), vec!["zero".into(), "eins, é".into()])]),
        preprocessing: Some(json!({"mean": [0.5]})),
        metrics: BTreeMap::from([("accuracy".into(), 0.965)]),
        lineage: Lineage {
            source: Some(json!({"format": "keras"})),
            optimized: Some(json!({"quantized": "dynamic"})),
            training: Some(json!({"epochs": 3})),
            parent: None,
        },
    }
}
