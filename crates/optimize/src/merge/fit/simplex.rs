//! The least of a function over weights that are at least zero and sum to one.

/// Steps at most.
const MOST_STEPS: usize = 2000;
/// A step that moves weights by less than this in all is the last.
const LEAST_MOVE: f64 = 1e-9;
/// How often the length of a step is doubled or halved at most.
const MOST_LENGTHS: usize = 100;

/// Accelerated projected gradient descent from equal weights (Beck and Teboulle, "A Fast Iterative
/// Shrinkage-Thresholding Algorithm for Linear Inverse Problems", 2009, with backtracking), begun anew
/// where it goes uphill. `function` gives the value and the gradient; it is convex.
pub(super) fn least(count: usize, function: impl Fn(&[f64]) -> (f64, Vec<f64>)) -> Vec<f64> {
    let mut weights = vec![1.0 / count as f64; count];
    let (mut ahead, mut pace) = (weights.clone(), 1.0f64);
    let mut length = longest(&weights, &function);
    for _ in 0..MOST_STEPS {
        let from = function(&ahead);
        let next = step(&ahead, &from, &mut length, &function);
        let moved: Vec<f64> = next.iter().zip(&weights).map(|(new, old)| new - old).collect();
        let uphill =
            ahead.iter().zip(&next).zip(&moved).map(|((y, x), d)| (y - x) * d).sum::<f64>();
        let distance: f64 = next.iter().zip(&ahead).map(|(x, y)| (x - y).abs()).sum();
        let faster = (1.0 + (1.0 + 4.0 * pace * pace).sqrt()) / 2.0;
        let momentum = if uphill > 0.0 { 0.0 } else { (pace - 1.0) / faster };
        pace = if uphill > 0.0 { 1.0 } else { faster };
        ahead = next.iter().zip(&moved).map(|(x, d)| x + momentum * d).collect();
        weights = next;
        if distance < LEAST_MOVE {
            break;
        }
    }
    weights
}

/// One step downhill. Where the function bends more than its length allows, it gets shorter for good.
fn step(
    at: &[f64],
    (value, gradient): &(f64, Vec<f64>),
    length: &mut f64,
    function: &impl Fn(&[f64]) -> (f64, Vec<f64>),
) -> Vec<f64> {
    for _ in 0..MOST_LENGTHS {
        let next: Vec<f64> = at.iter().zip(gradient).map(|(w, g)| w - *length * g).collect();
        let next = projected(&next);
        let change: Vec<f64> = next.iter().zip(at).map(|(new, old)| new - old).collect();
        let dot: f64 = change.iter().zip(gradient).map(|(d, g)| d * g).sum();
        let square: f64 = change.iter().map(|d| d * d).sum();
        // Rounding must not look like a bend.
        let most = value + dot + square / (2.0 * *length) + 1e-14 * value.abs();
        if function(&next).0 <= most {
            return next;
        }
        *length /= 2.0;
    }
    at.to_vec()
}

/// A length that the first step need not shorten much, however flat the function is.
fn longest(at: &[f64], function: &impl Fn(&[f64]) -> (f64, Vec<f64>)) -> f64 {
    let (_, gradient) = function(at);
    let size = gradient.iter().map(|g| g.abs()).fold(0.0, f64::max);
    if size > 0.0 && size.is_finite() { 1e3 / size } else { 1.0 }
}

/// The nearest point of the simplex (Duchi et al., "Efficient Projections onto the l1-Ball for Learning
/// in High Dimensions", 2008).
fn projected(point: &[f64]) -> Vec<f64> {
    let mut sorted = point.to_vec();
    sorted.sort_unstable_by(|one, two| two.total_cmp(one));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (index, &number) in sorted.iter().enumerate() {
        sum += number;
        let candidate = (sum - 1.0) / (index + 1) as f64;
        if number > candidate {
            shift = candidate;
        }
    }
    point.iter().map(|number| (number - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_projected() {
        assert_eq!(projected(&[0.5, 0.5]), [0.5, 0.5]);
        assert_eq!(projected(&[3.0, 0.0, -1.0]), [1.0, 0.0, 0.0]);
        assert_eq!(projected(&[1.0, 1.0, 0.0]), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn the_least_of_a_square_is_its_projection() {
        // |w - t|² over the simplex is least at the projection of t, however steep it is.
        for scale in [1e-6, 1.0, 1e6] {
            let target = [0.7, 0.5, -0.4];
            let found = least(3, |weights| {
                let gaps: Vec<f64> = weights.iter().zip(&target).map(|(w, t)| w - t).collect();
                let value = scale * gaps.iter().map(|gap| gap * gap).sum::<f64>();
                (value, gaps.iter().map(|gap| 2.0 * scale * gap).collect())
            });
            for (found, expected) in found.iter().zip([0.6, 0.4, 0.0]) {
                assert!((found - expected).abs() < 1e-3, "{scale}: {found} is not {expected}");
            }
        }
    }
}
