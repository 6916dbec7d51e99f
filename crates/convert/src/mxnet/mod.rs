//! MXNet: a symbol (`name-symbol.json`) and its parameters (`name-0000.params`).
//!
//! Symbols do not say the shapes of their inputs, so those are looked for first: what the weights
//! ask for, and sizes that fit all operators. What fits with several sizes stays free.
//!
//! | module | holds |
//! |---|---|
//! | `files`, `symbol`, `parameters`, `attributes` | the files |
//! | `candidates`, `slots`, `planes`, `infer` | shapes |
//! | `convert`, `site` | to ONNX, node by node |
//! | `evaluate` | what MXNet answers |
//! | `ops` | the operators: shape, conversion and evaluation of each in one file |

mod attributes;
mod candidates;
mod convert;
mod evaluate;
mod files;
mod infer;
mod ops;
mod parameters;
mod planes;
mod problem;
mod site;
mod slots;
mod symbol;

use std::collections::{BTreeSet, HashMap};

use modelyard_graph::ElementType;
use modelyard_tensor::Tensor;

use self::parameters::{Entry, Parameters};
use self::problem::Problem;
use self::symbol::{Node, Place, Symbol};
use crate::input::Source;
use crate::{
    Conversion, ConvertError, EvaluateError, Format, Limits, Missing, Options, SourceModel,
};

/// A model of MXNet.
#[derive(Debug)]
pub(crate) struct MxNet {
    symbol: Symbol,
    parameters: Parameters,
    /// Nodes that the outputs need, in order.
    used: BTreeSet<usize>,
    /// Those of them that are inputs.
    variables: Vec<usize>,
    /// Who takes an output.
    users: HashMap<Place, Vec<usize>>,
    notes: Vec<String>,
    limits: Limits,
}

/// Reads a model.
pub(crate) fn read(
    source: &Source,
    _: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let (symbol, parameters, notes) = files::read(source, limits)?;
    let model = MxNet::new(symbol, parameters, notes, limits.clone());
    model.check()?;
    Ok(Box::new(model))
}

/// The operators that are covered.
pub(crate) fn vocabulary() -> Vec<String> {
    ops::names().map(str::to_owned).collect()
}

/// What to call it in errors.
const NAME: &str = "MXNet model";

fn malformed(place: &str, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: NAME, place: place.into(), message: message.into() }
}

impl MxNet {
    fn new(
        mut symbol: Symbol,
        parameters: Parameters,
        notes: Vec<String>,
        limits: Limits,
    ) -> MxNet {
        for node in symbol.nodes.iter_mut().filter(|node| ops::has_label(&node.operator)) {
            node.inputs.truncate(1);
        }
        add_statistics(&mut symbol, &parameters);
        let used = used(&symbol);
        let mut users: HashMap<Place, Vec<usize>> = HashMap::new();
        for &index in &used {
            for &place in symbol.nodes.get(index).map_or(&[][..], |node| &node.inputs) {
                users.entry(place).or_default().push(index);
            }
        }
        let is_input = |&&index: &&usize| {
            symbol
                .nodes
                .get(index)
                .is_some_and(|node| node.is_variable() && parameters.get(&node.name).is_none())
        };
        let variables = used.iter().filter(is_input).copied().collect();
        MxNet { symbol, parameters, used, variables, users, notes, limits }
    }

    /// That all operators are known, and that weights are there.
    fn check(&self) -> Result<(), ConvertError> {
        let unknown = self.used.iter().filter_map(|&index| {
            let node = self.symbol.nodes.get(index)?;
            let known = node.is_variable() || ops::find(&node.operator).is_some();
            (!known).then(|| (index, ops::unknown(&node.operator)))
        });
        // Each operator once, where it comes first.
        let mut names = BTreeSet::new();
        let first = |&(index, _): &(usize, Problem)| {
            self.symbol.nodes.get(index).is_some_and(|node| names.insert(node.operator.clone()))
        };
        let unknown: Vec<(usize, Problem)> = unknown.filter(first).collect();
        if !unknown.is_empty() {
            return Err(self.missing(unknown));
        }
        let weights = self.variables.iter().filter_map(|&index| self.symbol.nodes.get(index));
        let weight = weights.map(|node| &node.name).find(|name| {
            ["_weight", "_gamma", "_beta", "_bias", "_running_mean", "_moving_mean"]
                .iter()
                .any(|end| name.ends_with(end))
        });
        match weight {
            Some(weight) if self.parameters.is_empty() => Err(malformed(
                "the parameters",
                format!("expected '{weight}' in a '.params' file beside the symbol, found none"),
            )),
            Some(weight) => Err(malformed(
                "the parameters",
                format!("there is no '{weight}' in them; are they of another model?"),
            )),
            None => Ok(()),
        }
    }

