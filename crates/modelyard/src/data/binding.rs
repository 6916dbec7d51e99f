//! Which input of a data set goes into which input of a model, and in what shape.

use anyhow::{Context, bail};
use modelyard_graph::{Constant, ElementType};
use modelyard_tensor::{DataType, Dim, Shape, Tensor, TensorSpec};
use modelyard_train::Array;
use modelyard_train::data::Batch;

use super::arrange::{Arrange, arrange};
use super::{Input, InputKind};
use crate::tensors::fit;

/// How examples become inputs of a model.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// One for each input of the model, in its order.
    inputs: Vec<Bound>,
    rows: Rows,
}

/// How many examples a model takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Any number.
    Free,
    /// This number.
    Fixed(usize),
    /// One, without a dimension that says so.
    Single,
}

/// One input of a model.
#[derive(Clone, Debug)]
struct Bound {
    spec: TensorSpec,
    /// Position among the inputs of the data.
    data: usize,
    /// The column of a table, where the model takes each by itself.
    column: Option<usize>,
    arrange: Arrange,
    /// Whether 0..1 stands for the 0..255 that the model takes.
    bytes: bool,
}

impl Binding {
    /// Binds by name, by the columns of a table, or each to the other where there is one each.
    pub(crate) fn new(data: &[Input], model: &[TensorSpec]) -> anyhow::Result<Binding> {
        let mut rows = Rows::Free;
        let mut inputs = Vec::new();
        for (spec, (position, column)) in model.iter().zip(sources(data, model)?) {
            let (bound, own) = bound(spec, position, column, &data[position])?;
            rows = match (rows, own) {
                (Rows::Free, own) => own,
                (rows, Rows::Free) => rows,
                (rows, own) if rows == own => rows,
                _ => bail!("the model's inputs take different numbers of examples"),
            };
            inputs.push(bound);
        }
        Ok(Binding { inputs, rows })
    }

    /// How many examples the model takes at once.
    pub(crate) fn rows(&self) -> Rows {
        self.rows
    }

    /// The model's inputs for a batch, by name, as training takes them. Shares the numbers where
    /// they keep their order.
    pub(crate) fn arrays(&self, batch: &Batch) -> anyhow::Result<Vec<(String, Array)>> {
        self.inputs.iter().map(|bound| bound.array(batch, self.rows)).collect()
    }

    /// The model's inputs for a batch. Where the model takes a fixed number of examples, the last
    /// one is repeated to make up for missing ones.
    pub(crate) fn tensors(&self, batch: &Batch) -> anyhow::Result<Vec<Tensor>> {
        self.inputs.iter().map(|bound| bound.tensor(batch, self.rows)).collect()
    }
}

/// Position of the data, and perhaps the column, for each input of the model.
fn sources(data: &[Input], model: &[TensorSpec]) -> anyhow::Result<Vec<(usize, Option<usize>)>> {
    let named = |spec: &TensorSpec| data.iter().position(|input| input.name == spec.name);
    if let Some(found) = model.iter().map(named).collect::<Option<Vec<usize>>>()
        && found.len() == data.len()
    {
        return Ok(found.into_iter().map(|position| (position, None)).collect());
    }
    if let ([_], [_]) = (data, model) {
        return Ok(vec![(0, None)]);
    }
    if let [Input { kind: InputKind::Table(columns), .. }] = data {
        let column = |spec: &TensorSpec| columns.iter().position(|column| *column == spec.name);
        if let Some(found) = model.iter().map(column).collect::<Option<Vec<usize>>>() {
            return Ok(found.into_iter().map(|column| (0, Some(column))).collect());
        }
    }
    let data: Vec<String> =
        data.iter().map(|input| format!("'{}' {}", input.name, input.shape)).collect();
    let model: Vec<String> =
        model.iter().map(|spec| format!("'{}' {}", spec.name, spec.shape_text())).collect();
    bail!("the model takes {}, but the data has {}", model.join(", "), data.join(", "))
}

