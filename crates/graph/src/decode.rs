//! From the wire form to the model: absent becomes empty, numbers become types.

use std::collections::BTreeMap;

use modelyard_tensor::{Dim, Signature};

use crate::model::canonical;
use crate::proto::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::{
    Constant, ConstantData, ElementType, ExternalData, Function, Graph, Model, Node, Problem,
    Quantization, SparseConstant, Value, ValueType, decode_attribute,
};

type Decoded<T> = Result<T, Problem>;

pub(crate) fn model(proto: ModelProto) -> Decoded<Model> {
    let Some(graph) = proto.graph else {
        return Err(Problem::new("model", "expected a graph, found none"));
    };
    let ir_version = proto.ir_version.unwrap_or(0);
    let mut opsets = opsets(proto.opset_import);
    if ir_version < 3 {
        // Before version 3 of the format, nobody said and everybody meant this.
        opsets.entry(String::new()).or_insert(1);
    }
    Ok(Model {
        ir_version,
        producer: proto.producer_name.unwrap_or_default(),
        producer_version: proto.producer_version.unwrap_or_default(),
        domain: proto.domain.unwrap_or_default(),
        model_version: proto.model_version.unwrap_or(0),
        doc: proto.doc_string.unwrap_or_default(),
        opsets,
        metadata: entries(proto.metadata_props).into_iter().collect(),
        functions: proto.functions.into_iter().map(function).collect::<Decoded<_>>()?,
        graph: self::graph(graph)?,
        training: proto.training_info,
        signature: Ok(Signature::default()),
    })
}

fn opsets(imports: Vec<OperatorSetIdProto>) -> BTreeMap<String, i64> {
    let pair = |import: OperatorSetIdProto| {
        let domain = import.domain.unwrap_or_default();
        (canonical(&domain).to_owned(), import.version.unwrap_or(0))
    };
    imports.into_iter().map(pair).collect()
}

fn entries(entries: Vec<StringStringEntryProto>) -> Vec<(String, String)> {
    let pair = |entry: StringStringEntryProto| {
        (entry.key.unwrap_or_default(), entry.value.unwrap_or_default())
    };
    entries.into_iter().map(pair).collect()
}

fn function(proto: FunctionProto) -> Decoded<Function> {
    let name = proto.name.unwrap_or_default();
    let place = format!("function '{name}'");
    let defaults = proto.attribute_proto.into_iter();
    Ok(Function {
        defaults: defaults
            .map(|attribute| decode_attribute::attribute(attribute, &place))
            .collect::<Decoded<_>>()?,
        name,
        domain: canonical(&proto.domain.unwrap_or_default()).to_owned(),
        overload: proto.overload.unwrap_or_default(),
        doc: proto.doc_string.unwrap_or_default(),
        inputs: proto.input,
        outputs: proto.output,
        attributes: proto.attribute,
        nodes: proto.node.into_iter().map(node).collect::<Decoded<_>>()?,
        opsets: opsets(proto.opset_import),
        value_info: values(proto.value_info)?,
        metadata: entries(proto.metadata_props),
    })
}

pub(crate) fn graph(proto: GraphProto) -> Decoded<Graph> {
    let sparse = proto.sparse_initializer.into_iter();
    let quantization = proto.quantization_annotation.into_iter().map(|annotation| Quantization {
        tensor: annotation.tensor_name.unwrap_or_default(),
        parameters: entries(annotation.quant_parameter_tensor_names),
    });
    Ok(Graph {
        name: proto.name.unwrap_or_default(),
        doc: proto.doc_string.unwrap_or_default(),
        nodes: proto.node.into_iter().map(node).collect::<Decoded<_>>()?,
        inputs: values(proto.input)?,
        outputs: values(proto.output)?,
        initializers: proto
            .initializer
            .into_iter()
            .map(|tensor| constant(tensor, "initializer"))
            .collect::<Decoded<_>>()?,
        sparse_initializers: sparse
            .map(|tensor| sparse_constant(tensor, "sparse initializer"))
            .collect::<Decoded<_>>()?,
        value_info: values(proto.value_info)?,
        quantization: quantization.collect(),
        metadata: entries(proto.metadata_props),
    })
}

fn node(proto: NodeProto) -> Decoded<Node> {
    let mut node = Node {
        name: proto.name.unwrap_or_default(),
        domain: canonical(&proto.domain.unwrap_or_default()).to_owned(),
        op_type: proto.op_type.unwrap_or_default(),
        overload: proto.overload.unwrap_or_default(),
        inputs: proto.input,
        outputs: proto.output,
        attributes: Vec::new(),
        doc: proto.doc_string.unwrap_or_default(),
        metadata: entries(proto.metadata_props),
    };
    if !proto.attribute.is_empty() {
        let place = node.to_string();
        node.attributes = proto
            .attribute
            .into_iter()
            .map(|attribute| decode_attribute::attribute(attribute, &place))
            .collect::<Decoded<_>>()?;
    }
    Ok(node)
}

fn values(protos: Vec<ValueInfoProto>) -> Decoded<Vec<Value>> {
    let value = |proto: ValueInfoProto| {
        let name = proto.name.unwrap_or_default();
        let value_type = match proto.r#type {
            Some(found) => value_type(found, &format!("value '{name}'"))?,
            None => ValueType::Unknown,
        };
        Ok(Value { name, value_type })
    };
    protos.into_iter().map(value).collect()
}

