//! The reductions: ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2,
//! ReduceLogSum, ReduceLogSumExp and ReduceSumSquare.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | the operator and its axes: an attribute or an input, all of them where none is named |
//! | `fold` | floats, one run of neighbouring axes at a time |
//! | `whole` | integers, as for shapes, and booleans |
//! | `slopes` | the gradients |
//!
//! Without elements a sum is 0, a product 1, a largest number minus infinity and a smallest one
//! infinity, as ONNX has it.

mod fold;
mod slopes;
mod whole;

use modelyard_tensor::Shape;

use crate::array::Data;
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::movement::ints_of;
use crate::ops::squeeze::marked;
use crate::site::Site;

/// What is made of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    L1,
    L2,
    LogSum,
    LogSumExp,
    SumSquare,
}

#[derive(Debug)]
struct Reduce {
    kind: Kind,
    axes: Option<Vec<i64>>,
    keeps_axes: bool,
    /// Without axes, reduces nothing instead of everything.
    nothing_without_axes: bool,
}

/// Which axes of an array are reduced.
struct Axes {
    from: Shape,
    reduced: Vec<bool>,
}

impl Axes {
    /// The shape of the result: reduced axes of one element, or none.
    fn shape(&self, keeps_axes: bool) -> Shape {
        let axes = self.from.iter().zip(&self.reduced);
        let size = |(&size, &reduced): (&usize, &bool)| match (reduced, keeps_axes) {
            (false, _) => Some(size),
            (true, true) => Some(1),
            (true, false) => None,
        };
        axes.filter_map(size).collect()
    }

    /// The shape of the result in which it broadcasts to the input.
    fn kept(&self) -> Shape {
        self.shape(true)
    }

    /// Number of elements that become one.
    fn count(&self) -> usize {
        let axes = self.from.iter().zip(&self.reduced);
        axes.map(|(&size, &reduced)| if reduced { size } else { 1 }).product()
    }
}

