//! From the model back to the wire form.

use std::collections::BTreeMap;

use modelyard_tensor::Dim;
use prost::Message;

use crate::encode_attribute::attribute;
use crate::proto::{
    DimensionProto, ElementTypeProto, FunctionProto, GraphProto, MapTypeProto, ModelProto,
    NodeProto, OpaqueTypeProto, OperatorSetIdProto, SparseTensorProto, StringStringEntryProto,
    TensorAnnotation, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::{
    Constant, ConstantData, ElementType, ExternalData, Function, Graph, Model, Node,
    SparseConstant, Value, ValueType,
};

impl Model {
    /// The bytes of an `.onnx` file. External data stays where it is.
    pub fn encode(&self) -> Vec<u8> {
        ModelProto {
            graph: Some(graph(&self.graph)),
            functions: self.functions.iter().map(function).collect(),
            ..model_frame(self)
        }
        .encode_to_vec()
    }
}

/// A model without its graph and functions.
pub(crate) fn model_frame(model: &Model) -> ModelProto {
    ModelProto {
        ir_version: Some(model.ir_version),
        producer_name: text(&model.producer),
        producer_version: text(&model.producer_version),
        domain: text(&model.domain),
        model_version: Some(model.model_version).filter(|version| *version != 0),
        doc_string: text(&model.doc),
        opset_import: opsets(&model.opsets),
        metadata_props: entries(model.metadata.iter()),
        training_info: model.training.clone(),
        ..ModelProto::default()
    }
}

/// Empty texts are left out, as exporters do.
fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn entries<'a>(
    entries: impl Iterator<Item = (&'a String, &'a String)>,
) -> Vec<StringStringEntryProto> {
    entries
        .map(|(key, value)| StringStringEntryProto {
            key: Some(key.clone()),
            value: Some(value.clone()),
        })
        .collect()
}

fn pairs(pairs: &[(String, String)]) -> Vec<StringStringEntryProto> {
    entries(pairs.iter().map(|(key, value)| (key, value)))
}

fn opsets(opsets: &BTreeMap<String, i64>) -> Vec<OperatorSetIdProto> {
    opsets
        .iter()
        .map(|(domain, version)| OperatorSetIdProto {
            domain: Some(domain.clone()),
            version: Some(*version),
        })
        .collect()
}

fn function(function: &Function) -> FunctionProto {
    FunctionProto { node: function.nodes.iter().map(node).collect(), ..function_frame(function) }
}

/// A function without its nodes.
pub(crate) fn function_frame(function: &Function) -> FunctionProto {
    FunctionProto {
        name: text(&function.name),
        input: function.inputs.clone(),
        output: function.outputs.clone(),
        attribute: function.attributes.clone(),
        node: Vec::new(),
        doc_string: text(&function.doc),
        opset_import: opsets(&function.opsets),
        domain: text(&function.domain),
        attribute_proto: function.defaults.iter().map(attribute).collect(),
        value_info: function.value_info.iter().map(value).collect(),
        overload: text(&function.overload),
        metadata_props: pairs(&function.metadata),
    }
}

pub(crate) fn graph(graph: &Graph) -> GraphProto {
    GraphProto {
        node: graph.nodes.iter().map(node).collect(),
        initializer: graph.initializers.iter().map(constant).collect(),
        ..graph_frame(graph)
    }
}

/// A graph without its nodes and initializers.
pub(crate) fn graph_frame(graph: &Graph) -> GraphProto {
    let quantization = graph.quantization.iter().map(|quantization| TensorAnnotation {
        tensor_name: text(&quantization.tensor),
        quant_parameter_tensor_names: pairs(&quantization.parameters),
    });
    GraphProto {
        node: Vec::new(),
        name: text(&graph.name),
        initializer: Vec::new(),
        doc_string: text(&graph.doc),
        input: graph.inputs.iter().map(value).collect(),
        output: graph.outputs.iter().map(value).collect(),
        value_info: graph.value_info.iter().map(value).collect(),
        quantization_annotation: quantization.collect(),
        sparse_initializer: graph.sparse_initializers.iter().map(sparse_constant).collect(),
        metadata_props: pairs(&graph.metadata),
    }
}

pub(crate) fn node(node: &Node) -> NodeProto {
    NodeProto { attribute: node.attributes.iter().map(attribute).collect(), ..node_frame(node) }
}

