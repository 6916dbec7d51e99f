//! Whatever bytes come, reading ends with a model or an error: no panic, no endless loop, no
//! memory on the word of the file. What is read can be described, written and read again.

use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use modelyard_graph::{Limits, Model, ReadError, batch, inline, opset, summary, weights};
use modelyard_testkit::{broken, models};
use proptest::prelude::*;
use proptest::sample::Index;

/// Reads; a model that passes must survive all that is done with models.
fn handle(bytes: &[u8]) {
    let limits = Limits { structure_bytes: 1 << 24, ..Limits::default() };
    let Ok(model) = Model::parse(Bytes::copy_from_slice(bytes), &limits) else { return };
    summary::describe(&model);
    let written = model.encode();
    let again = Model::parse(written.clone().into(), &Limits::default());
    let again = again.unwrap_or_else(|error| panic!("own file is refused: {error}"));
    assert!(again.encode() == written, "writing is not stable");
    rewrite(model);
}

/// Whatever a model says, it can be written otherwise or is refused.
fn rewrite(mut model: Model) {
    model.types();
    let _ = inline(model.clone());
    for version in [7, 12, 21, 24] {
        let _ = opset::convert(model.clone(), version);
    }
    let _ = batch::free(&model, "batch");
    weights::narrow(&mut model, weights::Narrow::Fp16);
    weights::widen(&mut model);
    model.state_types();
}

/// Files small enough to change every part of within a test.
static SMALL_FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let valid = models::all().into_iter().map(|(_, model)| model.encode());
    valid
        .chain(broken::all().into_iter().map(|broken| broken.bytes))
        .filter(|bytes| !bytes.is_empty() && bytes.len() < 8192)
        .collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        handle(&bytes);
    }

    #[test]
    fn changed_bytes_are_survived(
        file in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = file.get(&SMALL_FILES).clone();
        for (position, value) in changes {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        handle(&bytes);
    }

    #[test]
    fn mixed_files_are_survived(
        (first, second) in (any::<Index>(), any::<Index>()),
        (cut, from) in (any::<Index>(), any::<Index>()),
    ) {
        let (first, second) = (first.get(&SMALL_FILES), second.get(&SMALL_FILES));
        let mut bytes = first[..cut.index(first.len())].to_vec();
        bytes.extend(&second[from.index(second.len())..]);
        handle(&bytes);
    }
}

#[test]
fn every_truncation_is_survived() {
    for file in SMALL_FILES.iter() {
        for length in 0..file.len() {
            handle(&file[..length]);
        }
    }
}

#[test]
fn the_corpus_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (folder, valid) in [("valid", true), ("broken", false)] {
        let mut files = 0;
        for entry in std::fs::read_dir(corpus.join(folder)).expect("the corpus is there") {
            let path = entry.expect("the corpus is readable").path();
            let bytes = std::fs::read(&path).expect("the corpus is readable");
            handle(&bytes);
            let read = Model::parse(bytes.into(), &Limits::default());
            assert_eq!(read.is_ok(), valid, "{}", path.display());
            files += 1;
        }
        assert!(files > 3, "the corpus in {folder} is gone");
    }
}

/// Two bytes in the file make hundreds in memory.
#[test]
fn many_empty_messages_are_refused_before_they_are_made() {
    // model.graph (7) with as many empty nodes (1) as fit.
    let nodes = [0x0a, 0x00].repeat(1 << 20);
    let mut file = vec![0x3a, 0x80, 0x80, 0x80, 0x01];
    file.extend(&nodes);
    let limits = Limits { structure_bytes: 1 << 26, ..Limits::default() };
    let refused = Model::parse(file.clone().into(), &limits);
    assert!(matches!(refused, Err(ReadError::TooLarge { limit, .. }) if limit == 1 << 26));
    let limits = Limits { nodes: 1000, ..Limits::default() };
    let refused = Model::parse(file.into(), &limits);
    assert!(matches!(refused, Err(ReadError::TooLarge { what: "nodes", found: 1001, .. })));
}

#[test]
fn files_over_the_limit_are_refused() {
    let limits = Limits { file_bytes: 100, ..Limits::default() };
    let refused = Model::parse(models::mlp().encode().into(), &limits);
    assert!(matches!(refused, Err(ReadError::TooLarge { what: "bytes", limit: 100, .. })));
}

/// Every depth, below the limit of the census, between it and that of the decoder, and far
/// above, on a thread with as little stack as a server's threads have.
#[test]
fn depth_takes_no_stack() {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let deep_is_fine = Limits { depth: usize::MAX, ..Limits::default() };
        for depth in (1..=130).chain([1000]) {
            let bytes = broken::deep(depth);
            handle(&bytes);
            // The census lets it pass; then the decoder's own limit of 100 must hold.
            if depth < 500 {
                let read = Model::parse(bytes.into(), &deep_is_fine);
                assert!(read.is_err() || depth < 100, "{depth} levels were decoded");
            }
        }
    });
    thread.expect("threads can be made").join().expect("the stack sufficed");
}

/// The weights of a model whose data is in another file.
fn whole_weights(folder: &Path) -> Result<Vec<f32>, ReadError> {
    let model = modelyard_graph::file::read_whole(&folder.join("model.onnx"), &Limits::default())?;
    assert!(model.external_files().is_empty());
    let bytes = model.graph.initializers[0].bytes().expect("the data is in memory");
    Ok(bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item)).collect())
}

#[test]
fn external_data_is_taken_in_whole_or_refused() {
    use modelyard_testkit::external;
    let folder = tempfile::TempDir::new().unwrap();
    external::write(folder.path()).unwrap();
    let data = external::data();
    let expected: Vec<f32> = data[data.len() - 8 * 4 * 4..]
        .as_chunks()
        .0
        .iter()
        .map(|&item| f32::from_le_bytes(item))
        .collect();
    assert_eq!(whole_weights(folder.path()).unwrap(), expected);
    std::fs::write(folder.path().join(external::DATA_FILE), &data[..data.len() - 1]).unwrap();
    let error = whole_weights(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected 128 bytes at offset 4096"), "{error}");
}
