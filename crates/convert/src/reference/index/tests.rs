//! Indexing by hand-known values.

use super::*;

fn ints(dims: &[usize], values: &[i64]) -> Array {
    Array::ints(dims, values.to_vec()).unwrap()
}

fn counted(dims: &[usize]) -> Array {
    let count = dims.iter().product::<usize>() as i64;
    Array::ints(dims, (0..count).collect()).unwrap()
}

#[test]
fn gathers_along_an_axis() {
    let array = counted(&[2, 3]);
    assert_eq!(gather(&array, &ints(&[2], &[2, -3]), 1).unwrap(), ints(&[2, 2], &[2, 0, 5, 3]));
    assert_eq!(gather(&array, &ints(&[], &[1]), 0).unwrap(), ints(&[3], &[3, 4, 5]));
    let error = gather(&array, &ints(&[1], &[3]), 1).unwrap_err();
    assert_eq!(error.0, "index 3 is outside of 3 elements");
    assert_eq!(gather(&counted(&[0, 2]), &ints(&[0], &[]), 0).unwrap().dims(), [0, 2]);
}

#[test]
fn gathers_by_rows_of_indices() {
    let array = counted(&[2, 2]);
    assert_eq!(gather_nd(&array, &ints(&[2, 2], &[0, 0, 1, 1]), 0).unwrap(), ints(&[2], &[0, 3]));
    assert_eq!(gather_nd(&array, &ints(&[1, 1], &[1]), 0).unwrap(), ints(&[1, 2], &[2, 3]));
    let batched = gather_nd(&counted(&[2, 2, 2]), &ints(&[2, 1], &[1, 0]), 1).unwrap();
    assert_eq!(batched, ints(&[2, 2], &[2, 3, 4, 5]));
    assert!(gather_nd(&array, &ints(&[1, 3], &[0, 0, 0]), 0).is_err());
    assert!(gather_nd(&array, &ints(&[3, 1], &[0, 0, 0]), 1).is_err());
}

#[test]
fn scatters() {
    let array = ints(&[4], &[1, 2, 3, 4]);
    let (indices, updates) = (ints(&[2, 1], &[3, 3]), ints(&[2], &[10, 20]));
    let with = |combine| scatter_nd(&array, &indices, &updates, combine).unwrap();
    assert_eq!(with(Combine::Replace), ints(&[4], &[1, 2, 3, 20]));
    assert_eq!(with(Combine::Add), ints(&[4], &[1, 2, 3, 34]));
    assert_eq!(with(Combine::Max), ints(&[4], &[1, 2, 3, 20]));
    assert_eq!(with(Combine::Min), ints(&[4], &[1, 2, 3, 4]));
    assert_eq!(with(Combine::Multiply), ints(&[4], &[1, 2, 3, 800]));
    assert!(scatter_nd(&array, &indices, &ints(&[1], &[1]), Combine::Add).is_err());
}

#[test]
fn elements_along_an_axis() {
    let array = counted(&[2, 2]);
    let indices = ints(&[2, 2], &[0, 0, 1, 0]);
    assert_eq!(gather_elements(&array, &indices, 1).unwrap(), ints(&[2, 2], &[0, 0, 3, 2]));
    let updates = ints(&[1, 2], &[10, 20]);
    let found = scatter_elements(&array, &ints(&[1, 2], &[1, 0]), &updates, 0, Combine::Replace);
    assert_eq!(found.unwrap(), ints(&[2, 2], &[0, 20, 10, 3]));
    assert!(gather_elements(&array, &ints(&[3, 2], &[0; 6]), 1).is_err());
}

#[test]
fn one_is_hot() {
    let found = one_hot(&ints(&[3], &[1, 5, -1]), 2, -1, (0.0, 1.0), ElementType::Int64).unwrap();
    assert_eq!(found, ints(&[3, 2], &[0, 1, 0, 0, 0, 0]));
    let first = one_hot(&ints(&[2], &[1, 0]), 3, 0, (0.0, 1.0), ElementType::Int64).unwrap();
    assert_eq!(first, ints(&[3, 2], &[0, 1, 1, 0, 0, 0]));
}

#[test]
fn the_lower_index_comes_first() {
    let values = Array::floats(&[4], vec![1.0, 3.0, f32::NAN, 3.0]).unwrap();
    let (best, indices) = top_k(&values, 3, 0, true).unwrap();
    assert_eq!(indices, ints(&[3], &[2, 1, 3]));
    assert_eq!(best.as_floats().unwrap()[1..], [3.0, 3.0]);
    let (_, indices) = sort(&values, 0, false).unwrap();
    assert_eq!(indices, ints(&[4], &[0, 1, 3, 2]));
    let (columns, _) = top_k(&ints(&[2, 2], &[1, 4, 3, 2]), 1, 0, true).unwrap();
    assert_eq!(columns, ints(&[1, 2], &[3, 4]));
    assert!(top_k(&values, 5, 0, true).is_err());
}

#[test]
fn sums_run_in_four_ways() {
    let values = ints(&[1, 3], &[1, 2, 3]);
    let sums = |exclusive, reverse| {
        let found = cumsum(&values, 1, Running { exclusive, reverse }).unwrap();
        found.as_ints().unwrap().to_vec()
    };
    assert_eq!(sums(false, false), [1, 3, 6]);
    assert_eq!(sums(true, false), [0, 1, 3]);
    assert_eq!(sums(false, true), [6, 5, 3]);
    assert_eq!(sums(true, true), [5, 3, 0]);
    let columns =
        cumsum(&ints(&[2, 2], &[1, 2, 3, 4]), 0, Running { exclusive: false, reverse: true });
    assert_eq!(columns.unwrap(), ints(&[2, 2], &[4, 6, 3, 4]));
    let product = cumprod(&values, 1, Running::default()).unwrap();
    assert_eq!(product.as_ints().unwrap(), [1, 2, 6]);
}

#[test]
fn finds_and_counts() {
    let found = where_nonzero(&ints(&[2, 2], &[0, 1, 1, 0])).unwrap();
    assert_eq!(found, ints(&[2, 2], &[0, 1, 1, 0]));
    assert_eq!(range(ElementType::Int64, 5.0, 0.0, -2.0).unwrap(), ints(&[3], &[5, 3, 1]));
    assert!(range(ElementType::Int64, 0.0, 1.0, 0.0).is_err());
    assert!(range(ElementType::Int64, 0.0, 1e300, 1.0).is_err());
}
