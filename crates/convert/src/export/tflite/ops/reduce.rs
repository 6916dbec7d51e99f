//! Reductions.

use modelyard_graph::{ElementType, Node};

use super::super::super::graph::axis;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{Id, Writer};
use super::unary::ends;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len();
    let keep = node.int("keepdims").unwrap_or(1) != 0;
    let stated = match node.input(1) {
        None => Vec::new(),
        Some(_) => cx.facts.integers(node, 1).ok_or_else(|| {
            refused("axes that are computed", "reduce along axes that are constants")
        })?,
    };
    if stated.is_empty() && node.int("noop_with_empty_axes").unwrap_or(0) != 0 {
        return super::moves::identity(cx, node);
    }
    let axes: Option<Vec<usize>> = match stated.is_empty() {
        true => Some((0..rank).collect()),
        false => stated.iter().map(|&item| axis(item, rank)).collect(),
    };
    let axes = axes.ok_or_else(|| refused("axes that are not there", ""))?;
    let along = Along { axes, keep };
    let operator = node.op_type.as_str();
    if let Some((name, moves)) = direct(operator) {
        let (value, made) = reduced(cx, (input, output), moves)?;
        cx.reduce(name, value, made, &along);
        return Ok(());
    }
    let value = cx.value(input)?;
    if cx.facts.element_type(input) != Some(ElementType::Float32) {
        return Err(refused("values that are not float", "compute it in float"));
    }
    let made = cx.output(output)?;
    match operator {
        "ReduceL1" => {
            let sizes = cx.alike("ABS", &[value]);
            cx.reduce("SUM", sizes, made, &along);
        }
        "ReduceSumSquare" => {
            let squares = cx.alike("MUL", &[value, value]);
            cx.reduce("SUM", squares, made, &along);
        }
        "ReduceL2" => {
            let squares = cx.alike("MUL", &[value, value]);
            let sum = cx.like_output("SUM", made);
            cx.reduce("SUM", squares, sum, &along);
            cx.plain("SQRT", &[sum], made);
        }
        "ReduceLogSum" => {
            let sum = cx.like_output("SUM", made);
            cx.reduce("SUM", value, sum, &along);
            cx.plain("LOG", &[sum], made);
        }
        _ => log_sum_exp(cx, value, made, &along),
    }
    Ok(())
}

/// Operators of TensorFlow Lite, and whether what they give is among what they take.
fn direct(operator: &str) -> Option<(&'static str, bool)> {
    Some(match operator {
        "ReduceMax" => ("REDUCE_MAX", true),
        "ReduceMean" => ("MEAN", false),
        "ReduceMin" => ("REDUCE_MIN", true),
        "ReduceProd" => ("REDUCE_PROD", false),
        "ReduceSum" => ("SUM", false),
        _ => return None,
    })
}

/// Integers where a mean takes and gives some, or where the largest is taken of some.
fn reduced(
    cx: &mut Writer<'_>,
    (input, output): (&str, &str),
    moves: bool,
) -> Result<(Id, Id), Stop> {
    if moves {
        return cx.through(input, output);
    }
    cx.activated(input, output, None)
}

/// Along which axes, and whether they stay.
pub(super) struct Along {
    pub(super) axes: Vec<usize>,
    pub(super) keep: bool,
}

/// The largest is taken off before, so that nothing overflows.
fn log_sum_exp(cx: &mut Writer<'_>, value: Id, made: Id, along: &Along) {
    let mut dims = cx.tensor(value).dims.clone();
    along.axes.iter().for_each(|&axis| dims[axis] = Some(1));
    let kept = Along { axes: along.axes.clone(), keep: true };
    let largest = cx.between("REDUCE_MAX", value, &dims);
    cx.reduce("REDUCE_MAX", value, largest, &kept);
    let less = cx.alike("SUB", &[value, largest]);
    let powers = cx.alike("EXP", &[less]);
    let sum = cx.between("SUM", value, &dims);
    cx.reduce("SUM", powers, sum, &kept);
    let log = cx.alike("LOG", &[sum]);
    if along.keep {
        cx.arithmetic("ADD", &[log, largest], made);
    } else {
        let total = cx.alike("ADD", &[log, largest]);
        let axes: Vec<i32> = along.axes.iter().map(|&axis| axis as i32).collect();
        cx.with("SQUEEZE", &[Some(total)], &[made], Some(options::squeeze(&axes)));
    }
}

impl Writer<'_> {
    /// Writes a reduction.
    pub(super) fn reduce(&mut self, operator: &'static str, value: Id, made: Id, along: &Along) {
        let axes: Vec<i32> = along.axes.iter().map(|&axis| axis as i32).collect();
        let axes = self.list(&axes);
        let options = options::reducer(along.keep);
        self.with(operator, &[Some(value), Some(axes)], &[made], Some(options));
    }

    /// A value before the last of several operators: as what is given in the end.
    pub(super) fn like_output(&mut self, name: &str, made: Id) -> Id {
        let dims = self.tensor(made).dims.clone();
        self.between(name, made, &dims)
    }
}
