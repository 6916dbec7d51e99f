//! Shapes with their open dimensions: what a value has for all sizes of the inputs.
//!
//! The walk follows sizes, not symbols. So it is done several times, each with other sizes for what
//! the model leaves open. What is the same in all of them is fixed; what is a symbol's size in all
//! of them is that symbol; anything else is left open.

use std::collections::{BTreeSet, HashMap, HashSet};

use modelyard_tensor::Dim;

use super::{Fact, Sizes, Walk};
use crate::{ElementType, Graph, Model, Value, ValueType};

/// Primes from which sizes are taken: no sum or product of a few is another one.
const PRIMES: [usize; 24] = [
    11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107,
];

/// How the size of the open dimension with this index is chosen. The first three must agree; the
/// others may only contradict: what is cut off at some length, or treats 1 differently.
const CHOICES: [fn(usize) -> usize; 5] = [
    |index| prime(index),
    |index| 2 * prime(index + 7),
    |index| 4 * prime(index + 3) + 1,
    |index| 1_000_003 + 2 * prime(index),
    |_| 1,
];

/// Number of the choices that all have to be known.
const NEEDED: usize = 3;

fn prime(index: usize) -> usize {
    // Beyond the list, distinct is good enough.
    PRIMES.get(index).copied().unwrap_or(2 * index + 101)
}

/// What is known of a value for all sizes of the inputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) element_type: ElementType,
    /// `None` when not even the rank is the same for all.
    pub(crate) dims: Option<Vec<Dim>>,
    /// The elements, where they are few and always the same; what is beyond 53 bits saturates.
    pub(crate) values: Option<Vec<f64>>,
}

impl Model {
    /// Types of the values of the outermost graph, as far as they hold for all sizes of the inputs.
    pub fn types(&self) -> HashMap<String, ValueType> {
        let value_type = |known: Known| {
            let Known { element_type, dims, .. } = known;
            ValueType::Tensor { element_type, dims }
        };
        self.known().into_iter().map(|(name, known)| (name, value_type(known))).collect()
    }

    /// What is known of the values of the outermost graph for all sizes of the inputs.
    pub(crate) fn known(&self) -> HashMap<String, Known> {
        let open = Open::of(&self.graph);
        let mut runs = CHOICES.iter().map(|choice| {
            let sizes = open.sizes(&self.graph, choice);
            (open.values(choice), walk(self, &sizes))
        });
        let needed: Vec<Run> = runs.by_ref().take(NEEDED).collect();
        let vetoes: Vec<Run> = runs.collect();
        let Some((_, first)) = needed.first() else { return HashMap::new() };
        let of = |name: &String| Some((name.clone(), agreed(name, &open, &needed, &vetoes)?));
        first.keys().filter_map(of).collect()
    }

    /// Writes the types of all values between nodes into the model, and what is known of its
    /// outputs beyond what it states.
    pub fn state_types(&mut self) {
        let types = self.types();
        let graph = &mut self.graph;
        for output in &mut graph.outputs {
            if let Some(found) = types.get(&output.name) {
                refine(&mut output.value_type, found);
            }
        }
        let stated: HashMap<String, ValueType> =
            graph.value_info.drain(..).map(|value| (value.name, value.value_type)).collect();
        let interface: HashSet<&str> =
            graph.outputs.iter().map(|output| output.name.as_str()).collect();
        let names = graph.nodes.iter().flat_map(|node| &node.outputs);
        for name in names.filter(|name| !name.is_empty() && !interface.contains(name.as_str())) {
            if let Some(value_type) = types.get(name).or_else(|| stated.get(name)) {
                let value = Value { name: name.clone(), value_type: value_type.clone() };
                graph.value_info.push(value);
            }
        }
    }
}

/// The value of each open dimension, and what the walk found with them.
type Run = (Vec<usize>, HashMap<String, Fact>);

fn walk(model: &Model, sizes: &Sizes) -> HashMap<String, Fact> {
    let mut walk = Walk::new(model, sizes);
    walk.strict = true;
    let inputs = model.graph.inputs.iter().map(|input| walk.input(input)).collect();
    walk.graph(&model.graph, inputs);
    walk.outermost
}

/// What a graph leaves open, each with an index.
pub(crate) struct Open {
    symbols: Vec<String>,
    /// Dimensions of inputs that have no name.
    nameless: usize,
}

