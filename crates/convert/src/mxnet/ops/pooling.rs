//! `Pooling`: the largest, mean, sum or norm of windows.
//!
//! With `pooling_convention=full` sizes are rounded up, and a last window may reach behind the
//! pads; what lies there counts for nothing. ONNX says that with `ceil_mode`, but leaves out
//! windows that begin behind the input; where there could be one, the pads are computed from the
//! size of the input. So they are where pads count as elements of a mean.

use modelyard_graph::ElementType;

use super::super::site::Site;
use super::convolution::{Window, first, last, plane};
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, elementwise, normalize, pool, shape};

pub(super) const OPERATOR: Operator =
    Operator { names: &["Pooling", "Pooling_v1"], infer, convert, evaluate };

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Max,
    Average { count_pads: bool },
    Sum,
    Norm(i64),
}

struct Pooling {
    kind: Kind,
    /// Over all of an image: then the window is of no use.
    global: bool,
    rounds_up: bool,
    channels_last: bool,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    pads: Vec<usize>,
}

impl Pooling {
    fn of(op: &Op<'_>, rank: usize) -> Result<Pooling, Problem> {
        let attributes = op.attributes;
        let global = attributes.flag_or("global_pool", false)?;
        let axes = rank.checked_sub(2).filter(|axes| (1..=3).contains(axes));
        let axes = axes.ok_or_else(|| Problem::shape(format!("an input of rank {rank}")))?;
        let count_pads = attributes.flag_or("count_include_pad", true)?;
        let kind = match attributes.text("pool_type").unwrap_or("max") {
            "max" => Kind::Max,
            "avg" => Kind::Average { count_pads },
            "sum" => Kind::Sum,
            "lp" => Kind::Norm(attributes.need_int("p_value")?),
            other => return Err(Problem::shape(format!("there is no pool type '{other}'"))),
        };
        let rounds_up = match attributes.text("pooling_convention").unwrap_or("valid") {
            "valid" => false,
            "full" => true,
            other => {
                let reason = format!("pooling convention '{other}'");
                return Err(Problem::refused(reason, "export with 'valid' or 'full'"));
            }
        };
        let window = |key, default| match global {
            true => Ok(vec![default; axes]),
            false => attributes.sizes(key, axes, default),
        };
        let found = Pooling {
            kind,
            global,
            rounds_up,
            channels_last: attributes.text("layout").is_some_and(|layout| layout.ends_with('C')),
            kernel: window("kernel", 1)?,
            strides: window("stride", 1)?,
            pads: window("pad", 0)?,
        };
        if found.kernel.contains(&0) || found.strides.contains(&0) {
            return Err(Problem::shape("a window without a size"));
        }
        Ok(found)
    }

    /// The size of an axis of the output.
    fn output(&self, axis: usize, size: usize) -> Result<usize, Problem> {
        let (kernel, stride) = (self.kernel[axis], self.strides[axis]);
        let padded = size.saturating_add(2 * self.pads[axis]);
        let room = padded.checked_sub(kernel).ok_or_else(|| {
            Problem::shape(format!("a window of {kernel} and an input of {padded}"))
        })?;
        Ok(1 + if self.rounds_up { room.div_ceil(stride) } else { room / stride })
    }

    /// How far the last window reaches behind the pads.
    fn beyond(&self, axis: usize, size: usize) -> Result<usize, Problem> {
        let end = (self.output(axis, size)? - 1) * self.strides[axis] + self.kernel[axis];
        Ok(end.saturating_sub(size + 2 * self.pads[axis]))
    }

    /// Whether no window can begin behind the input, whatever its size is.
    fn ceil_mode_fits(&self) -> bool {
        let axes = self.kernel.iter().zip(&self.strides).zip(&self.pads);
        axes.into_iter().all(|((kernel, stride), pad)| pad + stride <= *kernel)
    }

