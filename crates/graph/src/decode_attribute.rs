//! Attributes from their wire form: one field of many, chosen by the attribute's type.

use crate::decode::{constant, graph, sparse_constant, value_type};
use crate::proto::AttributeProto;
use crate::{Attribute, AttributeValue, Problem};

/// The numbers of `AttributeProto.AttributeType`.
pub(crate) mod kind {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const INT: i32 = 2;
    pub(crate) const STRING: i32 = 3;
    pub(crate) const TENSOR: i32 = 4;
    pub(crate) const GRAPH: i32 = 5;
    pub(crate) const FLOATS: i32 = 6;
    pub(crate) const INTS: i32 = 7;
    pub(crate) const STRINGS: i32 = 8;
    pub(crate) const TENSORS: i32 = 9;
    pub(crate) const GRAPHS: i32 = 10;
    pub(crate) const SPARSE_TENSOR: i32 = 11;
    pub(crate) const SPARSE_TENSORS: i32 = 12;
    pub(crate) const TYPE: i32 = 13;
    pub(crate) const TYPES: i32 = 14;
}

/// The attribute of the node or function called `owner`.
pub(crate) fn attribute(proto: AttributeProto, owner: &str) -> Result<Attribute, Problem> {
    let name = proto.name.clone().unwrap_or_default();
    let place = format!("attribute '{name}' of {owner}");
    let kind = match proto.r#type.unwrap_or(0) {
        0 => stated_kind(&proto),
        kind => kind,
    };
    if let Some(reference) = proto.ref_attr_name.filter(|reference| !reference.is_empty()) {
        return Ok(Attribute { name, value: AttributeValue::Reference { name: reference, kind } });
    }
    use AttributeValue as V;
    let absent = |what: &str| Problem::new(&place, format!("expected {what}, found none"));
    let value = match kind {
        kind::FLOAT => V::Float(proto.f.unwrap_or(0.0)),
        kind::INT => V::Int(proto.i.unwrap_or(0)),
        kind::STRING => V::String(proto.s.unwrap_or_default()),
        kind::FLOATS => V::Floats(proto.floats),
        kind::INTS => V::Ints(proto.ints),
        kind::STRINGS => V::Strings(proto.strings),
        kind::TENSOR => {
            V::Tensor(Box::new(constant(*proto.t.ok_or_else(|| absent("a tensor"))?, &place)?))
        }
        kind::TENSORS => V::Tensors(all(proto.tensors, |tensor| constant(tensor, &place))?),
        kind::GRAPH => V::Graph(Box::new(graph(*proto.g.ok_or_else(|| absent("a graph"))?)?)),
        kind::GRAPHS => V::Graphs(all(proto.graphs, graph)?),
        kind::SPARSE_TENSOR => {
            let tensor = proto.sparse_tensor.ok_or_else(|| absent("a sparse tensor"))?;
            V::SparseTensor(Box::new(sparse_constant(*tensor, &place)?))
        }
        kind::SPARSE_TENSORS => {
            V::SparseTensors(all(proto.sparse_tensors, |tensor| sparse_constant(tensor, &place))?)
        }
        kind::TYPE => {
            V::Type(Box::new(value_type(*proto.tp.ok_or_else(|| absent("a type"))?, &place)?))
        }
        kind::TYPES => V::Types(all(proto.type_protos, |found| value_type(found, &place))?),
        other => {
            let message = format!("expected an attribute type from 1 to 14, found {other}");
            return Err(Problem::new(place, message));
        }
    };
    Ok(Attribute { name, value })
}

fn all<P, T>(protos: Vec<P>, decode: impl Fn(P) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    protos.into_iter().map(decode).collect()
}

/// The type of an attribute that does not state it, as the first version of the format allowed:
/// that of the field that is set.
fn stated_kind(proto: &AttributeProto) -> i32 {
    let fields = [
        (proto.f.is_some(), kind::FLOAT),
        (proto.i.is_some(), kind::INT),
        (proto.s.is_some(), kind::STRING),
        (proto.t.is_some(), kind::TENSOR),
        (proto.g.is_some(), kind::GRAPH),
        (!proto.floats.is_empty(), kind::FLOATS),
        (!proto.ints.is_empty(), kind::INTS),
        (!proto.strings.is_empty(), kind::STRINGS),
        (!proto.tensors.is_empty(), kind::TENSORS),
        (!proto.graphs.is_empty(), kind::GRAPHS),
    ];
    fields.iter().find(|(set, _)| *set).map_or(0, |(_, kind)| *kind)
}