impl Open {
    pub(crate) fn of(graph: &Graph) -> Open {
        let dims = |value: &Value| match &value.value_type {
            ValueType::Tensor { dims, .. } => dims.clone().unwrap_or_default(),
            _ => Vec::new(),
        };
        // Those of inputs come first: where two are equal, they are what others are called after.
        let values = graph.inputs.iter().chain(&graph.outputs).chain(&graph.value_info);
        let (mut symbols, mut seen) = (Vec::new(), BTreeSet::new());
        for dim in values.flat_map(dims) {
            if let Dim::Symbol(name) = dim
                && seen.insert(name.clone())
            {
                symbols.push(name);
            }
        }
        let nameless = graph.inputs.iter().flat_map(dims).filter(|dim| *dim == Dim::Free).count();
        Open { symbols, nameless }
    }

    fn values(&self, choice: &fn(usize) -> usize) -> Vec<usize> {
        (0..self.symbols.len() + self.nameless).map(choice).collect()
    }

    /// Sizes for all of it: `choice` says that of each index.
    pub(crate) fn sizes(&self, graph: &Graph, choice: impl Fn(usize) -> usize) -> Sizes {
        let symbols = self.symbols.iter().enumerate();
        let symbols = symbols.map(|(index, name)| (name.clone(), choice(index))).collect();
        let mut sizes = Sizes { symbols, ..Sizes::default() };
        let mut next = self.symbols.len();
        for input in &graph.inputs {
            let Some((_, Some(dims))) = input.value_type.as_tensor() else { continue };
            let mut sized = Vec::with_capacity(dims.len());
            for dim in dims {
                sized.push(match dim {
                    Dim::Free => {
                        next += 1;
                        choice(next - 1)
                    }
                    other => sizes.of(other),
                });
            }
            sizes.inputs.insert(input.name.clone(), sized);
        }
        sizes
    }
}

fn agreed(name: &str, open: &Open, needed: &[Run], vetoes: &[Run]) -> Option<Known> {
    let mut found: Vec<(&[usize], &Fact)> = Vec::with_capacity(needed.len() + vetoes.len());
    for (values, facts) in needed {
        found.push((values, facts.get(name)?));
    }
    found.extend(
        vetoes.iter().filter_map(|(values, facts)| Some((values.as_slice(), facts.get(name)?))),
    );
    let element_type = agreed_type(&found)?;
    let rank = found.first()?.1.dims.len();
    if found.iter().any(|(_, fact)| fact.dims.len() != rank) {
        return Some(Known { element_type, dims: None, values: None });
    }
    let dims = (0..rank).map(|axis| dim(axis, open, &found)).collect();
    let values = found.first()?.1.values.clone();
    let values = values.filter(|_| found.windows(2).all(|two| two[0].1.values == two[1].1.values));
    Some(Known { element_type, dims: Some(dims), values })
}

fn agreed_type(found: &[(&[usize], &Fact)]) -> Option<ElementType> {
    let first = found.first()?.1.element_type;
    found.iter().all(|(_, fact)| fact.element_type == first).then_some(first)
}

fn dim(axis: usize, open: &Open, found: &[(&[usize], &Fact)]) -> Dim {
    let first = found.first().map_or(0, |(_, fact)| fact.dims[axis]);
    if found.iter().all(|(_, fact)| fact.dims[axis] == first) {
        return Dim::Fixed(first);
    }
    let is = |index: usize| found.iter().all(|(values, fact)| values[index] == fact.dims[axis]);
    match (0..open.symbols.len()).find(|&index| is(index)) {
        Some(index) => Dim::Symbol(open.symbols[index].clone()),
        None => Dim::Free,
    }
}

