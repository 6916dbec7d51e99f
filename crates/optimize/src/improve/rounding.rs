//! Which layers' rounding can be learned, what of their inputs has to be known, and the learning.
//!
//! What a layer takes is seen as rows: the last dimension of a product's activation, the patches of a
//! convolution's (im2col). Rows are taken at even distances, at most so many for each layer. Layers
//! learn independently of each other, from what flows through the model of floats: the paper's variant
//! without the error of the layers before, which bias correction makes up for in the mean.

use std::collections::BTreeMap;

use modelyard_graph::{Model, Node};
use rayon::prelude::*;

use super::round::{self, learned};
use crate::floats::Channels;
use crate::links::Links;
use crate::quantize::roles::{Role, role};
use crate::quantize::{Given, Plan};

/// Numbers in a row at most: second moments are the square of it.
const MOST_NUMBERS: usize = 4096;
/// Rows that are looked at in one batch, at most.
const MOST_ROWS: usize = 1024;

/// A layer whose rounding can be learned.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name.
    pub node: String,
    /// What it takes.
    pub input: String,
    weight: String,
    form: Form,
    groups: usize,
    /// Numbers in a row of one group.
    size: usize,
    moments: Vec<f32>,
    rows: u64,
}

/// How rows lie in weight and activation.
#[derive(Clone, Debug)]
enum Form {
    /// Weight `[in, out]`.
    Product,
    /// Weight `[out, in]`.
    Transposed,
    /// Weight `[out, in / groups, height, width]`.
    Patches {
        kernel: [usize; 2],
        strides: [usize; 2],
        dilations: [usize; 2],
        begins: [usize; 2],
        ends: [usize; 2],
    },
}

/// What was learned of one layer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Learned {
    /// Its name.
    pub node: String,
    /// The expected squared error of what it gives, by that of the nearest integers.
    pub error: f64,
}

/// The layers of a plan whose rounding can be learned. Second: names of those where it cannot.
pub fn layers(model: &Model, plan: &Plan) -> (Vec<Layer>, Vec<String>) {
    let links = Links::of(&model.graph);
    let (mut found, mut without) = (Vec::new(), Vec::new());
    for &number in &plan.nodes {
        let node = &model.graph.nodes[number];
        if matches!(role(node, &links), Ok(Role::Weighted(_))) {
            match layer(node, &links) {
                // A weight that two layers share is learned for the first.
                Some(layer) if !found.iter().any(|it: &Layer| it.weight == layer.weight) => {
                    found.push(layer);
                }
                _ => without.push(node.label().to_owned()),
            }
        }
    }
    (found, without)
}

fn layer(node: &Node, links: &Links<'_>) -> Option<Layer> {
    let Ok(Role::Weighted(weighted)) = role(node, links) else { return None };
    let dims = links.constant(weighted.weight)?.dims.as_slice();
    let (form, groups, size) = match (node.op_type.as_str(), dims) {
        ("MatMul", &[inputs, _]) => (Form::Product, 1, inputs),
        ("Gemm", &[rows, columns]) => match node.int("transB").unwrap_or(0) {
            0 => (Form::Product, 1, rows),
            _ => (Form::Transposed, 1, columns),
        },
        ("Conv", &[outputs, inputs, height, width]) => {
            let groups = usize::try_from(node.int("group").unwrap_or(1)).ok()?;
            (groups > 0 && outputs % groups == 0).then_some(())?;
            (patches(node, [height, width])?, groups, inputs * height * width)
        }
        _ => return None,
    };
    (size > 0 && size <= MOST_NUMBERS).then(|| Layer {
        node: node.label().to_owned(),
        input: weighted.input.to_owned(),
        weight: weighted.weight.to_owned(),
        form,
        groups,
        size,
        moments: Vec::new(),
        rows: 0,
    })
}

fn patches(node: &Node, kernel: [usize; 2]) -> Option<Form> {
    if !matches!(node.string("auto_pad").unwrap_or("NOTSET"), "NOTSET" | "VALID") {
        return None;
    }
    let pair = |name: &str, default: usize| -> Option<[usize; 2]> {
        match node.ints(name) {
            None => Some([default; 2]),
            Some(&[one, two]) => Some([usize::try_from(one).ok()?, usize::try_from(two).ok()?]),
            Some(_) => None,
        }
    };
    let (begins, ends) = match node.ints("pads") {
        None => ([0; 2], [0; 2]),
        Some(&[top, left, bottom, right]) => {
            let size = |pad: i64| usize::try_from(pad).ok();
            ([size(top)?, size(left)?], [size(bottom)?, size(right)?])
        }
        Some(_) => return None,
    };
    let (strides, dilations) = (pair("strides", 1)?, pair("dilations", 1)?);
    let is_positive = strides.iter().chain(&dilations).all(|size| *size > 0);
    is_positive.then_some(Form::Patches { kernel, strides, dilations, begins, ends })
}

impl Layer {
    /// Bytes that are kept of its inputs.
    pub fn bytes(&self) -> usize {
        4 * self.groups * self.size * self.size
    }

