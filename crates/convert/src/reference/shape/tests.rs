//! Shapes by hand-known values.

use super::*;

fn counted(dims: &[usize]) -> Array {
    let count = dims.iter().product::<usize>() as i64;
    Array::ints(dims, (0..count).collect()).unwrap()
}

fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[i64]) {
    let found = found.unwrap();
    assert_eq!((found.dims(), found.as_ints().unwrap()), (dims, values));
}

#[test]
fn axes_change_places() {
    check(transpose(&counted(&[2, 3]), &[1, 0]), &[3, 2], &[0, 3, 1, 4, 2, 5]);
    check(swap_axes(&counted(&[1, 2, 2]), -1, -2), &[1, 2, 2], &[0, 2, 1, 3]);
    assert!(transpose(&counted(&[2, 3]), &[0, 0]).is_err());
    assert!(transpose(&counted(&[2, 3]), &[0]).is_err());
}

#[test]
fn slices_are_those_of_numpy() {
    let range = |start, stop, step| Range { axis: -1, start, stop, step };
    let five = counted(&[5]);
    check(slice(&five, &[range(1, -1, 2)]), &[2], &[1, 3]);
    check(slice(&five, &[range(-1, i64::MIN, -2)]), &[3], &[4, 2, 0]);
    check(slice(&five, &[range(3, 0, -1)]), &[3], &[3, 2, 1]);
    check(slice(&five, &[range(0, i64::MAX, i64::MAX)]), &[1], &[0]);
    check(slice(&five, &[range(4, 2, 1)]), &[0], &[]);
    check(slice(&counted(&[0]), &[range(i64::MAX, i64::MIN, -1)]), &[0], &[]);
    assert!(slice(&five, &[range(0, 1, 0)]).is_err());
    check(flip(&counted(&[2, 2]), &[0, 1]), &[2, 2], &[3, 2, 1, 0]);
    assert!(narrow(&five, 0, 4, 2).is_err());
}

#[test]
fn joins_and_cuts() {
    let (a, b) = (counted(&[2, 1]), counted(&[2, 2]));
    check(concat(&[&a, &b], 1), &[2, 3], &[0, 0, 1, 1, 2, 3]);
    assert!(concat(&[&a, &b], 0).is_err());
    assert!(concat(&[], 0).is_err());
    let parts = split(&counted(&[2, 3]), 1, &[1, 2]).unwrap();
    check(Ok(parts[1].clone()), &[2, 2], &[1, 2, 4, 5]);
    assert!(split(&counted(&[3]), 0, &[1, 1]).is_err());
    check(stack(&[&counted(&[2]), &counted(&[2])], -1), &[2, 2], &[0, 0, 1, 1]);
    check(Ok(unstack(&counted(&[2, 2]), 1).unwrap().remove(1)), &[2], &[1, 3]);
    let empty = counted(&[0, 2]);
    check(concat(&[&empty, &empty], 1), &[0, 4], &[]);
}

#[test]
fn repeats() {
    check(tile(&counted(&[2]), &[2, 2]), &[2, 4], &[0, 1, 0, 1, 0, 1, 0, 1]);
    check(broadcast_to(&counted(&[2, 1]), &[2, 2]), &[2, 2], &[0, 0, 1, 1]);
    assert!(broadcast_to(&counted(&[2]), &[1]).is_err());
    assert!(tile(&counted(&[2]), &[usize::MAX]).is_err());
    check(expand_dims(&counted(&[2]), &[0, -1]), &[1, 2, 1], &[0, 1]);
    check(squeeze(&counted(&[1, 2, 1]), None), &[2], &[0, 1]);
    assert!(squeeze(&counted(&[2]), Some(&[0])).is_err());
}

#[test]
fn pads_in_every_way() {
    let three = counted(&[3]);
    let padded = |padding| pad(&three, &[2], &[2], padding);
    check(padded(Padding::Constant(9.0)), &[7], &[9, 9, 0, 1, 2, 9, 9]);
    check(padded(Padding::Reflect), &[7], &[2, 1, 0, 1, 2, 1, 0]);
    check(padded(Padding::Symmetric), &[7], &[1, 0, 0, 1, 2, 2, 1]);
    check(padded(Padding::Edge), &[7], &[0, 0, 0, 1, 2, 2, 2]);
    check(padded(Padding::Wrap), &[7], &[1, 2, 0, 1, 2, 0, 1]);
    check(pad(&three, &[-1], &[1], Padding::Constant(0.0)), &[3], &[1, 2, 0]);
    assert!(pad(&three, &[-4], &[0], Padding::Edge).is_err());
    assert!(pad(&counted(&[0]), &[1], &[0], Padding::Edge).is_err());
    assert!(pad(&three, &[i64::MAX], &[i64::MAX], Padding::Edge).is_err());
}
