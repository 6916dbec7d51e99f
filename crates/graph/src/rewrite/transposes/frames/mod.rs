//! What becomes of operators when the tensors around them are stored in another order of axes.
//!
//! | module | operators |
//! |---|---|
//! | `moved` | those whose outputs have the axes of their inputs |
//! | `elementwise` | arithmetic and activations, with broadcasting |
//! | `along` | those that have an axis: Softmax, Concat, Split, quantization, ... |
//! | `window` | Pad, Slice, Tile, Expand, Resize |
//! | `reduce` | Reduce*, ArgMax, Squeeze, Gather of one: axes that go |
//! | `unsqueeze` | axes that come |
//! | `reshape` | Reshape and Flatten, where whole axes move |
//! | `flatten` | Flatten before a matrix of constants, whose rows move instead |
//! | `shape` | Shape |
//!
//! An operator that is in none of them keeps its inputs and outputs as they are.

mod along;
mod elementwise;
mod flatten;
mod moved;
mod reduce;
mod reshape;
mod shape;
mod unsqueeze;
mod window;

use std::rc::Rc;

use super::super::net::{Net, NodeId, Op};
use super::super::perm::Perm;

/// Orders that a node's inputs and outputs are stored in: each stored tensor is the tensor
/// transposed by the order. `None`: as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) inputs: Vec<Option<Perm>>,
    pub(super) outputs: Vec<Option<Perm>>,
}

impl State {
    /// The order of an input; `None` where it is as it is.
    pub(super) fn input(&self, slot: usize) -> Option<&Perm> {
        self.inputs.get(slot)?.as_ref().filter(|perm| !perm.is_identity())
    }

    pub(super) fn output(&self, slot: usize) -> Option<&Perm> {
        self.outputs.get(slot)?.as_ref().filter(|perm| !perm.is_identity())
    }

    pub(super) fn is_original(&self) -> bool {
        let all = self.inputs.iter().chain(&self.outputs);
        all.flatten().all(Perm::is_identity)
    }
}

/// How one node can do with other orders.
pub(super) trait Frame {
    /// What it would be if input `slot` were stored in this order; `None` if it cannot be.
    fn of_input(&self, slot: usize, order: &Perm) -> Option<State>;

    /// What it would be if output `slot` were to be stored in this order.
    fn of_output(&self, slot: usize, order: &Perm) -> Option<State>;

    /// Nodes that it takes in this state beyond itself.
    fn extra_nodes(&self, _: &State) -> u64 {
        0
    }

    /// Makes the node fit for this state, which one of the other methods gave. Its inputs and
    /// outputs have been put in place before.
    fn apply(&self, net: &mut Net, node: NodeId, state: &State);
}

/// Makes the frame of a node.
type Build = fn(&Net, &Op) -> Option<Box<dyn Frame>>;

/// The frame of a node; `None` where it must stay as it is.
pub(super) fn frame(net: &Net, op: &Op) -> Option<Rc<dyn Frame>> {
    if !op.captured.is_empty() {
        return None;
    }
    let operator = op.standard()?;
    let families: [fn(&str) -> Option<Build>; 7] = [
        elementwise::build,
        along::build,
        window::build,
        reduce::build,
        unsqueeze::build,
        reshape::build,
        shape::build,
    ];
    let build = families.iter().find_map(|family| family(operator))?;
    build(net, op).map(Rc::from)
}
