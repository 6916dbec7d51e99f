//! Tapes as their users see them: what is written is read back, whatever happens meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use modelyard_tape::{Failure, Limits, NamedTensor, Part, Reader, Record, Tape, TapeError, Writer};
use modelyard_tensor::{DataType, Shape, Tensor, strings};
use proptest::collection::vec;
use proptest::prelude::*;

const ROOMY: Limits =
    Limits { max_bytes: 1 << 30, file_bytes: 1 << 26, file_age: Duration::from_secs(300) };

fn record(time_us: i64, bytes: usize) -> Record {
    // What packing cannot make smaller.
    let mut state = time_us as u64 | 1;
    let noise = (0..bytes).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let tensor = Tensor::from_vec([1, bytes].into(), noise.collect::<Vec<u8>>()).unwrap();
    let named = NamedTensor { name: "x".into(), tensor };
    Record {
        time_us,
        inputs: vec![named.clone()],
        answer: Ok(vec![named]),
        ..common::version_1().swap_remove(1)
    }
}

fn write(folder: &Path, limits: Limits, records: impl IntoIterator<Item = Record>) -> Writer {
    let mut writer = Writer::open(folder, limits).unwrap();
    for record in records {
        writer.add(record, Instant::now()).unwrap();
    }
    writer.close().unwrap();
    writer
}

fn read(path: &Path) -> Result<Vec<Record>, TapeError> {
    Tape::open(&[path])?.records(Part::Whole).collect()
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(common::text).collect()
}

fn any_tensor() -> impl Strategy<Value = NamedTensor> {
    let shape = vec(0usize..4, 0..4);
    ("[a-zé]{0,6}", 0..DataType::ALL.len(), shape, any::<u8>()).prop_map(
        |(name, data_type, shape, seed)| {
            let (data_type, shape) = (DataType::ALL[data_type], Shape::new(&shape));
            let elements = shape.elements().unwrap();
            let data = match shape.byte_len(data_type) {
                Some(bytes) => (0..bytes).map(|byte| seed.wrapping_add(byte as u8)).collect(),
                None => strings::encode((0..elements).map(|n| vec![seed; n % 5])),
            };
            NamedTensor { name, tensor: Tensor::new(data_type, shape, data).unwrap() }
        },
    )
}

