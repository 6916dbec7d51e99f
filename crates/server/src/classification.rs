//! The classification extension: the best classes of an output instead of its numbers.
//!
//! Each class is a `BYTES` element `value:index`, or `value:index:label` where the model has
//! labels; the value is written with six decimals for floats, as Triton does.

use std::cmp::Ordering;
use std::fmt::Display;

use half::{bf16, f16};
use modelyard_serving::InferError;
use modelyard_tensor::{DataType, Element, Shape, Tensor, TensorError};

/// What is asked of one output.
pub(crate) struct Classes<'a> {
    /// How many classes at most.
    pub(crate) count: usize,
    /// Whether the outermost dimension counts rows that are classified one by one.
    pub(crate) batched: bool,
    /// Names of the classes, where known.
    pub(crate) labels: Option<&'a [String]>,
}

/// The best classes of `output`, best first; of equal values the lower index comes first.
pub(crate) fn classify(output: &Tensor, classes: &Classes<'_>) -> Result<Tensor, InferError> {
    match output.data_type() {
        DataType::Uint8 => top::<u8, _>(output, classes, |value| value),
        DataType::Uint16 => top::<u16, _>(output, classes, |value| value),
        DataType::Uint32 => top::<u32, _>(output, classes, |value| value),
        DataType::Uint64 => top::<u64, _>(output, classes, |value| value),
        DataType::Int8 => top::<i8, _>(output, classes, |value| value),
        DataType::Int16 => top::<i16, _>(output, classes, |value| value),
        DataType::Int32 => top::<i32, _>(output, classes, |value| value),
        DataType::Int64 => top::<i64, _>(output, classes, |value| value),
        DataType::Fp16 => top::<f16, _>(output, classes, |value| Decimal(value.to_f64())),
        DataType::Bf16 => top::<bf16, _>(output, classes, |value| Decimal(value.to_f64())),
        DataType::Fp32 => top::<f32, _>(output, classes, |value| Decimal(value.into())),
        DataType::Fp64 => top::<f64, _>(output, classes, Decimal),
        other @ (DataType::Bool | DataType::Bytes) => Err(InferError::invalid(format!(
            "classification needs an output of numbers, but this one is {other}"
        ))),
    }
}

/// A float as C's `%f` prints it. NaN is worse than every number.
#[derive(Clone, Copy)]
struct Decimal(f64);

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let nans = other.0.is_nan().cmp(&self.0.is_nan());
        Some(nans.then(self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)))
    }
}

impl Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_finite() {
            write!(f, "{:.6}", self.0)
        } else {
            f.write_str(&self.0.to_string().to_lowercase())
        }
    }
}

fn top<T: Element, V: PartialOrd + Display>(
    output: &Tensor,
    classes: &Classes<'_>,
    value: impl Fn(T) -> V,
) -> Result<Tensor, InferError> {
    let internal = |error: TensorError| InferError::internal(error.to_string());
    let values = output.values::<T>().map_err(internal)?;
    let rows = match (classes.batched, output.shape().first()) {
        (true, Some(&rows)) => rows,
        _ => 1,
    };
    let row_len = values.len().checked_div(rows).unwrap_or(0);
    let count = classes.count.min(row_len);
    let mut texts = Vec::with_capacity(rows * count);
    for row in values.chunks(row_len.max(1)) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        let better = |&a: &usize, &b: &usize| {
            let order = value(row[b]).partial_cmp(&value(row[a])).unwrap_or(Ordering::Equal);
            order.then(a.cmp(&b))
        };
        if count < order.len() {
            order.select_nth_unstable_by(count, better);
            order.truncate(count);
        }
        order.sort_unstable_by(better);
        for index in order {
            let label = classes.labels.and_then(|labels| labels.get(index));
            let label = label.map(|label| format!(":{label}")).unwrap_or_default();
            texts.push(format!("{}:{index}{label}", value(row[index])));
        }
    }
    let shape = if classes.batched { Shape::from([rows, count]) } else { Shape::from([count]) };
    Tensor::from_strings(shape, texts).map_err(internal)
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::strings;

    use super::*;

    fn check(output: &Tensor, classes: &Classes<'_>, shape: &[usize], expected: &[&str]) {
        let best = classify(output, classes).unwrap();
        let texts: Vec<String> = strings::iter(best.data())
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect();
        assert_eq!(texts, expected);
        assert_eq!(best.shape().dims(), shape);
    }

    #[test]
    fn best_classes_of_each_row_come_first() {
        let values = vec![0.1f32, 0.7, 0.2, 0.5, 0.0, 0.5];
        let output = Tensor::from_vec([2, 3].into(), values).unwrap();
        let labels = ["zero".to_owned(), "one".to_owned()];
        let classes = Classes { count: 2, batched: true, labels: Some(&labels) };
        let expected = ["0.700000:1:one", "0.200000:2", "0.500000:0:zero", "0.500000:2"];
        check(&output, &classes, &[2, 2], &expected);
    }

    #[test]
    fn more_classes_than_there_are_gives_all() {
        let output = Tensor::from_vec([3].into(), vec![-5i64, i64::MAX, i64::MAX - 1]).unwrap();
        let classes = Classes { count: usize::MAX, batched: false, labels: None };
        let expected = ["9223372036854775807:1", "9223372036854775806:2", "-5:0"];
        check(&output, &classes, &[3], &expected);
    }

    #[test]
    fn not_a_number_is_worst() {
        let output = Tensor::from_vec([3].into(), vec![f64::NAN, -1.5, f64::INFINITY]).unwrap();
        let classes = Classes { count: 3, batched: false, labels: None };
        check(&output, &classes, &[3], &["inf:2", "-1.500000:1", "nan:0"]);
    }

    #[test]
    fn empty_outputs_have_no_classes() {
        for (shape, batched) in [([0, 3], true), ([2, 0], true), ([0, 3], false)] {
            let output = Tensor::from_vec(shape.into(), Vec::<f32>::new()).unwrap();
            let classes = Classes { count: 2, batched, labels: None };
            assert!(classify(&output, &classes).unwrap().data().is_empty());
        }
        let output = Tensor::from_strings([1].into(), ["a"]).unwrap();
        let classes = Classes { count: 1, batched: false, labels: None };
        assert!(classify(&output, &classes).is_err());
    }
}
