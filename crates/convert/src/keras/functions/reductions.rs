//! Sums, means, largest elements.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::functions::Entry;
use crate::keras::functions::bound::Bound;
use crate::keras::functions::elementwise::float;
use crate::keras::value::{Value, axis_of};
use crate::reference::Array;
use crate::reference::elementwise::{cast, map};
use crate::reference::reduce::{self, Over, Tie};

const PARAMETERS: &[&str] = &["x", "axis", "keepdims"];

macro_rules! reduction {
    ($names:expr, $op:literal, $f:expr, $float:literal) => {
        Entry {
            names: $names,
            parameters: PARAMETERS,
            convert: |bound, to| {
                let x = bound.value("x")?;
                let x = if $float { to.float(x) } else { x.clone() };
                let (axes, keep) = axes(bound, x.rank())?;
                Ok(vec![to.reduce($op, &x, &axes, keep)])
            },
            evaluate: |bound| {
                let x = bound.value("x")?;
                let x = if $float { float(x)? } else { x.clone() };
                let (axes, keep_dims) = axes(bound, x.rank())?;
                let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
                Ok(vec![$f(&x, Over { axes: Some(&axes), keep_dims })?])
            },
        }
    };
}

/// The functions.
pub(super) const ENTRIES: &[Entry] = &[
    reduction!(&["Sum"], "ReduceSum", reduce::sum, false),
    reduction!(&["Mean"], "ReduceMean", reduce::mean, true),
    reduction!(&["Max", "Amax"], "ReduceMax", reduce::max, false),
    reduction!(&["Min", "Amin"], "ReduceMin", reduce::min, false),
    reduction!(&["Prod"], "ReduceProd", reduce::prod, false),
    reduction!(&["Logsumexp"], "ReduceLogSumExp", reduce::log_sum_exp, true),
    Entry {
        names: &["Any"],
        parameters: PARAMETERS,
        convert: |bound, to| truth(bound, "ReduceMax", to),
        evaluate: |bound| evaluate_truth(bound, reduce::any),
    },
    Entry {
        names: &["All"],
        parameters: PARAMETERS,
        convert: |bound, to| truth(bound, "ReduceMin", to),
        evaluate: |bound| evaluate_truth(bound, reduce::all),
    },
    Entry {
        names: &["Var"],
        parameters: PARAMETERS,
        convert: |bound, to| Ok(vec![variance(bound, to)?]),
        evaluate: |bound| Ok(vec![evaluate_variance(bound)?]),
    },
    Entry {
        names: &["Std"],
        parameters: PARAMETERS,
        convert: |bound, to| {
            let variance = variance(bound, to)?;
            Ok(vec![to.unary("Sqrt", &variance)])
        },
        evaluate: |bound| Ok(vec![map(&evaluate_variance(bound)?, f64::sqrt)?]),
    },
    Entry {
        names: &["Argmax"],
        parameters: PARAMETERS,
        convert: |bound, to| place(bound, "ArgMax", to),
        evaluate: |bound| evaluate_place(bound, true),
    },
    Entry {
        names: &["Argmin"],
        parameters: PARAMETERS,
        convert: |bound, to| place(bound, "ArgMin", to),
        evaluate: |bound| evaluate_place(bound, false),
    },
    Entry {
        names: &["Norm"],
        parameters: &["x", "ord", "axis", "keepdims"],
        convert: |bound, to| {
            euclidean(bound)?;
            let x = to.float(bound.value("x")?);
            let (axes, keep) = axes(bound, x.rank())?;
            Ok(vec![to.reduce("ReduceL2", &x, &axes, keep)])
        },
        evaluate: |bound| {
            let x = float(bound.value("x")?)?;
            let (axes, keep_dims) = axes(bound, x.rank())?;
            let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
            Ok(vec![reduce::norm_l2(&x, Over { axes: Some(&axes), keep_dims })?])
        },
    },
];

