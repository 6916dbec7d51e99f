//! Systems of linear equations.

/// Solves `A X = B` in place for a symmetric, positive definite `A` of `size` rows (row by row) and a
/// `B` of `columns` columns, by Cholesky's decomposition. `None` where `A` is not positive definite.
pub(super) fn solve(a: &mut [f64], b: &mut [f64], (size, columns): (usize, usize)) -> Option<()> {
    for row in 0..size {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| a[row * size + k] * a[column * size + k]).sum();
            let rest = a[row * size + column] - known;
            if row != column {
                a[row * size + column] = rest / a[column * size + column];
            } else if rest > 0.0 && rest.is_finite() {
                a[row * size + row] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    for column in 0..columns {
        for row in 0..size {
            let known: f64 = (0..row).map(|k| a[row * size + k] * b[k * columns + column]).sum();
            b[row * columns + column] = (b[row * columns + column] - known) / a[row * size + row];
        }
        for row in (0..size).rev() {
            let known: f64 =
                (row + 1..size).map(|k| a[k * size + row] * b[k * columns + column]).sum();
            b[row * columns + column] = (b[row * columns + column] - known) / a[row * size + row];
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let mut a = vec![4.0, 2.0, 0.0, 2.0, 5.0, 1.0, 0.0, 1.0, 3.0];
        // A times the columns (1, 2, 3) and (-1, 0, 1).
        let mut b = vec![8.0, -4.0, 15.0, -1.0, 11.0, 3.0];
        solve(&mut a, &mut b, (3, 2)).unwrap();
        for (found, expected) in b.iter().zip([1.0, -1.0, 2.0, 0.0, 3.0, 1.0]) {
            assert!((found - expected).abs() < 1e-12, "{b:?}");
        }
        assert_eq!(solve(&mut [0.0], &mut [1.0], (1, 1)), None);
    }
}
