//! Whether a model compiled for one row can take many.
//!
//! Most files fix the first dimension of every input to 1. Where each operator treats the rows of
//! its inputs independently, that dimension can be free. This follows it through the graph, axis by
//! axis, and gives up at the first operator that is not known to be independent.

use modelyard_tensor::Dim;

use super::model::{Model, Operator, Subgraph};
use super::variables::State;

/// Where the rows are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// For each tensor of the main graph the axis of the rows, where the model is converted with
    /// that axis free; all `None` where it is not.
    pub(crate) axes: Vec<Option<usize>>,
    /// Whether the first dimension was 1 in the file and is free now.
    pub(crate) freed: bool,
}

impl Batch {
    /// The dimensions of a state.
    pub(crate) fn state_dims(&self, state: &State) -> Vec<Dim> {
        let axis = self.axes.get(state.tensor).copied().flatten();
        let dim = |(index, &size)| match axis == Some(index) {
            true => Dim::Symbol("batch".into()),
            false => Dim::Fixed(size),
        };
        state.dims.iter().enumerate().map(dim).collect()
    }
}

/// The axis of the rows in each tensor of `graph`, where every operator is independent of the
/// others; `None` where that is not known.
pub(crate) fn rows(
    model: &Model,
    graph: &Subgraph,
    states: &[State],
) -> Option<Vec<Option<usize>>> {
    let mut walk = Walk { model, graph, axes: vec![None; graph.tensors.len()] };
    for &input in &graph.inputs {
        let tensor = &graph.tensors[input];
        let is_row = matches!(tensor.signature.first(), Some(None | Some(1)));
        if !is_row || tensor.signature.iter().skip(1).any(Option::is_none) {
            return None;
        }
        walk.axes[input] = Some(0);
    }
    for state in states {
        if state.dims.first() != Some(&1) {
            return None;
        }
        walk.axes[state.tensor] = Some(0);
    }
    for op in &graph.operators {
        walk.operator(op)?;
    }
    let is_first = |output: &usize| walk.axes[*output] == Some(0);
    (!graph.inputs.is_empty() && graph.outputs.iter().all(is_first)).then_some(walk.axes)
}

struct Walk<'a> {
    model: &'a Model,
    graph: &'a Subgraph,
    axes: Vec<Option<usize>>,
}

