//! Where one node is written as ONNX: what it takes, and the graph that grows.

use std::collections::HashMap;

use modelyard_graph::{Constant, ElementType, Node};

use super::ops::Op;
use super::parameters::Parameters;
use super::problem::Problem;
use crate::emitter::{Emitter, node};
use crate::reference::Array;

/// Shape and type of a value, with `None` for sizes that are free.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) dims: Vec<Option<usize>>,
    pub(super) kind: ElementType,
}

impl Known {
    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// All sizes, where none is free.
    pub(super) fn fixed(&self) -> Option<Vec<usize>> {
        self.dims.iter().copied().collect()
    }
}

/// What a node takes.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    /// Its name in the graph; for parameters not before they are asked for.
    pub(super) value: Option<String>,
    /// The name of the parameter, where it is one.
    pub(super) parameter: Option<String>,
    pub(super) known: Known,
}

/// One node on its way to ONNX.
pub(super) struct Site<'a> {
    pub(super) emitter: &'a mut Emitter,
    pub(super) op: Op<'a>,
    pub(super) inputs: &'a [Operand],
    pub(super) outputs: &'a [Known],
    pub(super) parameters: &'a Parameters,
    /// Names of the parameters that are in the graph.
    pub(super) written: &'a mut HashMap<String, String>,
}

impl Site<'_> {
    fn operand(&self, index: usize) -> Result<&Operand, Problem> {
        let missing = || {
            let found = self.inputs.len();
            Problem::shape(format!("expected at least {} inputs, found {found}", index + 1))
        };
        self.inputs.get(index).ok_or_else(missing)
    }

    /// The name of an input.
    pub(super) fn input(&mut self, index: usize) -> Result<String, Problem> {
        let operand = self.operand(index)?;
        if let Some(value) = &operand.value {
            return Ok(value.clone());
        }
        let parameter = operand.parameter.clone().unwrap_or_default();
        if let Some(written) = self.written.get(&parameter) {
            return Ok(written.clone());
        }
        let constant = self.constant(index)?;
        let name = self.emitter.weight(constant);
        self.written.insert(parameter, name.clone());
        Ok(name)
    }

    /// The names of all inputs.
    pub(super) fn all_inputs(&mut self) -> Result<Vec<String>, Problem> {
        (0..self.inputs.len()).map(|index| self.input(index)).collect()
    }

    pub(super) fn known(&self, index: usize) -> Result<&Known, Problem> {
        self.operand(index).map(|operand| &operand.known)
    }

    pub(super) fn output(&self, index: usize) -> Result<&Known, Problem> {
        let missing = || Problem::shape(format!("there is no output {index}"));
        self.outputs.get(index).ok_or_else(missing)
    }

    /// The rank of the first input.
    pub(super) fn rank(&self) -> Result<usize, Problem> {
        self.known(0).map(Known::rank)
    }

    /// The type of the first input.
    pub(super) fn kind(&self) -> Result<ElementType, Problem> {
        self.known(0).map(|known| known.kind)
    }

    /// A size that must not be free.
    pub(super) fn size(&self, index: usize, axis: usize) -> Result<usize, Problem> {
        let known = self.known(index)?;
        let size = known.dims.get(axis).copied().flatten();
        size.ok_or_else(|| Problem::FreeSize(format!("the size of axis {axis} is free")))
    }

    /// Whether an input is a parameter.
    pub(super) fn is_parameter(&self, index: usize) -> bool {
        self.operand(index).is_ok_and(|operand| operand.parameter.is_some())
    }

    /// The elements of a parameter.
    pub(super) fn constant(&self, index: usize) -> Result<Constant, Problem> {
        let Some(name) = &self.operand(index)?.parameter else {
            return Err(Problem::refused(
                format!("input {index} that is not a parameter"),
                "save it as a parameter of the model",
            ));
        };
        self.parameters.read(name).map_err(|error| Problem::shape(error.to_string()))
    }

    /// The elements of a parameter as an array.
    pub(super) fn array(&self, index: usize) -> Result<Array, Problem> {
        let constant = self.constant(index)?;
        Array::from_constant(&constant).map_err(|error| Problem::shape(error.to_string()))
    }

    /// Adds a node of ONNX; its only output.
    pub(super) fn add(&mut self, node: Node) -> String {
        self.emitter.add(node)
    }

    /// Adds a node without attributes.
    pub(super) fn op(&mut self, op_type: &str, inputs: &[&str]) -> String {
        self.emitter.add(node(op_type, inputs))
    }

    /// A list of integers as a constant.
    pub(super) fn ints(&mut self, name: &str, values: &[i64]) -> String {
        self.emitter.integers(name, values)
    }

    /// A number without dimensions, of a type.
    pub(super) fn number(&mut self, name: &str, kind: ElementType, value: f64) -> String {
        self.numbers(name, kind, &[], &[value])
    }

    /// Numbers of a type.
    pub(super) fn numbers(
        &mut self,
        name: &str,
        kind: ElementType,
        dims: &[usize],
        values: &[f64],
    ) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|&value| bytes_of(kind, value)).collect();
        self.emitter.constant(Constant::raw(name, kind, dims, bytes))
    }

    /// A value as another type.
    pub(super) fn cast(&mut self, value: &str, kind: ElementType) -> String {
        self.add(node("Cast", &[value]).with("to", i64::from(kind.code())))
    }

    /// The value cast, where it is of another type.
    pub(super) fn cast_from(&mut self, value: &str, from: ElementType, to: ElementType) -> String {
        if from == to { value.to_owned() } else { self.cast(value, to) }
    }

    /// A value with other dimensions.
    pub(super) fn reshape(&mut self, value: &str, dims: &[i64]) -> String {
        let dims = self.ints("shape", dims);
        self.op("Reshape", &[value, &dims])
    }

    pub(super) fn transpose(&mut self, value: &str, order: &[i64]) -> String {
        self.add(node("Transpose", &[value]).with("perm", order))
    }

    pub(super) fn unsqueeze(&mut self, value: &str, axes: &[i64]) -> String {
        let axes = self.ints("axes", axes);
        self.op("Unsqueeze", &[value, &axes])
    }

    pub(super) fn squeeze(&mut self, value: &str, axes: &[i64]) -> String {
        let axes = self.ints("axes", axes);
        self.op("Squeeze", &[value, &axes])
    }

    /// Elements `begin..end` along one axis.
    pub(super) fn slice(&mut self, value: &str, axis: i64, begin: i64, end: i64) -> String {
        let begin = self.ints("begin", &[begin]);
        let end = self.ints("end", &[end]);
        let axes = self.ints("axes", &[axis]);
        self.op("Slice", &[value, &begin, &end, &axes])
    }

    /// The sizes `begin..end` of a value, as a list that is computed.
    pub(super) fn shape(&mut self, value: &str, begin: usize, end: usize) -> String {
        let shape = self.op("Shape", &[value]);
        self.slice(&shape, 0, begin as i64, end as i64)
    }

    /// A list of sizes: constants where they are known, and otherwise those of an axis of a value.
    pub(super) fn list(&mut self, sizes: &[Size]) -> String {
        let fixed: Option<Vec<i64>> = sizes.iter().map(Size::fixed).collect();
        if let Some(fixed) = fixed {
            return self.ints("shape", &fixed);
        }
        let mut parts = Vec::new();
        let mut rest = sizes;
        while let [first, ..] = rest {
            let run = rest.iter().take_while(|size| size.fixed().is_some()).count();
            if run > 0 {
                let values: Vec<i64> = rest.iter().take(run).filter_map(Size::fixed).collect();
                parts.push(self.ints("sizes", &values));
            } else if let Size::Of(value, axes) = first {
                parts.push(self.product(value, axes));
            }
            rest = rest.get(run.max(1)..).unwrap_or_default();
        }
        match parts.as_slice() {
            [part] => part.clone(),
            _ => self.add(node("Concat", &parts).with("axis", 0)),
        }
    }

    /// The product of some sizes of a value, as a list of one.
    fn product(&mut self, value: &str, axes: &[usize]) -> String {
        let sizes: Vec<String> =
            axes.iter().map(|&axis| self.shape(value, axis, axis + 1)).collect();
        let product = sizes.into_iter().reduce(|one, two| self.op("Mul", &[&one, &two]));
        product.unwrap_or_else(|| self.ints("one", &[1]))
    }

    /// The sizes of an input: fixed ones as numbers, the others by asking the value.
    pub(super) fn sizes_of(&mut self, index: usize) -> Result<Vec<Size>, Problem> {
        let value = self.input(index)?;
        let size = |(axis, size): (usize, &Option<usize>)| match size {
            Some(size) => Size::Fixed(*size as i64),
            None => Size::Of(value.clone(), vec![axis]),
        };
        Ok(self.known(index)?.dims.iter().enumerate().map(size).collect())
    }
}

