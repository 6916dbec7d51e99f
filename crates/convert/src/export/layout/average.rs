//! Averages: other frameworks count no padding, or take none.

use std::ops::Range;

use modelyard_graph::{Constant, Node};

use super::super::graph::{Rewriting, makeable, node};
use super::borders::{self, Pads, Window};
use super::{give, give_back, put, taken};

pub(super) fn rewrite(graph: &mut Rewriting, mut node: Node, rank: usize) -> Option<Node> {
    let Some(window) = Window::of_pool(&graph.facts, &node) else {
        return borders::refuse(graph, &node);
    };
    let counts_pads = node.int("count_include_pad").unwrap_or(0) != 0;
    let Pads::Explicit { stated, beyond } = &window.pads else {
        return same(graph, node, &window, (rank, counts_pads));
    };
    let is_inside = stated.iter().all(|pads| *pads == [0, 0]) && beyond.iter().all(|&one| one == 0);
    if is_inside || (!counts_pads && window.is_same()) {
        let image = taken(graph, &node, rank);
        let image = borders::settle(graph, &mut node, &window, (&image, 0.0));
        give(graph, node, &image, rank);
        return None;
    }
    let Some(factors) = factors(&window, stated, counts_pads) else {
        return borders::refuse(graph, &node);
    };
    let output = node.output(0).unwrap_or_default().to_owned();
    let image = taken(graph, &node, rank);
    // As `VALID` over zeros, then by how many there really are.
    let explicit = Window { pads: window.pads.clone(), ..window.clone() };
    let pads: Vec<[usize; 2]> = stated
        .iter()
        .zip(beyond)
        .map(|([begin, end], beyond)| [*begin, end.saturating_add(*beyond)])
        .collect();
    let filler = Constant::floats("filler", &[], &[0.0]);
    let image = borders::pad(graph, &image, &pads, filler);
    let inside = vec![[0, 0]; explicit.kernel.len()];
    let beyond = vec![0; inside.len()];
    let inside = Window { pads: Pads::Explicit { stated: inside, beyond }, ..explicit };
    let image = borders::settle(graph, &mut node, &inside, (&image, 0.0));
    let image = put(graph, node, &image);
    let image = scaled(graph, image, factors);
    give_back(graph, &image, &output, rank);
    None
}

/// `SAME`, with the padding counted or not.
fn same(
    graph: &mut Rewriting,
    mut node: Node,
    window: &Window,
    (rank, counts_pads): (usize, bool),
) -> Option<Node> {
    let real = vec![[0, 0]; window.kernel.len()];
    let factors = match counts_pads {
        true => match factors_of_same(window, &real) {
            Some(factors) => Some(factors),
            None => return borders::refuse(graph, &node),
        },
        false => None,
    };
    let output = node.output(0).unwrap_or_default().to_owned();
    let image = taken(graph, &node, rank);
    let image = borders::settle(graph, &mut node, window, (&image, 0.0));
    let image = put(graph, node, &image);
    let image = match factors {
        Some(factors) => scaled(graph, image, factors),
        None => image,
    };
    give_back(graph, &image, &output, rank);
    None
}

/// Factors of the places of an image.
struct Factors {
    space: Vec<usize>,
    values: Vec<f32>,
}

fn scaled(graph: &mut Rewriting, image: String, factors: Factors) -> String {
    if factors.values.iter().all(|&factor| factor == 1.0) {
        return image;
    }
    let dims = [&[1][..], &factors.space, &[1]].concat();
    let factors = graph.floats("counts", &dims, &factors.values);
    graph.add(node("Mul", &[image, factors]))
}

/// By place: size of the kernel over how many elements of the window count.
fn factors(window: &Window, stated: &[[usize; 2]], counts_pads: bool) -> Option<Factors> {
    let counts = (0..window.kernel.len()).map(|axis| {
        let [begin, end] = stated[axis];
        let size = window.space[axis]?;
        let padded = size.checked_add(begin)?.checked_add(end)?;
        // In the image with its borders: what counts.
        let counted = match counts_pads {
            true => 0..padded,
            false => begin..begin + size,
        };
        window.counts(axis, window.outputs(axis)?, &counted)
    });
    let counts = counts.collect::<Option<Vec<_>>>()?;
    let kernel = window.elements()?;
    product(&counts, |count| kernel as f32 / count as f32)
}

/// By place: how many elements of the window are inside the image, over the size of the kernel.
fn factors_of_same(window: &Window, _: &[[usize; 2]]) -> Option<Factors> {
    let counts = (0..window.kernel.len()).map(|axis| {
        let (size, stride) = (window.space[axis]?, window.strides[axis]);
        let outputs = size.div_ceil(stride);
        let last = outputs.checked_sub(1)?.checked_mul(stride)?;
        let begin = last.checked_add(window.extent(axis))?.saturating_sub(size) / 2;
        window.counts(axis, outputs, &(begin..begin.checked_add(size)?))
    });
    let counts = counts.collect::<Option<Vec<_>>>()?;
    let kernel = window.elements()?;
    product(&counts, |count| count as f32 / kernel as f32)
}

impl Window {
    /// Of each of the places along an axis: how many elements of the window are among these.
    fn counts(&self, axis: usize, places: usize, counted: &Range<usize>) -> Option<Vec<usize>> {
        let (kernel, dilation) = (self.kernel[axis], self.dilations[axis]);
        let count = |place: usize| {
            let start = place.checked_mul(self.strides[axis])?;
            // Elements before a bound: those at `start + k * dilation` that are below it.
            let before = |bound: usize| bound.saturating_sub(start).div_ceil(dilation).min(kernel);
            Some(before(counted.end) - before(counted.start))
        };
        (0..makeable(&[places])?).map(count).collect()
    }

    /// How many elements the window has.
    fn elements(&self) -> Option<usize> {
        self.kernel.iter().try_fold(1usize, |all, &size| all.checked_mul(size))
    }
}

/// The products of counts along the axes, row-major.
fn product(counts: &[Vec<usize>], factor: impl Fn(usize) -> f32) -> Option<Factors> {
    let space: Vec<usize> = counts.iter().map(Vec::len).collect();
    makeable(&space)?;
    let mut products = vec![1usize];
    for counts in counts {
        products = products
            .iter()
            .flat_map(|&one| counts.iter().map(move |count| count.saturating_mul(one)))
            .collect();
    }
    let is_sound = products.iter().all(|&count| count > 0);
    is_sound.then(|| Factors { space, values: products.into_iter().map(factor).collect() })
}
