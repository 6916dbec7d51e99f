//! Weights as integers.

use modelyard_graph::{Constant, ElementType};

use crate::floats::{Channels, floats, sqnr};
use crate::{Affine, Grid};

/// A weight as integers, with what they stand for.
pub(crate) struct Integers {
    pub(crate) dims: Vec<usize>,
    /// Row-major; one byte each.
    pub(crate) values: Vec<i8>,
    /// One for each channel.
    pub(crate) affines: Vec<Affine>,
    /// Which dimension the channels are; `None` for one scale of all.
    pub(crate) axis: Option<usize>,
    pub(crate) grid: Grid,
    /// How far the integers are from the weight, in decibels.
    pub(crate) sqnr: f64,
}

/// The smallest and the largest number of each channel.
pub(crate) fn extremes(numbers: &[f32], channels: Channels) -> Vec<(f32, f32)> {
    let mut extremes = vec![(0.0f32, 0.0f32); channels.channels];
    channels.rows(numbers, |channel, row| {
        let (low, high) = &mut extremes[channel];
        for &x in row {
            *low = low.min(x);
            *high = high.max(x);
        }
    });
    extremes
}

impl Integers {
    /// A weight of floats, each channel along `axis` with a scale from its extremes. `least` is a
    /// scale that each must have at least (a bias of 32-bit integers has to fit beside it), or empty.
    /// `None` for what are no floats.
    pub(crate) fn of(
        weight: &Constant,
        axis: Option<usize>,
        grid: Grid,
        least: &[f32],
    ) -> Option<Integers> {
        let numbers = floats(weight)?;
        let channels = Channels::of(&weight.dims, axis);
        let least = |channel: usize| least.get(channel).copied().unwrap_or(0.0);
        let affines = extremes(&numbers, channels).into_iter().enumerate();
        let affines: Vec<Affine> = affines
            .map(|(channel, (low, high))| {
                let affine = grid.affine(low, high);
                Affine { scale: affine.scale.max(least(channel)), ..affine }
            })
            .collect();
        Some(Integers::with(weight, &numbers, (axis, affines)))
    }

    /// A weight of these numbers, with these scales.
    pub(crate) fn with(
        weight: &Constant,
        numbers: &[f32],
        (axis, affines): (Option<usize>, Vec<Affine>),
    ) -> Integers {
        let grid = affines.first().map_or(Grid::S8, |affine| affine.grid);
        let mut values = Vec::with_capacity(numbers.len());
        let mut rounded = Vec::with_capacity(numbers.len());
        Channels::of(&weight.dims, axis).rows(numbers, |channel, row| {
            let affine = affines[channel];
            values.extend(row.iter().map(|&x| affine.quantize(x) as i8));
            rounded.extend(row.iter().map(|&x| affine.rounded(x)));
        });
        let sqnr = sqnr(numbers, &rounded);
        Integers { dims: weight.dims.clone(), values, affines, axis, grid, sqnr }
    }

    /// The integers that were given for a weight; `None` where these do not fit it.
    pub(crate) fn given(
        weight: &Constant,
        axis: Option<usize>,
        (numbers, affines): (&[f32], &[Affine]),
    ) -> Option<Integers> {
        let original = floats(weight)?;
        let channels = Channels::of(&weight.dims, axis).channels;
        if numbers.len() != original.len() || affines.len() != channels {
            return None;
        }
        let mut integers = Integers::with(weight, numbers, (axis, affines.to_vec()));
        integers.sqnr = sqnr(&original, &integers.floats());
        Some(integers)
    }

    /// What the integers stand for.
    fn floats(&self) -> Vec<f32> {
        let mut floats = Vec::with_capacity(self.values.len());
        Channels::of(&self.dims, self.axis).rows(&self.values, |channel, row| {
            let affine = self.affines[channel];
            // Unsigned integers lie in the same byte.
            let whole = |value: i8| {
                if affine.grid.signed { value.into() } else { i32::from(value as u8) }
            };
            floats.extend(row.iter().map(|&value| affine.dequantize(whole(value))));
        });
        floats
    }

    /// The integers as a constant.
    pub(crate) fn constant(&self, name: &str) -> Constant {
        let bytes: Vec<u8> = self.values.iter().map(|&value| value as u8).collect();
        Constant::raw(name, self.grid.element_type(), &self.dims, bytes)
    }

    /// The scales.
    pub(crate) fn scales(&self) -> Vec<f32> {
        self.affines.iter().map(|affine| affine.scale).collect()
    }

    /// Scales and zero points as constants: vectors along the axis, or scalars.
    pub(crate) fn parameters(&self, scale: &str, zero_point: &str) -> [Constant; 2] {
        let dims: &[usize] = if self.axis.is_some() { &[self.affines.len()] } else { &[] };
        let points: Vec<u8> = self.affines.iter().map(|affine| affine.zero_point as u8).collect();
        [
            Constant::floats(scale, dims, &self.scales()),
            Constant::raw(zero_point, self.grid.element_type(), dims, points),
        ]
    }
}

/// A bias as 32-bit integers of these scales, with zero point 0: what accumulators of integers add.
/// `None` where a number does not fit.
pub(crate) fn bias(numbers: &[f32], scales: &[f32]) -> Option<Vec<i32>> {
    let scale = |index: usize| scales[if scales.len() == 1 { 0 } else { index }];
    let integer = |(index, &x): (usize, &f32)| {
        let steps = (f64::from(x) / f64::from(scale(index))).round_ties_even();
        (steps.abs() < f64::from(i32::MAX)).then_some(steps as i32)
    };
    numbers.iter().enumerate().map(integer).collect()
}

/// 32-bit integers as a constant.
pub(crate) fn integers(name: &str, values: &[i32]) -> Constant {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Constant::raw(name, ElementType::Int32, &[values.len()], bytes)
}
