//! One operator of TensorFlow, part by part: a `NodeDef` that gets a name when it is added.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::value::Tensor;
use crate::tensorflow::dtype;
use crate::tensorflow::proto::{
    AttrValue, DimProto, ListValue, NodeDef, TensorProto, TensorShapeProto,
};

/// An operator that is being written.
#[derive(Clone, Debug)]
pub(super) struct Op(pub(super) NodeDef);

impl Op {
    pub(super) fn new(op: &str) -> Op {
        Op(NodeDef { op: op.into(), ..NodeDef::default() })
    }

    /// The same with one more input.
    pub(super) fn input(mut self, tensor: &Tensor) -> Op {
        self.0.inputs.push(tensor.port.clone());
        self
    }

    /// The same with these inputs too.
    pub(super) fn inputs(self, tensors: &[Tensor]) -> Op {
        tensors.iter().fold(self, Op::input)
    }

    fn attr(mut self, name: &str, value: AttrValue) -> Op {
        self.0.attrs.insert(name.into(), value);
        self
    }

    pub(super) fn kind(self, name: &str, element_type: ElementType) -> Op {
        // Whoever writes has refused types without a number before.
        let number = dtype::number(element_type).unwrap_or(0);
        self.attr(name, AttrValue { dtype: Some(number), ..AttrValue::default() })
    }

    pub(super) fn int(self, name: &str, value: i64) -> Op {
        self.attr(name, AttrValue { int: Some(value), ..AttrValue::default() })
    }

    pub(super) fn float(self, name: &str, value: f32) -> Op {
        self.attr(name, AttrValue { float: Some(value), ..AttrValue::default() })
    }

    pub(super) fn bool(self, name: &str, value: bool) -> Op {
        self.attr(name, AttrValue { bool: Some(value), ..AttrValue::default() })
    }

    pub(super) fn text(self, name: &str, value: &str) -> Op {
        let string = Some(value.to_owned().into());
        self.attr(name, AttrValue { string, ..AttrValue::default() })
    }

    pub(super) fn ints(self, name: &str, values: &[i64]) -> Op {
        let list = Some(ListValue { ints: values.to_vec(), ..ListValue::default() });
        self.attr(name, AttrValue { list, ..AttrValue::default() })
    }

    pub(super) fn shape(self, name: &str, dims: Option<&[Dim]>) -> Op {
        self.attr(name, AttrValue { shape: Some(shape(dims)), ..AttrValue::default() })
    }

    pub(super) fn tensor(self, name: &str, value: TensorProto) -> Op {
        self.attr(name, AttrValue { tensor: Some(value), ..AttrValue::default() })
    }
}

/// A shape; of unknown rank where there are no dimensions.
pub(super) fn shape(dims: Option<&[Dim]>) -> TensorShapeProto {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).unwrap_or(-1),
        Dim::Symbol(_) | Dim::Free => -1,
    };
    let sizes = dims.unwrap_or_default().iter().map(|dim| DimProto { size: size(dim) });
    TensorShapeProto { dims: sizes.collect(), unknown_rank: dims.is_none() }
}