    /// The error that lists what is wrong with nodes.
    fn missing(&self, problems: Vec<(usize, Problem)>) -> ConvertError {
        let missing = problems.into_iter().map(|(index, problem)| {
            let node = self.symbol.nodes.get(index);
            let (reason, way_out) = match problem {
                Problem::Refused { reason, way_out } => (reason, way_out),
                Problem::Shape(message) => (
                    format!("what it is given ({message})"),
                    "if the shape of an input is not right, say it with --shape".into(),
                ),
                Problem::FreeSize(message) => (message, "say all sizes with --shape".into()),
            };
            Missing {
                operator: node.map_or_else(String::new, |node| node.operator.clone()),
                place: node.map_or_else(String::new, |node| node.name.clone()),
                reason,
                way_out,
            }
        });
        ConvertError::Unsupported(missing.collect())
    }

    /// Who takes an output: numbers and nodes.
    fn users(&self, place: Place) -> impl Iterator<Item = (usize, &Node)> {
        let users = self.users.get(&place).map_or(&[][..], Vec::as_slice);
        users.iter().filter_map(|&index| Some((index, self.symbol.nodes.get(index)?)))
    }

    /// First sizes of inputs, as far as the symbol says them.
    fn batches(&self) -> impl Iterator<Item = (usize, usize)> {
        self.variables.iter().filter_map(|&index| {
            let shape = self.symbol.nodes.get(index)?.attributes.ints("__shape__").ok()??;
            let size = usize::try_from(*shape.first()?).ok();
            size.filter(|size| (1..1 << 20).contains(size)).map(|size| (index, size))
        })
    }

    fn output_of(&self, node: &Node) -> Option<Place> {
        let index = self.symbol.nodes.iter().position(|other| std::ptr::eq(other, node))?;
        Some(Place { node: index, output: 0 })
    }

    /// The parameter at a place, where there is one.
    fn parameter(&self, place: Place) -> Option<&Entry> {
        let node = self.symbol.nodes.get(place.node).filter(|node| node.is_variable())?;
        self.parameters.get(&node.name)
    }

    /// The type of an input: what the symbol says, or that of the weights.
    fn kind_of(&self, node: usize) -> ElementType {
        let said = self.symbol.nodes.get(node).and_then(|node| {
            node.attributes.int("__dtype__").ok().flatten().and_then(ops::kind_of_code)
        });
        let halves = self
            .parameters
            .entries()
            .filter(|(_, entry)| entry.dims.len() > 1)
            .all(|(_, entry)| entry.element_type == ElementType::Float16);
        let weights = match halves && !self.parameters.is_empty() {
            true => ElementType::Float16,
            false => ElementType::Float32,
        };
        said.unwrap_or(weights)
    }
}

/// Old symbols leave the statistics of BatchNorm out.
fn add_statistics(symbol: &mut Symbol, parameters: &Parameters) {
    let mut added = Vec::new();
    for node in symbol.nodes.iter_mut().filter(|node| node.operator.starts_with("BatchNorm")) {
        for (count, ending) in [(3, "moving_mean"), (4, "moving_var")] {
            let name = format!("{}_{ending}", node.name);
            if node.inputs.len() == count && parameters.get(&name).is_some() {
                added.push((node.name.clone(), name));
            }
        }
    }
    if !added.is_empty() {
        symbol.add_variables(&added);
    }
}

/// The nodes that the heads need. Labels of losses are not among them.
fn used(symbol: &Symbol) -> BTreeSet<usize> {
    let mut used = BTreeSet::new();
    let mut open: Vec<usize> = symbol.heads.iter().map(|place| place.node).collect();
    while let Some(index) = open.pop() {
        if !used.insert(index) {
            continue;
        }
        let inputs = symbol.nodes.get(index).map_or(&[][..], |node| &node.inputs);
        open.extend(inputs.iter().map(|place| place.node));
    }
    used
}

impl SourceModel for MxNet {
    fn format(&self) -> Format {
        Format::MxNet
    }

    fn producer(&self) -> String {
        match self.symbol.version {
            0 => "MXNet".into(),
            version => {
                let (major, minor, patch) = (version / 10_000, version / 100 % 100, version % 100);
                format!("MXNet {major}.{minor}.{patch}")
            }
        }
    }

    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError> {
        convert::convert(self, options)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        evaluate::evaluate(self, inputs)
    }
}
