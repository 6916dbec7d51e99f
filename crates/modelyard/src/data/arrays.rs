//! Examples in memory: floats, or the bytes of pictures, which take a quarter of the room.

use anyhow::{anyhow, bail};
use half::{bf16, f16};
use modelyard_tensor::{DataType, Shape, Tensor};
use modelyard_train::Array;
use modelyard_train::data::{Batch, DataError, Examples, Targets};

use super::{DataSet, Input, InputKind, Options, targets};

/// One input of all examples, without a name.
#[derive(Debug)]
pub(super) struct Column {
    /// The shape of one example.
    shape: Shape,
    elements: Elements,
    rows: usize,
    kind: InputKind,
}

#[derive(Debug)]
enum Elements {
    /// 0..255, which stand for 0..1.
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

/// A part of a data set as readers find it: inputs, and targets whose kind is not decided yet.
pub(super) struct Found {
    /// Inputs by name.
    pub(super) inputs: Vec<(String, Column)>,
    /// Targets.
    pub(super) targets: targets::Raw,
}

impl Column {
    /// So many rows of floats, each of this shape.
    pub(super) fn floats(shape: Shape, values: Vec<f32>, rows: usize, kind: InputKind) -> Column {
        Column { shape, elements: Elements::Floats(values), rows, kind }
    }

    /// The rows of a tensor. Bytes are scaled to 0..1; of three or four dimensions they are
    /// pictures, whose channels are put first. Other numbers and booleans become floats.
    pub(super) fn of_tensor(tensor: &Tensor) -> anyhow::Result<Column> {
        let (rows, shape) = match tensor.shape().dims() {
            [] => bail!("expected an array with one row an example, found a single number"),
            [rows] => (*rows, Shape::from([1])),
            [rows, shape @ ..] => (*rows, Shape::new(shape)),
        };
        // Also keeps the products below from overflowing: without rows, dimensions may be anything.
        if rows == 0 || shape.elements().is_none_or(|size| size == 0) {
            bail!("an array of shape {} holds no examples", tensor.shape());
        }
        let kind = InputKind::Tensor;
        if tensor.data_type() != DataType::Uint8 {
            return Ok(Column::floats(shape, to_floats(tensor)?, rows, kind));
        }
        let bytes = tensor.data().to_vec();
        let (shape, bytes, kind) = match *shape.dims() {
            [height, width] => ([1, height, width].into(), bytes, InputKind::Image),
            [1 | 3 | 4, _, _] => (shape, bytes, InputKind::Image),
            [height, width, channels @ (1 | 3 | 4)] => {
                let shape = [channels, height, width].into();
                (shape, channels_first(&bytes, height * width, channels), InputKind::Image)
            }
            _ => (shape, bytes, kind),
        };
        Ok(Column { shape, elements: Elements::Bytes(bytes), rows, kind })
    }

