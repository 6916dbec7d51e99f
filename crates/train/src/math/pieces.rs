//! How work on many rows is cut into pieces that threads share.

/// Elements in a piece at least: less is done before another thread has heard of it.
const ELEMENTS_MIN: usize = 1 << 14;

/// Pieces at most.
const PIECES_MAX: usize = 16;

/// Rows in each piece when `rows` rows of `size` elements are shared out; the last piece may have
/// fewer. At least 1. Follows from the sizes alone, so that sums over pieces are the same whatever
/// the number of threads.
pub(crate) fn rows_per_piece(rows: usize, size: usize) -> usize {
    let pieces = (rows.saturating_mul(size) / ELEMENTS_MIN).clamp(1, PIECES_MAX);
    rows.div_ceil(pieces).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_work_is_one_piece_and_much_is_sixteen() {
        assert_eq!(rows_per_piece(0, 5), 1);
        assert_eq!(rows_per_piece(10, 100), 10);
        assert_eq!(rows_per_piece(1000, 1000), 63);
        assert_eq!(rows_per_piece(3, usize::MAX), 1);
    }
}
