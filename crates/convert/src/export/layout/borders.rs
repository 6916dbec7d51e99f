//! What windows reach over: the padding that other frameworks call `SAME`, or a Pad before a window
//! that stays inside.

use super::super::graph::{Facts, Rewriting, fixed, node};
use modelyard_graph::{Constant, ElementType, Node};

/// A window that slides over an image. One item a dimension of space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    /// How far it reaches over the borders.
    pub(super) pads: Pads,
    /// Sizes of the image; `None` where they are open.
    pub(super) space: Vec<Option<usize>>,
}

/// How far a window reaches over the borders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pads {
    /// As far as needed for as many outputs as inputs over the stride, the odd one at the end.
    Same,
    /// This far at the begin and at the end, by dimension of space.
    Explicit {
        /// As the node states it.
        stated: Vec<[usize; 2]>,
        /// How much further at the end the last window reaches (`ceil_mode`).
        beyond: Vec<usize>,
    },
}

impl Window {
    /// Of a convolution, whose weights say the size of the kernel.
    pub(super) fn of_convolution(facts: &Facts, node: &Node) -> Option<Window> {
        let weights = facts.sizes(node.input(1)?)?;
        Window::of(facts, node, weights.get(2..)?)
    }

    /// Of a pool.
    pub(super) fn of_pool(facts: &Facts, node: &Node) -> Option<Window> {
        let kernel: Option<Vec<usize>> =
            node.ints("kernel_shape")?.iter().map(|&size| usize::try_from(size).ok()).collect();
        Window::of(facts, node, &kernel?)
    }

    fn of(facts: &Facts, node: &Node, kernel: &[usize]) -> Option<Window> {
        let dims = facts.dims(node.input(0)?)?;
        let space: Vec<Option<usize>> = dims.get(2..)?.iter().map(fixed).collect();
        if kernel.len() != space.len() || kernel.contains(&0) {
            return None;
        }
        let list = |name: &str| match node.ints(name) {
            None => Some(vec![1; kernel.len()]),
            Some(list) => {
                let list: Option<Vec<usize>> =
                    list.iter().map(|&item| usize::try_from(item).ok()).collect();
                list.filter(|list| list.len() == kernel.len() && !list.contains(&0))
            }
        };
        let (strides, dilations) = (list("strides")?, list("dilations")?);
        let mut window =
            Window { kernel: kernel.to_vec(), strides, dilations, pads: Pads::Same, space };
        window.pads = window.stated_pads(node)?;
        Some(window)
    }

    /// Size of the kernel with its gaps.
    pub(super) fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1).saturating_mul(self.dilations[axis]).saturating_add(1)
    }

    fn stated_pads(&self, node: &Node) -> Option<Pads> {
        let count = self.kernel.len();
        let stated: Vec<[usize; 2]> = match node.string("auto_pad").unwrap_or("NOTSET") {
            "SAME_UPPER" => return Some(Pads::Same),
            "SAME_LOWER" => (0..count)
                .map(|axis| {
                    let [begin, end] = self.same(axis)?;
                    Some([end, begin])
                })
                .collect::<Option<_>>()?,
            "VALID" => vec![[0, 0]; count],
            _ => match node.ints("pads") {
                None => vec![[0, 0]; count],
                Some(pads) if pads.len() == 2 * count => {
                    let size = |index: usize| usize::try_from(*pads.get(index)?).ok();
                    (0..count)
                        .map(|axis| Some([size(axis)?, size(axis + count)?]))
                        .collect::<Option<_>>()?
                }
                Some(_) => return None,
            },
        };
        let beyond = match node.int("ceil_mode").unwrap_or(0) {
            0 => vec![0; count],
            _ => (0..count).map(|axis| self.beyond(axis, stated[axis])).collect::<Option<_>>()?,
        };
        Some(Pads::Explicit { stated, beyond })
    }

    /// The padding that gives as many outputs as inputs over the stride; `None` where the size is
    /// open and matters.
    fn same(&self, axis: usize) -> Option<[usize; 2]> {
        let (stride, extent) = (self.strides[axis], self.extent(axis));
        let total = match (stride, self.space[axis]) {
            (1, _) => extent - 1,
            (_, Some(size)) => {
                let covered = size.div_ceil(stride).checked_sub(1)?.checked_mul(stride)?;
                covered.checked_add(extent)?.saturating_sub(size)
            }
            (_, None) => return None,
        };
        Some([total / 2, total - total / 2])
    }

    /// How far beyond the padding the last window reaches if sizes are rounded up.
    fn beyond(&self, axis: usize, [begin, end]: [usize; 2]) -> Option<usize> {
        let (stride, size) = (self.strides[axis], self.space[axis]?);
        let padded = size.checked_add(begin)?.checked_add(end)?;
        let room = padded.checked_sub(self.extent(axis))?;
        let rest = room.div_ceil(stride).checked_mul(stride)?;
        // A window must start inside the image or the border before it.
        if rest >= size.checked_add(begin)? { Some(0) } else { Some(rest - room) }
    }

    /// Whether it reaches over the borders as `SAME` does.
    pub(super) fn is_same(&self) -> bool {
        match &self.pads {
            Pads::Same => true,
            Pads::Explicit { stated, beyond } => {
                let mut all = stated.iter().zip(beyond).enumerate();
                all.all(|(axis, ([begin, end], beyond))| {
                    self.same(axis) == Some([*begin, end.saturating_add(*beyond)])
                })
            }
        }
    }

    /// How many outputs there are along an axis.
    pub(super) fn outputs(&self, axis: usize) -> Option<usize> {
        let (size, stride) = (self.space[axis]?, self.strides[axis]);
        match &self.pads {
            Pads::Same => Some(size.div_ceil(stride)),
            Pads::Explicit { stated, beyond } => {
                let [begin, end] = stated[axis];
                let padded = size.checked_add(begin)?.checked_add(end)?;
                let padded = padded.checked_add(beyond[axis])?;
                Some(padded.checked_sub(self.extent(axis))? / stride + 1)
            }
        }
    }
}

