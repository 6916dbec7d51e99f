//! The newest recorded requests for a model, to warm its next version with.

use std::collections::BTreeMap;
use std::path::Path;

use modelyard_serving::RecordedInputs;
use modelyard_tape::{Record, Tape, TapeError};

/// Most requests of the same form (shapes of all inputs), and most forms.
const OF_A_FORM: usize = 2;
const FORMS: usize = 16;
/// Most bytes of all of them.
const BYTES: usize = 64 << 20;
/// Row groups that are read, each of a few megabytes: many models may be loaded at once.
const GROUPS: usize = 4;

/// The newest requests for a model that were answered, a few of each form, newest first. A tape that
/// is not there or cannot be read gives none: a model loads without it.
pub(super) fn newest(folder: &Path, model: &str) -> Vec<RecordedInputs> {
    match Tape::open(&[folder]).and_then(|tape| tape.newest(model, GROUPS)) {
        Ok(records) => choose(records),
        // Nothing was recorded yet.
        Err(TapeError::Nothing { .. }) => Vec::new(),
        Err(TapeError::Io { .. }) if !folder.exists() => Vec::new(),
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(model, "not warmed with recorded requests: {error:#}");
            Vec::new()
        }
    }
}

/// Some of the records, newest first.
fn choose(records: Vec<Record>) -> Vec<RecordedInputs> {
    let mut forms: BTreeMap<Vec<Vec<usize>>, usize> = BTreeMap::new();
    let mut room = BYTES;
    let mut chosen = Vec::new();
    for record in records.into_iter().filter(|record| record.answer.is_ok()) {
        let form = record.inputs.iter().map(|input| input.tensor.shape().to_vec()).collect();
        let bytes: usize = record.inputs.iter().map(|input| input.tensor.data().len()).sum();
        if (forms.len() == FORMS && !forms.contains_key(&form)) || bytes > room {
            continue;
        }
        let of_form = forms.entry(form).or_default();
        if *of_form < OF_A_FORM {
            *of_form += 1;
            room -= bytes;
            let inputs = record.inputs.into_iter().map(|input| (input.name, input.tensor));
            chosen.push(inputs.collect());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_tape::{Failure, NamedTensor};
    use modelyard_tensor::Tensor;
    use std::time::Duration;

    fn request(rows: usize, value: u8) -> Record {
        let tensor = Tensor::from_vec([rows].into(), vec![value; rows]).unwrap();
        Record {
            time_us: 0,
            model: "m".into(),
            version: 1,
            request_id: String::new(),
            rows: 1,
            latency: Duration::ZERO,
            queue: None,
            compute: None,
            inputs: vec![NamedTensor { name: "x".into(), tensor }],
            answer: Ok(Vec::new()),
        }
    }

    #[test]
    fn a_few_of_each_form_are_chosen() {
        let failure = Failure { code: "INTERNAL".into(), message: String::new() };
        let failed = Record { answer: Err(failure), ..request(1, 9) };
        let values = |records: Vec<Record>| -> Vec<u8> {
            choose(records).iter().map(|inputs| inputs[0].1.data()[0]).collect()
        };
        let newest_first = [(1, 6), (2, 5), (1, 4), (1, 3), (2, 2)];
        let mut records: Vec<_> = newest_first.map(|(rows, value)| request(rows, value)).into();
        records.insert(0, failed);
        assert_eq!(values(records), [6, 5, 4, 2]);
        let forms = (1..=30).map(|rows| request(rows, rows as u8)).collect();
        assert_eq!(values(forms), (1..=16).collect::<Vec<u8>>());
    }
}
