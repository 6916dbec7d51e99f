//! Lays a model out as a [`Stream`]: the fields of each message in the order of their numbers, as
//! [`Model::encode`] has them.

use std::collections::HashMap;
use std::path::PathBuf;

use super::{Payload, Stream};
use crate::encode;
use crate::encode_attribute::attribute;
use crate::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};
use crate::{
    Attribute, AttributeValue, Constant, ConstantData, ExternalData, Function, Graph, Model, Node,
};

/// Tensors below this many bytes are encoded where they stand.
const SMALL: usize = 4096;

/// Where the elements of the model's tensors come from and go to.
#[derive(Default)]
pub(crate) struct Layout<'a> {
    /// Files of external data that is to be taken in, by their location.
    pub(crate) files: HashMap<String, PathBuf>,
    /// The file beside the model that initializers go to.
    pub(crate) outside: Option<Outside<'a>>,
}

/// A file of external data that is being laid out.
pub(crate) struct Outside<'a> {
    /// Its name.
    pub(crate) location: String,
    /// Initializers below this many bytes stay in the model.
    pub(crate) threshold: u64,
    /// What goes into it, with the offset of each.
    pub(crate) tensors: Vec<(u64, Payload<'a>)>,
    /// Where it ends so far.
    pub(crate) end: u64,
}

impl<'a> Outside<'a> {
    /// An empty file.
    pub(crate) fn new(location: String, threshold: u64) -> Outside<'a> {
        Outside { location, threshold, tensors: Vec::new(), end: 0 }
    }

    fn place(&mut self, payload: Payload<'a>, bytes: u64) -> ExternalData {
        // Readers map large tensors page by page; vector units like the small ones aligned.
        let alignment = if bytes >= 1 << 20 { 4096 } else { 64 };
        let offset = self.end.next_multiple_of(alignment);
        self.end = offset + bytes;
        self.tensors.push((offset, payload));
        ExternalData { location: self.location.clone(), offset, length: Some(bytes) }
    }
}

/// The whole file.
pub(crate) fn lay_out<'a>(model: &'a Model, layout: &mut Layout<'a>) -> Stream<'a> {
    let mut frame = encode::model_frame(model);
    let after = ModelProto {
        opset_import: std::mem::take(&mut frame.opset_import),
        metadata_props: std::mem::take(&mut frame.metadata_props),
        training_info: std::mem::take(&mut frame.training_info),
        ..ModelProto::default()
    };
    let mut stream = Stream::default();
    stream.fields(&frame);
    stream.nested(7, layout.graph(&model.graph));
    stream.fields(&after);
    for function in &model.functions {
        stream.nested(25, layout.function(function));
    }
    stream
}

