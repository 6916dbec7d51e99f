//! Averages: other frameworks count no padding, or take none.

use modelyard_graph::{Constant, Node};

use super::super::graph::{Rewriting, node};
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
    let pads: Vec<[usize; 2]> =
        stated.iter().zip(beyond).map(|([begin, end], beyond)| [*begin, end + beyond]).collect();
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
        // In the image with its borders: what counts.
        let counted = match counts_pads {
            true => 0..begin + size + end,
            false => begin..begin + size,
        };
        let counts = (0..window.outputs(axis)?).map(|place| {
            let start = place * window.strides[axis];
            let elements = (0..window.kernel[axis]).map(|k| start + k * window.dilations[axis]);
            elements.filter(|element| counted.contains(element)).count()
        });
        Some(counts.collect::<Vec<usize>>())
    });
    let counts = counts.collect::<Option<Vec<_>>>()?;
    let kernel: usize = window.kernel.iter().product();
    product(&counts, |count| kernel as f32 / count as f32)
}

/// By place: how many elements of the window are inside the image, over the size of the kernel.
fn factors_of_same(window: &Window, _: &[[usize; 2]]) -> Option<Factors> {
    let counts = (0..window.kernel.len()).map(|axis| {
        let (size, stride) = (window.space[axis]?, window.strides[axis]);
        let outputs = size.div_ceil(stride);
        let covered = outputs.checked_sub(1)? * stride + window.extent(axis);
        let begin = covered.saturating_sub(size) / 2;
        let counts = (0..outputs).map(|place| {
            let elements =
                (0..window.kernel[axis]).map(|k| place * stride + k * window.dilations[axis]);
            elements.filter(|element| (begin..begin + size).contains(element)).count()
        });
        Some(counts.collect::<Vec<usize>>())
    });
    let counts = counts.collect::<Option<Vec<_>>>()?;
    let kernel: usize = window.kernel.iter().product();
    product(&counts, |count| count as f32 / kernel as f32)
}

/// The products of counts along the axes, row-major.
fn product(counts: &[Vec<usize>], factor: impl Fn(usize) -> f32) -> Option<Factors> {
    /// More places than any image has.
    const MOST: usize = 1 << 26;
    let space: Vec<usize> = counts.iter().map(Vec::len).collect();
    let places = space.iter().try_fold(1usize, |all, &size| all.checked_mul(size))?;
    if places > MOST {
        return None;
    }
    let mut products = vec![1usize];
    for counts in counts {
        products =
            products.iter().flat_map(|one| counts.iter().map(move |count| one * count)).collect();
    }
    let is_sound = products.iter().all(|&count| count > 0);
    is_sound.then(|| Factors { space, values: products.into_iter().map(factor).collect() })
}