    /// Number of elements of a window.
    fn elements(&self) -> f64 {
        self.kernel.iter().map(|&size| size as f64).product()
    }
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let pooling = Pooling::of(op, input.rank())?;
    let mut dims = input.dims.clone();
    let (_, plane) = plane(input.rank(), pooling.channels_last);
    for (axis, at) in plane.enumerate() {
        dims[at] = if pooling.global { 1 } else { pooling.output(axis, dims[at])? };
    }
    Ok(vec![Info { dims, kind: input.kind }])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let pooling = Pooling::of(&site.op, rank)?;
    let (mut x, number) = (site.input(0)?, site.kind()?);
    if pooling.channels_last {
        x = site.transpose(&x, &first(rank));
    }
    let p = match pooling.kind {
        Kind::Norm(p) => p,
        _ => 1,
    };
    if let Kind::Norm(p) = pooling.kind {
        x = power(site, &x, number, p);
    }
    let mut found = match pooling.global {
        true => global(site, &pooling, &x, rank),
        false => windows(site, &pooling, &x, number)?,
    };
    if matches!(pooling.kind, Kind::Norm(_)) && p != 1 {
        let root = site.number("root", number, 1.0 / p as f64);
        found = site.op("Pow", &[&found, &root]);
    }
    if pooling.channels_last {
        found = site.transpose(&found, &last(rank));
    }
    Ok(vec![found])
}

/// `|x|^p`
fn power(site: &mut Site<'_>, x: &str, number: ElementType, p: i64) -> String {
    let size = site.op("Abs", &[x]);
    if p == 1 {
        return size;
    }
    let power = site.number("power", number, p as f64);
    site.op("Pow", &[&size, &power])
}

fn global(site: &mut Site<'_>, pooling: &Pooling, x: &str, rank: usize) -> String {
    match pooling.kind {
        Kind::Max => site.op("GlobalMaxPool", &[x]),
        Kind::Average { .. } => site.op("GlobalAveragePool", &[x]),
        Kind::Sum | Kind::Norm(_) => {
            let axes: Vec<i64> = (2..rank as i64).collect();
            let axes = site.ints("axes", &axes);
            site.op("ReduceSum", &[x, &axes])
        }
    }
}

fn windows(
    site: &mut Site<'_>,
    pooling: &Pooling,
    x: &str,
    number: ElementType,
) -> Result<String, Problem> {
    let is_max = pooling.kind == Kind::Max;
    let axes = pooling.kernel.len();
    let mut x = x.to_owned();
    let (mut begin, mut end) = (pooling.pads.clone(), pooling.pads.clone());
    // Sums are means times the number of elements, so that all pads count.
    let count_pads = !is_max && pooling.kind != (Kind::Average { count_pads: false });
    let is_sum = matches!(pooling.kind, Kind::Sum | Kind::Norm(_));
    let mut ceil = pooling.rounds_up;
    // Pads count and what lies behind them does not: ONNX has no words for that.
    let shares = count_pads && !is_sum && ceil && begin.iter().any(|&pad| pad > 0);
    if ceil && (!pooling.ceil_mode_fits() || is_sum || shares) {
        ceil = false;
        let first = if pooling.channels_last { 1 } else { 2 };
        for axis in 0..axes {
            end[axis] += pooling.beyond(axis, site.size(0, first + axis)?)?;
        }
    }
    let pads = Window::ints(&[begin, end].concat());
    let include = is_sum || shares || (count_pads && !pooling.rounds_up);
    let mut window = node(if is_max { "MaxPool" } else { "AveragePool" }, &[x])
        .with("kernel_shape", Window::ints(&pooling.kernel).as_slice())
        .with("strides", Window::ints(&pooling.strides).as_slice())
        .with("pads", pads.as_slice());
    if !is_max {
        window = window.with("count_include_pad", i64::from(include));
    }
    if ceil {
        window = window.with("ceil_mode", 1);
    }
    let found = site.add(window);
    if shares {
        return shared(site, pooling, &found, number);
    }
    if !is_sum {
        return Ok(found);
    }
    let count = site.number("count", number, pooling.elements());
    Ok(site.op("Mul", &[&found, &count]))
}

