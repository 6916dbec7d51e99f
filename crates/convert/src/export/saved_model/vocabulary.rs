//! What operators are written with: TensorFlow's own, each with the attributes that it has to have.

use modelyard_graph::{Constant, ElementType};

use super::constant;
use super::op::Op;
use super::value::{Refusal, Tensor};
use super::writer::Writer;

impl Writer {
    pub(super) fn unary(&mut self, op: &str, x: &Tensor) -> Tensor {
        self.add(Op::new(op).input(x).kind("T", x.element_type), x.element_type)
    }

    /// An operator from something to true or false, elementwise.
    pub(super) fn test(&mut self, op: &str, x: &Tensor) -> Tensor {
        self.add(Op::new(op).input(x).kind("T", x.element_type), ElementType::Bool)
    }

    /// Two values of one type, broadcast.
    pub(super) fn binary(&mut self, op: &str, x: &Tensor, y: &Tensor) -> Tensor {
        let op = Op::new(op).input(x).input(y).kind("T", x.element_type);
        self.add(op, x.element_type)
    }

    pub(super) fn compare(&mut self, op: &str, x: &Tensor, y: &Tensor) -> Tensor {
        let op = Op::new(op).input(x).input(y).kind("T", x.element_type);
        self.add(op, ElementType::Bool)
    }

    /// `LogicalAnd` and `LogicalOr`, which have no attributes.
    pub(super) fn logical(&mut self, op: &str, x: &Tensor, y: &Tensor) -> Tensor {
        self.add(Op::new(op).input(x).input(y), ElementType::Bool)
    }

    pub(super) fn not(&mut self, x: &Tensor) -> Tensor {
        self.add(Op::new("LogicalNot").input(x), ElementType::Bool)
    }

    pub(super) fn select(&mut self, condition: &Tensor, yes: &Tensor, no: &Tensor) -> Tensor {
        let kind = yes.element_type;
        let op = Op::new("SelectV2").input(condition).input(yes).input(no).kind("T", kind);
        self.add(op, kind)
    }

    /// The value in another type; itself where it is of that type.
    pub(super) fn cast(&mut self, x: &Tensor, to: ElementType) -> Tensor {
        if x.element_type == to {
            return x.clone();
        }
        let op = Op::new("Cast").input(x).kind("SrcT", x.element_type).kind("DstT", to);
        self.add(op, to)
    }

    /// A number without dimensions.
    pub(super) fn number(
        &mut self,
        name: &str,
        value: f64,
        kind: ElementType,
    ) -> Result<Tensor, Refusal> {
        let constant = constant::of_numbers(name, kind, &[], &[value])?;
        self.constant(&constant)
    }

    /// The value with a number on its right side.
    pub(super) fn with_number(
        &mut self,
        op: &str,
        x: &Tensor,
        value: f64,
    ) -> Result<Tensor, Refusal> {
        let number = self.number("number", value, x.element_type)?;
        Ok(self.binary(op, x, &number))
    }

