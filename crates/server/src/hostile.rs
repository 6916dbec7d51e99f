//! Whatever bytes come, a request ends with an answer or a refusal: no panic, no endless loop, no
//! memory on the word of the client.
//!
//! The bytes are the files of `corpus/` (its README says what they are), all their beginnings,
//! and mixtures of them with changes. `PROPTEST_CASES` sets how long the tests look for bytes
//! that break a parser; what they find belongs into the corpus.
//!
//! | bytes | are fed to the parser in |
//! |---|---|
//! | `v2` | `rest::v2::hostile` |
//! | `predict` | `rest::predict::hostile` |
//! | `grpc`, `frames` | `grpc::hostile` |
//! | `coding` | `http::coding` |

use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use modelyard_serving::{ErrorCode, InferError, Service, VersionState};
use modelyard_tensor::DataType;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use crate::grpc::testing::{self, spec};
use crate::http::Refusal;

/// A file of the corpus.
struct File {
    name: String,
    bytes: Vec<u8>,
    valid: bool,
}

/// Feeds all that comes of one folder of the corpus to `answer`, which runs a parser and, where
/// that accepts, all that is done with what it gives.
pub(crate) fn feed(folder: &str, answer: impl Fn(&[u8]) -> Result<(), InferError>) {
    let files = files(folder);
    let mistaken = files.iter().filter_map(|File { name, bytes, valid }| {
        let outcome = check(bytes, &answer);
        (outcome.is_ok() != *valid).then(|| format!("{name}: {outcome:?}"))
    });
    let mistaken: Vec<String> = mistaken.collect();
    assert!(mistaken.is_empty(), "{}", mistaken.join("\n"));
    for File { bytes, .. } in &files {
        (0..bytes.len()).for_each(|length| drop(check(&bytes[..length], &answer)));
    }
    // Failures are kept as files of the corpus, not by proptest.
    let default = ProptestConfig::default();
    let config = ProptestConfig { cases: 8 * default.cases, failure_persistence: None, ..default };
    let outcome = TestRunner::new(config).run(&damaged(&files), |bytes| {
        drop(check(&bytes, &answer));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{folder}: {error}"));
}

/// Whether these bytes are answered. If not, that must be the client's fault, and said so briefly.
fn check(bytes: &[u8], answer: impl Fn(&[u8]) -> Result<(), InferError>) -> Result<(), InferError> {
    use ErrorCode::{DeadlineExceeded, InvalidArgument, NotFound, TooLarge, Unimplemented};
    const LONGEST_MESSAGE: usize = 1000;
    answer(bytes).inspect_err(|error| {
        let InferError { code, message, .. } = error;
        // A request may ask for an answer within a microsecond.
        let codes = [InvalidArgument, NotFound, TooLarge, Unimplemented, DeadlineExceeded];
        assert!(codes.contains(code), "{code:?}: {message}");
        assert!((1..=LONGEST_MESSAGE).contains(&message.len()), "{message}");
    })
}

fn files(folder: &str) -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let mut files = Vec::new();
    for valid in [true, false] {
        let before = files.len();
        let folder = folder.join(if valid { "valid" } else { "broken" });
        for entry in std::fs::read_dir(&folder).expect("the corpus is there") {
            let path = entry.expect("the corpus is readable").path();
            let bytes = std::fs::read(&path).expect("the corpus is readable");
            files.push(File { name: path.display().to_string(), bytes, valid });
        }
        assert!(files.len() >= before + 3, "the corpus in {} is gone", folder.display());
    }
    // The order of a folder is any: a failure should come again.
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

/// A file, perhaps with the end of another, with some bytes changed.
fn damaged(files: &[File]) -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![
        any::<u8>(),
        // What means something to one of the parsers.
        select(b"\"\\[]{},:-+.019eEnu \x00\x01\x1f\x7f\x80\xff".to_vec()),
    ];
    let changes = prop::collection::vec((any::<Index>(), byte), 0..8);
    let splice = prop::option::of((any::<Index>(), any::<Index>(), any::<Index>()));
    (any::<Index>(), splice, changes).prop_map(move |(file, splice, changes)| {
        let mut bytes = file.get(files).bytes.clone();
        if let Some((other, cut, from)) = splice {
            let other = &other.get(files).bytes;
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
        }
        if !bytes.is_empty() {
            for (position, byte) in changes {
                let position = position.index(bytes.len());
                bytes[position] = byte;
            }
        }
        bytes.into()
    })
}

/// The models that the requests of the corpus are for. Each answers with its inputs.
pub(crate) fn service() -> &'static Arc<Service> {
    static SERVICE: LazyLock<Arc<Service>> = LazyLock::new(|| {
        let (service, _) = testing::digits();
        let typed = DataType::ALL.into_iter().filter(|data_type| has_typed_form(*data_type));
        let typed = typed.map(|data_type| spec(data_type.name(), data_type, &[2, -1]));
        let others = [
            testing::every_data_type(),
            // Those of `every` that can be sent as JSON or in typed contents.
            testing::service("typed", typed.collect()),
            testing::service("text", vec![spec("text", DataType::Bytes, &[-1])]),
        ];
        for (_, version) in others {
            let model = version.model().to_owned();
            service.set_version(&model, 1, VersionState::Ready(version));
        }
        service
    });
    &SERVICE
}

fn has_typed_form(data_type: DataType) -> bool {
    !matches!(data_type, DataType::Fp16 | DataType::Bf16)
}

/// Waits for an answer of the core.
pub(crate) fn wait<F: Future>(answer: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(answer))
}

impl From<Refusal> for InferError {
    fn from(refusal: Refusal) -> Self {
        InferError::new(refusal.code, refusal.message)
    }
}
