//! Fourier transforms along the last axis.

use std::f64::consts::TAU;

use super::layout::elements;
use super::{Array, Data};
use crate::EvaluateError;

/// A complex number.
type Complex = (f64, f64);

/// The transform of real numbers: `n / 2 + 1` complex numbers, whose two parts are a new last axis.
/// Rows are cut off or filled up with zeros to `size`.
pub(crate) fn rfft(array: &Array, size: usize) -> Result<Array, EvaluateError> {
    let (own, mut dims) = last(array)?;
    if size == 0 {
        return Err(EvaluateError::new("a transform of no elements does not exist"));
    }
    dims.extend([size / 2 + 1, 2]);
    elements(&dims)?;
    let plan = Plan::new(size, -1.0);
    let mut out = Vec::new();
    for row in array.to_f64s()?.chunks_exact(own.max(1)) {
        let all = row.iter().copied().chain(std::iter::repeat(0.0)).take(size);
        let found = plan.run(&all.map(|value| (value, 0.0)).collect::<Vec<_>>());
        out.extend(found[..size / 2 + 1].iter().flat_map(|&(re, im)| [re, im]));
    }
    Array::from_f64s(float_of(array), &dims, out)
}

/// The real numbers of which `array` (`n / 2 + 1` complex numbers, whose parts are the last axis) is
/// the transform: `size` of them a row.
pub(crate) fn irfft(array: &Array, size: usize) -> Result<Array, EvaluateError> {
    let (&[ref outer @ .., own, 2], false) = (array.dims(), size == 0) else {
        let found = array.dims();
        return Err(EvaluateError::new(format!("shape {found:?} holds no complex numbers")));
    };
    let dims: Vec<usize> = outer.iter().copied().chain([size]).collect();
    elements(&dims)?;
    let plan = Plan::new(size, 1.0);
    let mut out = Vec::new();
    for row in array.to_f64s()?.chunks_exact((own * 2).max(1)) {
        let half: Vec<Complex> = row.as_chunks().0.iter().map(|&[re, im]| (re, im)).collect();
        let at = |index: usize| half.get(index).copied().unwrap_or((0.0, 0.0));
        let full: Vec<Complex> = (0..size)
            .map(|index| match index {
                // What stands alone is real, whatever the imaginary part says.
                _ if index == 0 || index * 2 == size => (at(index).0, 0.0),
                _ if index * 2 < size => at(index),
                _ => (at(size - index).0, -at(size - index).1),
            })
            .collect();
        out.extend(plan.run(&full).iter().map(|value| value.0 / size as f64));
    }
    Array::from_f64s(float_of(array), &dims, out)
}

/// The transform of complex numbers, whose two parts are the last axis; backwards, it is divided by
/// the number of elements.
pub(crate) fn fft(array: &Array, inverse: bool) -> Result<Array, EvaluateError> {
    let &[.., size @ 1..=usize::MAX, 2] = array.dims() else {
        let found = array.dims();
        return Err(EvaluateError::new(format!("shape {found:?} holds no complex numbers")));
    };
    let plan = Plan::new(size, if inverse { 1.0 } else { -1.0 });
    let factor = if inverse { size as f64 } else { 1.0 };
    let mut out = Vec::new();
    for row in array.to_f64s()?.chunks_exact(size * 2) {
        let row: Vec<Complex> = row.as_chunks().0.iter().map(|&[re, im]| (re, im)).collect();
        out.extend(plan.run(&row).iter().flat_map(|&(re, im)| [re / factor, im / factor]));
    }
    Array::from_f64s(float_of(array), array.dims(), out)
}

fn float_of(array: &Array) -> modelyard_graph::ElementType {
    match array.data() {
        Data::Doubles(_) => modelyard_graph::ElementType::Float64,
        _ => modelyard_graph::ElementType::Float32,
    }
}

fn last(array: &Array) -> Result<(usize, Vec<usize>), EvaluateError> {
    let (&own, outer) = array
        .dims()
        .split_last()
        .ok_or_else(|| EvaluateError::new("a number by itself has no transform"))?;
    Ok((own, outer.to_vec()))
}

/// Roots of unity for transforms of one size.
struct Plan {
    roots: Vec<Complex>,
}

impl Plan {
    fn new(size: usize, sign: f64) -> Plan {
        let angle = |at: usize| sign * TAU * at as f64 / size as f64;
        Plan { roots: (0..size).map(|at| (angle(at).cos(), angle(at).sin())).collect() }
    }

    fn run(&self, values: &[Complex]) -> Vec<Complex> {
        let mut out = vec![(0.0, 0.0); values.len()];
        self.step(values, 1, &mut out);
        out
    }

    /// The transform of every `stride`-th value, as many as `out` holds: by halves while they are
    /// even, else by the definition.
    fn step(&self, values: &[Complex], stride: usize, out: &mut [Complex]) {
        let size = out.len();
        if size % 2 == 1 {
            for (at, out) in out.iter_mut().enumerate() {
                let terms = values.iter().step_by(stride).take(size).enumerate();
                *out = terms.fold((0.0, 0.0), |sum, (place, &value)| {
                    // No overflow: both are less than 2^31.
                    add(sum, multiply(value, self.roots[at * place % size * stride]))
                });
            }
            return;
        }
        let half = size / 2;
        let (even, odd) = out.split_at_mut(half);
        self.step(values, stride * 2, even);
        self.step(&values[stride..], stride * 2, odd);
        for at in 0..half {
            let turned = multiply(odd[at], self.roots[at * stride]);
            (even[at], odd[at]) = (add(even[at], turned), add(even[at], (-turned.0, -turned.1)));
        }
    }
}

fn add(a: Complex, b: Complex) -> Complex {
    (a.0 + b.0, a.1 + b.1)
}

fn multiply(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(count: usize) -> Array {
        Array::floats(&[1, count], (0..count).map(|at| (at * at % 7) as f32).collect()).unwrap()
    }

    #[test]
    fn a_known_transform() {
        let array = Array::floats(&[4], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let found = rfft(&array, 4).unwrap();
        assert_eq!(found.dims(), [3, 2]);
        for (found, expected) in
            found.as_floats().unwrap().iter().zip([10.0, 0.0, -2.0, 2.0, -2.0, 0.0])
        {
            assert!((found - expected).abs() < 1e-6);
        }
        assert_eq!(rfft(&array, 2).unwrap().as_floats().unwrap()[..1], [3.0]);
    }

    #[test]
    fn there_and_back_again() {
        for count in [1, 2, 3, 8, 12, 15, 400] {
            let array = counted(count);
            let back = irfft(&rfft(&array, count).unwrap(), count).unwrap();
            for (found, expected) in
                back.as_floats().unwrap().iter().zip(array.as_floats().unwrap())
            {
                assert!((found - expected).abs() < 1e-4, "{count}: {found} is not {expected}");
            }
        }
        let pairs = Array::floats(&[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let back = fft(&fft(&pairs, false).unwrap(), true).unwrap();
        assert!((back.as_floats().unwrap()[3] - 4.0).abs() < 1e-6);
        assert!(irfft(&counted(3), 3).is_err());
        assert!(rfft(&counted(3), 0).is_err());
    }
}
