//! A TensorFlow Lite model that is being written, node by node.
//!
//! A value of the ONNX graph is held as a tensor with its real numbers, as a tensor of integers that
//! stand for them, or as both: what is not there yet is made when it is asked for.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{ElementType, Model, Node};

use super::super::graph::{Facts, REFUSED, fixed, missing};
use super::file::{File, Quantization, Tensor};
use super::stop::{Stop, refused};
use super::{ops, ranks};
use crate::tflite::schema::type_code;
use crate::{Missing, Step};

/// Number of a tensor.
pub(super) type Id = usize;

/// How a value of the ONNX graph is held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// As it is.
    pub(super) plain: Option<Id>,
    /// As 8-bit integers that stand for it.
    pub(super) quantized: Option<Id>,
    /// Whether this is a value of unsigned integers that is held as signed ones, 128 less.
    pub(super) shifted: bool,
}

pub(super) struct Writer<'a> {
    pub(super) facts: &'a Facts,
    pub(super) nodes: &'a [Node],
    pub(super) file: File,
    pub(super) values: HashMap<String, Held>,
    /// Which nodes take a value.
    users: HashMap<&'a str, Vec<usize>>,
    /// Which node gives a value.
    producers: HashMap<&'a str, usize>,
    /// Names of the outputs of the model.
    outputs: HashSet<&'a str>,
    /// Nodes that were written with another one.
    /// By their number, with that of the other.
    done: HashMap<usize, usize>,
    /// Names of values of which nothing is known because their node, or one before it, was refused.
    doubtful: HashSet<&'a str>,
    /// The node in hand.
    current: usize,
    /// Why an operator of the node in hand cannot run.
    pub(super) refusal: Option<Stop>,
    pub(super) steps: Vec<Step>,
    pub(super) missing: Vec<Missing>,
    pub(super) notes: Vec<String>,
    /// Lists of 32-bit integers that were written.
    pub(super) lists: HashMap<(Vec<usize>, Vec<i32>), Id>,
    /// By tensor: the same as 32-bit integers.
    pub(super) narrowed: HashMap<Id, Id>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(model: &'a Model, facts: &'a Facts) -> Writer<'a> {
        let graph = &model.graph;
        let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut producers = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            for input in node.inputs.iter().filter(|input| !input.is_empty()) {
                users.entry(input).or_default().push(index);
            }
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                producers.insert(output.as_str(), index);
            }
        }
        Writer {
            facts,
            nodes: &graph.nodes,
            file: File::default(),
            values: HashMap::new(),
            users,
            producers,
            outputs: graph.outputs.iter().map(|output| output.name.as_str()).collect(),
            done: HashMap::new(),
            doubtful: HashSet::new(),
            current: 0,
            refusal: None,
            steps: Vec::new(),
            missing: Vec::new(),
            notes: Vec::new(),
            lists: HashMap::new(),
            narrowed: HashMap::new(),
        }
    }

    /// Writes all nodes. What is refused gets outputs all the same, so that all that is missing is
    /// found.
    pub(super) fn write_nodes(&mut self) {
        for (index, node) in self.nodes.iter().enumerate() {
            if !self.done.contains_key(&index) {
                self.current = index;
                self.write_node(node);
            }
        }
    }

    fn write_node(&mut self, node: &'a Node) {
        if node.domain == REFUSED {
            return self.stand_ins(node);
        }
        self.begin(node);
        let result = match ops::find(node) {
            None => Err(ops::unknown(node)),
            // What is not known behind something that is missing says nothing new.
            Some(_) if self.is_doubtful(node) => return self.stand_ins(node),
            Some(write) => ranks::check(self, node).and_then(|()| write(self, node)),
        };
        let result = result.and(self.refusal.take().map_or(Ok(()), Err));
        if let Err(stop) = result {
            if stop.way_out == UNKNOWN_SHAPE {
                self.doubt_inputs(node);
            }
            self.missing.push(missing(node, stop.reason, stop.way_out));
            let index = self.current;
            self.done.retain(|_, with| *with != index);
            self.stand_ins(node);
        }
    }

    /// Notes that a node was written together with the one in hand.
    pub(super) fn join(&mut self, index: usize) {
        self.done.insert(index, self.current);
    }

    fn is_doubtful(&self, node: &Node) -> bool {
        node.inputs.iter().any(|input| self.doubtful.contains(input.as_str()))
    }

    /// Who else takes the same values need not say again that their shapes are not known.
    fn doubt_inputs(&mut self, node: &'a Node) {
        for input in node.inputs.iter().filter(|input| !input.is_empty()) {
            if self.dims_of(input).is_none() {
                self.doubtful.insert(input);
            }
        }
    }

    fn begin(&mut self, node: &Node) {
        let label = node.label().to_owned();
        let operator = match node.domain.as_str() {
            modelyard_graph::CHANNELS_LAST => node.op_type.clone(),
            _ => node.operator(),
        };
        self.steps.push(Step { label, operator, nodes: Vec::new() });
    }

    /// Tensors for what is not written, so that writing can go on.
    fn stand_ins(&mut self, node: &'a Node) {
        for name in node.outputs.iter().filter(|output| !output.is_empty()) {
            let dims = self.dims_of(name);
            if dims.is_none() {
                self.doubtful.insert(name);
            }
            let element_type = self.facts.element_type(name);
            let type_code = element_type.and_then(|found| type_of(found).ok()).unwrap_or(FLOAT);
            let dims = dims.unwrap_or_default();
            let name = name.clone();
            let plain = self.add_tensor(Tensor {
                name: name.clone(),
                type_code,
                dims,
                elements: None,
                quantization: None,
            });
            self.values.insert(name, Held { plain: Some(plain), ..Held::default() });
        }
    }

    /// What became of the nodes.
    pub(super) fn steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    // --- the graph ---

    /// Sizes of a value of the graph; `None` when not even the rank is known.
    pub(super) fn dims_of(&self, name: &str) -> Option<Vec<Option<usize>>> {
        Some(self.facts.dims(name)?.iter().map(fixed).collect())
    }

    /// The same, where the rank must be known.
    pub(super) fn known_dims(&self, name: &str) -> Result<Vec<Option<usize>>, Stop> {
        self.dims_of(name).ok_or_else(|| {
            refused("a value whose number of dimensions is not known", UNKNOWN_SHAPE)
        })
    }

    /// The node that gives a value.
    pub(super) fn producer(&self, name: &str) -> Option<(usize, &'a Node)> {
        let index = *self.producers.get(name)?;
        Some((index, self.nodes.get(index)?))
    }

    /// The nodes that take a value, if the model itself does not give it.
    pub(super) fn inner_users(&self, name: &str) -> Vec<(usize, &'a Node)> {
        if self.outputs.contains(name) {
            return Vec::new();
        }
        let users = self.users.get(name).map_or(&[][..], Vec::as_slice);
        users.iter().filter_map(|&index| Some((index, self.nodes.get(index)?))).collect()
    }

    /// The only node that takes a value, once.
    pub(super) fn only_user(&self, name: &str) -> Option<(usize, &'a Node)> {
        match self.inner_users(name)[..] {
            [user] => Some(user),
            _ => None,
        }
    }

    /// Says something that the reader should know, once.
    pub(super) fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|other| other == note) {
            self.notes.push(note.to_owned());
        }
    }

    // --- tensors ---

    pub(super) fn add_tensor(&mut self, tensor: Tensor) -> Id {
        self.file.tensors.push(tensor);
        self.file.tensors.len() - 1
    }

    pub(super) fn tensor(&self, id: Id) -> &Tensor {
        &self.file.tensors[id]
    }

    /// A value between two operators that the ONNX graph does not have: like `like`, with these
    /// sizes.
    pub(super) fn between(&mut self, name: &str, like: Id, dims: &[Option<usize>]) -> Id {
        let like = self.tensor(like);
        let tensor = Tensor {
            name: format!("{}/{name}", self.label()),
            type_code: like.type_code,
            dims: dims.to_vec(),
            elements: None,
            quantization: like.quantization.clone(),
        };
        self.add_tensor(tensor)
    }

    /// A value between two operators of this type.
    pub(super) fn typed(&mut self, name: &str, type_code: i8, dims: &[Option<usize>]) -> Id {
        let name = format!("{}/{name}", self.label());
        let dims = dims.to_vec();
        self.add_tensor(Tensor { name, type_code, dims, elements: None, quantization: None })
    }

    /// Names the node in hand.
    pub(super) fn label(&self) -> &'a str {
        self.nodes.get(self.current).map_or("", Node::label)
    }

    /// The tensor of a value that a node gives: of the type and sizes that it has in ONNX.
    pub(super) fn output(&mut self, name: &str) -> Result<Id, Stop> {
        let element_type = self.facts.element_type(name).unwrap_or(ElementType::Float32);
        let type_code = type_of(element_type)?;
        let dims = self.dims_of(name).unwrap_or_default();
        let name = name.to_owned();
        let id = self.add_tensor(Tensor {
            name: name.clone(),
            type_code,
            dims,
            elements: None,
            quantization: None,
        });
        self.values.insert(name, Held { plain: Some(id), ..Held::default() });
        Ok(id)
    }

    /// The tensor of a value that a node gives as integers that stand for it.
    pub(super) fn quantized_output(&mut self, name: &str, quantization: Quantization) -> Id {
        let id = self.add_tensor(Tensor {
            name: format!("{name}/quantized"),
            type_code: INT8,
            dims: self.dims_of(name).unwrap_or_default(),
            elements: None,
            quantization: Some(quantization),
        });
        self.values.insert(name.to_owned(), Held { quantized: Some(id), ..Held::default() });
        id
    }
}

/// What helps where shapes are not known.
pub(super) const UNKNOWN_SHAPE: &str =
    "give the model inputs of a fixed shape (`modelyard convert --shape`)";

/// Numbers of types.
pub(super) const FLOAT: i8 = 0;
pub(super) const INT32: i8 = 2;
pub(super) const UINT8: i8 = 3;
pub(super) const INT64: i8 = 4;
pub(super) const BOOL: i8 = 6;
pub(super) const INT8: i8 = 9;

/// The number of a type that operators of TensorFlow Lite compute with.
pub(super) fn type_of(element_type: ElementType) -> Result<i8, Stop> {
    let is_known = matches!(
        element_type,
        ElementType::Float32
            | ElementType::Int32
            | ElementType::Int64
            | ElementType::Uint8
            | ElementType::Int8
            | ElementType::Int16
            | ElementType::Bool
            | ElementType::Uint32
            | ElementType::Uint16
    );
    let code = type_code(element_type).filter(|_| is_known);
    code.ok_or_else(|| {
        let way_out = "make it float or int32 where the model was trained";
        refused(format!("values of type {element_type}"), way_out)
    })
}