/// Adds to what is stated of an output what was found: sizes it leaves open, names for those it has
/// no name for.
fn refine(stated: &mut ValueType, found: &ValueType) {
    if *stated == ValueType::Unknown {
        *stated = found.clone();
        return;
    }
    let ValueType::Tensor { element_type, dims } = stated else { return };
    let ValueType::Tensor { element_type: other, dims: Some(found) } = found else { return };
    if element_type != other {
        return;
    }
    match dims {
        None => *dims = Some(found.clone()),
        Some(dims) if dims.len() == found.len() => {
            for (dim, found) in dims.iter_mut().zip(found) {
                if !matches!(dim, Dim::Fixed(_)) && *found != Dim::Free {
                    *dim = found.clone();
                }
            }
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::DataType;

    use super::*;
    use crate::{GraphBuilder, Node};

    fn symbol(name: &str) -> Dim {
        Dim::Symbol(name.into())
    }

    fn check(graph: GraphBuilder, name: &str, expected: &[Dim]) {
        let model = graph.output("y", DataType::Fp32, &[]).model();
        let types = model.types();
        let found = types.get(name).unwrap_or_else(|| panic!("nothing is known of '{name}'"));
        assert_eq!(found.as_tensor().unwrap().1, Some(expected), "{name}");
    }

    fn images() -> GraphBuilder {
        let dims = [symbol("n"), Dim::Fixed(3), symbol("h"), symbol("w")];
        GraphBuilder::new("g").input("x", DataType::Fp32, &dims)
    }

    #[test]
    fn symbols_are_followed() {
        let weights = vec![0.0; 8 * 3 * 9];
        let graph = images()
            .floats("k", &[8, 3, 3, 3], &weights)
            .node(Node::new("Conv", &["x", "k"], &["c"]).with("pads", [1, 1, 1, 1]))
            .node(Node::new("Conv", &["x", "k"], &["d"]).with("strides", [2, 2]))
            .node(Node::new("GlobalAveragePool", &["c"], &["p"]))
            .node(Node::new("Flatten", &["p"], &["f"]))
            .node(Node::new("Flatten", &["c"], &["g"]));
        check(graph.clone(), "c", &[symbol("n"), Dim::Fixed(8), symbol("h"), symbol("w")]);
        check(graph.clone(), "d", &[symbol("n"), Dim::Fixed(8), Dim::Free, Dim::Free]);
        check(graph.clone(), "f", &[symbol("n"), Dim::Fixed(8)]);
        check(graph, "g", &[symbol("n"), Dim::Free]);
    }

    #[test]
    fn shapes_in_the_graph_are_followed() {
        let graph = images()
            .node(Node::new("Shape", &["x"], &["s"]))
            .integers("zero", &[1], &[0])
            .node(Node::new("Gather", &["s", "zero"], &["n"]))
            .integers("rest", &[1], &[-1])
            .node(Node::new("Concat", &["n", "rest"], &["t"]).with("axis", 0))
            .node(Node::new("Reshape", &["x", "t"], &["r"]));
        check(graph, "r", &[symbol("n"), Dim::Free]);
    }

    #[test]
    fn what_is_cut_at_some_length_is_no_symbol() {
        let graph = images()
            .integers("start", &[1], &[0])
            .integers("end", &[1], &[5000])
            .integers("axis", &[1], &[2])
            .node(Node::new("Slice", &["x", "start", "end", "axis"], &["cut"]));
        check(graph, "cut", &[symbol("n"), Dim::Fixed(3), Dim::Free, symbol("w")]);
    }

    #[test]
    fn what_a_branch_decides_by_a_size_is_not_believed() {
        let squeezed = Graph {
            name: "then".into(),
            nodes: vec![Node::new("Squeeze", &["x"], &["a"])],
            outputs: vec![Value { name: "a".into(), value_type: ValueType::Unknown }],
            ..Graph::default()
        };
        let kept = Graph {
            name: "else".into(),
            nodes: vec![Node::new("Identity", &["x"], &["b"])],
            outputs: vec![Value { name: "b".into(), value_type: ValueType::Unknown }],
            ..Graph::default()
        };
        let graph = images()
            .node(Node::new("Shape", &["x"], &["s"]))
            .integers("zero", &[], &[0])
            .node(Node::new("Gather", &["s", "zero"], &["n"]))
            .integers("one", &[], &[1])
            .node(Node::new("Equal", &["n", "one"], &["single"]))
            .node(
                Node::new("If", &["single"], &["r"])
                    .with("then_branch", squeezed)
                    .with("else_branch", kept),
            );
        let model = graph.output("r", DataType::Fp32, &[]).model();
        assert_eq!(model.types()["r"].as_tensor(), Some((ElementType::Float32, None)));
    }

    #[test]
    fn types_are_stated_for_what_is_between() {
        let mut model = images()
            .node(Node::new("Relu", &["x"], &["a"]))
            .node(Node::new("Relu", &["a"], &["y"]))
            .output("y", DataType::Fp32, &[Dim::Free, symbol("c"), Dim::Free, Dim::Fixed(7)])
            .model();
        model.state_types();
        let names: Vec<&str> = model.graph.value_info.iter().map(|value| &*value.name).collect();
        assert_eq!(names, ["a"]);
        let dims = [symbol("n"), Dim::Fixed(3), symbol("h"), Dim::Fixed(7)];
        assert_eq!(model.graph.outputs[0].value_type.as_tensor().unwrap().1, Some(&dims[..]));
    }
}
