//! Elementwise functions by hand-known values.

use super::*;

fn floats(dims: &[usize], values: &[f32]) -> Array {
    Array::floats(dims, values.to_vec()).unwrap()
}

fn ints(values: &[i64]) -> Array {
    Array::ints(&[values.len()], values.to_vec()).unwrap()
}

#[test]
fn pairs_broadcast() {
    let image = floats(&[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let bias = floats(&[2, 1, 1], &[10.0, 20.0]);
    assert_eq!(add(&image, &bias).unwrap().as_floats().unwrap(), [11.0, 12.0, 23.0, 24.0]);
    let column = floats(&[2, 1], &[1.0, 2.0]);
    let row = floats(&[3], &[10.0, 20.0, 30.0]);
    let sum = sub(&row, &column).unwrap();
    assert_eq!(sum, floats(&[2, 3], &[9.0, 19.0, 29.0, 8.0, 18.0, 28.0]));
    assert!(add(&row, &floats(&[2], &[0.0, 0.0])).is_err());
    assert!(add(&row, &ints(&[1])).is_err());
    let empty = floats(&[0, 3], &[]);
    assert_eq!(add(&empty, &row).unwrap().dims(), [0, 3]);
}

#[test]
fn integers_divide_as_python_and_c_do() {
    let (a, b) = (ints(&[7, -7, 7, -7]), ints(&[2, 2, -2, -2]));
    assert_eq!(div(&a, &b).unwrap(), ints(&[3, -3, -3, 3]));
    assert_eq!(floor_div(&a, &b).unwrap(), ints(&[3, -4, -4, 3]));
    assert_eq!(modulo(&a, &b).unwrap(), ints(&[1, 1, -1, -1]));
    assert_eq!(fmod(&a, &b).unwrap(), ints(&[1, -1, 1, -1]));
    assert!(div(&a, &ints(&[0])).is_err());
    assert_eq!(pow(&ints(&[2, -1, 3]), &ints(&[10, -3, -1])).unwrap(), ints(&[1024, -1, 0]));
}

#[test]
fn integers_wrap_to_their_type() {
    let bytes = |values: &[i64]| {
        Array::new(ElementType::Uint8, &[values.len()], Data::Ints(values.to_vec())).unwrap()
    };
    assert_eq!(add(&bytes(&[250]), &bytes(&[10])).unwrap(), bytes(&[4]));
    let large = Array::new(ElementType::Uint64, &[1], Data::Ints(vec![-1])).unwrap();
    let two = Array::new(ElementType::Uint64, &[1], Data::Ints(vec![2])).unwrap();
    assert_eq!(div(&large, &two).unwrap().as_ints().unwrap(), [i64::MAX]);
    assert_eq!(max(&large, &two).unwrap(), large);
    assert_eq!(compare(&large, &two, Comparison::Less).unwrap().as_bools().unwrap(), [false]);
}

#[test]
fn nan_wins_and_equals_nothing() {
    let (a, b) = (floats(&[3], &[f32::NAN, 1.0, 2.0]), floats(&[3], &[1.0, f32::NAN, 1.0]));
    let largest = max(&a, &b).unwrap();
    assert!(largest.as_floats().unwrap()[..2].iter().all(|value| value.is_nan()));
    assert_eq!(largest.as_floats().unwrap()[2], 2.0);
    assert_eq!(min(&a, &b).unwrap().as_floats().unwrap()[2], 1.0);
    let same = compare(&a, &a, Comparison::Equal).unwrap();
    assert_eq!(same.as_bools().unwrap(), [false, true, true]);
}

#[test]
fn selects_by_condition() {
    let condition = Array::bools(&[2, 1], vec![true, false]).unwrap();
    let chosen = select(&condition, &ints(&[1, 2]), &ints(&[3])).unwrap();
    assert_eq!(chosen.dims(), [2, 2]);
    assert_eq!(chosen.as_ints().unwrap(), [1, 2, 3, 3]);
}

#[test]
fn casts_cut_off() {
    let values = floats(&[4], &[-1.7, 1.7, f32::NAN, 300.0]);
    let bytes = cast(&values, ElementType::Uint8).unwrap();
    assert_eq!(bytes.as_ints().unwrap(), [255, 1, 0, 44]);
    assert_eq!(
        cast(&bytes, ElementType::Bool).unwrap().as_bools().unwrap(),
        [true, true, false, true]
    );
    let large = cast(&floats(&[1], &[1.0e19]), ElementType::Uint64).unwrap();
    assert_eq!(cast(&large, ElementType::Float32).unwrap().as_floats().unwrap(), [1.0e19]);
    assert_eq!(clamp(&values, 0.0, 1.0).unwrap().as_floats().unwrap()[..2], [0.0, 1.0]);
    assert_eq!(round_half_even(&floats(&[2], &[2.5, -1.5])).unwrap(), floats(&[2], &[2.0, -2.0]));
}
