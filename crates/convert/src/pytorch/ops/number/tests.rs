//! Numbers by hand-known values.

use super::*;

#[test]
fn whole_numbers_divide_as_in_python() {
    assert_eq!(of_ints("floordiv", -7, 2), Some(Scalar::Int(-4)));
    assert_eq!(of_ints("mod", -7, 2), Some(Scalar::Int(1)));
    assert_eq!(of_ints("floordiv", 7, 0), None);
    assert_eq!(of_ints("truediv", 1, 2), Some(Scalar::Float(0.5)));
    assert_eq!(of_ints("lt", 1, 2), Some(Scalar::Bool(true)));
}
