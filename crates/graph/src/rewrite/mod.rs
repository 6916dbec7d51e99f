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
//! | `fuse` | passes that put one operator in the place of several, where that is asked for |
//! | `trace` | running passes one by one, and what each changed |
//! | `dead`, `identity`, `fold`, `common`, `transposes`, ... | the passes, one file or folder each |

mod affine;
mod bias;
mod common;
mod dead;
mod export;
mod fold;
mod fuse;
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
mod trace;
mod transposes;

pub use fuse::Target;
use names::Names;
use net::Net;
use shapes::Facts;
pub use trace::{PassRecord, UnknownPass, select, trace};

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
    /// Put one operator in the place of several, as this target has them. Answers then differ by
    /// rounding.
    pub fuse: Option<Target>,
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
        name: "layer_norm",
        doc: "makes LayerNormalization of its parts, if fusions are wanted",
        run: fuse::layer_norm::run,
    },
    Pass {
        name: "rms_norm",
        doc: "makes RMSNormalization of its parts, if fusions are wanted",
        run: fuse::rms_norm::run,
    },
    Pass {
        name: "gelu",
        doc: "makes Gelu of its parts, if fusions are wanted",
        run: fuse::gelu::run,
    },
    Pass {
        name: "activations",
        doc: "makes HardSwish, Mish and the like of their parts, if fusions are wanted",
        run: fuse::activations::run,
    },
    Pass {
        name: "einsum",
        doc: "gives heads an axis of their own in what was an Einsum, if fusions are wanted",
        run: fuse::einsum::run,
    },
    Pass {
        name: "attention",
        doc: "makes attention of its parts, if fusions are wanted",
        run: fuse::attention::run,
    },
    Pass {
        name: "powers",
        doc: "puts simpler operators in the place of powers, if fusions are wanted",
        run: fuse::powers::run,
    },
    Pass {
        name: "scales",
        doc: "merges constants that multiply or add one after the other, if fusions are wanted",
        run: fuse::scales::run,
    },
    Pass {
        name: "clips",
        doc: "merges bounds one after the other, if fusions are wanted",
        run: fuse::clips::run,
    },
    Pass {
        name: "casts",
        doc: "merges casts one after the other, if fusions are wanted",
        run: fuse::casts::run,
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
        rewrite(model, &[self], options, 1).0
    }
}

/// Runs all passes over all graphs of a model until nothing changes. The result is to be verified.
pub fn clean(model: Model, options: &Options) -> Model {
    rewrite(model, &PASSES.iter().collect::<Vec<_>>(), options, MOST_ROUNDS).0
}

fn rewrite(mut model: Model, passes: &[&Pass], options: &Options, rounds: usize) -> (Model, bool) {
    let Some(opset) = model.opset("").filter(|_| is_covered(&model)) else { return (model, false) };
    if model.ir_version < 4 {
        drop_defaults(&mut model);
    }
    let options = supported(options, &model);
    let mut names = Names::of(&model);
    names::unshadow(&mut model.graph, &mut names);
    let mut changed = false;
    for _ in 0..rounds {
        let facts = Facts::of(&model);
        names.forget_nodes();
        let mut round = Round { passes, options: &options, opset, facts, names, changed: false };
        let graph = std::mem::take(&mut model.graph);
        model.graph = round.graph(graph, &import::Outer::new());
        names = round.names;
        changed |= round.changed;
        if !round.changed {
            break;
        }
    }
    import_domain(&mut model, &options);
    (model, changed)
}

/// Says that the model uses what ONNX Runtime adds, where passes put some of it in.
fn import_domain(model: &mut Model, options: &Options) {
    let uses = |model: &Model| model.nodes().any(|node| node.domain == fuse::MICROSOFT);
    if options.fuse == Some(Target::OnnxRuntime)
        && model.opset(fuse::MICROSOFT).is_none()
        && uses(model)
    {
        model.opsets.insert(fuse::MICROSOFT.to_owned(), 1);
    }
}

/// A function of the model in the domain of ONNX Runtime may have the name of one of its operators.
fn supported(options: &Options, model: &Model) -> Options {
    let redefines = |function: &crate::Function| function.domain == fuse::MICROSOFT;
    let mut options = options.clone();
    if model.functions.iter().any(redefines) {
        options.fuse = options.fuse.map(|_| Target::Standard);
    }
    options
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
    passes: &'a [&'a Pass],
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