/// The axes that are reduced, and whether they stay as 1.
fn axes<V>(bound: &Bound<V>, rank: usize) -> Result<(Vec<usize>, bool), Fault> {
    let keep = bound.flag("keepdims")?;
    let Some(axes) = bound.integers("axis")? else { return Ok(((0..rank).collect(), keep)) };
    let found: Option<Vec<usize>> = axes.iter().map(|&axis| axis_of(axis, rank)).collect();
    let found = found.ok_or_else(|| {
        Fault::malformed(format!("expected axes of {rank} dimensions, found {axes:?}"))
    })?;
    Ok((found, keep))
}

fn truth(bound: &Bound<Value>, op_type: &str, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = bound.value("x")?;
    let (axes, keep) = axes(bound, x.rank())?;
    let x = to.cast(x, ElementType::Bool);
    let x = to.float(&x);
    let y = to.reduce(op_type, &x, &axes, keep);
    Ok(vec![to.cast(&y, ElementType::Bool)])
}

fn evaluate_truth(
    bound: &Bound<Array>,
    f: fn(&Array, Over<'_>) -> Result<Array, EvaluateError>,
) -> Result<Vec<Array>, EvaluateError> {
    let x = cast(bound.value("x")?, ElementType::Bool)?;
    let (axes, keep_dims) = axes(bound, x.rank())?;
    let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    Ok(vec![f(&x, Over { axes: Some(&axes), keep_dims })?])
}

fn variance(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Value, Fault> {
    let x = to.float(bound.value("x")?);
    let (axes, keep) = axes(bound, x.rank())?;
    let mean = to.reduce("ReduceMean", &x, &axes, true);
    let apart = to.binary("Sub", &x, &mean)?;
    let square = to.binary("Mul", &apart, &apart)?;
    Ok(to.reduce("ReduceMean", &square, &axes, keep))
}

fn evaluate_variance(bound: &Bound<Array>) -> Result<Array, EvaluateError> {
    let x = float(bound.value("x")?)?;
    let (axes, keep_dims) = axes(bound, x.rank())?;
    let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    reduce::variance(&x, 0.0, Over { axes: Some(&axes), keep_dims })
}

fn one_axis<V>(bound: &Bound<V>, rank: usize) -> Result<usize, Fault> {
    let axis = bound.integer("axis")?.ok_or_else(|| {
        Fault::unsupported("the place among all elements", "name an axis, or flatten before")
    })?;
    axis_of(axis, rank).ok_or_else(|| {
        Fault::malformed(format!("expected an axis of {rank} dimensions, found {axis}"))
    })
}

/// Keras gives places as 32-bit integers.
fn place(bound: &Bound<Value>, op_type: &str, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = bound.value("x")?;
    let axis = one_axis(bound, x.rank())?;
    let keep = bound.flag("keepdims")?;
    let arg = node(op_type, &[&x.name]).with("axis", axis as i64);
    let name = to.add(arg.with("keepdims", i64::from(keep)));
    let mut dims = x.dims.clone();
    if keep {
        dims[axis] = Dim::Fixed(1);
    } else {
        dims.remove(axis);
    }
    let found = to.value(name, dims, ElementType::Int64);
    Ok(vec![to.cast(&found, ElementType::Int32)])
}

fn evaluate_place(bound: &Bound<Array>, largest: bool) -> Result<Vec<Array>, EvaluateError> {
    let x = bound.value("x")?;
    let axis = one_axis(bound, x.rank())? as i64;
    let keep = bound.flag("keepdims")?;
    let found = match largest {
        true => reduce::arg_max(x, axis, keep, Tie::First)?,
        false => reduce::arg_min(x, axis, keep, Tie::First)?,
    };
    Ok(vec![cast(&found, ElementType::Int32)?])
}

fn euclidean<V>(bound: &Bound<V>) -> Result<(), Fault> {
    match bound.json("ord")? {
        None => Ok(()),
        Some(json) if json.as_f64() == Some(2.0) || json.as_str() == Some("euclidean") => Ok(()),
        Some(other) => Err(Fault::unsupported(format!("the norm {other}"), "use the norm 2")),
    }
}
