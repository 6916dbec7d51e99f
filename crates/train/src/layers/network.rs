//! Layers put one on the other.

use fastrand::Rng;
use modelyard_graph::{GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim};

use super::{LAYERS, LayerError, LayerSpec, activation};

/// What the network is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The name of the model's input.
    pub name: String,
    /// The shape of one example, without the batch: channels come first.
    pub shape: Vec<usize>,
    /// `FP32`, or `INT64` for the numbers of an embedding.
    pub data_type: DataType,
}

/// Parameters of one model at most: more would not fit an ONNX file, which ends at 2 GiB.
const PARAMETERS_MAX: usize = 1 << 29;

/// Makes a model of these layers, with first weights that follow from the seed.
pub fn build(layers: &[LayerSpec], input: &Input, seed: u64) -> Result<Model, LayerError> {
    let mut network = Network::new(input, seed);
    layers.iter().try_for_each(|layer| network.add(layer))?;
    network.finish()
}

/// A network being built: a graph, and where it stands.
pub(super) struct Network {
    builder: GraphBuilder,
    pub(super) random: Rng,
    /// The value that the next layer takes.
    pub(super) value: String,
    /// Its shape, without the batch.
    pub(super) shape: Vec<usize>,
    data_type: DataType,
    /// Layers so far, by kind, for names.
    counts: Vec<(String, usize)>,
    parameters: usize,
    /// Put before names inside a block.
    prefix: String,
    /// The operator of the last node.
    last: String,
}

impl Network {
    fn new(input: &Input, seed: u64) -> Network {
        let dims: Vec<Dim> = std::iter::once(Dim::Symbol("batch".into()))
            .chain(input.shape.iter().map(|&size| Dim::Fixed(size)))
            .collect();
        Network {
            builder: GraphBuilder::new("network").input(&input.name, input.data_type, &dims),
            random: Rng::with_seed(seed),
            value: input.name.clone(),
            shape: input.shape.clone(),
            data_type: input.data_type,
            counts: Vec::new(),
            parameters: 0,
            prefix: String::new(),
            last: String::new(),
        }
    }

    /// Adds one layer.
    pub(super) fn add(&mut self, layer: &LayerSpec) -> Result<(), LayerError> {
        if let Some((.., add)) = LAYERS.iter().find(|(name, ..)| *name == layer.name) {
            return add(self, layer);
        }
        if activation::WORDS.contains(&layer.name.as_str()) && layer.positional.is_empty() {
            let name = self.name(&layer.name);
            activation::add(self, &layer.name, &name);
            return Ok(());
        }
        let known: Vec<&str> = LAYERS.iter().map(|(name, ..)| *name).collect();
        Err(LayerError::new(format!(
            "there is no layer '{}'; expected one of {}, or an activation: {}",
            layer.name,
            known.join(", "),
            activation::WORDS.join(", ")
        )))
    }

    /// A new name for a layer of this kind: `dense1`, `dense2`, ...
    pub(super) fn name(&mut self, kind: &str) -> String {
        let kind = format!("{}{kind}", self.prefix);
        let position = self.counts.iter().position(|(found, _)| *found == kind);
        let position = position.unwrap_or_else(|| {
            self.counts.push((kind.clone(), 0));
            self.counts.len() - 1
        });
        self.counts[position].1 += 1;
        format!("{kind}{}", self.counts[position].1)
    }

    /// Layers added by `build` have names that begin with `name`.
    pub(super) fn within(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Network) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        let outer = std::mem::replace(&mut self.prefix, format!("{name}."));
        let built = build(self);
        self.prefix = outer;
        built
    }

    /// Adds an initializer of floats.
    pub(super) fn weight(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<(), LayerError> {
        self.parameters += self.reserve(shape)?;
        let builder = std::mem::take(&mut self.builder);
        self.builder = builder.floats(name, shape, &values);
        Ok(())
    }

    /// The number of parameters of a weight that is to be made, if there is room for it.
    pub(super) fn reserve(&self, shape: &[usize]) -> Result<usize, LayerError> {
        let len = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let total = len.and_then(|len| len.checked_add(self.parameters));
        match (len, total) {
            (Some(len), Some(total)) if total <= PARAMETERS_MAX => Ok(len),
            _ => Err(LayerError::new(format!(
                "the layers have more than {PARAMETERS_MAX} parameters"
            ))),
        }
    }

    /// Adds a constant of integers.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) {
        let builder = std::mem::take(&mut self.builder);
        self.builder = builder.integers(name, &[values.len()], values);
    }

    /// Adds a node that takes the current value and `others`, and gives the next one.
    pub(super) fn node(
        &mut self,
        op_type: &str,
        others: &[&str],
        output: &str,
        with: impl FnOnce(Node) -> Node,
    ) {
        let mut inputs = vec![self.value.as_str()];
        inputs.extend(others);
        let mut node = with(Node::new(op_type, &inputs, &[output]));
        node.name = output.to_owned();
        self.push(node);
        self.value = output.to_owned();
    }

    /// Adds a node as it is.
    pub(super) fn push(&mut self, node: Node) {
        self.last = node.op_type.clone();
        let builder = std::mem::take(&mut self.builder);
        self.builder = builder.node(node);
    }

    /// Whether the numbers so far are whole, as an embedding takes them.
    pub(super) fn is_whole(&self) -> bool {
        self.data_type == DataType::Int64
    }

    /// From here on the numbers are floats.
    pub(super) fn becomes_floats(&mut self) {
        self.data_type = DataType::Fp32;
    }

    /// Refuses a layer whose input has another shape than it takes.
    pub(super) fn refuse_shape(&self, layer: &LayerSpec, expected: &str) -> LayerError {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        LayerError::new(format!(
            "layer '{layer}': expected an input of {expected}, found shape [{}]",
            shape.join(",")
        ))
    }

    fn finish(mut self) -> Result<Model, LayerError> {
        if self.last.is_empty() {
            return Err(LayerError::new("expected at least one layer"));
        }
        let name = match self.last.as_str() {
            "Softmax" | "Sigmoid" => "probabilities",
            _ => "output",
        };
        self.rename_last(name);
        let dims: Vec<Dim> = std::iter::once(Dim::Symbol("batch".into()))
            .chain(self.shape.iter().map(|&size| Dim::Fixed(size)))
            .collect();
        let model = self.builder.output(name, self.data_type, &dims).model();
        model
            .check()
            .map_err(|error| LayerError::new(format!("the layers make no valid model: {error}")))
    }

    fn rename_last(&mut self, name: &str) {
        let mut graph = std::mem::take(&mut self.builder).build();
        if let Some(last) = graph.nodes.last_mut() {
            last.outputs[0] = name.to_owned();
        }
        self.builder = GraphBuilder::from(graph);
    }
}
