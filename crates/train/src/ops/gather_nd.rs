//! GatherND: slices of an array, each by the numbers of its first axes.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::picks::{Picks, index};
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source};
use crate::site::Site;

#[derive(Debug)]
struct GatherNd {
    /// Axes that the array and the indices share.
    batch: i64,
}

/// The slices of an array of shape `from` that the rows of `indices` name; the first `batch` axes
/// of both go together.
pub(super) fn slices(from: &Shape, batch: usize, indices: &Array) -> Result<Picks, OpError> {
    let places = indices.shape();
    let named = places.last().copied().unwrap_or(0);
    let fits = batch < places.len().max(1)
        && named > 0
        && batch.checked_add(named).is_some_and(|axes| axes <= from.len())
        && from[..batch] == places[..batch];
    if !fits {
        return Err(OpError::new(format!(
            "indices of shape {places} name no slices of {from} after {batch} shared axes"
        )));
    }
    let sizes = &from[batch..batch + named];
    let of_batch: usize = sizes.iter().product();
    let rows_of_batch: usize = places[batch..places.len() - 1].iter().product();
    let row = |(number, row): (usize, &[i64])| {
        let pairs = row.iter().zip(sizes);
        let within = pairs.map(|(&at, &size)| Ok((index(at, size)?, size)));
        let within = within.collect::<Result<Vec<_>, OpError>>()?;
        let within = within.iter().fold(0, |start, (at, size)| start * size + at);
        Ok(number / rows_of_batch * of_batch + within)
    };
    let rows = indices.as_ints()?.chunks_exact(named).enumerate();
    let numbers = rows.map(row).collect::<Result<_, OpError>>()?;
    let slice = &from[batch + named..];
    let shape = places[..places.len() - 1].iter().chain(slice).copied().collect();
    Ok(Picks { shape, run: slice.iter().product(), starts: vec![0], numbers })
}

impl Movement for GatherNd {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let batch = usize::try_from(self.batch)
            .map_err(|_| OpError::new(format!("attribute batch_dims is {}", self.batch)))?;
        Ok(slices(from, batch, inputs.at(1)?)?.into())
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(GatherNd { batch: site.int("batch_dims", 0) })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            batch in 0i64..2,
            named in 1usize..3,
            indices in prop::collection::vec(-2i64..2, 12),
        ) {
            Case::new("GatherND")
                .with("batch_dims", batch)
                .trained(&[2, 2, 3], numbers(seed, 12))
                .fixed(Array::ints([2, 3, named], indices[..6 * named].to_vec()))
                .check();
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let case = |indices: Array| {
            let x = Array::ints([2, 2, 2], (0..8).collect());
            Case::new("GatherND").fixed(x).fixed(indices)
        };
        let two = || Array::ints([2, 1], vec![1, 0]);
        case(Array::ints([2, 2], vec![0, 1, 1, 0])).gives_ints(&[2, 2], &[2, 3, 4, 5]);
        case(two()).gives_ints(&[2, 2, 2], &[4, 5, 6, 7, 0, 1, 2, 3]);
        case(two()).with("batch_dims", 1).gives_ints(&[2, 2], &[2, 3, 4, 5]);
        case(Array::ints([1, 1], vec![2])).is_refused("index 2 is not one of an axis of 2");
        case(Array::ints([1, 4], vec![0; 4])).is_refused("name no slices of [2,2,2]");
        case(two()).with("batch_dims", -1).is_refused("attribute batch_dims is -1");
    }
}
