//! Attributes back to their wire form.

use crate::decode_attribute::kind;
use crate::encode::{constant, graph, sparse_constant, value_type};
use crate::proto::AttributeProto;
use crate::{Attribute, AttributeValue};

pub(crate) fn attribute(attribute: &Attribute) -> AttributeProto {
    use AttributeValue as V;
    let mut proto = AttributeProto { name: Some(attribute.name.clone()), ..Default::default() };
    let kind = match &attribute.value {
        V::Float(value) => {
            proto.f = Some(*value);
            kind::FLOAT
        }
        V::Int(value) => {
            proto.i = Some(*value);
            kind::INT
        }
        V::String(value) => {
            proto.s = Some(value.clone());
            kind::STRING
        }
        V::Tensor(value) => {
            proto.t = Some(Box::new(constant(value)));
            kind::TENSOR
        }
        V::Graph(value) => {
            proto.g = Some(Box::new(graph(value)));
            kind::GRAPH
        }
        V::SparseTensor(value) => {
            proto.sparse_tensor = Some(Box::new(sparse_constant(value)));
            kind::SPARSE_TENSOR
        }
        V::Type(value) => {
            proto.tp = Some(Box::new(value_type(value)));
            kind::TYPE
        }
        V::Reference { name, kind } => {
            proto.ref_attr_name = Some(name.clone());
            *kind
        }
        list => self::list(list, &mut proto),
    };
    proto.r#type = Some(kind);
    proto
}

/// The values that are lists; gives their kind.
fn list(value: &AttributeValue, proto: &mut AttributeProto) -> i32 {
    use AttributeValue as V;
    match value {
        V::Floats(values) => {
            proto.floats.clone_from(values);
            kind::FLOATS
        }
        V::Ints(values) => {
            proto.ints.clone_from(values);
            kind::INTS
        }
        V::Strings(values) => {
            proto.strings.clone_from(values);
            kind::STRINGS
        }
        V::Tensors(values) => {
            proto.tensors = values.iter().map(constant).collect();
            kind::TENSORS
        }
        V::Graphs(values) => {
            proto.graphs = values.iter().map(graph).collect();
            kind::GRAPHS
        }
        V::SparseTensors(values) => {
            proto.sparse_tensors = values.iter().map(sparse_constant).collect();
            kind::SPARSE_TENSORS
        }
        V::Types(values) => {
            proto.type_protos = values.iter().map(value_type).collect();
            kind::TYPES
        }
        V::Float(_)
        | V::Int(_)
        | V::String(_)
        | V::Tensor(_)
        | V::Graph(_)
        | V::SparseTensor(_)
        | V::Type(_)
        | V::Reference { .. } => 0,
    }
}
