//! Convolutions by hand-known values and by their definition.

use super::*;

fn counted(dims: &[usize]) -> Array {
    let count = dims.iter().product::<usize>();
    Array::floats(dims, (0..count).map(|value| value as f32).collect()).unwrap()
}

fn ones(dims: &[usize]) -> Array {
    Array::floats(dims, vec![1.0; dims.iter().product()]).unwrap()
}

fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[f32]) {
    let found = found.unwrap();
    assert_eq!((found.dims(), found.as_floats().unwrap()), (dims, values));
}

#[test]
fn windows_walk_over_padded_images() {
    let how = Convolution {
        pads_begin: vec![1, 1],
        pads_end: vec![1, 1],
        strides: vec![2, 2],
        ..Convolution::default()
    };
    // 0 1 2 / 3 4 5 / 6 7 8: corners of four elements each.
    let found = convolve(&counted(&[1, 1, 3, 3]), &ones(&[1, 1, 3, 3]), None, &how);
    check(found, &[1, 1, 2, 2], &[8.0, 12.0, 20.0, 24.0]);
    let dilated = Convolution { dilations: vec![2], ..Convolution::default() };
    let bias = Array::floats(&[1], vec![0.5]).unwrap();
    let found = convolve(&counted(&[1, 1, 4]), &ones(&[1, 1, 2]), Some(&bias), &dilated);
    check(found, &[1, 1, 2], &[2.5, 4.5]);
}

#[test]
fn pads_may_differ() {
    let how = Convolution { pads_end: vec![1], ..Convolution::default() };
    let weight = Array::floats(&[1, 1, 2], vec![1.0, 10.0]).unwrap();
    check(convolve(&counted(&[1, 1, 3]), &weight, None, &how), &[1, 1, 3], &[10.0, 21.0, 2.0]);
}