/// A type; its nesting was bounded by the census.
pub(crate) fn value_type(proto: TypeProto, place: &str) -> Decoded<ValueType> {
    let inner = |element: Option<Box<TypeProto>>| {
        let element = element.map_or(Ok(ValueType::Unknown), |found| value_type(*found, place));
        element.map(Box::new)
    };
    if let Some(tensor) = proto.tensor_type {
        return Ok(match tensor_type(tensor, place)? {
            Some((element_type, dims)) => ValueType::Tensor { element_type, dims },
            None => ValueType::Unknown,
        });
    }
    if let Some(tensor) = proto.sparse_tensor_type {
        return Ok(match tensor_type(tensor, place)? {
            Some((element_type, dims)) => ValueType::SparseTensor { element_type, dims },
            None => ValueType::Unknown,
        });
    }
    if let Some(sequence) = proto.sequence_type {
        return Ok(ValueType::Sequence(inner(sequence.elem_type)?));
    }
    if let Some(optional) = proto.optional_type {
        return Ok(ValueType::Optional(inner(optional.elem_type)?));
    }
    if let Some(map) = proto.map_type {
        let key = element_type(map.key_type.unwrap_or(0), place)?;
        return Ok(ValueType::Map { key, value: inner(map.value_type)? });
    }
    Ok(match proto.opaque_type {
        Some(opaque) => ValueType::Opaque {
            domain: opaque.domain.unwrap_or_default(),
            name: opaque.name.unwrap_or_default(),
        },
        None => ValueType::Unknown,
    })
}

/// Element type and dimensions; `None` where the element type is not stated.
fn tensor_type(
    proto: TensorTypeProto,
    place: &str,
) -> Decoded<Option<(ElementType, Option<Vec<Dim>>)>> {
    let dims = proto.shape.map(|shape| dims(shape, place)).transpose()?;
    match proto.elem_type.unwrap_or(0) {
        0 => Ok(None),
        code => Ok(Some((element_type(code, place)?, dims))),
    }
}

fn dims(shape: TensorShapeProto, place: &str) -> Decoded<Vec<Dim>> {
    let dim = |dim: crate::proto::DimensionProto| match (dim.dim_value, dim.dim_param) {
        // Some exporters write -1 for "any".
        (Some(-1), None) | (None, None) => Ok(Dim::Free),
        (Some(size), _) => size_of(size, place).map(Dim::Fixed),
        (None, Some(name)) if name.is_empty() => Ok(Dim::Free),
        (None, Some(name)) => Ok(Dim::Symbol(name)),
    };
    shape.dim.into_iter().map(dim).collect()
}

fn size_of(size: i64, place: &str) -> Decoded<usize> {
    usize::try_from(size).map_err(|_| {
        Problem::new(place, format!("expected a dimension of 0 or more, found {size}"))
    })
}

fn element_type(code: i32, place: &str) -> Decoded<ElementType> {
    ElementType::from_code(code).ok_or_else(|| {
        Problem::new(place, format!("expected an element type from 1 to 26, found {code}"))
    })
}

pub(crate) fn constant(proto: TensorProto, role: &str) -> Decoded<Constant> {
    let place = format!("{role} '{}'", proto.name.as_deref().unwrap_or_default());
    if proto.segment.is_some() {
        return Err(Problem::new(place, "expected a whole tensor, found one segment of it"));
    }
    let element_type = element_type(proto.data_type.unwrap_or(0), &place)?;
    let dims = proto.dims.iter().map(|&dim| size_of(dim, &place)).collect::<Decoded<_>>()?;
    let name = proto.name.clone().unwrap_or_default();
    Ok(Constant { name, element_type, dims, data: constant_data(proto, element_type, &place)? })
}

fn constant_data(
    proto: TensorProto,
    element_type: ElementType,
    place: &str,
) -> Decoded<ConstantData> {
    if proto.data_location == Some(1) {
        return external(proto.external_data, place).map(ConstantData::External);
    }
    if let Some(raw) = proto.raw_data {
        return match element_type {
            ElementType::String => {
                Err(Problem::new(place, "expected string_data, found raw bytes for strings"))
            }
            _ => Ok(ConstantData::Raw(raw)),
        };
    }
    use ElementType as E;
    Ok(match element_type {
        E::Float32 | E::Complex64 => ConstantData::Floats(proto.float_data),
        E::Float64 | E::Complex128 => ConstantData::Doubles(proto.double_data),
        E::Int64 => ConstantData::Longs(proto.int64_data),
        E::Uint32 | E::Uint64 => ConstantData::Unsigned(proto.uint64_data),
        E::String => ConstantData::Strings(proto.string_data),
        _ => ConstantData::Ints(proto.int32_data),
    })
}

fn external(entries: Vec<StringStringEntryProto>, place: &str) -> Decoded<ExternalData> {
    let mut external = ExternalData { location: String::new(), offset: 0, length: None };
    for (key, value) in self::entries(entries) {
        let number = || {
            value.parse::<u64>().map_err(|_| {
                let shown: String = value.chars().take(32).collect();
                Problem::new(
                    place,
                    format!("external data: expected a number for {key}, found '{shown}'"),
                )
            })
        };
        match key.as_str() {
            "offset" => external.offset = number()?,
            "length" => external.length = Some(number()?),
            "location" => external.location = value,
            _ => {}
        }
    }
    if external.location.is_empty() {
        return Err(Problem::new(place, "external data: expected a location, found none"));
    }
    Ok(external)
}

pub(crate) fn sparse_constant(proto: SparseTensorProto, role: &str) -> Decoded<SparseConstant> {
    let (Some(values), Some(indices)) = (proto.values, proto.indices) else {
        return Err(Problem::new(
            role,
            "expected values and indices, found only one of them or none",
        ));
    };
    let values = constant(values, role)?;
    let place = format!("{role} '{}'", values.name);
    Ok(SparseConstant {
        values,
        indices: constant(indices, role)?,
        dims: proto.dims.iter().map(|&dim| size_of(dim, &place)).collect::<Decoded<_>>()?,
    })
}
