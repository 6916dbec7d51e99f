//! Indexing by hand-known values.

use super::*;

#[test]
fn adjacent_indices_stay_where_they_were() {
    let plan = Plan::new(&[false, true, true], 4);
    assert_eq!((plan.order.as_slice(), plan.is_adjacent), (&[1, 2, 0, 3][..], true));
    assert_eq!(plan.result_order(2), [2, 0, 1, 3]);
    let apart = Plan::new(&[true, false, true], 3);
    assert_eq!(apart.result_order(1), [0, 1]);
    assert_eq!(apart.back(), [0, 2, 1]);
}