fn bound(
    spec: &TensorSpec,
    data: usize,
    column: Option<usize>,
    input: &Input,
) -> anyhow::Result<(Bound, Rows)> {
    let one = Shape::from([1]);
    let example = if column.is_some() { &one } else { &input.shape };
    let picture = input.kind == InputKind::Image;
    let rows_of = |dim: &Dim| match dim {
        Dim::Fixed(rows) => Rows::Fixed(*rows),
        Dim::Symbol(_) | Dim::Free => Rows::Free,
    };
    let found = match spec.dims.as_deref() {
        None => Some((Arrange::Reshape(example.clone()), Rows::Free)),
        Some(dims) => dims
            .split_first()
            .and_then(|(rows, dims)| Some((arrange(example, dims)?, rows_of(rows))))
            .or_else(|| Some((arrange(example, dims)?, Rows::Single))),
    };
    let Some((arrange, rows)) = found.filter(|(_, rows)| *rows != Rows::Fixed(0)) else {
        let hint = if picture { " (--image-size resizes folders of pictures)" } else { "" };
        bail!(
            "the model's input '{}' takes shape {}, but an example of '{}' has shape {}{hint}",
            spec.name,
            spec.shape_text(),
            input.name,
            example
        )
    };
    let bytes = picture && spec.data_type == DataType::Uint8;
    Ok((Bound { spec: spec.clone(), data, column, arrange, bytes }, rows))
}

impl Bound {
    fn array(&self, batch: &Batch, rows: Rows) -> anyhow::Result<(String, Array)> {
        let name = self.spec.name.clone();
        let plain = self.column.is_none()
            && !self.bytes
            && rows != Rows::Single
            && self.spec.data_type == DataType::Fp32;
        if let (true, Arrange::Reshape(shape)) = (plain, &self.arrange) {
            let (_, array) = batch.inputs.get(self.data).context("the batch lacks an input")?;
            let count = array.shape().first().copied().unwrap_or(0);
            let shape: Shape = [count].into_iter().chain(shape.iter().copied()).collect();
            return Ok((name, array.clone().reshaped(shape)));
        }
        let tensor = self.tensor(batch, rows)?;
        let element_type = ElementType::from(tensor.data_type());
        let constant = Constant::raw("", element_type, tensor.shape(), tensor.data().clone());
        let array = Array::from_constant(&constant).with_context(|| {
            format!("input '{name}' takes {element_type}, which training does not know")
        })?;
        Ok((name, array))
    }

    fn tensor(&self, batch: &Batch, rows: Rows) -> anyhow::Result<Tensor> {
        let (_, array) = batch.inputs.get(self.data).context("the batch lacks an input")?;
        let count = array.shape().first().copied().unwrap_or(0);
        let values = array.as_floats()?;
        let size = values.len() / count.max(1);
        let mut examples: Vec<f32> = Vec::with_capacity(values.len());
        for example in values.chunks_exact(size.max(1)) {
            match self.column {
                Some(column) => examples.push(example[column]),
                None => self.arrange.append(example, &mut examples),
            }
        }
        let size = examples.len() / count.max(1);
        let wanted = if let Rows::Fixed(wanted) = rows { wanted } else { count };
        for _ in count..wanted {
            examples.extend_from_within(examples.len() - size..);
        }
        let shape = self.arrange.shape();
        let shape: Shape = match rows {
            Rows::Single => shape.clone(),
            _ => [wanted].into_iter().chain(shape.iter().copied()).collect(),
        };
        self.typed(examples, shape)
    }

    /// The values in the datatype of the model.
    fn typed(&self, values: Vec<f32>, shape: Shape) -> anyhow::Result<Tensor> {
        let tensor = match self.spec.data_type {
            _ if self.bytes => {
                let bytes = values.iter().map(|value| (value * 255.0).round() as u8).collect();
                Tensor::from_vec(shape, bytes)?
            }
            DataType::Fp32 | DataType::Fp64 | DataType::Fp16 | DataType::Bf16 => {
                Tensor::from_vec(shape, values)?
            }
            integers => {
                if let Some(value) = values.iter().find(|value| value.fract() != 0.0) {
                    bail!("input '{}' takes {integers}, the data has {value}", self.spec.name);
                }
                Tensor::from_vec(shape, values.iter().map(|&value| value as i64).collect())?
            }
        };
        fit::fit(tensor, &self.spec)
    }
}