fn any_record() -> impl Strategy<Value = Record> {
    let time = || any::<u32>().prop_map(|us| Duration::from_micros(us.into()));
    let failure = ("[A-Z_]{1,9}", ".{0,12}").prop_map(|(code, message)| Failure { code, message });
    let answer = prop_oneof![
        3 => vec(any_tensor(), 0..4).prop_map(Ok),
        1 => failure.prop_map(Err),
    ];
    let names = ("[a-z]{0,8}", ".{0,8}", any::<i64>(), any::<u64>(), any::<u64>());
    let times = (time(), prop::option::of(time()), prop::option::of(time()));
    (names, times, vec(any_tensor(), 0..4), answer).prop_map(|(names, times, inputs, answer)| {
        let (model, request_id, time_us, version, rows) = names;
        let (latency, queue, compute) = times;
        Record {
            time_us,
            model,
            version,
            request_id,
            rows,
            latency,
            queue,
            compute,
            inputs,
            answer,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_are_read_back_bit_for_bit(
        records in vec(any_record(), 1..20), group_bytes in 1u64..5000
    ) {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { max_bytes: 1 << 30, file_bytes: group_bytes, ..ROOMY };
        let writer = write(folder.path(), limits, records.clone());
        prop_assert_eq!(writer.figures().written, records.len() as u64);
        prop_assert_eq!(texts(&read(folder.path()).unwrap()), texts(&records));
        let tape = Tape::open(&[folder.path()]).unwrap();
        let models = records.iter().map(|record| record.model.clone()).collect();
        prop_assert_eq!(tape.models().unwrap(), models);
        for (found, record) in tape.records(Part::Requests).zip(&records) {
            let inputs = |record: &Record| format!("{:?}", record.inputs);
            prop_assert_eq!(inputs(&found.unwrap()), inputs(record));
        }
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(at in 0usize..1 << 20, byte: u8, cut in 0usize..1 << 20) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ROOMY, common::version_1());
        let path = Tape::open(&[folder.path()]).unwrap().files()[0].clone();
        let mut bytes = fs::read(&path).unwrap();
        let length = bytes.len();
        bytes[at % length] = byte;
        fs::write(&path, &bytes).unwrap();
        let _ = read(&path);
        bytes.truncate(cut % length);
        fs::write(&path, &bytes).unwrap();
        prop_assert!(read(&path).is_err(), "a file without its end was taken for whole");
    }
}

/// Bytes of all files of the tape, the one being written included.
fn on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    entries.map(|metadata| metadata.len()).sum()
}

#[test]
fn the_tape_never_grows_past_its_bound_and_keeps_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_bytes: 2 << 20, file_bytes: 256 << 10, ..ROOMY };
    let mut writer = Writer::open(folder.path(), limits).unwrap();
    let mut most = 0;
    for index in 0..1000 {
        // From a few bytes to nearly the largest that is taken.
        let bytes = if index % 50 == 49 { 240_000 } else { 37 * (index % 100) };
        writer.add(record(index as i64, bytes), Instant::now()).unwrap();
        most = most.max(on_disk(folder.path()));
    }
    writer.close().unwrap();
    most = most.max(on_disk(folder.path()));
    assert!(most <= limits.max_bytes, "{most}");
    assert!(most > limits.max_bytes / 2, "the room is used: {most}");
    assert_eq!(writer.figures().written, 1000);
    let times: Vec<i64> = read(folder.path()).unwrap().iter().map(|r| r.time_us).collect();
    assert_eq!(times, (1000 - times.len() as i64..1000).collect::<Vec<_>>());
    drop(writer);
    // A smaller bound holds from the start on.
    let smaller = Limits { max_bytes: 1 << 20, ..limits };
    drop(Writer::open(folder.path(), smaller).unwrap());
    assert!(on_disk(folder.path()) <= smaller.max_bytes);
}

#[test]
fn what_is_larger_than_a_quarter_of_the_tape_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_bytes: 1 << 20, ..ROOMY };
    let mut writer = Writer::open(folder.path(), limits).unwrap();
    writer.add(record(1, 10), Instant::now()).unwrap();
    let error = writer.add(record(2, 200_000), Instant::now()).unwrap_err();
    assert!(matches!(error, TapeError::TooLarge { .. }), "{error}");
    writer.close().unwrap();
    assert_eq!((writer.figures().written, writer.figures().lost), (1, 1));
}

#[test]
fn what_a_killed_writer_left_is_removed_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), ROOMY, [record(5, 10)]);
    let left = folder.path().join(".tape-0000000000000007.parquet.tmp");
    let others = folder.path().join(".tape-of-mine.parquet.tmp");
    for path in [&left, &others] {
        fs::write(path, b"PAR1 torn").unwrap();
    }
    assert_eq!(read(folder.path()).unwrap().len(), 1);
    // The clock was set back meanwhile: order is kept.
    write(folder.path(), ROOMY, [record(3, 10)]);
    assert!(!left.exists() && others.exists());
    let times: Vec<i64> = read(folder.path()).unwrap().iter().map(|r| r.time_us).collect();
    assert_eq!(times, [5, 3]);
}

#[test]
fn a_writer_that_goes_away_leaves_nothing_half() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { file_bytes: 1 << 14, ..ROOMY };
    let mut writer = Writer::open(folder.path(), limits).unwrap();
    assert_eq!(writer.due(), None);
    let now = Instant::now();
    writer.add(record(1, 100), now).unwrap();
    assert_eq!(writer.due(), Some(now + limits.file_age));
    drop(writer);
    assert!(matches!(Tape::open(&[folder.path()]), Err(TapeError::Nothing { .. })));
}