impl Reduce {
    fn axes(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Axes, OpError> {
        let named = ints_of(&self.axes, inputs, 1)?.unwrap_or(&[]);
        let reduced = match named {
            [] => vec![!self.nothing_without_axes; from.len()],
            axes => marked(axes, from.len())?,
        };
        Ok(Axes { from: from.clone(), reduced })
    }
}

impl Operator for Reduce {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let axes = self.axes(input.shape(), inputs)?;
        let out = match input.data() {
            Data::Floats(values) => fold::reduce(scope, self.kind, &axes, values)?,
            Data::Ints(values) => whole::ints(self.kind, &axes, values)?,
            Data::Bools(values) => whole::bools(self.kind, &axes, values)?,
        };
        Ok(out.reshaped(axes.shape(self.keeps_axes)).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        let axes = Reads::NOTHING.and_input(1);
        match self.kind {
            Kind::Sum | Kind::Mean => axes,
            Kind::LogSum => axes.and_output(0),
            Kind::L1 | Kind::SumSquare => axes.and_input(0),
            _ => axes.and_input(0).and_output(0),
        }
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let axes = self.axes(at.shape(0)?, at.inputs)?;
        let by_input = slopes::back(scope, self.kind, &axes, (gradient, &at))?;
        Ok(vec![Some(by_input)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let kind = match site.node.op_type.as_str() {
        "ReduceSum" => Kind::Sum,
        "ReduceMean" => Kind::Mean,
        "ReduceMax" => Kind::Max,
        "ReduceMin" => Kind::Min,
        "ReduceProd" => Kind::Prod,
        "ReduceL1" => Kind::L1,
        "ReduceL2" => Kind::L2,
        "ReduceLogSum" => Kind::LogSum,
        "ReduceLogSumExp" => Kind::LogSumExp,
        _ => Kind::SumSquare,
    };
    Ok(Box::new(Reduce {
        kind,
        axes: site.ints("axes"),
        keeps_axes: site.flag("keepdims", true),
        nothing_without_axes: site.flag("noop_with_empty_axes", false),
    }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, count, distinct, numbers};
    use proptest::prelude::*;

    const NAMES: [&str; 10] = [
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceSumSquare",
    ];

    fn ints(values: &[i64]) -> Array {
        Array::ints([values.len()], values.to_vec())
    }

    /// Numbers for which the reduction is smooth.
    fn smooth(name: &str, seed: u64, len: usize) -> Vec<f32> {
        match name {
            "ReduceMax" | "ReduceMin" => distinct(seed, len),
            "ReduceLogSum" => numbers(seed, len).iter().map(|x| x.abs() + 0.5).collect(),
            _ => numbers(seed, len),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            name in prop::sample::select(&NAMES[..]),
            dims in prop::collection::vec(1usize..4, 4),
            axes in prop::sample::subsequence(vec![0i64, 1, -2, 3], 0..=4),
            keeps_axes in 0i64..2,
            nothing_without_axes in 0i64..2,
        ) {
            Case::new(name)
                .tolerance(0.02)
                .with("keepdims", keeps_axes)
                .with("noop_with_empty_axes", nothing_without_axes)
                .trained(&dims, smooth(name, seed, count(&dims)))
                .fixed(ints(&axes))
                .check();
        }

        #[test]
        fn the_order_of_axes_does_not_matter(
            seed in any::<u64>(),
            name in prop::sample::select(&NAMES[..]),
            axes in prop::sample::subsequence(vec![0i64, 1, 2], 1..=3),
        ) {
            // All at once, and one after another where that is the same.
            prop_assume!(!["ReduceL2", "ReduceLogSum", "ReduceSumSquare"].contains(&name));
            let case = |x: Array, axes: &[i64]| {
                Case::new(name).fixed(x).fixed(ints(axes)).run().remove(0)
            };
            let x = Array::floats([3, 20, 9], smooth(name, seed, 540));
            let together = case(x.clone(), &axes).into_floats().unwrap();
            let apart = axes.iter().fold(x, |x, &axis| case(x, &[axis])).into_floats().unwrap();
            for (one, two) in together.iter().zip(apart) {
                prop_assert!((one - two).abs() <= 1e-4 * one.abs().max(1.0), "{} {}", one, two);
            }
        }
    }

    #[test]
    fn values_along_each_axis() {
        let check = |name, rows: [f32; 2], columns: [f32; 3]| {
            let case = || Case::new(name).trained(&[2, 3], vec![1.0, 2.0, -3.0, 4.0, 0.5, 6.0]);
            case().fixed(ints(&[1])).with("keepdims", 0).gives(&[2], &rows);
            case().fixed(ints(&[-2])).gives(&[1, 3], &columns);
            case().opset(11).with("axes", [1]).gives(&[2, 1], &rows);
        };
        check("ReduceSum", [0.0, 10.5], [5.0, 2.5, 3.0]);
        check("ReduceMean", [0.0, 3.5], [2.5, 1.25, 1.5]);
        check("ReduceMax", [2.0, 6.0], [4.0, 2.0, 6.0]);
        check("ReduceMin", [-3.0, 0.5], [1.0, 0.5, -3.0]);
        check("ReduceProd", [-6.0, 12.0], [4.0, 1.0, -18.0]);
        check("ReduceL1", [6.0, 10.5], [5.0, 2.5, 9.0]);
        check("ReduceSumSquare", [14.0, 52.25], [17.0, 4.25, 45.0]);
        let root = |x: f32| x.sqrt();
        check("ReduceL2", [14.0, 52.25].map(root), [17.0, 4.25, 45.0].map(root));
        check("ReduceLogSumExp", [2.318_175_3, 6.130_522], [4.048_587, 2.201_413_3, 6.000_123_4]);
        let case = Case::new("ReduceLogSum").trained(&[2], vec![1.0, 3.0]);
        case.gives(&[1], &[4f32.ln()]);
    }

    #[test]
    fn without_elements_there_is_a_neutral_one() {
        let empty = |name| Case::new(name).trained(&[2, 0], Vec::new()).fixed(ints(&[1]));
        empty("ReduceSum").gives(&[2, 1], &[0.0; 2]);
        empty("ReduceProd").gives(&[2, 1], &[1.0; 2]);
        empty("ReduceMax").gives(&[2, 1], &[f32::NEG_INFINITY; 2]);
        empty("ReduceMin").gives(&[2, 1], &[f32::INFINITY; 2]);
        empty("ReduceLogSumExp").gives(&[2, 1], &[f32::NEG_INFINITY; 2]);
        NAMES.iter().for_each(|name| empty(name).check());
    }

    #[test]
    fn integers_and_booleans_are_reduced() {
        let case = |name| Case::new(name).fixed(Array::ints([2, 2], vec![1, -2, 3, 5]));
        let rows = |name, expected: [i64; 2]| {
            case(name).fixed(ints(&[1])).gives_ints(&[2, 1], &expected);
        };
        rows("ReduceSum", [-1, 8]);
        rows("ReduceMean", [0, 4]);
        rows("ReduceMax", [1, 5]);
        rows("ReduceMin", [-2, 3]);
        rows("ReduceProd", [-2, 15]);
        rows("ReduceL1", [3, 8]);
        rows("ReduceSumSquare", [5, 34]);
        case("ReduceProd").with("keepdims", 0).gives_ints(&[], &[-30]);
        let bools = |name| Case::new(name).fixed(Array::bools([2], vec![true, false]));
        bools("ReduceMax").gives_bools(&[1], &[true]);
        bools("ReduceMin").gives_bools(&[1], &[false]);
        bools("ReduceSum").is_refused("expected numbers, found booleans");
        case("ReduceL2").is_refused("expected floats, found integers");
        Case::new("ReduceSum").fixed(ints(&[i64::MAX, 1])).is_refused("overflow");
        let empty = Case::new("ReduceMax").fixed(Array::ints([0], vec![]));
        empty.is_refused("no integers to choose from");
    }

    #[test]
    fn nan_and_large_numbers_survive() {
        let nan = Case::new("ReduceMax").trained(&[3], vec![1.0, f32::NAN, 2.0]);
        assert!(nan.run()[0].as_floats().unwrap()[0].is_nan());
        let large = Case::new("ReduceLogSumExp").trained(&[2], vec![500.0, 500.0]);
        large.gives(&[1], &[500.0 + std::f32::consts::LN_2]);
        let sum = Case::new("ReduceMean").trained(&[1 << 20], vec![0.1; 1 << 20]);
        sum.gives(&[1], &[0.1]);
    }

    #[test]
    fn a_zero_factor_takes_the_product_of_the_others_as_gradient() {
        Case::new("ReduceProd").trained(&[3], vec![0.0, 2.0, 3.0]).check();
        Case::new("ReduceProd").trained(&[3], vec![0.0, 0.0, 3.0]).check();
    }

    #[test]
    fn axes_that_are_none_are_refused() {
        let case = || Case::new("ReduceSum").trained(&[2, 2], numbers(1, 4));
        case().fixed(ints(&[2])).is_refused("axis 2 is not one of an array of 2 dimensions");
        case().fixed(ints(&[0, -2])).is_refused("axis -2 is named twice");
    }
}