    /// A list of 64-bit integers.
    pub(super) fn longs(&mut self, name: &str, values: &[i64]) -> Result<Tensor, Refusal> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(&Constant::raw(name, ElementType::Int64, &[values.len()], bytes))
    }

    /// A list of 32-bit integers: axes, permutations, small sizes.
    pub(super) fn ints(&mut self, name: &str, values: &[i64]) -> Result<Tensor, Refusal> {
        let narrow = |&value: &i64| {
            i32::try_from(value).map_err(|_| Refusal::new(format!("the number {value}"), ""))
        };
        let values: Vec<i32> = values.iter().map(narrow).collect::<Result<_, _>>()?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(&Constant::raw(name, ElementType::Int32, &[values.len()], bytes))
    }

    /// A 32-bit integer without dimensions.
    pub(super) fn int(&mut self, name: &str, value: i64) -> Result<Tensor, Refusal> {
        self.number(name, value as f64, ElementType::Int32)
    }

    pub(super) fn transpose(&mut self, x: &Tensor, order: &[usize]) -> Result<Tensor, Refusal> {
        if order.is_sorted() {
            return Ok(x.clone());
        }
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        let order = self.ints("perm", &order)?;
        let op = Op::new("Transpose").input(x).input(&order);
        let op = op.kind("T", x.element_type).kind("Tperm", ElementType::Int32);
        Ok(self.add(op, x.element_type))
    }

    /// `Reshape` by a list of 64-bit integers.
    pub(super) fn reshape_to(&mut self, x: &Tensor, shape: &Tensor) -> Tensor {
        let op = Op::new("Reshape").input(x).input(shape);
        let op = op.kind("T", x.element_type).kind("Tshape", shape.element_type);
        self.add(op, x.element_type)
    }

    /// `Reshape` to sizes, of which one may be -1.
    pub(super) fn reshape(&mut self, x: &Tensor, sizes: &[i64]) -> Result<Tensor, Refusal> {
        let shape = self.longs("shape", sizes)?;
        Ok(self.reshape_to(x, &shape))
    }

    pub(super) fn concat(&mut self, parts: &[Tensor], axis: usize) -> Result<Tensor, Refusal> {
        let [first, rest @ ..] = parts else {
            return Err(Refusal::new("a list of nothing", "the model may be damaged"));
        };
        if rest.is_empty() {
            return Ok(first.clone());
        }
        let axis = self.int("axis", axis as i64)?;
        let kind = first.element_type;
        let op = Op::new("ConcatV2").inputs(parts).input(&axis).int("N", parts.len() as i64);
        Ok(self.add(op.kind("T", kind).kind("Tidx", ElementType::Int32), kind))
    }

    pub(super) fn expand_dims(&mut self, x: &Tensor, axis: usize) -> Result<Tensor, Refusal> {
        let axis = self.int("dim", axis as i64)?;
        let op = Op::new("ExpandDims").input(x).input(&axis);
        let op = op.kind("T", x.element_type).kind("Tdim", ElementType::Int32);
        Ok(self.add(op, x.element_type))
    }

    /// The same without these axes, which have one element.
    pub(super) fn squeeze(&mut self, x: &Tensor, axes: &[usize]) -> Tensor {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let op = Op::new("Squeeze").input(x).kind("T", x.element_type);
        self.add(op.ints("squeeze_dims", &axes), x.element_type)
    }

    pub(super) fn reduce(
        &mut self,
        op: &str,
        x: &Tensor,
        (axes, keeps): (&[usize], bool),
    ) -> Result<Tensor, Refusal> {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let axes = self.ints("axes", &axes)?;
        let written = Op::new(op).input(x).input(&axes).bool("keep_dims", keeps);
        let written = written.kind("Tidx", ElementType::Int32);
        // Those of booleans have no type.
        let is_logical = matches!(op, "Any" | "All");
        let written = if is_logical { written } else { written.kind("T", x.element_type) };
        Ok(self.add(written, x.element_type))
    }

    pub(super) fn gather(
        &mut self,
        x: &Tensor,
        indices: &Tensor,
        (axis, batch_dims): (usize, usize),
    ) -> Result<Tensor, Refusal> {
        let axis = self.int("axis", axis as i64)?;
        let op = Op::new("GatherV2").input(x).input(indices).input(&axis);
        let op = op.kind("Tparams", x.element_type).kind("Tindices", indices.element_type);
        let op = op.kind("Taxis", ElementType::Int32).int("batch_dims", batch_dims as i64);
        Ok(self.add(op, x.element_type))
    }

    pub(super) fn broadcast_to(&mut self, x: &Tensor, shape: &Tensor) -> Tensor {
        let op = Op::new("BroadcastTo").input(x).input(shape);
        let op = op.kind("T", x.element_type).kind("Tidx", shape.element_type);
        self.add(op, x.element_type)
    }

    /// So many times a number.
    pub(super) fn fill(&mut self, shape: &Tensor, number: &Tensor) -> Tensor {
        let op = Op::new("Fill").input(shape).input(number);
        let op = op.kind("T", number.element_type).kind("index_type", shape.element_type);
        self.add(op, number.element_type)
    }

    pub(super) fn range(&mut self, start: &Tensor, limit: &Tensor, delta: &Tensor) -> Tensor {
        let op = Op::new("Range").input(start).input(limit).input(delta);
        self.add(op.kind("Tidx", start.element_type), start.element_type)
    }

    /// Adds elements before and after each axis.
    pub(super) fn pad(
        &mut self,
        x: &Tensor,
        pads: &[(i64, i64)],
        value: f64,
    ) -> Result<Tensor, Refusal> {
        if pads.iter().all(|&pad| pad == (0, 0)) {
            return Ok(x.clone());
        }
        let paddings = self.paddings(pads)?;
        let value = self.number("constant_values", value, x.element_type)?;
        Ok(self.pad_with(x, &paddings, &value))
    }

    /// How much is added before and after each axis: a table of two columns.
    pub(super) fn paddings(&mut self, pads: &[(i64, i64)]) -> Result<Tensor, Refusal> {
        let flat: Vec<i64> = pads.iter().flat_map(|&(before, after)| [before, after]).collect();
        let bytes: Vec<u8> = flat.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = [pads.len(), 2];
        self.constant(&Constant::raw("paddings", ElementType::Int64, &dims, bytes))
    }

    /// Adds zeros, for a convolution: TensorFlow puts such borders into the convolution. Where a sum
    /// takes them beside a convolution with a bias, its optimizer for oneDNN crashes (2.21):
    /// everything else is [`Writer::pad`], which it leaves alone.
    pub(super) fn pad_zeros(&mut self, x: &Tensor, paddings: &Tensor) -> Tensor {
        let op = Op::new("Pad").input(x).input(paddings).kind("T", x.element_type);
        self.add(op.kind("Tpaddings", paddings.element_type), x.element_type)
    }

    pub(super) fn pad_with(&mut self, x: &Tensor, paddings: &Tensor, value: &Tensor) -> Tensor {
        let op = Op::new("PadV2").input(x).input(paddings).input(value).kind("T", x.element_type);
        self.add(op.kind("Tpaddings", paddings.element_type), x.element_type)
    }

    /// The product of matrices; the axes before them are broadcast.
    pub(super) fn matmul(&mut self, x: &Tensor, y: &Tensor) -> Tensor {
        let op = Op::new("BatchMatMulV2").input(x).input(y).kind("T", x.element_type);
        self.add(op.bool("adj_x", false).bool("adj_y", false), x.element_type)
    }
}

/// A rank-2 product with transposed sides.
pub(super) fn matmul_op(x: &Tensor, y: &Tensor, (first, second): (bool, bool)) -> Op {
    let op = Op::new("MatMul").input(x).input(y).kind("T", x.element_type);
    op.bool("transpose_a", first).bool("transpose_b", second)
}
