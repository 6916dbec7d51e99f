//! Examples with the answers of a teacher, and two sources as one.

use super::{Batch, DataError, Examples, Targets};
use crate::array::Array;

/// The examples of another source, with what a teacher answers to each.
pub struct Taught<'a> {
    /// The source.
    pub of: &'a dyn Examples,
    /// Whether its classes, where it has any, are kept.
    pub labelled: bool,
    /// The teacher's logits, a row an example.
    pub logits: Array,
}

impl Examples for Taught<'_> {
    fn len(&self) -> usize {
        self.of.len()
    }

    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError> {
        let batch = self.of.load(numbers)?;
        let classes = match batch.targets {
            Targets::Classes(classes) if self.labelled => classes.into_iter().map(Some).collect(),
            _ => vec![None; numbers.len()],
        };
        let targets = Targets::Soft { logits: self.logits.rows(numbers), classes };
        Ok(Batch { inputs: batch.inputs, targets })
    }
}

/// Two sources one after the other. Both have the same inputs, and soft targets.
pub struct Joined<'a> {
    /// Its examples come first.
    pub first: &'a dyn Examples,
    /// And then these.
    pub second: &'a dyn Examples,
}

impl Examples for Joined<'_> {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError> {
        let border = self.first.len();
        let (mut ones, mut twos) = (Vec::new(), Vec::new());
        let places: Vec<(bool, usize)> = numbers
            .iter()
            .map(|&number| {
                let side = if number < border { &mut ones } else { &mut twos };
                side.push(if number < border { number } else { number - border });
                (number < border, side.len() - 1)
            })
            .collect();
        if twos.is_empty() {
            return self.first.load(&ones);
        }
        if ones.is_empty() {
            return self.second.load(&twos);
        }
        // All of the first, then all of the second, then in the order asked for.
        let order: Vec<usize> =
            places.iter().map(|&(first, at)| if first { at } else { ones.len() + at }).collect();
        let (one, two) = (self.first.load(&ones)?, self.second.load(&twos)?);
        let joined = |one: &Array, two: &Array| -> Result<Array, DataError> {
            let joined = one.joined(two).map_err(|error| DataError(error.to_string()))?;
            Ok(joined.rows(&order))
        };
        let inputs = one
            .inputs
            .iter()
            .zip(&two.inputs)
            .map(|((name, one), (_, two))| Ok((name.clone(), joined(one, two)?)));
        let inputs = inputs.collect::<Result<_, DataError>>()?;
        let (Targets::Soft { logits, classes }, Targets::Soft { logits: more, classes: others }) =
            (one.targets, two.targets)
        else {
            return Err(DataError("only examples with a teacher's answers can be joined".into()));
        };
        let classes: Vec<Option<usize>> = classes.into_iter().chain(others).collect();
        let classes = order.iter().map(|&at| classes[at]).collect();
        Ok(Batch { inputs, targets: Targets::Soft { logits: joined(&logits, &more)?, classes } })
    }
}

#[cfg(test)]
mod tests {
    use super::super::InMemory;
    use super::*;

    fn source(values: Vec<f32>, targets: Targets) -> InMemory {
        let len = values.len();
        InMemory::new(vec![("x".into(), Array::floats([len, 1], values))], targets).unwrap()
    }

    #[test]
    fn labelled_and_unlabelled_examples_come_in_the_order_asked_for() {
        let labelled = source(vec![0.0, 1.0], Targets::Classes(vec![5, 6]));
        let unlabelled = source(vec![2.0, 3.0], Targets::Unknown);
        let taught =
            |of, labelled, logits| Taught { of, labelled, logits: Array::floats([2, 1], logits) };
        let one = taught(&labelled, true, vec![10.0, 11.0]);
        let two = taught(&unlabelled, true, vec![12.0, 13.0]);
        let joined = Joined { first: &one, second: &two };
        assert_eq!(joined.len(), 4);
        let batch = joined.load(&[3, 0, 2, 1]).unwrap();
        assert_eq!(batch.inputs[0].1.as_floats().unwrap(), [3.0, 0.0, 2.0, 1.0]);
        let logits = Array::floats([4, 1], vec![13.0, 10.0, 12.0, 11.0]);
        let classes = vec![None, Some(5), None, Some(6)];
        assert_eq!(batch.targets, Targets::Soft { logits, classes });
        let blind = taught(&labelled, false, vec![10.0, 11.0]).load(&[1]).unwrap();
        let logits = Array::floats([1, 1], vec![11.0]);
        assert_eq!(blind.targets, Targets::Soft { logits, classes: vec![None] });
        assert_eq!(joined.load(&[1]).unwrap().inputs[0].1.as_floats().unwrap(), [1.0]);
        assert_eq!(joined.load(&[2]).unwrap().inputs[0].1.as_floats().unwrap(), [2.0]);
    }
}
