//! Reductions by hand-known values.

use super::*;

fn matrix() -> Array {
    Array::floats(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
}

fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[f32]) {
    let found = found.unwrap();
    assert_eq!(found.dims(), dims);
    for (found, expected) in found.to_f64s().unwrap().iter().zip(values) {
        assert!((found - f64::from(*expected)).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn axes_disappear_or_stay() {
    check(sum(&matrix(), Over::axes(&[0])), &[3], &[5.0, 7.0, 9.0]);
    check(sum(&matrix(), Over::kept(&[-1])), &[2, 1], &[6.0, 15.0]);
    check(sum(&matrix(), Over::ALL), &[], &[21.0]);
    check(sum(&matrix(), Over::axes(&[])), &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert!(sum(&matrix(), Over::axes(&[2])).is_err());
}

#[test]
fn each_reduction_knows_its_answer() {
    check(mean(&matrix(), Over::axes(&[1])), &[2], &[2.0, 5.0]);
    check(prod(&matrix(), Over::axes(&[1])), &[2], &[6.0, 120.0]);
    check(max(&matrix(), Over::axes(&[0])), &[3], &[4.0, 5.0, 6.0]);
    check(min(&matrix(), Over::ALL), &[], &[1.0]);
    check(norm_l1(&matrix(), Over::ALL), &[], &[21.0]);
    check(norm_l2(&matrix(), Over::axes(&[1])), &[2], &[14.0f32.sqrt(), 77.0f32.sqrt()]);
    check(norm(&matrix(), f64::INFINITY, Over::ALL), &[], &[6.0]);
    check(sum_of_squares(&matrix(), Over::ALL), &[], &[91.0]);
    check(variance(&matrix(), 0.0, Over::axes(&[1])), &[2], &[2.0 / 3.0, 2.0 / 3.0]);
    check(variance(&matrix(), 1.0, Over::axes(&[1])), &[2], &[1.0, 1.0]);
    let large = Array::floats(&[2], vec![1000.0, 1000.0]).unwrap();
    check(log_sum_exp(&large, Over::ALL), &[], &[1000.0 + 2.0f32.ln()]);
}

#[test]
fn ties_are_broken_as_asked() {
    let values = Array::floats(&[4], vec![1.0, 3.0, 3.0, 0.0]).unwrap();
    check(arg_max(&values, 0, false, Tie::First), &[], &[1.0]);
    check(arg_max(&values, 0, true, Tie::Last), &[1], &[2.0]);
    check(arg_min(&values, -1, false, Tie::First), &[], &[3.0]);
    let with_nan = Array::floats(&[3], vec![1.0, f32::NAN, 3.0]).unwrap();
    check(arg_max(&with_nan, 0, false, Tie::First), &[], &[1.0]);
    assert!(max(&with_nan, Over::ALL).unwrap().as_floats().unwrap()[0].is_nan());
}

#[test]
fn nothing_has_a_sum_but_no_largest() {
    let empty = Array::floats(&[2, 0], Vec::new()).unwrap();
    check(sum(&empty, Over::axes(&[1])), &[2], &[0.0, 0.0]);
    assert!(max(&empty, Over::axes(&[1])).is_err());
    assert!(arg_max(&empty, 1, false, Tie::First).is_err());
    let none = Array::bools(&[0], Vec::new()).unwrap();
    assert_eq!(all(&none, Over::ALL).unwrap().as_bools().unwrap(), [true]);
    assert_eq!(any(&none, Over::ALL).unwrap().as_bools().unwrap(), [false]);
}