#[cfg(test)]
mod tests {
    use modelyard_train::data::Targets;

    use super::*;

    fn spec(name: &str, data_type: DataType, dims: &[i64]) -> TensorSpec {
        let dim = |&size: &i64| usize::try_from(size).map_or(Dim::Free, Dim::Fixed);
        TensorSpec { name: name.into(), data_type, dims: Some(dims.iter().map(dim).collect()) }
    }

    fn input(name: &str, shape: &[usize], kind: InputKind) -> Input {
        Input { name: name.into(), shape: Shape::new(shape), kind }
    }

    /// The tensors that two examples, 0, 1, 2 and so on, become.
    fn bind(data: &[Input], model: &[TensorSpec]) -> anyhow::Result<(Rows, Vec<Tensor>)> {
        let inputs = data.iter().map(|input| {
            let shape: Shape = [2].into_iter().chain(input.shape.iter().copied()).collect();
            let values = (0..shape.elements().unwrap()).map(|value| value as f32).collect();
            (input.name.clone(), Array::floats(shape, values))
        });
        let batch = Batch { inputs: inputs.collect(), targets: Targets::Unknown };
        let binding = Binding::new(data, model)?;
        Ok((binding.rows(), binding.tensors(&batch)?))
    }

    #[test]
    fn one_input_each_needs_no_name() {
        let image = input("image", &[1, 2, 2], InputKind::Image);
        let (rows, tensors) = bind(&[image], &[spec("x", DataType::Fp32, &[-1, 4])]).unwrap();
        assert_eq!((rows, tensors[0].shape().dims()), (Rows::Free, &[2, 4][..]));
    }

    #[test]
    fn several_inputs_go_by_name_and_tables_by_column() {
        let data = [input("a", &[1], InputKind::Tensor), input("b", &[2], InputKind::Tensor)];
        let model = [spec("b", DataType::Fp32, &[-1, 2]), spec("a", DataType::Int64, &[-1, 1])];
        let (_, tensors) = bind(&data, &model).unwrap();
        assert_eq!(tensors[0].values::<f32>().unwrap().as_ref(), [0., 1., 2., 3.]);
        assert_eq!(tensors[1].values::<i64>().unwrap().as_ref(), [0, 1]);
        let columns = InputKind::Table(vec!["a".into(), "b".into()]);
        let model = [spec("b", DataType::Fp32, &[-1, 1]), spec("a", DataType::Fp32, &[-1, 1])];
        let (_, tensors) = bind(&[input("features", &[2], columns)], &model).unwrap();
        assert_eq!(tensors[0].values::<f32>().unwrap().as_ref(), [1., 3.]);
        let error = bind(&data[..1], &model).unwrap_err().to_string();
        assert_eq!(error, "the model takes 'b' [?,1], 'a' [?,1], but the data has 'a' [1]");
    }

    #[test]
    fn a_fixed_number_of_examples_is_made_up_for() {
        let data = [input("x", &[1], InputKind::Tensor)];
        let (rows, tensors) = bind(&data, &[spec("x", DataType::Fp32, &[4, 1])]).unwrap();
        assert_eq!(rows, Rows::Fixed(4));
        assert_eq!(tensors[0].values::<f32>().unwrap().as_ref(), [0., 1., 1., 1.]);
        let binding = Binding::new(&data, &[spec("x", DataType::Fp32, &[])]).unwrap();
        assert_eq!(binding.rows(), Rows::Single);
    }

    #[test]
    fn pictures_are_bytes_where_the_model_takes_bytes() {
        let data = [input("image", &[1, 1, 1], InputKind::Image)];
        let (_, tensors) = bind(&data, &[spec("x", DataType::Uint8, &[-1, 1, 1, 1])]).unwrap();
        assert_eq!(tensors[0].data().as_ref(), [0, 255]);
    }

    #[test]
    fn what_does_not_fit_is_told_with_both_shapes() {
        let data = [input("image", &[1, 2, 2], InputKind::Image)];
        let error = bind(&data, &[spec("x", DataType::Fp32, &[-1, 9])]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the model's input 'x' takes shape [?,9], but an example of 'image' has shape [1,2,2] \
             (--image-size resizes folders of pictures)"
        );
    }
}