#[test]
fn groups_do_not_see_each_other() {
    let how = Convolution { groups: 2, ..Convolution::default() };
    let input = counted(&[1, 4, 2]);
    let found = convolve(&input, &ones(&[2, 2, 1]), None, &how);
    check(found, &[1, 2, 2], &[2.0, 4.0, 10.0, 12.0]);
    // One input channel a group, two outputs each.
    let weight = Array::floats(&[4, 1, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let found = convolve(&counted(&[1, 2, 2]), &weight, None, &how);
    check(found, &[1, 4, 2], &[0.0, 1.0, 0.0, 2.0, 6.0, 9.0, 8.0, 12.0]);
}

/// A sum over everything, in the most obvious way.
fn obvious(x: &Array, w: &Array, pad: usize, (stride, dilation): (usize, usize)) -> Vec<f32> {
    let (&[batch, channels, height, width], &[outputs, _, kh, kw]) = (x.dims(), w.dims()) else {
        panic!()
    };
    let size =
        |len: usize, kernel: usize| (len + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
    let (x, w) = (x.as_floats().unwrap(), w.as_floats().unwrap());
    let mut out = Vec::new();
    for (n, o) in (0..batch).flat_map(|n| (0..outputs).map(move |o| (n, o))) {
        for (i, j) in (0..size(height, kh)).flat_map(|i| (0..size(width, kw)).map(move |j| (i, j)))
        {
            let mut sum = 0.0;
            for (c, a, b) in (0..channels)
                .flat_map(|c| (0..kh).flat_map(move |a| (0..kw).map(move |b| (c, a, b))))
            {
                let row = (i * stride + a * dilation).wrapping_sub(pad);
                let column = (j * stride + b * dilation).wrapping_sub(pad);
                if row < height && column < width {
                    sum += x[((n * channels + c) * height + row) * width + column]
                        * w[((o * channels + c) * kh + a) * kw + b];
                }
            }
            out.push(sum);
        }
    }
    out
}

#[test]
fn agrees_with_the_obvious_sum() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut noise = |dims: &[usize]| {
        let count = dims.iter().product::<usize>();
        Array::floats(dims, (0..count).map(|_| random.i32(-3..4) as f32).collect()).unwrap()
    };
    for (stride, dilation, pad) in [(1, 1, 0), (2, 1, 1), (3, 1, 2), (1, 2, 2), (2, 3, 4)] {
        let (x, w) = (noise(&[2, 3, 9, 8]), noise(&[4, 3, 3, 2]));
        let how = Convolution {
            strides: vec![stride; 2],
            dilations: vec![dilation; 2],
            pads_begin: vec![pad; 2],
            pads_end: vec![pad; 2],
            groups: 1,
        };
        let found = convolve(&x, &w, None, &how).unwrap();
        assert_eq!(found.as_floats().unwrap(), obvious(&x, &w, pad, (stride, dilation)));
        let doubles = |array: &Array| {
            super::super::elementwise::cast(array, modelyard_graph::ElementType::Int64).unwrap()
        };
        let ints = convolve(&doubles(&x), &doubles(&w), None, &how).unwrap();
        assert_eq!(ints.to_f64s().unwrap(), found.to_f64s().unwrap());
    }
}

#[test]
fn transposed_ones_spread_the_kernel() {
    let how = Convolution { strides: vec![2], ..Convolution::default() };
    let weight = Array::floats(&[1, 1, 3], vec![1.0, 2.0, 3.0]).unwrap();
    let input = Array::floats(&[1, 1, 2], vec![1.0, 10.0]).unwrap();
    let found = convolve_transposed(&input, &weight, None, (&how, &[]));
    check(found, &[1, 1, 5], &[1.0, 2.0, 13.0, 20.0, 30.0]);
    let cut = Convolution { pads_begin: vec![1], pads_end: vec![1], ..how };
    let found = convolve_transposed(&input, &weight, None, (&cut, &[1]));
    check(found, &[1, 1, 4], &[2.0, 13.0, 20.0, 30.0]);
}

#[test]
fn transposed_is_the_transpose() {
    // <conv(x), y> = <x, transposed(y)> for every x and y.
    let how = Convolution {
        strides: vec![2, 1],
        dilations: vec![1, 2],
        pads_begin: vec![1, 0],
        pads_end: vec![0, 1],
        groups: 2,
    };
    let (x, w) = (counted(&[1, 4, 6, 5]), counted(&[6, 2, 3, 2]));
    let there = convolve(&x, &w, None, &how).unwrap();
    let y = counted(there.dims());
    let back = convolve_transposed(&y, &w, None, (&how, &[0, 0])).unwrap();
    let dot = |a: &Array, b: &Array| -> f64 {
        a.to_f64s().unwrap().iter().zip(b.to_f64s().unwrap()).map(|(a, b)| a * b).sum()
    };
    assert_eq!(back.dims(), x.dims());
    assert!((dot(&there, &y) / dot(&x, &back) - 1.0).abs() < 1e-6);
}

#[test]
fn what_does_not_fit_is_named() {
    let how = Convolution::default();
    let error = convolve(&counted(&[1, 2, 3]), &counted(&[1, 1, 3]), None, &how).unwrap_err();
    assert!(error.0.starts_with("input [1, 2, 3] and weights [1, 1, 3] of a convolution"));
    let error = convolve(&counted(&[1, 1, 2]), &counted(&[1, 1, 3]), None, &how).unwrap_err();
    assert!(error.0.starts_with("a window of 3 (dilation 1) does not fit into 2 elements"));
    assert!(convolve(&counted(&[1, 1, 3]), &counted(&[1, 1, 0]), None, &how).is_err());
    let none = Convolution { strides: vec![0], ..Convolution::default() };
    assert!(convolve(&counted(&[1, 1, 3]), &counted(&[1, 1, 3]), None, &none).is_err());
    let empty = convolve(&counted(&[0, 1, 3]), &counted(&[1, 1, 3]), None, &how).unwrap();
    assert_eq!(empty.dims(), [0, 1, 1]);
}
