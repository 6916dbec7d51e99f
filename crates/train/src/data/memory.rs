//! Examples in memory.

use super::{Batch, DataError, Examples, Targets};
use crate::array::Array;

/// Examples that are all in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct InMemory {
    inputs: Vec<(String, Array)>,
    targets: Targets,
    len: usize,
}

impl InMemory {
    /// Examples whose inputs, by name, and targets all have as many rows. Refuses others by name.
    pub fn new(inputs: Vec<(String, Array)>, targets: Targets) -> Result<InMemory, DataError> {
        let rows = |array: &Array| array.shape().first().copied().unwrap_or(0);
        let len = inputs.first().map_or(0, |(_, array)| rows(array));
        let targets_len = targets.count().unwrap_or(len);
        let lens = inputs.iter().map(|(name, array)| (name.as_str(), rows(array)));
        for (name, found) in lens.chain([("the targets", targets_len)]) {
            if found != len {
                return Err(DataError(format!(
                    "expected {len} examples in all parts, found {found} in {name}"
                )));
            }
        }
        Ok(InMemory { inputs, targets, len })
    }

    /// The inputs by name.
    pub fn inputs(&self) -> &[(String, Array)] {
        &self.inputs
    }

    /// The targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }
}

impl Examples for InMemory {
    fn len(&self) -> usize {
        self.len
    }

    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError> {
        let inputs = self.inputs.iter().map(|(name, array)| (name.clone(), array.rows(numbers)));
        Ok(Batch { inputs: inputs.collect(), targets: self.targets.pick(numbers) })
    }
}

/// Some of the examples of another source: one side of a split.
pub struct Part<'a> {
    /// The source.
    pub of: &'a dyn Examples,
    /// The numbers that its examples have there.
    pub numbers: Vec<usize>,
}

impl Examples for Part<'_> {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError> {
        let numbers: Vec<usize> = numbers.iter().map(|&number| self.numbers[number]).collect();
        self.of.load(&numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_rows_of_all_parts_together() {
        let inputs = vec![("x".to_owned(), Array::floats([3, 2], vec![0., 1., 2., 3., 4., 5.]))];
        let examples = InMemory::new(inputs, Targets::Classes(vec![7, 8, 9])).unwrap();
        let part = Part { of: &examples, numbers: vec![2, 0] };
        let batch = part.load(&[1, 0]).unwrap();
        assert_eq!(batch.inputs[0].1, Array::floats([2, 2], vec![0., 1., 4., 5.]));
        assert_eq!(batch.targets, Targets::Classes(vec![7, 9]));
    }

    #[test]
    fn parts_of_different_lengths_are_refused() {
        let inputs = vec![("x".to_owned(), Array::floats([3, 1], vec![0., 1., 2.]))];
        let error = InMemory::new(inputs, Targets::Classes(vec![1])).unwrap_err();
        assert_eq!(error.to_string(), "expected 3 examples in all parts, found 1 in the targets");
    }
}
