//! What has to be divided for an activation to be divided.

use modelyard_graph::Node;

use crate::links::Links;

/// A constant that is divided along one of its dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Divided {
    pub(super) node: usize,
    pub(super) slot: usize,
    pub(super) axis: usize,
}

/// Nodes that are walked over at most.
const MOST_STEPS: usize = 8;

/// The constants that give the activation divided when they are; `None` where somebody else than
/// `users` takes it, or nothing before it can be divided.
pub(super) fn divided(
    tensor: &str,
    users: &[usize],
    channels: usize,
    links: &Links<'_>,
) -> Option<Vec<Divided>> {
    let alone = links.users(tensor).iter().all(|user| users.contains(user));
    if !alone || links.is_output(tensor) {
        return None;
    }
    let mut places = Vec::new();
    let walk = Walk { links, channels };
    walk.tensor(tensor, MOST_STEPS, &mut places)?;
    Some(places)
}

struct Walk<'a, 'b> {
    links: &'b Links<'a>,
    channels: usize,
}

impl Walk<'_, '_> {
    fn tensor(&self, name: &str, steps: usize, places: &mut Vec<Divided>) -> Option<()> {
        let number = self.links.producer(name)?;
        let node = &self.links.graph.nodes[number];
        let steps = steps.checked_sub(1)?;
        let is_own = node.domain.is_empty() && node.output(0) == Some(name);
        match node.op_type.as_str() {
            _ if !is_own => None,
            "LayerNormalization" | "RMSNormalization" => {
                // Other outputs are of what is divided, not of what is given.
                let is_last = node.int("axis").unwrap_or(-1) == -1;
                is_last.then_some(())?;
                self.row(number, 1, places)?;
                node.input(2).map_or(Some(()), |_| self.row(number, 2, places))
            }
            "MatMul" => self.columns(number, false, places),
            "Gemm" => {
                let is_one = |name: &str| node.float(name).is_none_or(|factor| factor == 1.0);
                (is_one("alpha") && is_one("beta")).then_some(())?;
                self.columns(number, node.int("transB").unwrap_or(0) != 0, places)?;
                node.input(2).map_or(Some(()), |_| self.row(number, 2, places))
            }
            "Add" => {
                let (constant, other) = self.operands(node)?;
                self.row(number, constant, places)?;
                self.inner(node.input(other)?, steps, places)
            }
            "Mul" => self.product(number, node, steps, places),
            "Relu" | "LeakyRelu" | "Identity" => self.inner(node.input(0)?, steps, places),
            _ => None,
        }
    }

    /// A tensor that nobody else takes.
    fn inner(&self, name: &str, steps: usize, places: &mut Vec<Divided>) -> Option<()> {
        self.links.only_user(name)?;
        self.tensor(name, steps, places)
    }

    /// Dividing one factor is enough, such as the one beside the gate.
    fn product(
        &self,
        number: usize,
        node: &Node,
        steps: usize,
        places: &mut Vec<Divided>,
    ) -> Option<()> {
        if let Some((constant, _)) = self.operands(node) {
            return self.row(number, constant, places);
        }
        let before = places.len();
        [1, 0].into_iter().find_map(|slot| {
            places.truncate(before);
            self.inner(node.input(slot)?, steps, places)
        })
    }

    /// Which input is a constant, and which is not.
    fn operands(&self, node: &Node) -> Option<(usize, usize)> {
        let is_constant = |slot: usize| Some(self.links.constant(node.input(slot)?).is_some());
        match (is_constant(0)?, is_constant(1)?) {
            (true, false) => Some((0, 1)),
            (false, true) => Some((1, 0)),
            _ => None,
        }
    }

    /// A constant with one number a channel.
    fn row(&self, node: usize, slot: usize, places: &mut Vec<Divided>) -> Option<()> {
        let name = self.links.graph.nodes[node].input(slot)?;
        let dims = &self.links.constant(name)?.dims;
        let is_row =
            dims.last() == Some(&self.channels) && dims.iter().product::<usize>() == self.channels;
        is_row.then(|| places.push(Divided { node, slot, axis: dims.len() - 1 }))
    }

    /// The columns of a weight.
    fn columns(&self, node: usize, transposed: bool, places: &mut Vec<Divided>) -> Option<()> {
        let name = self.links.graph.nodes[node].input(1)?;
        let dims = &self.links.constant(name)?.dims;
        let axis = usize::from(!transposed);
        let fits = dims.len() == 2 && dims[axis] == self.channels;
        fits.then(|| places.push(Divided { node, slot: 1, axis }))
    }
}
