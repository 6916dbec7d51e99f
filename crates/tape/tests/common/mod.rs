//! The records of the golden files. What version 1 wrote is what they were then: never change them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::time::Duration;

use modelyard_tape::{Failure, NamedTensor, Record};
use modelyard_tensor::{DataType, Tensor};

fn named(name: &str, tensor: Tensor) -> NamedTensor {
    NamedTensor { name: name.to_owned(), tensor }
}

/// An answer with every datatype, a scalar, an empty tensor and strings; and a refusal.
pub(crate) fn version_1() -> Vec<Record> {
    let data = |len: usize| (0..len).map(|byte| byte as u8).collect::<Vec<_>>();
    let of_type = |data_type: DataType| {
        let tensor = match data_type.size() {
            Some(size) => Tensor::new(data_type, [2, 3].into(), data(6 * size).into()),
            None => Tensor::from_strings([2].into(), ["größe", ""]),
        };
        named(data_type.name(), tensor.unwrap())
    };
    let answered = Record {
        time_us: 1_795_824_000_123_456,
        model: "digits".into(),
        version: u64::MAX,
        request_id: "a-1".into(),
        rows: 2,
        latency: Duration::from_micros(1234),
        queue: Some(Duration::from_micros(34)),
        compute: Some(Duration::from_micros(1200)),
        inputs: DataType::ALL.into_iter().map(of_type).collect(),
        answer: Ok(vec![
            named("scalar", Tensor::from_vec([].into(), vec![-0.5f32]).unwrap()),
            named("empty", Tensor::from_vec::<i64>([0, 4].into(), vec![]).unwrap()),
        ]),
    };
    let message = "input 'x' expects shape [batch,784]".to_owned();
    let refused = Record {
        time_us: 1_795_824_000_200_000,
        request_id: String::new(),
        version: 3,
        rows: 0,
        queue: None,
        compute: None,
        inputs: Vec::new(),
        answer: Err(Failure { code: "INVALID_ARGUMENT".into(), message }),
        ..answered.clone()
    };
    vec![answered, refused]
}

/// Everything of a record, bit for bit.
pub(crate) fn text(record: &Record) -> String {
    format!("{record:?}")
}