/// One size of a list that is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Size {
    Fixed(i64),
    /// The product of those of some axes of a value.
    Of(String, Vec<usize>),
}

impl Size {
    fn fixed(&self) -> Option<i64> {
        match self {
            Size::Fixed(size) => Some(*size),
            Size::Of(..) => None,
        }
    }
}

/// The bytes of a number of a type.
fn bytes_of(kind: ElementType, value: f64) -> Vec<u8> {
    match kind {
        ElementType::Float64 => value.to_le_bytes().to_vec(),
        ElementType::Float16 => half::f16::from_f64(value).to_le_bytes().to_vec(),
        ElementType::Bfloat16 => half::bf16::from_f64(value).to_le_bytes().to_vec(),
        ElementType::Bool => vec![u8::from(value != 0.0)],
        ElementType::Int8 => vec![(value as i8) as u8],
        ElementType::Uint8 => vec![value as u8],
        ElementType::Int16 => (value as i16).to_le_bytes().to_vec(),
        ElementType::Uint16 => (value as u16).to_le_bytes().to_vec(),
        ElementType::Int32 => (value as i32).to_le_bytes().to_vec(),
        ElementType::Uint32 => (value as u32).to_le_bytes().to_vec(),
        ElementType::Int64 => (value as i64).to_le_bytes().to_vec(),
        ElementType::Uint64 => (value as u64).to_le_bytes().to_vec(),
        _ => (value as f32).to_le_bytes().to_vec(),
    }
}
