//! The newest recorded requests for a model, to warm its next version with.

use std::collections::BTreeMap;
use std::path::Path;

use modelyard_serving::RecordedInputs;
use modelyard_tape::{Part, Tape, TapeError};

/// Most requests of the same form (shapes of all inputs), and most forms.
const OF_A_FORM: usize = 2;
const FORMS: usize = 16;
/// Most bytes of all of them.
const BYTES: usize = 64 << 20;
/// Files that are looked at, newest first.
const FILES: usize = 2;

/// The newest requests for a model that were answered, a few of each form, newest first. A tape that
/// is not there or cannot be read gives none: a model loads without it.
pub(super) fn newest(folder: &Path, model: &str) -> Vec<RecordedInputs> {
    match read(folder, model) {
        Ok(requests) => requests,
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

fn read(folder: &Path, model: &str) -> Result<Vec<RecordedInputs>, TapeError> {
    let tape = Tape::open(&[folder])?;
    let mut chosen = Chosen::default();
    for file in tape.files().iter().rev().take(FILES) {
        let mut of_file = Chosen::default();
        for record in Tape::open(&[file])?.records(Part::Requests) {
            let record = record?;
            if record.model == model && record.answer.is_ok() {
                let inputs = record.inputs.into_iter().map(|input| (input.name, input.tensor));
                of_file.push(inputs.collect());
            }
        }
        chosen.add_older(of_file);
    }
    Ok(chosen.newest_first())
}

/// Requests by form, each with its place in order.
#[derive(Default)]
struct Chosen {
    forms: BTreeMap<Vec<Vec<usize>>, Vec<(usize, RecordedInputs)>>,
    count: usize,
}

impl Chosen {
    /// One that is newer than all others.
    fn push(&mut self, inputs: RecordedInputs) {
        let form = inputs.iter().map(|(_, tensor)| tensor.shape().to_vec()).collect();
        self.count += 1;
        let of_form = self.forms.entry(form).or_default();
        of_form.push((self.count, inputs));
        if of_form.len() > OF_A_FORM {
            of_form.remove(0);
        }
        if self.forms.len() > FORMS {
            let newest = |of_form: &Vec<(usize, RecordedInputs)>| of_form.last().map(|(n, _)| *n);
            let oldest = self.forms.iter().min_by_key(|(_, of_form)| newest(of_form));
            let oldest = oldest.map(|(form, _)| form.clone());
            oldest.map(|form| self.forms.remove(&form));
        }
    }

    /// Those of an older file, as far as there is room.
    fn add_older(&mut self, older: Chosen) {
        let mut all = older;
        for inputs in std::mem::take(self).newest_first().into_iter().rev() {
            all.push(inputs);
        }
        *self = all;
    }

    fn newest_first(self) -> Vec<RecordedInputs> {
        let mut all: Vec<_> = self.forms.into_values().flatten().collect();
        all.sort_by_key(|(order, _)| std::cmp::Reverse(*order));
        let mut room = BYTES;
        let fits = |inputs: &RecordedInputs| {
            let bytes: usize = inputs.iter().map(|(_, tensor)| tensor.data().len()).sum();
            let fits = bytes <= room;
            room -= if fits { bytes } else { 0 };
            fits
        };
        all.into_iter().map(|(_, inputs)| inputs).filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_tensor::Tensor;

    #[test]
    fn the_newest_of_each_form_are_chosen() {
        let request = |rows: usize, value: u8| {
            vec![("x".to_owned(), Tensor::from_vec([rows].into(), vec![value; rows]).unwrap())]
        };
        let chosen = |requests: &[(usize, u8)]| {
            let mut chosen = Chosen::default();
            requests.iter().for_each(|&(rows, value)| chosen.push(request(rows, value)));
            chosen
        };
        let values = |chosen: Chosen| -> Vec<u8> {
            chosen.newest_first().iter().map(|inputs| inputs[0].1.data()[0]).collect()
        };
        assert_eq!(values(chosen(&[(1, 1), (1, 2), (2, 3), (1, 4)])), [4, 3, 2]);
        let mut newer = chosen(&[(1, 5), (2, 6)]);
        newer.add_older(chosen(&[(1, 1), (1, 2), (3, 3)]));
        assert_eq!(values(newer), [6, 5, 3, 2]);
        let forms: Vec<(usize, u8)> = (1..=30).map(|rows| (rows, rows as u8)).collect();
        assert_eq!(values(chosen(&forms)), (15..=30).rev().collect::<Vec<u8>>());
    }
}
