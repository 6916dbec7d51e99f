//! Pooling by hand-known values.

use super::*;

fn counted(dims: &[usize]) -> Array {
    let count = dims.iter().product::<usize>();
    Array::floats(dims, (0..count).map(|value| value as f32).collect()).unwrap()
}

fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[f32]) {
    let found = found.unwrap();
    assert_eq!((found.dims(), found.as_floats().unwrap()), (dims, values));
}

fn padded() -> Pool {
    Pool {
        size: vec![2, 2],
        strides: vec![2, 2],
        pads_begin: vec![1, 1],
        pads_end: vec![0, 0],
        ..Pool::default()
    }
}

#[test]
fn the_largest_of_each_window() {
    let image = counted(&[1, 1, 3, 3]);
    check(max_pool(&image, &padded()), &[1, 1, 2, 2], &[0.0, 2.0, 6.0, 8.0]);
    let (_, indices) = max_pool_with_indices(&counted(&[1, 2, 3, 3]), &padded()).unwrap();
    assert_eq!(indices.as_ints().unwrap(), [0, 2, 6, 8, 0, 2, 6, 8]);
    let dilated = Pool { size: vec![2], dilations: vec![2], ..Pool::default() };
    check(max_pool(&counted(&[1, 1, 4]), &dilated), &[1, 1, 2], &[2.0, 3.0]);
    let negative = Array::floats(&[1, 1, 2], vec![-2.0, -1.0]).unwrap();
    let pool = Pool { size: vec![2], pads_end: vec![1], ..Pool::default() };
    check(max_pool(&negative, &pool), &[1, 1, 2], &[-1.0, -1.0]);
}

#[test]
fn pads_count_or_not() {
    let image = counted(&[1, 1, 3, 3]);
    check(average_pool(&image, &padded(), false), &[1, 1, 2, 2], &[0.0, 1.5, 4.5, 6.0]);
    check(average_pool(&image, &padded(), true), &[1, 1, 2, 2], &[0.0, 0.75, 2.25, 6.0]);
    // Three elements in windows of two, rounded up: the last has one element, pads or not.
    let ceil = Pool { size: vec![2], strides: vec![2], beyond: vec![1], ..Pool::default() };
    check(average_pool(&counted(&[1, 1, 3]), &ceil, true), &[1, 1, 2], &[0.5, 2.0]);
    let pool = Pool { size: vec![2], ..Pool::default() };
    check(
        lp_pool(&Array::floats(&[1, 1, 2], vec![3.0, -4.0]).unwrap(), &pool, 2.0),
        &[1, 1, 1],
        &[5.0],
    );
}

#[test]
fn adaptive_windows_overlap_where_they_must() {
    check(adaptive_average_pool(&counted(&[1, 1, 5]), &[3]), &[1, 1, 3], &[0.5, 2.0, 3.5]);
    check(adaptive_max_pool(&counted(&[1, 1, 2, 4]), &[1, 2]), &[1, 1, 1, 2], &[5.0, 7.0]);
    assert!(adaptive_max_pool(&counted(&[2]), &[1, 1]).is_err());
}

#[test]
fn what_does_not_fit_is_named() {
    let error = max_pool(&counted(&[1, 1, 3]), &padded()).unwrap_err();
    assert_eq!(error.0, "a window of [2, 2] does not walk over [3]");
    assert!(max_pool(&counted(&[3]), &padded()).is_err());
    let only_pads = Pool { size: vec![1], pads_begin: vec![1], ..Pool::default() };
    assert!(max_pool(&counted(&[1, 1, 2]), &only_pads).is_err());
}