/// A node without its attributes.
pub(crate) fn node_frame(node: &Node) -> NodeProto {
    NodeProto {
        input: node.inputs.clone(),
        output: node.outputs.clone(),
        name: text(&node.name),
        op_type: text(&node.op_type),
        attribute: Vec::new(),
        doc_string: text(&node.doc),
        domain: text(&node.domain),
        overload: text(&node.overload),
        metadata_props: pairs(&node.metadata),
    }
}

fn value(value: &Value) -> ValueInfoProto {
    let known = value.value_type != ValueType::Unknown;
    ValueInfoProto {
        name: text(&value.name),
        r#type: known.then(|| value_type(&value.value_type)),
        doc_string: None,
    }
}

pub(crate) fn value_type(value_type: &ValueType) -> TypeProto {
    let inner = |element: &ValueType| {
        Box::new(ElementTypeProto { elem_type: Some(Box::new(self::value_type(element))) })
    };
    let mut proto = TypeProto::default();
    match value_type {
        ValueType::Tensor { element_type, dims } => {
            proto.tensor_type = Some(tensor_type(*element_type, dims.as_deref()));
        }
        ValueType::SparseTensor { element_type, dims } => {
            proto.sparse_tensor_type = Some(tensor_type(*element_type, dims.as_deref()));
        }
        ValueType::Sequence(element) => proto.sequence_type = Some(inner(element)),
        ValueType::Optional(element) => proto.optional_type = Some(inner(element)),
        ValueType::Map { key, value } => {
            proto.map_type = Some(Box::new(MapTypeProto {
                key_type: Some(key.code()),
                value_type: Some(Box::new(self::value_type(value))),
            }));
        }
        ValueType::Opaque { domain, name } => {
            proto.opaque_type = Some(OpaqueTypeProto { domain: text(domain), name: text(name) });
        }
        ValueType::Unknown => {}
    }
    proto
}

fn tensor_type(element_type: ElementType, dims: Option<&[Dim]>) -> TensorTypeProto {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(size) => {
            DimensionProto { dim_value: Some(signed(*size)), ..DimensionProto::default() }
        }
        Dim::Symbol(name) => {
            DimensionProto { dim_param: Some(name.clone()), ..DimensionProto::default() }
        }
        Dim::Free => DimensionProto::default(),
    };
    TensorTypeProto {
        elem_type: Some(element_type.code()),
        shape: dims.map(|dims| TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A tensor without its elements.
pub(crate) fn constant_frame(constant: &Constant) -> TensorProto {
    TensorProto {
        dims: constant.dims.iter().map(|&dim| signed(dim)).collect(),
        data_type: Some(constant.element_type.code()),
        name: text(&constant.name),
        ..TensorProto::default()
    }
}

pub(crate) fn constant(constant: &Constant) -> TensorProto {
    let mut proto = constant_frame(constant);
    match &constant.data {
        ConstantData::Raw(data) => proto.raw_data = Some(data.clone()),
        ConstantData::Floats(data) => proto.float_data.clone_from(data),
        ConstantData::Ints(data) => proto.int32_data.clone_from(data),
        ConstantData::Longs(data) => proto.int64_data.clone_from(data),
        ConstantData::Doubles(data) => proto.double_data.clone_from(data),
        ConstantData::Unsigned(data) => proto.uint64_data.clone_from(data),
        ConstantData::Strings(data) => proto.string_data.clone_from(data),
        ConstantData::External(external) => {
            proto.data_location = Some(1);
            proto.external_data = external_entries(external);
        }
    }
    proto
}

fn external_entries(external: &ExternalData) -> Vec<StringStringEntryProto> {
    let entry = |key: &str, value: String| StringStringEntryProto {
        key: Some(key.into()),
        value: Some(value),
    };
    let mut entries = vec![
        entry("location", external.location.clone()),
        entry("offset", external.offset.to_string()),
    ];
    entries.extend(external.length.map(|length| entry("length", length.to_string())));
    entries
}

pub(crate) fn sparse_constant(sparse: &SparseConstant) -> SparseTensorProto {
    SparseTensorProto {
        values: Some(constant(&sparse.values)),
        indices: Some(constant(&sparse.indices)),
        dims: sparse.dims.iter().map(|&dim| signed(dim)).collect(),
    }
}