impl<'a> Layout<'a> {
    fn graph(&mut self, graph: &'a Graph) -> Stream<'a> {
        let mut stream = Stream::default();
        for node in &graph.nodes {
            self.node(1, node, &mut stream);
        }
        let mut frame = encode::graph_frame(graph);
        stream.fields(&GraphProto { name: frame.name.take(), ..GraphProto::default() });
        for constant in &graph.initializers {
            self.initializer(constant, &mut stream);
        }
        stream.fields(&frame);
        stream
    }

    fn function(&mut self, function: &'a Function) -> Stream<'a> {
        let mut frame = encode::function_frame(function);
        let mut stream = Stream::default();
        stream.fields(&FunctionProto {
            name: frame.name.take(),
            input: std::mem::take(&mut frame.input),
            output: std::mem::take(&mut frame.output),
            attribute: std::mem::take(&mut frame.attribute),
            ..FunctionProto::default()
        });
        for node in &function.nodes {
            self.node(7, node, &mut stream);
        }
        stream.fields(&frame);
        stream
    }

    fn node(&mut self, tag: u32, node: &'a Node, stream: &mut Stream<'a>) {
        if node.attributes.iter().all(is_small) {
            stream.message(tag, &encode::node(node));
            return;
        }
        let mut frame = encode::node_frame(node);
        let mut inner = Stream::default();
        inner.fields(&NodeProto {
            input: std::mem::take(&mut frame.input),
            output: std::mem::take(&mut frame.output),
            name: frame.name.take(),
            op_type: frame.op_type.take(),
            ..NodeProto::default()
        });
        for attribute in &node.attributes {
            self.attribute(attribute, &mut inner);
        }
        inner.fields(&frame);
        stream.nested(tag, inner);
    }

    fn attribute(&mut self, found: &'a Attribute, stream: &mut Stream<'a>) {
        let mut inner = Stream::default();
        inner.fields(&AttributeProto { name: Some(found.name.clone()), ..Default::default() });
        let kind = match &found.value {
            AttributeValue::Tensor(constant) => {
                inner.nested(5, self.constant(constant));
                crate::decode_attribute::kind::TENSOR
            }
            AttributeValue::Tensors(constants) => {
                for constant in constants {
                    inner.nested(10, self.constant(constant));
                }
                crate::decode_attribute::kind::TENSORS
            }
            AttributeValue::Graph(graph) => {
                inner.nested(6, self.graph(graph));
                crate::decode_attribute::kind::GRAPH
            }
            AttributeValue::Graphs(graphs) => {
                for graph in graphs {
                    inner.nested(11, self.graph(graph));
                }
                crate::decode_attribute::kind::GRAPHS
            }
            _ => return stream.message(5, &attribute(found)),
        };
        inner.fields(&AttributeProto { r#type: Some(kind), ..Default::default() });
        stream.nested(5, inner);
    }

    fn initializer(&mut self, constant: &'a Constant, stream: &mut Stream<'a>) {
        let bytes = constant.byte_len().map_or(0, |bytes| bytes as u64);
        if let Some(outside) = self.outside.as_ref()
            && bytes >= outside.threshold
            && let Some(payload) = self.payload(constant)
            && let Some(outside) = self.outside.as_mut()
        {
            let data = ConstantData::External(outside.place(payload, bytes));
            let (name, dims) = (constant.name.clone(), constant.dims.clone());
            let element_type = constant.element_type;
            stream.message(5, &encode::constant(&Constant { name, element_type, dims, data }));
            return;
        }
        stream.nested(5, self.constant(constant));
    }

    fn constant(&self, constant: &'a Constant) -> Stream<'a> {
        let mut stream = Stream::default();
        let large = constant.byte_len().is_some_and(|bytes| bytes >= SMALL);
        let payload = (large || constant.external().is_some()).then(|| self.payload(constant));
        let Some(payload) = payload.flatten() else {
            stream.fields(&encode::constant(constant));
            return stream;
        };
        let TensorProto { dims, data_type, name, .. } = encode::constant_frame(constant);
        let (early, late) = if payload.tag() < 8 { (None, name) } else { (name, None) };
        stream.fields(&TensorProto { dims, data_type, name: early, ..Default::default() });
        stream.payload(payload);
        stream.fields(&TensorProto { name: late, ..Default::default() });
        stream
    }

    fn payload(&self, constant: &'a Constant) -> Option<Payload<'a>> {
        let Some(external) = constant.external() else { return Payload::of(constant) };
        let path = self.files.get(&external.location)?.clone();
        Some(Payload::File { path, offset: external.offset, len: constant.byte_len()? as u64 })
    }
}

/// Whether an attribute is encoded where it stands.
fn is_small(attribute: &Attribute) -> bool {
    match &attribute.value {
        AttributeValue::Tensor(constant) => constant_is_small(constant),
        AttributeValue::Tensors(constants) => constants.iter().all(constant_is_small),
        AttributeValue::Graph(_) | AttributeValue::Graphs(_) => false,
        _ => true,
    }
}

fn constant_is_small(constant: &Constant) -> bool {
    constant.external().is_none() && constant.byte_len().is_some_and(|bytes| bytes < SMALL)
}
