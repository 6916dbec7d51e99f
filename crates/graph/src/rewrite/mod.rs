//! Passes that make a graph simpler and keep what it computes.
//!
//! Converters write graphs as their sources have them, one operator after the other; what they
//! leave behind is removed here. Each pass is a function on one graph, and can be run alone;
//! [`clean`] runs all of them until nothing changes. What a model takes and gives keeps its name,
//! type and order.
//!
//! | module | holds |
//! |---|---|
//! | `net`, `import`, `export` | the graph as passes work on it, and the way there and back |
//! | `shapes`, `perm`, `tensor`, `names` | sizes, orders of axes, moving elements, fresh names |
//! | `dead`, `identity`, `fold`, `common`, `transposes`, ... | the passes, one file or folder each |

mod affine;
mod bias;
mod common;
mod dead;
mod export;
mod fold;
mod identity;
mod import;
mod list;
mod names;
mod net;
mod pads;
mod perm;
mod reshapes;
mod shapes;
mod tensor;
mod transposes;

use names::Names;
use net::Net;
use shapes::Facts;

use crate::{Graph, Model};

/// The oldest operator set that passes know. Before it, elementwise operators have rules of their
/// own for broadcasting.
const OLDEST_OPSET: i64 = 7;

/// How often all passes are run at most.
const MOST_ROUNDS: usize = 12;

/// What passes may do beyond what is always wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Fold BatchNormalization, and multiplications and additions by constants, into the weights
    /// of the operator before. Answers then differ by rounding.
    pub fold_batch_norm: bool,
}

/// A named change of graphs that keeps what they compute.
pub struct Pass {
    /// A short name.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Changes a graph; says whether it did.
    run: fn(&mut Net, &Options) -> bool,
}

/// All passes, in the order in which [`clean`] runs them.
pub const PASSES: &[Pass] = &[
    Pass { name: "identity", doc: "removes what gives just what it takes", run: identity::run },
    Pass { name: "common", doc: "keeps once what there is twice", run: common::run },
    Pass { name: "fold", doc: "computes what depends on constants only", run: fold::run },
    Pass {
        name: "reshapes",
        doc: "merges operators that only say the shape anew",
        run: reshapes::run,
    },
    Pass {
        name: "transposes",
        doc: "moves transposes to where they meet and cancel",
        run: transposes::run,
    },
    Pass {
        name: "pads",
        doc: "lets convolutions and pools do the padding before them",
        run: pads::run,
    },
    Pass {
        name: "bias",
        doc: "lets convolutions and products of matrices add the bias after them",
        run: bias::run,
    },
    Pass {
        name: "affine",
        doc: "folds what scales and shifts channels into weights, if that is wanted",
        run: affine::run,
    },
    Pass { name: "dead", doc: "removes what no output depends on", run: dead::run },
];

impl Pass {
    /// Runs this pass once over all graphs of a model.
    pub fn apply(&self, model: Model, options: &Options) -> Model {
        rewrite(model, std::slice::from_ref(self), options, 1)
    }
}

/// Runs all passes over all graphs of a model until nothing changes. The result is to be verified.
pub fn clean(model: Model, options: &Options) -> Model {
    rewrite(model, PASSES, options, MOST_ROUNDS)
}

fn rewrite(mut model: Model, passes: &[Pass], options: &Options, rounds: usize) -> Model {
    let Some(opset) = model.opset("").filter(|_| is_covered(&model)) else { return model };
    if model.ir_version < 4 {
        drop_defaults(&mut model);
    }
    let mut names = Names::of(&model);
    names::unshadow(&mut model.graph, &mut names);
    for _ in 0..rounds {
        let facts = Facts::of(&model);
        names.forget_nodes();
        let mut round = Round { passes, options, opset, facts, names, changed: false };
        let graph = std::mem::take(&mut model.graph);
        model.graph = round.graph(graph, &import::Outer::new());
        names = round.names;
        if !round.changed {
            break;
        }
    }
    model
}

/// Whether all of a model may be changed: its operators are those that passes know, and nothing
/// outside of its graph depends on names inside.
fn is_covered(model: &Model) -> bool {
    let redefines = |function: &crate::Function| function.domain.is_empty();
    model.opset("").is_some_and(|opset| opset >= OLDEST_OPSET)
        && model.training.is_empty()
        && !model.functions.iter().any(redefines)
}

/// Old files had to list their constants as inputs too.
fn drop_defaults(model: &mut Model) {
    let graph = &mut model.graph;
    let constants: std::collections::HashSet<&str> =
        graph.initializers.iter().map(|constant| &*constant.name).collect();
    graph.inputs.retain(|input| !constants.contains(&*input.name));
    model.ir_version = 4;
}

/// One run of passes over all graphs of a model.
struct Round<'a> {
    passes: &'a [Pass],
    options: &'a Options,
    opset: i64,
    facts: Facts,
    names: Names,
    changed: bool,
}

impl Round<'_> {
    fn graph(&mut self, graph: Graph, outer: &import::Outer) -> Graph {
        let names = std::mem::take(&mut self.names);
        let mut net = import::import(graph, &self.facts, outer, (names, self.opset));
        for pass in self.passes {
            self.changed |= (pass.run)(&mut net, self.options);
        }
        let (mut graph, names) = export::export(net);
        self.names = names;
        if graph.nodes.iter().any(|node| node.subgraphs().next().is_some()) {
            let outer = import::outer_of(&graph, outer);
            for inner in graph.nodes.iter_mut().flat_map(names::graphs_mut) {
                *inner = self.graph(std::mem::take(inner), &outer);
            }
        }
        graph
    }
}