/// Means over all of a window, as means over the part that is in the image or its pads.
fn shared(
    site: &mut Site<'_>,
    pooling: &Pooling,
    means: &str,
    number: ElementType,
) -> Result<String, Problem> {
    let first = if pooling.channels_last { 1 } else { 2 };
    let mut found = means.to_owned();
    for axis in 0..pooling.kernel.len() {
        let size = site.size(0, first + axis)?;
        let (kernel, end) = (pooling.kernel[axis], size + 2 * pooling.pads[axis]);
        let factor = |place: usize| {
            let start = place * pooling.strides[axis];
            kernel as f64 / end.saturating_sub(start).clamp(1, kernel) as f64
        };
        let factors: Vec<f64> = (0..pooling.output(axis, size)?).map(factor).collect();
        let mut dims = vec![1; pooling.kernel.len() - axis];
        dims[0] = factors.len();
        let factors = site.numbers("share", number, &dims, &factors);
        found = site.op("Mul", &[&found, &factors]);
    }
    Ok(found)
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let pooling = Pooling::of(op, x.rank())?;
    let moved = if pooling.channels_last { normalize::channels_first(x)? } else { x.clone() };
    let found = match pooling.global {
        true => evaluate_global(&pooling, &moved)?,
        false => evaluate_windows(&pooling, &moved)?,
    };
    Ok(vec![if pooling.channels_last { normalize::channels_last(&found)? } else { found }])
}

fn evaluate_global(pooling: &Pooling, x: &Array) -> Result<Array, EvaluateError> {
    let axes: Vec<i64> = (2..x.rank() as i64).collect();
    let over = Over::kept(&axes);
    match pooling.kind {
        Kind::Max => reduce::max(x, over),
        Kind::Average { .. } => reduce::mean(x, over),
        Kind::Sum => reduce::sum(x, over),
        Kind::Norm(p) => reduce::norm(x, p as f64, over),
    }
}

fn evaluate_windows(pooling: &Pooling, x: &Array) -> Result<Array, EvaluateError> {
    let plane = x.dims().get(2..).unwrap_or_default();
    let beyond: Result<Vec<usize>, Problem> =
        plane.iter().enumerate().map(|(axis, &size)| pooling.beyond(axis, size)).collect();
    let window = pool::Pool {
        size: pooling.kernel.clone(),
        strides: pooling.strides.clone(),
        pads_begin: pooling.pads.clone(),
        pads_end: pooling.pads.clone(),
        beyond: beyond?,
        ..pool::Pool::default()
    };
    match pooling.kind {
        Kind::Max => pool::max_pool(x, &window),
        Kind::Average { count_pads } => pool::average_pool(x, &window, count_pads),
        Kind::Norm(p) => pool::lp_pool(x, &window, p as f64),
        Kind::Sum => {
            // With everything behind the input as zeros, a mean is a sum of all elements.
            let side = |sizes: Vec<usize>| -> Vec<i64> {
                [0, 0].into_iter().chain(sizes.into_iter().map(|size| size as i64)).collect()
            };
            let after = window.pads_end.iter().zip(&window.beyond).map(|(one, two)| one + two);
            let (before, after) = (side(pooling.pads.clone()), side(after.collect()));
            let x = shape::pad(x, &before, &after, shape::Padding::Constant(0.0))?;
            let inner = pool::Pool {
                size: pooling.kernel.clone(),
                strides: pooling.strides.clone(),
                ..pool::Pool::default()
            };
            let mean = pool::average_pool(&x, &inner, true)?;
            let count = pooling.elements();
            elementwise::map(&mean, |mean| mean * count)
        }
    }
}