impl Walk<'_> {
    /// Follows the rows through one operator; `None` where it is not known what becomes of them.
    fn operator(&mut self, op: &Operator) -> Option<()> {
        match op.kind.as_str() {
            // The states carry rows: assumed for what is read, checked for what is assigned.
            "READ_VARIABLE" => {
                self.axes[*op.outputs.first()?] = Some(0);
                return Some(());
            }
            "ASSIGN_VARIABLE" => return (self.of(op, 1)? == 0).then_some(()),
            "CALL_ONCE" | "VAR_HANDLE" => return Some(()),
            _ => {}
        }
        let carries = |input: &Option<usize>| input.is_some_and(|input| self.axes[input].is_some());
        if !op.inputs.iter().any(carries) {
            return Some(());
        }
        let axis = self.after(op)?;
        for &output in &op.outputs {
            if self.graph.tensors[output].shape.get(axis) != Some(&1) {
                return None;
            }
            self.axes[output] = Some(axis);
        }
        Some(())
    }

    /// The axis of the rows in what an operator gives.
    fn after(&self, op: &Operator) -> Option<usize> {
        let kind = op.kind.as_str();
        if PAIRED.contains(&kind) {
            return self.broadcast(op);
        }
        // Everything else takes rows in one input only, but for those that join several.
        let joins = matches!(kind, "CONCATENATION" | "PACK" | "BATCH_MATMUL");
        let data = match kind {
            "SPLIT" => 1,
            "TRANSPOSE_CONV" => 2,
            "GATHER" if self.of(op, 0).is_none() => 1,
            _ => 0,
        };
        let is_state = |input: usize| self.graph.tensors[input].is_variable;
        let others = (0..op.inputs.len()).filter(|&index| index != data);
        for index in others {
            if !joins && op.optional(index).is_some_and(|t| self.axes[t].is_some() && !is_state(t))
            {
                return None;
            }
        }
        let axis = self.of(op, data)?;
        let rank = self.graph.tensors[op.optional(data)?].shape.len();
        if EACH.contains(&kind) {
            return Some(axis);
        }
        if LEADING.contains(&kind) {
            return (axis == 0 && rank >= 2).then_some(0);
        }
        self.moved(op, axis, rank)
    }

    fn moved(&self, op: &Operator, axis: usize, rank: usize) -> Option<usize> {
        let options = &op.options;
        match op.kind.as_str() {
            "FULLY_CONNECTED" => self.fully_connected(op, axis, rank),
            "BATCH_MATMUL" => {
                let other = op.optional(1)?;
                let same =
                    self.axes[other] == Some(axis) && self.graph.tensors[other].shape.len() == rank;
                let absent =
                    self.axes[other].is_none() && self.graph.tensors[other].shape.len() == 2;
                (axis + 2 < rank && (same || absent)).then_some(axis)
            }
            "SOFTMAX" | "LOG_SOFTMAX" | "L2_NORMALIZATION" | "TOPK_V2" => {
                (axis + 1 < rank).then_some(axis)
            }
            "RFFT2D" => (axis + 2 < rank).then_some(axis),
            "CONCATENATION" => {
                let along = counted(options.i32(0).ok()?.into(), rank)?;
                let all = op.inputs.iter().flatten().all(|&input| self.axes[input] == Some(axis));
                (all && along != axis).then_some(axis)
            }
            "PACK" => {
                let along = counted(options.i32(1).ok()?.into(), rank + 1)?;
                let all = op.inputs.iter().flatten().all(|&input| self.axes[input] == Some(axis));
                all.then_some(if along <= axis { axis + 1 } else { axis })
            }
            "UNPACK" => {
                let along = counted(options.i32(1).ok()?.into(), rank)?;
                without(axis, &[along])
            }
            "SPLIT" => {
                let along = counted(*self.constants(op, 0)?.first()?, rank)?;
                (along != axis).then_some(axis)
            }
            "SPLIT_V" => {
                let along = counted(*self.constants(op, 2)?.first()?, rank)?;
                (along != axis).then_some(axis)
            }
            "RESHAPE" => (axis == 0).then_some(0),
            "EXPAND_DIMS" => {
                let along = counted(*self.constants(op, 1)?.first()?, rank + 1)?;
                Some(if along <= axis { axis + 1 } else { axis })
            }
            "SQUEEZE" => {
                let dims = options.i32s(0).ok()?.filter(|dims| !dims.is_empty())?;
                let dims: Option<Vec<usize>> =
                    dims.iter().map(|&dim| counted(dim.into(), rank)).collect();
                without(axis, &dims?)
            }
            "TRANSPOSE" => {
                let order = self.constants(op, 1)?;
                order.iter().position(|&from| from == axis as i64)
            }
            "MEAN" | "SUM" | "REDUCE_PROD" | "REDUCE_MAX" | "REDUCE_MIN" | "REDUCE_ANY"
            | "REDUCE_ALL" => {
                let dims = self.constants(op, 1)?;
                let dims: Option<Vec<usize>> = dims.iter().map(|&dim| counted(dim, rank)).collect();
                let left = without(axis, &dims?)?;
                Some(if options.bool(0).ok()? { axis } else { left })
            }
            "ARG_MAX" | "ARG_MIN" => {
                without(axis, &[counted(*self.constants(op, 1)?.first()?, rank)?])
            }
            "PAD" | "PADV2" | "MIRROR_PAD" => {
                let pads = self.constants(op, 1)?;
                (pads.get(2 * axis..2 * axis + 2)? == [0, 0]).then_some(axis)
            }
            "STRIDED_SLICE" => self.strided_slice(op, axis),
            "SLICE" => {
                let (begin, size) = (self.constants(op, 1)?, self.constants(op, 2)?);
                (begin.get(axis) == Some(&0) && matches!(size.get(axis), Some(-1 | 1)))
                    .then_some(axis)
            }
            "GATHER" => self.gather(op, axis),
            "TILE" => (self.constants(op, 1)?.get(axis) == Some(&1)).then_some(axis),
            "REVERSE_V2" | "CUMSUM" => {
                let dims = self.constants(op, 1)?;
                let hit = dims.iter().any(|&dim| counted(dim, rank) == Some(axis));
                (!hit).then_some(axis)
            }
            // Time comes second, unless it is stated to come first.
            "UNIDIRECTIONAL_SEQUENCE_LSTM" => (axis == 0 && !options.bool(3).ok()?).then_some(0),
            "UNIDIRECTIONAL_SEQUENCE_RNN" => (axis == 0 && !options.bool(0).ok()?).then_some(0),
            "ONE_HOT" => (options.i32(0).ok()? == -1).then_some(axis),
            _ => None,
        }
    }

    fn fully_connected(&self, op: &Operator, axis: usize, rank: usize) -> Option<usize> {
        let keeps = op.options.bool(2).ok()?;
        let input = &self.graph.tensors[op.optional(0)?];
        let columns = self.graph.tensors[op.optional(1)?].shape.get(1)?;
        let width: usize = input.shape.iter().skip(1).product();
        (axis == 0 && rank >= 2 && (keeps || width == *columns)).then_some(0)
    }

    /// The rows are kept where their axis is taken whole.
    fn strided_slice(&self, op: &Operator, axis: usize) -> Option<usize> {
        let (begin, end) = (self.constants(op, 1)?, self.constants(op, 2)?);
        let strides = self.constants(op, 3)?;
        let mask = |field| op.options.i32(field).ok();
        if axis != 0 || mask(2)? != 0 || mask(3)? != 0 || mask(4)? & 1 != 0 {
            return None;
        }
        // No axes before this one, so none of them shrinks; later ones do not move it.
        let from_start = mask(0)? & 1 != 0 || begin.first() == Some(&0);
        let to_end = mask(1)? & 1 != 0 || end.first().is_some_and(|&end| end >= 1);
        (from_start && to_end && strides.first() == Some(&1)).then_some(0)
    }

    fn gather(&self, op: &Operator, axis: usize) -> Option<usize> {
        let rank = self.graph.tensors[op.optional(0)?].shape.len();
        let along = counted(op.options.i32(0).ok()?.into(), rank)?;
        if op.options.i32(1).ok()? != 0 {
            return None;
        }
        if self.of(op, 0).is_none() {
            return Some(along + axis);
        }
        let indices = self.graph.tensors[op.optional(1)?].shape.len();
        match along.cmp(&axis) {
            std::cmp::Ordering::Less => (axis + indices).checked_sub(1),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(axis),
        }
    }

    /// Operands that are broadcast: the rows must meet in one axis, and what has no rows must have
    /// size 1 there.
    fn broadcast(&self, op: &Operator) -> Option<usize> {
        let inputs: Vec<usize> = op.inputs.iter().flatten().copied().collect();
        let rank = |tensor: usize| self.graph.tensors[tensor].shape.len();
        let widest = inputs.iter().map(|&tensor| rank(tensor)).max()?;
        let mut found = None;
        for &tensor in &inputs {
            let Some(axis) = self.axes[tensor] else { continue };
            let aligned = axis + widest - rank(tensor);
            if found.is_some_and(|other| other != aligned) {
                return None;
            }
            found = Some(aligned);
        }
        let found = found?;
        for &tensor in inputs.iter().filter(|&&tensor| self.axes[tensor].is_none()) {
            let own = (found + rank(tensor)).checked_sub(widest);
            let size = own.map(|axis| self.graph.tensors[tensor].shape[axis]);
            if size.is_some_and(|size| size != 1) {
                return None;
            }
        }
        Some(found)
    }

    /// The axis of the rows in an input.
    fn of(&self, op: &Operator, input: usize) -> Option<usize> {
        self.axes[op.optional(input)?]
    }

    /// The elements of a constant input of 32-bit integers.
    fn constants(&self, op: &Operator, input: usize) -> Option<Vec<i64>> {
        let tensor = &self.graph.tensors[op.optional(input)?];
        if !self.model.is_constant(tensor) {
            return None;
        }
        let bytes = self.model.elements(tensor).ok()?;
        let fixed = modelyard_graph::Constant::raw("", tensor.element_type?, &tensor.shape, bytes);
        fixed.integers(1 << 10)
    }
}

