//! What former versions of modelyard wrote is read, and written on: `tests/golden/SCHEMA` holds files
//! that are never changed. `examples/golden.rs` made them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use modelyard_registry::keys::{Signer, verify};
use modelyard_registry::{
    About, Actor, Archive, Manifest, Publication, Reference, Registry, RegistryError, State,
};
use serde_json::json;

/// A copy of a golden registry.
struct Golden {
    folder: tempfile::TempDir,
}

impl Golden {
    fn copy(schema: u32) -> Golden {
        let folder = tempfile::TempDir::new().unwrap();
        copy(&golden(schema), &folder.path().join("registry"));
        Golden { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("registry")
    }
}

fn golden(schema: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(schema.to_string())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn actor() -> Actor {
    Actor { name: "reader".into(), now_us: 100, why: String::new() }
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// Every schema that there was, and the lines that its log has.
const SCHEMAS: [(u32, u64); 2] = [(1, 10), (2, 11)];

#[tokio::test]
async fn a_registry_of_every_schema_is_read() {
    for (schema, _) in SCHEMAS {
        read(schema).await;
    }
}

async fn read(schema: u32) {
    let golden = Golden::copy(schema);
    let registry = Registry::open(&golden.root()).await.unwrap();
    let models = registry.models().await.unwrap();
    let models: Vec<_> =
        models.iter().map(|entry| (entry.name.as_str(), entry.versions, entry.latest)).collect();
    assert_eq!(models, [("digits", 2, Some(2)), ("words", 1, None)]);
    let digits = "digits".parse().unwrap();
    let states: Vec<State> =
        (registry.versions(&digits).await.unwrap().iter()).map(|version| version.state).collect();
    assert_eq!(states, [State::Active, State::Active, State::Removed]);
    let aliases: Vec<_> = (registry.aliases(&digits).await.unwrap().iter())
        .map(|alias| (alias.name.to_string(), alias.version, alias.epoch))
        .collect();
    assert_eq!(aliases, [("canary".into(), 2, 1), ("stable".into(), 1, 3)]);
    let events = registry.events(None, 100).await.unwrap();
    let actions: Vec<&str> = events.iter().rev().map(|event| event.action.as_str()).collect();
    assert_eq!(
        actions[..10],
        [
            "publish",
            "alias",
            "publish",
            "alias",
            "alias",
            "rollback",
            "publish",
            "remove",
            "publish",
            "deprecate"
        ]
    );
    let rollback = events.iter().find(|event| event.action == "rollback").unwrap();
    assert_eq!((rollback.was.as_str(), rollback.now.as_str()), ("2", "1"));
    assert_eq!((rollback.at_us, rollback.why.as_str()), (5, "step 5"));
    let second = registry.find(&reference("digits:canary")).await.unwrap();
    let parent = second.manifest.about.lineage.parent.unwrap();
    assert_eq!((parent.version, parent.manifest.short().as_str()), (1, PARENT));
    let found = registry.fsck((false, Duration::ZERO), &actor()).await.unwrap();
    assert_eq!((found.versions, found.contents, found.faults), (4, 5, Vec::new()));
}

/// The first digits of the digest of the manifest of `digits:1`.
const PARENT: &str = "ecbcd449f5f8";

#[tokio::test]
async fn a_rollout_of_schema_2_is_under_way() {
    let golden = Golden::copy(2);
    let registry = Registry::open(&golden.root()).await.unwrap();
    let digits = "digits".parse().unwrap();
    let rollout = registry.rollout(&digits).await.unwrap().unwrap();
    assert_eq!((rollout.id, rollout.stable, rollout.candidate, rollout.epoch), (1, 1, 2, 1));
    assert_eq!((rollout.plan.as_str(), rollout.state.as_str()), ("{\"plan\":1}", "{\"state\":1}"));
    assert_eq!((rollout.stage.as_str(), rollout.has_ended), ("in step 1", false));
    assert_eq!(rollout.sticky.as_deref(), Some("x-user"));
    assert_eq!(registry.figures(&digits, "1/7").await.unwrap(), ["{\"figures\":1}"]);
}

#[tokio::test]
async fn files_and_signatures_of_every_schema_hold_and_it_is_written_on() {
    for (schema, _) in SCHEMAS {
        write_on(schema).await;
    }
}

async fn write_on(schema: u32) {
    let golden = Golden::copy(schema);
    let registry = Registry::open(&golden.root()).await.unwrap();
    let version = registry.find(&reference("digits:stable")).await.unwrap();
    let key = Signer::new(&[7; 32]).verifier();
    verify(&[key], &version.bytes, &version.signatures).unwrap();
    let out = golden.folder.path().join("out");
    registry.fetch(&version, &out).await.unwrap();
    for (name, text) in [("model.onnx", "graph one"), ("w.bin", "weights")] {
        assert_eq!(std::fs::read_to_string(out.join(name)).unwrap(), text);
    }
    let publication = Publication {
        model: "digits".parse().unwrap(),
        files: vec![("model.onnx".into(), out.join("w.bin"))],
        about: About::default(),
        notes: String::new(),
        tags: Default::default(),
        aliases: vec!["canary".parse().unwrap()],
    };
    let published = registry.publish(&publication, None, &actor()).await.unwrap();
    assert_eq!((published.version, published.is_new), (4, true));
    assert_eq!(registry.find(&reference("digits:canary")).await.unwrap().manifest.version, 4);
    let found = registry.fsck((false, Duration::ZERO), &actor()).await.unwrap();
    assert_eq!(found.faults, []);
}

#[test]
fn a_manifest_of_schema_1_is_read_and_written_to_the_byte() {
    let bytes = std::fs::read(golden(1).join("manifest.json")).unwrap();
    let manifest = Manifest::decode(&bytes).unwrap();
    assert_eq!(manifest.encode().unwrap(), bytes);
    assert_eq!((manifest.model.as_str(), manifest.version), ("digits", 1));
    assert_eq!((manifest.created_us, manifest.author.as_str()), (1, "golden@here"));
    assert_eq!((manifest.notes.as_str(), manifest.tags.len()), ("made to last", 1));
    let files: Vec<_> =
        manifest.files.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
    assert_eq!(files, [("model.onnx", 9), ("w.bin", 7)]);
    let about = &manifest.about;
    let input = &about.signature.inputs[0];
    assert_eq!((input.name.as_str(), input.datatype.as_str()), ("image", "FP32"));
    assert_eq!(input.shape, [-1, 784]);
    assert_eq!((about.opsets["ai.onnx"], about.engine.as_deref()), (17, Some("rten")));
    assert_eq!(about.labels["class"], ["zero", "eins, é"]);
    assert_eq!(about.preprocessing, Some(json!({"mean": [0.5]})));
    assert_eq!(about.metrics["accuracy"], 0.965);
    assert_eq!(about.lineage.source, Some(json!({"format": "keras"})));
    assert_eq!(about.lineage.training, Some(json!({"epochs": 3})));
}

#[tokio::test]
async fn a_backup_of_every_schema_is_restored() {
    for (schema, events) in SCHEMAS {
        restore(schema, events).await;
    }
}

async fn restore(schema: u32, events: u64) {
    let golden = Golden::copy(schema);
    let backup = Archive::parse(golden.root().join("backup").to_str().unwrap()).unwrap();
    let restored = Registry::open(&golden.folder.path().join("restored")).await.unwrap();
    let done = restored.restore(&backup, (None, &actor())).await.unwrap();
    assert_eq!((done.models, done.versions, done.events, done.contents), (2, 4, events, 4));
    let registry = Registry::open(&golden.root()).await.unwrap();
    for model in registry.models().await.unwrap() {
        let versions = registry.versions(&model.name).await.unwrap();
        assert_eq!(restored.versions(&model.name).await.unwrap(), versions);
        let aliases = registry.aliases(&model.name).await.unwrap();
        assert_eq!(restored.aliases(&model.name).await.unwrap(), aliases);
    }
    let found = restored.fsck((false, Duration::ZERO), &actor()).await.unwrap();
    assert_eq!((found.versions, found.contents, found.faults), (4, 4, Vec::new()));
}

#[tokio::test]
async fn a_schema_that_is_not_known_yet_is_refused() {
    use sqlx::Connection as _;
    let golden = Golden::copy(1);
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", golden.root().join("registry.sqlite").display());
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    let newer = sqlx::raw_sql("UPDATE registry SET schema_version = 3");
    newer.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = Registry::open(&golden.root()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Newer { found: 3, known: 2, .. }), "{error}");
}