#[test]
fn the_newest_requests_for_a_model_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { file_bytes: 10_000, ..ROOMY };
    let of = |index: i64| Record {
        model: ["a", "b", "b"][index as usize % 3].into(),
        ..record(index, 200)
    };
    write(folder.path(), limits, (0..30).map(of));
    let tape = Tape::open(&[folder.path()]).unwrap();
    // Several, and no more than are looked at.
    assert!((4..=16).contains(&tape.files().len()), "{:?}", tape.files());
    let times = |model: &str, groups: usize| -> Vec<i64> {
        let found = tape.newest(model, groups).unwrap();
        found.iter().map(|record| record.time_us).collect()
    };
    assert_eq!(times("a", 100), (0..10).rev().map(|n| 3 * n).collect::<Vec<_>>());
    let few = times("a", 2);
    assert!(few.len() < 10 && few[..] == times("a", 100)[..few.len()], "{few:?}");
    assert_eq!(times("none", 1), []);
}

#[test]
fn one_process_writes_and_its_files_are_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/tape");
    let writer = write(&path, ROOMY, [record(1, 10)]);
    let error = Writer::open(&path, ROOMY).err().unwrap().to_string();
    assert!(error.contains("another process records into"), "{error}");
    drop(writer);
    Writer::open(&path, ROOMY).unwrap();
    #[cfg(unix)]
    for file in fs::read_dir(&path).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_the_tape_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape");
    fs::write(&path, "a file").unwrap();
    assert!(matches!(Writer::open(&path, ROOMY), Err(TapeError::Io { .. })));
    fs::remove_file(&path).unwrap();
    let mut writer = Writer::open(&path, ROOMY).unwrap();
    writer.add(record(1, 10), Instant::now()).unwrap();
    // The folder goes away under the writer.
    fs::remove_dir_all(&path).unwrap();
    assert!(writer.close().is_err());
    assert_eq!((writer.figures().written, writer.figures().lost), (0, 1));
    fs::create_dir(&path).unwrap();
    writer.add(record(2, 10), Instant::now()).unwrap();
    writer.close().unwrap();
    assert_eq!(read(&path).unwrap().len(), 1);
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn files_of_every_schema_version_stay_readable() {
    assert_eq!(texts(&read(&golden().join("1")).unwrap()), texts(&common::version_1()));
    let versions = fs::read_dir(golden()).unwrap().count();
    assert_eq!(versions, modelyard_tape::VERSION as usize, "a version without a golden file");
}

#[test]
fn what_is_no_tape_of_ours_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let refusal = || Reader::open(&path, Part::Whole).err().unwrap().to_string();
    assert!(refusal().contains("failed to open"), "{}", refusal());
    fs::write(&path, "hello").unwrap();
    assert!(refusal().contains("is no tape, or a damaged one"), "{}", refusal());
    // The version stands in the file's metadata as text: one digit becomes another.
    let file = Tape::open(&[golden().join("1")]).unwrap().files()[0].clone();
    let bytes = fs::read(file).unwrap();
    let key = b"modelyard.tape.version";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let digit = at + bytes[at..].iter().position(|byte| *byte == b'1').unwrap();
    for (with, text) in [
        (b'9', "is a tape of schema version 9, this program reads up to 1"),
        (b'x', "version is 'x'"),
    ] {
        let mut newer = bytes.clone();
        newer[digit] = with;
        fs::write(&path, newer).unwrap();
        assert!(refusal().contains(text), "{}", refusal());
    }
    let mut foreign = bytes.clone();
    foreign[at - 1] = b'm';
    fs::write(&path, foreign).unwrap();
    assert!(refusal().contains("a Parquet file without recorded requests"), "{}", refusal());
}