/// An axis counted from the front.
fn counted(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// Where an axis is when others disappear; `None` when it is among them.
fn without(axis: usize, others: &[usize]) -> Option<usize> {
    let before = others.iter().filter(|&&other| other < axis).count();
    (!others.contains(&axis)).then_some(axis - before)
}

/// Operators of one input that treat each element by itself.
const EACH: &[&str] = &[
    "ABS",
    "CAST",
    "CEIL",
    "COS",
    "DEQUANTIZE",
    "ELU",
    "EXP",
    "FLOOR",
    "GELU",
    "HARD_SWISH",
    "LEAKY_RELU",
    "LOG",
    "LOGICAL_NOT",
    "LOGISTIC",
    "NEG",
    "QUANTIZE",
    "RELU",
    "RELU6",
    "RELU_0_TO_1",
    "RELU_N1_TO_1",
    "ROUND",
    "RSQRT",
    "SIGN",
    "SIN",
    "SQRT",
    "SQUARE",
    "TANH",
    "ZEROS_LIKE",
    "FAKE_QUANT",
];

/// Operators of several inputs that are broadcast against each other.
const PAIRED: &[&str] = &[
    "ADD",
    "ADD_N",
    "ATAN2",
    "DIV",
    "EQUAL",
    "FLOOR_DIV",
    "FLOOR_MOD",
    "GREATER",
    "GREATER_EQUAL",
    "LESS",
    "LESS_EQUAL",
    "LOGICAL_AND",
    "LOGICAL_OR",
    "MAXIMUM",
    "MINIMUM",
    "MUL",
    "NOT_EQUAL",
    "POW",
    "PRELU",
    "SELECT_V2",
    "SQUARED_DIFFERENCE",
    "SUB",
];

/// Operators whose first dimension is one of independent rows by definition.
const LEADING: &[&str] = &[
    "AVERAGE_POOL_2D",
    "CONV_2D",
    "CONV_3D",
    "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE",
    "EMBEDDING_LOOKUP",
    "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION",
    "MAX_POOL_2D",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "SPACE_TO_DEPTH",
    "SVDF",
    "TRANSPOSE_CONV",
    "Convolution2DTransposeBias",
];