    /// Sees what the layer takes for one batch.
    pub fn observe(&mut self, dims: &[usize], numbers: &[f32]) {
        if self.moments.is_empty() {
            self.moments = vec![0.0; self.groups * self.size * self.size];
        }
        for group in 0..self.groups {
            let rows = self.sampled(group, dims, numbers);
            if group == 0 {
                self.rows += (rows.len() / self.size) as u64;
            }
            let size = self.size;
            let moments = &mut self.moments[group * size * size..(group + 1) * size * size];
            moments.par_chunks_mut(size).enumerate().for_each(|(j, line)| {
                for row in rows.chunks_exact(size) {
                    let factor = row[j];
                    if factor != 0.0 {
                        line.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
                    }
                }
            });
        }
    }

    /// Some rows of one group, at even distances.
    fn sampled(&self, group: usize, dims: &[usize], numbers: &[f32]) -> Vec<f32> {
        let Form::Patches { kernel, strides, dilations, begins, ends } = &self.form else {
            let count = numbers.len() / self.size;
            let every = count.div_ceil(MOST_ROWS).max(1);
            let rows = numbers.chunks_exact(self.size).step_by(every);
            return if dims.last() == Some(&self.size) {
                rows.flatten().copied().collect()
            } else {
                Vec::new()
            };
        };
        let &[batch, channels, height, width] = dims else { return Vec::new() };
        let inputs = self.size / (kernel[0] * kernel[1]);
        let space = [height, width];
        let outputs = [0, 1].map(|axis| {
            let reach = dilations[axis] * (kernel[axis].max(1) - 1) + 1;
            let padded = space[axis] + begins[axis] + ends[axis];
            if padded < reach { 0 } else { (padded - reach) / strides[axis] + 1 }
        });
        if channels != inputs * self.groups || numbers.len() != batch * channels * height * width {
            return Vec::new();
        }
        let count = batch * outputs[0] * outputs[1];
        let every = count.div_ceil(MOST_ROWS).max(1);
        let mut rows = Vec::with_capacity(count.div_ceil(every) * self.size);
        for position in (0..count).step_by(every) {
            let (image, place) =
                (position / (outputs[0] * outputs[1]), position % (outputs[0] * outputs[1]));
            let corner = [place / outputs[1] * strides[0], place % outputs[1] * strides[1]];
            for input in 0..inputs {
                let channel = (image * channels + group * inputs + input) * height * width;
                for y in 0..kernel[0] {
                    for x in 0..kernel[1] {
                        let at = [corner[0] + y * dilations[0], corner[1] + x * dilations[1]];
                        let inside = [0, 1].map(|axis| {
                            at[axis].checked_sub(begins[axis]).filter(|at| *at < space[axis])
                        });
                        rows.push(match inside {
                            [Some(y), Some(x)] => numbers[channel + y * width + x],
                            _ => 0.0,
                        });
                    }
                }
            }
        }
        rows
    }

    /// Learns the rounding of the layer's weight, in so many steps, or fewer when `stop` says so; what
    /// was seen is forgotten.
    pub fn learn(
        &mut self,
        grids: &mut BTreeMap<String, Given>,
        how: (usize, &(dyn Fn() -> bool + Sync)),
    ) -> Option<Learned> {
        let mut moments = std::mem::take(&mut self.moments);
        let given = grids.get_mut(&self.weight).filter(|_| self.rows > 0)?;
        let part = 1.0 / self.rows as f32;
        moments.iter_mut().for_each(|sum| *sum *= part);
        let outputs = given.numbers.len() / self.size;
        let rows = self.turned(&given.numbers, outputs, false);
        let a_group = outputs / self.groups;
        let (mut numbers, mut errors) = (Vec::with_capacity(rows.len()), [0.0; 2]);
        for group in 0..self.groups {
            let range = group * a_group * self.size..(group + 1) * a_group * self.size;
            let affines = match given.affines.len() {
                1 => &given.affines[..],
                _ => given.affines.get(group * a_group..(group + 1) * a_group)?,
            };
            let size = self.size * self.size;
            let values = &moments[group * size..(group + 1) * size];
            let moments = round::Moments { size: self.size, values };
            let (found, [after, before]) = learned(&rows[range], affines, moments, how);
            numbers.extend(found);
            errors = [errors[0] + after, errors[1] + before];
        }
        given.numbers = self.turned(&numbers, outputs, true);
        let error = if errors[1] > 0.0 { errors[0] / errors[1] } else { 1.0 };
        Some(Learned { node: self.node.clone(), error })
    }

    /// A weight as rows of outputs, or such rows as the weight.
    fn turned(&self, numbers: &[f32], outputs: usize, back: bool) -> Vec<f32> {
        if !matches!(self.form, Form::Product) {
            return numbers.to_vec();
        }
        let (rows, columns) = if back { (outputs, self.size) } else { (self.size, outputs) };
        let mut turned = vec![0.0; numbers.len()];
        let channels = Channels::of(&[rows, columns], Some(0));
        channels.rows(numbers, |row, line| {
            line.iter().enumerate().for_each(|(column, x)| turned[column * rows + row] = *x);
        });
        turned
    }
}