/// Refuses a window that is not understood.
pub(super) fn refuse(graph: &mut Rewriting, node: &Node) -> Option<Node> {
    let way_out = "give the model inputs of a fixed size (`convert --shape`), and weights that are \
                   constants";
    graph.refuse(node, "a window whose size or padding is not known", way_out);
    None
}

/// Makes a node's padding `SAME` or `VALID`: what it pads else, a Pad with `filler` does before it.
/// Gives the image to take.
pub(super) fn settle(
    graph: &mut Rewriting,
    node: &mut Node,
    window: &Window,
    (image, filler): (&str, f32),
) -> String {
    const STATED: [&str; 4] = ["pads", "auto_pad", "ceil_mode", "count_include_pad"];
    let element_type = node.input(0).and_then(|input| graph.facts.element_type(input));
    node.attributes.retain(|attribute| !STATED.contains(&attribute.name.as_str()));
    let is_same = window.is_same();
    let is_inside = |pads: &[usize; 2]| *pads == [0, 0];
    let (padding, image) = match &window.pads {
        Pads::Explicit { stated, beyond }
            if !is_same || (stated.iter().all(is_inside) && beyond.iter().all(|&one| one == 0)) =>
        {
            let ends = stated
                .iter()
                .zip(beyond)
                .map(|([begin, end], beyond)| [*begin, end.saturating_add(*beyond)]);
            let pads: Vec<[usize; 2]> = ends.collect();
            ("VALID", pad(graph, image, &pads, filler_of(filler, element_type)))
        }
        _ => ("SAME_UPPER", image.to_owned()),
    };
    *node = std::mem::take(node).with("auto_pad", padding);
    image
}

/// An image with its channels last, with more around it.
pub(super) fn pad(
    graph: &mut Rewriting,
    image: &str,
    pads: &[[usize; 2]],
    filler: Constant,
) -> String {
    if pads.iter().all(|pads| *pads == [0, 0]) {
        return image.to_owned();
    }
    let side = |side: usize| {
        let sizes = pads.iter().map(move |pads| i64::try_from(pads[side]).unwrap_or(i64::MAX));
        std::iter::once(0).chain(sizes).chain(std::iter::once(0))
    };
    let list: Vec<i64> = side(0).chain(side(1)).collect();
    let list = graph.integers("pads", &list);
    let filler = graph.constant(filler);
    graph.add(node("Pad", &[image, &list, &filler]))
}

/// What is put around an image: in the type of the image, as close as that comes.
fn filler_of(value: f32, element_type: Option<ElementType>) -> Constant {
    let element_type = element_type.unwrap_or(ElementType::Float32);
    let bytes = match element_type {
        ElementType::Float64 => f64::from(value).to_le_bytes().to_vec(),
        ElementType::Float16 => half::f16::from_f32(value.max(-65504.0)).to_le_bytes().to_vec(),
        ElementType::Int8 => (value as i8).to_le_bytes().to_vec(),
        ElementType::Uint8 => (value as u8).to_le_bytes().to_vec(),
        _ => return Constant::floats("filler", &[], &[value]),
    };
    Constant::raw("filler", element_type, &[], bytes)
}
