//! What shape an array stands for that brings none.

use modelyard_tensor::{Dim, Shape, TensorSpec};

/// Whether a request holds one example or a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One example: the batch dimension is added to the request and taken from the answer.
    Single,
    /// A list of examples, or the model's own shape: answered as the model answers.
    Batch,
}

/// The shape of an array with this nesting for the input `spec`; `None` when nothing fits.
pub(super) fn of_array(spec: &TensorSpec, batches: bool, nesting: &Shape) -> Option<(Shape, Form)> {
    if spec.dims.is_none() {
        return Some((nesting.clone(), Form::Batch));
    }
    if spec.accepts(nesting) {
        return Some((nesting.clone(), Form::Batch));
    }
    let elements = nesting.elements()?;
    let Some(example) = example_dims(spec, batches) else {
        // No batch dimension: a flat array of the right length.
        let whole = fixed(spec.dims.as_deref()?)?;
        return (whole.elements() == Some(elements)).then_some((whole, Form::Batch));
    };
    let one = with_rows(1, nesting);
    if spec.accepts(&one) {
        return Some((one, Form::Single));
    }
    let example = fixed(example)?;
    if example.elements() == Some(elements) {
        return accepted(spec, with_rows(1, &example), Form::Single);
    }
    of_instances(spec, batches, nesting)
}

/// The same for a list of examples, be they nested or flat.
pub(super) fn of_instances(
    spec: &TensorSpec,
    batches: bool,
    nesting: &Shape,
) -> Option<(Shape, Form)> {
    if spec.dims.is_none() || spec.accepts(nesting) {
        return Some((nesting.clone(), Form::Batch));
    }
    let (&rows, each) = nesting.split_first()?;
    let example = fixed(example_dims(spec, batches)?)?;
    if Shape::new(each).elements() != example.elements() {
        return None;
    }
    accepted(spec, with_rows(rows, &example), Form::Batch)
}

fn accepted(spec: &TensorSpec, shape: Shape, form: Form) -> Option<(Shape, Form)> {
    spec.accepts(&shape).then_some((shape, form))
}

/// The dimensions of one example, when the outermost dimension counts examples: when the model
/// takes batches, leaves it free, or was exported for a batch of one.
fn example_dims(spec: &TensorSpec, batches: bool) -> Option<&[Dim]> {
    let (first, rest) = spec.dims.as_deref()?.split_first()?;
    let of_one = *first == Dim::Fixed(1) && !rest.is_empty();
    (batches || first.is_free() || of_one).then_some(rest)
}

fn fixed(dims: &[Dim]) -> Option<Shape> {
    dims.iter()
        .map(|dim| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Symbol(_) | Dim::Free => None,
        })
        .collect()
}

/// The shape of `rows` examples.
pub(super) fn with_rows(rows: usize, example: &[usize]) -> Shape {
    std::iter::once(rows).chain(example.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::DataType;

    use super::*;

    fn spec(dims: &[i64]) -> TensorSpec {
        let dim = |&dim: &i64| usize::try_from(dim).map_or(Dim::Free, Dim::Fixed);
        let dims = Some(dims.iter().map(dim).collect());
        TensorSpec { name: "x".into(), data_type: DataType::Fp32, dims }
    }

    fn array(dims: &[i64], nesting: &[usize]) -> Option<(Vec<usize>, Form)> {
        let found = of_array(&spec(dims), false, &Shape::new(nesting));
        found.map(|(shape, form)| (shape.to_vec(), form))
    }

    #[test]
    fn one_example_needs_no_batch_dimension() {
        let single = |shape: &[usize]| Some((shape.to_vec(), Form::Single));
        assert_eq!(array(&[-1, 784], &[784]), single(&[1, 784]));
        assert_eq!(array(&[-1, 784], &[28, 28]), single(&[1, 784]));
        assert_eq!(array(&[-1, 1, 28, 28], &[28, 28]), single(&[1, 1, 28, 28]));
        assert_eq!(array(&[-1, 1, 28, 28], &[784]), single(&[1, 1, 28, 28]));
        assert_eq!(array(&[1, 3, 2], &[6]), single(&[1, 3, 2]));
        assert_eq!(array(&[-1, -1], &[5]), single(&[1, 5]));
        assert_eq!(array(&[-1], &[]), single(&[1]));
    }

    #[test]
    fn a_list_of_examples_is_a_batch() {
        let batch = |shape: &[usize]| Some((shape.to_vec(), Form::Batch));
        assert_eq!(array(&[-1, 784], &[3, 784]), batch(&[3, 784]));
        assert_eq!(array(&[-1, 784], &[1, 784]), batch(&[1, 784]));
        assert_eq!(array(&[-1, 784], &[3, 28, 28]), batch(&[3, 784]));
        assert_eq!(array(&[-1, 1, 28, 28], &[3, 784]), batch(&[3, 1, 28, 28]));
        assert_eq!(array(&[-1], &[4]), batch(&[4]));
        let instances = of_instances(&spec(&[-1, 4]), false, &Shape::new(&[3, 2, 2]));
        assert_eq!(instances, Some((Shape::from([3, 4]), Form::Batch)));
    }

    #[test]
    fn the_rest_fits_nothing() {
        assert_eq!(array(&[-1, 784], &[783]), None);
        assert_eq!(array(&[-1, 784], &[1568]), None);
        assert_eq!(array(&[-1, 784], &[2, 3]), None);
        assert_eq!(array(&[1, 4], &[2, 4]), None);
        assert_eq!(array(&[2, 2], &[5]), None);
        assert_eq!(array(&[2, 2], &[4]), Some((vec![2, 2], Form::Batch)));
        assert_eq!(of_instances(&spec(&[-1, 4]), false, &Shape::new(&[4])), None);
    }
}
