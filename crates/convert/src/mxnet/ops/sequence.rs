//! `SequenceMask`, `SequenceLast`, `SequenceReverse`: sequences of different lengths side by side.

use modelyard_graph::ElementType;

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, elementwise, index, recurrent, shape};

pub(super) const OPERATOR: Operator = Operator {
    names: &["SequenceMask", "SequenceLast", "SequenceReverse"],
    infer,
    convert,
    evaluate,
};

/// The axis of the steps, and whether lengths are given.
fn parts(op: &Op<'_>, rank: usize) -> Result<(usize, bool), Problem> {
    let axis = op.attributes.int_or("axis", 0)?;
    let lengths = op.attributes.flag_or("use_sequence_length", false)?;
    match usize::try_from(axis) {
        Ok(axis) if axis < 2 && rank >= 2 => Ok((axis, lengths)),
        _ => Err(Problem::shape(format!("axis {axis} of {rank}"))),
    }
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let (axis, lengths) = parts(op, input.rank())?;
    if lengths && info(inputs, 1)?.dims != [input.dims[1 - axis]] {
        return Err(Problem::shape("another number of lengths than of sequences"));
    }
    let mut found = input.clone();
    if op.operator == "SequenceLast" {
        found.dims.remove(axis);
    }
    Ok(vec![found])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let (axis, lengths) = parts(&site.op, rank)?;
    let x = site.input(0)?;
    if !lengths {
        return Ok(vec![match site.op.operator {
            "SequenceMask" => x,
            "SequenceLast" => {
                let last = site.emitter.integer("last", -1);
                site.add(node("Gather", &[&x, &last]).with("axis", axis as i64))
            }
            _ => {
                let lists = [-1, -i64::MAX, axis as i64, -1].map(|it| site.ints("part", &[it]));
                let [begin, end, axes, step] = lists;
                site.op("Slice", &[&x, &begin, &end, &axes, &step])
            }
        }]);
    }
    let from = site.known(1)?.kind;
    let lengths = site.input(1)?;
    let lengths = site.cast_from(&lengths, from, ElementType::Int64);
    match site.op.operator {
        "SequenceMask" => mask(site, &x, &lengths, axis),
        "SequenceLast" => last(site, &x, &lengths, axis),
        _ => {
            let found = node("ReverseSequence", &[x, lengths])
                .with("time_axis", axis as i64)
                .with("batch_axis", 1 - axis as i64);
            Ok(vec![site.add(found)])
        }
    }
}

fn mask(site: &mut Site<'_>, x: &str, lengths: &str, axis: usize) -> Result<Vec<String>, Problem> {
    let (rank, kind) = (site.rank()?, site.kind()?);
    let value = site.op.attributes.float_or("value", 0.0)?;
    let count = site.shape(x, axis, axis + 1);
    let count = site.squeeze(&count, &[0]);
    let (zero, one) = (site.emitter.integer("zero", 0), site.emitter.integer("one", 1));
    let steps = site.op("Range", &[&zero, &count, &one]);
    // Steps along their axis, lengths along the other, and ones behind.
    let behind: Vec<i64> = (2..rank as i64).collect();
    let around = |first: i64| [&[first], behind.as_slice()].concat();
    let steps = site.unsqueeze(&steps, &around(1 - axis as i64));
    let lengths = site.unsqueeze(lengths, &around(axis as i64));
    let inside = site.op("Less", &[&steps, &lengths]);
    let value = site.number("value", kind, value);
    Ok(vec![site.op("Where", &[&inside, x, &value])])
}

fn last(site: &mut Site<'_>, x: &str, lengths: &str, axis: usize) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let one = site.emitter.integer("one", 1);
    let places = site.op("Sub", &[lengths, &one]);
    // [batch, 1, ...] stretched to one step of the input.
    let mut x = x.to_owned();
    if axis == 0 {
        let order: Vec<i64> = [1, 0].into_iter().chain(2..rank as i64).collect();
        x = site.transpose(&x, &order);
    }
    let places = site.unsqueeze(&places, &(1..rank as i64).collect::<Vec<_>>());
    let one = site.ints("one", &[1]);
    let batch = site.shape(&x, 0, 1);
    let mut sizes = vec![batch, one];
    if rank > 2 {
        sizes.push(site.shape(&x, 2, rank));
    }
    let sizes = site.add(node("Concat", &sizes).with("axis", 0));
    let places = site.op("Expand", &[&places, &sizes]);
    let found = site.add(node("GatherElements", &[&x, &places]).with("axis", 1));
    Ok(vec![site.squeeze(&found, &[1])])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let (axis, has_lengths) = parts(op, x.rank())?;
    let steps = x.dims()[axis];
    let lengths = match has_lengths {
        true => elementwise::cast(at(inputs, 1)?, ElementType::Int64)?.as_ints()?.to_vec(),
        false => vec![steps as i64; x.dims()[1 - axis]],
    };
    let lengths: Vec<usize> =
        lengths.iter().map(|&length| (length.max(0) as usize).min(steps)).collect();
    let found = match op.operator {
        "SequenceMask" if !has_lengths => x.clone(),
        "SequenceMask" => {
            let inside = steps_inside(steps, &lengths, axis, x.rank())?;
            let value = op.attributes.float_or("value", 0.0)?;
            let value = Array::from_f64s(x.element_type(), &[], vec![value])?;
            elementwise::select(&inside, x, &value)?
        }
        "SequenceLast" => {
            let moved = shape::swap_axes(x, 0, 1 - axis as i64)?;
            let places = lengths
                .iter()
                .enumerate()
                .flat_map(|(row, length)| [row as i64, *length as i64 - 1])
                .collect();
            let places = Array::ints(&[lengths.len(), 2], places)?;
            index::gather_nd(&moved, &places, 0)?
        }
        _ => recurrent::reverse_sequence(x, &lengths, (1 - axis as i64, axis as i64))?,
    };
    Ok(vec![found])
}

fn steps_inside(
    steps: usize,
    lengths: &[usize],
    axis: usize,
    rank: usize,
) -> Result<Array, EvaluateError> {
    let mut dims = vec![1; rank];
    dims[axis] = steps;
    dims[1 - axis] = lengths.len();
    let inside = |step: usize, row: usize| step < lengths[row];
    let values = match axis {
        0 => (0..steps)
            .flat_map(|step| (0..lengths.len()).map(move |row| inside(step, row)))
            .collect(),
        _ => (0..lengths.len())
            .flat_map(|row| (0..steps).map(move |step| inside(step, row)))
            .collect(),
    };
    Array::bools(&dims, values)
}