    fn gather(&self, numbers: &[usize]) -> Array {
        let size = self.shape.elements().unwrap_or(0);
        let mut floats = Vec::with_capacity(size * numbers.len());
        for &number in numbers {
            let range = number * size..(number + 1) * size;
            match &self.elements {
                Elements::Bytes(bytes) => floats.extend(bytes[range].iter().map(|&b| unit(b))),
                Elements::Floats(values) => floats.extend_from_slice(&values[range]),
            }
        }
        let shape: Shape = [numbers.len()].into_iter().chain(self.shape.iter().copied()).collect();
        Array::floats(shape, floats)
    }
}

/// 0..255 as 0..1.
pub(super) fn unit(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// Pictures of so many pixels, from pixel after pixel to channel after channel.
fn channels_first(bytes: &[u8], pixels: usize, channels: usize) -> Vec<u8> {
    let pictures = bytes.chunks_exact((pixels * channels).max(1));
    pictures
        .flat_map(|picture| {
            (0..channels).flat_map(move |channel| picture.iter().skip(channel).step_by(channels))
        })
        .copied()
        .collect()
}

/// The elements of a tensor of numbers or booleans.
pub(super) fn to_floats(tensor: &Tensor) -> anyhow::Result<Vec<f32>> {
    macro_rules! floats {
        ($rust:ty, $convert:expr) => {
            tensor.values::<$rust>()?.iter().map(|&value| $convert(value)).collect()
        };
    }
    Ok(match tensor.data_type() {
        DataType::Fp32 => tensor.values::<f32>()?.into_owned(),
        DataType::Fp64 => floats!(f64, |value| value as f32),
        DataType::Fp16 => floats!(f16, f16::to_f32),
        DataType::Bf16 => floats!(bf16, bf16::to_f32),
        DataType::Uint64 => floats!(u64, |value| value as f32),
        DataType::Bytes => bail!("expected numbers, found text"),
        _ => to_integers(tensor)?.into_iter().map(|value| value as f32).collect(),
    })
}

/// The elements of a tensor of integers or booleans.
pub(super) fn to_integers(tensor: &Tensor) -> anyhow::Result<Vec<i64>> {
    macro_rules! integers {
        ($rust:ty) => {
            tensor.values::<$rust>()?.iter().map(|&value| i64::from(value)).collect()
        };
    }
    Ok(match tensor.data_type() {
        DataType::Bool | DataType::Uint8 => integers!(u8),
        DataType::Uint16 => integers!(u16),
        DataType::Uint32 => integers!(u32),
        DataType::Int8 => integers!(i8),
        DataType::Int16 => integers!(i16),
        DataType::Int32 => integers!(i32),
        DataType::Int64 => tensor.values::<i64>()?.into_owned(),
        DataType::Uint64 => {
            let values = tensor.values::<u64>()?;
            let values = values.iter().map(|&value| i64::try_from(value));
            values.collect::<Result<_, _>>().map_err(|_| anyhow!("a number is beyond 2^63"))?
        }
        other => bail!("expected integers, found {other}"),
    })
}

/// Examples in memory.
struct Arrays {
    inputs: Vec<(String, Column)>,
    targets: Targets,
    len: usize,
}

impl Examples for Arrays {
    fn len(&self) -> usize {
        self.len
    }

    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError> {
        let inputs = self.inputs.iter();
        Ok(Batch {
            inputs: inputs.map(|(name, column)| (name.clone(), column.gather(numbers))).collect(),
            targets: self.targets.pick(numbers),
        })
    }
}

/// The data set of a part to train with and perhaps one to test with.
pub(super) fn data_set(
    train: Found,
    test: Option<Found>,
    options: &Options,
    skipped: Vec<(String, String)>,
) -> anyhow::Result<DataSet> {
    let inputs: Vec<Input> = train.inputs.iter().map(described).collect();
    if let Some(test) = &test {
        let others: Vec<Input> = test.inputs.iter().map(described).collect();
        for (input, other) in inputs.iter().zip(&others) {
            if input.shape != other.shape {
                let (name, shape, found) = (&input.name, &input.shape, &other.shape);
                bail!("'{name}' has shape {shape} in the training part, {found} in the test part");
            }
        }
    }
    let (mut raw, mut columns) = (Vec::new(), Vec::new());
    for part in [Some(train), test].into_iter().flatten() {
        raw.push(part.targets);
        columns.push(part.inputs);
    }
    let (targets, task) = targets::decide(raw, options.task)?;
    let mut parts = columns
        .into_iter()
        .zip(targets)
        .map(|(inputs, targets)| arrays(inputs, targets))
        .collect::<anyhow::Result<Vec<Arrays>>>()?
        .into_iter();
    let Some(train) = parts.next() else { bail!("there are no examples") };
    let classes = match &train.targets {
        Targets::Classes(classes) => Some(classes.clone()),
        _ => None,
    };
    let test = parts.next().map(|part| Box::new(part) as Box<dyn Examples>);
    Ok(DataSet { train: Box::new(train), test, inputs, task, classes, skipped })
}

fn described((name, column): &(String, Column)) -> Input {
    Input { name: name.clone(), shape: column.shape.clone(), kind: column.kind.clone() }
}

fn arrays(inputs: Vec<(String, Column)>, targets: Targets) -> anyhow::Result<Arrays> {
    let len = inputs.first().map_or(0, |(_, column)| column.rows);
    for (name, column) in &inputs {
        if column.rows != len {
            bail!("expected {len} examples in '{name}', found {}", column.rows);
        }
    }
    if let Some(found) = targets.count()
        && found != len
    {
        bail!("there are {len} examples and {found} targets");
    }
    Ok(Arrays { inputs, targets, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(dims: &[usize], bytes: &[u8]) -> Column {
        Column::of_tensor(&Tensor::from_vec(Shape::new(dims), bytes.to_vec()).unwrap()).unwrap()
    }

    #[test]
    fn pictures_get_their_channels_first() {
        let last = column(&[1, 2, 1, 3], &[0, 51, 102, 153, 204, 255]);
        let array = last.gather(&[0]);
        assert_eq!(array.shape().dims(), [1, 3, 2, 1]);
        assert_eq!(array.as_floats().unwrap(), [0.0, 0.6, 0.2, 0.8, 0.4, 1.0]);
        assert_eq!(column(&[2, 1, 1], &[0, 255]).gather(&[1]).shape().dims(), [1, 1, 1, 1]);
        assert_eq!(column(&[2, 2], &[0; 4]).kind, InputKind::Tensor);
    }

    #[test]
    fn every_datatype_becomes_floats() {
        let one = |tensor: Tensor| to_floats(&tensor).unwrap();
        assert_eq!(one(Tensor::from_vec([1].into(), vec![-2i16]).unwrap()), [-2.0]);
        assert_eq!(one(Tensor::from_vec([1].into(), vec![1.5f64]).unwrap()), [1.5]);
        assert_eq!(one(Tensor::from_vec([1].into(), vec![f16::ONE]).unwrap()), [1.0]);
        assert_eq!(one(Tensor::from_vec([1].into(), vec![7u64]).unwrap()), [7.0]);
        let text = Tensor::from_strings([1].into(), ["a"]).unwrap();
        assert!(to_floats(&text).is_err());
    }

    #[test]
    fn arrays_without_elements_hold_no_examples_however_many_rows_they_claim() {
        for dims in [&[usize::MAX, 0][..], &[0, usize::MAX, usize::MAX, 3], &[0]] {
            let tensor = Tensor::from_vec(Shape::new(dims), Vec::<u8>::new()).unwrap();
            let error = Column::of_tensor(&tensor).unwrap_err().to_string();
            assert!(error.ends_with("holds no examples"), "{error}");
        }
    }
}
