//! What is sent: random tensors that fit a signature, one set for each batch size.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use half::{bf16, f16};
use modelyard_tensor::{DataType, Dim, Shape, Tensor, TensorSpec, strings};

use super::random::Random;

/// Most requests that are prepared.
pub(crate) const REQUESTS_MAX: usize = 256;

/// The inputs of one request.
pub(crate) struct Example {
    /// By name, in the order of the signature.
    pub(crate) tensors: Vec<(String, Tensor)>,
    /// Examples in it.
    pub(crate) rows: usize,
}

/// How free dimensions are filled in.
pub(crate) struct Sizes {
    /// Whole shapes by input name.
    pub(crate) shapes: BTreeMap<String, Shape>,
    /// Sizes of the first dimension where it is free.
    pub(crate) batch: RangeInclusive<usize>,
}

/// Random inputs, one example for each batch size.
pub(crate) fn random(
    specs: &[TensorSpec],
    sizes: &Sizes,
    random: &mut Random,
) -> anyhow::Result<Vec<Example>> {
    for name in sizes.shapes.keys() {
        let known: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        ensure!(
            known.contains(&name.as_str()),
            "--shape: the model has no input '{name}', it has {}",
            known.join(", ")
        );
    }
    let batches: Vec<usize> = sizes.batch.clone().take(REQUESTS_MAX).collect();
    let example = |batch: usize| {
        let tensor = |spec: &TensorSpec| {
            let shape = shape_of(spec, &sizes.shapes, batch)?;
            Ok((spec.name.clone(), random_tensor(spec.data_type, shape, random)?))
        };
        let tensors = specs.iter().map(tensor).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Example { tensors, rows: batch })
    };
    batches.into_iter().map(example).collect()
}

/// The examples of files, whose tensors fit the signature: `batch` rows at a time.
pub(crate) fn from_file(
    specs: &[TensorSpec],
    tensors: Vec<Tensor>,
    batch: usize,
) -> anyhow::Result<Vec<Example>> {
    let names = specs.iter().map(|spec| spec.name.clone());
    let whole: Vec<(String, Tensor)> = names.zip(tensors).collect();
    let batched = specs
        .iter()
        .all(|spec| spec.dims.as_ref().and_then(|dims| dims.first()).is_some_and(Dim::is_free));
    let rows = whole.first().and_then(|(_, tensor)| tensor.shape().first().copied()).unwrap_or(1);
    if !batched || rows <= batch {
        let rows = if batched { rows } else { 1 };
        return Ok(vec![Example { tensors: whole, rows }]);
    }
    let starts = (0..=rows - batch).step_by(batch).take(REQUESTS_MAX);
    let slice = |start: usize| {
        let tensor = |(name, tensor): &(String, Tensor)| {
            let part = tensor.rows(start, batch);
            Ok((name.clone(), part.with_context(|| format!("input '{name}' has fewer rows"))?))
        };
        let tensors = whole.iter().map(tensor).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Example { tensors, rows: batch })
    };
    starts.map(slice).collect()
}

fn shape_of(
    spec: &TensorSpec,
    shapes: &BTreeMap<String, Shape>,
    batch: usize,
) -> anyhow::Result<Shape> {
    if let Some(shape) = shapes.get(&spec.name) {
        ensure!(
            spec.accepts(shape),
            "--shape {}: the model takes {}, not {shape}",
            spec.name,
            spec.shape_text()
        );
        return Ok(shape.clone());
    }
    let unknown = || {
        format!(
            "input '{}' has the shape {}: say which sizes to send, as --shape {}:1,16",
            spec.name,
            spec.shape_text(),
            spec.name
        )
    };
    let Some(dims) = &spec.dims else { bail!(unknown()) };
    let mut sizes = Vec::new();
    for (position, dim) in dims.iter().enumerate() {
        sizes.push(match dim {
            Dim::Fixed(size) => *size,
            _ if position == 0 => batch,
            _ => bail!(unknown()),
        });
    }
    Ok(Shape::new(&sizes))
}

/// Floats in [0, 1) with five decimals, as from measured data; integers, booleans and strings
/// are 0 or 1, which every vocabulary and every mask has.
fn random_tensor(data_type: DataType, shape: Shape, random: &mut Random) -> anyhow::Result<Tensor> {
    let count = shape.elements().filter(|count| *count <= 1 << 30);
    let count = count.with_context(|| format!("shape {shape} is too large to send"))?;
    let mut float = || (random.unit() * 1e5).floor() / 1e5;
    let data: Bytes = match data_type {
        DataType::Fp32 => (0..count).flat_map(|_| (float() as f32).to_le_bytes()).collect(),
        DataType::Fp64 => (0..count).flat_map(|_| float().to_le_bytes()).collect(),
        DataType::Fp16 => (0..count).flat_map(|_| f16::from_f64(float()).to_le_bytes()).collect(),
        DataType::Bf16 => (0..count).flat_map(|_| bf16::from_f64(float()).to_le_bytes()).collect(),
        DataType::Bytes => {
            strings::encode((0..count).map(|_| if random.below(2) == 0 { "0" } else { "1" }))
        }
        integral => {
            let size = integral.size().unwrap_or(1);
            let mut data = vec![0; count * size];
            for element in data.chunks_exact_mut(size) {
                element[0] = random.below(2) as u8;
            }
            data.into()
        }
    };
    Ok(Tensor::new(data_type, shape, data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, data_type: DataType, dims: &[Option<usize>]) -> TensorSpec {
        let dims = dims.iter().map(|dim| dim.map_or(Dim::Free, Dim::Fixed)).collect();
        TensorSpec { name: name.into(), data_type, dims: Some(dims) }
    }

    fn sizes(batch: RangeInclusive<usize>) -> Sizes {
        Sizes { shapes: BTreeMap::new(), batch }
    }

    #[test]
    fn every_datatype_and_batch_size_fits_the_signature() {
        for data_type in DataType::ALL {
            let specs = [spec("x", data_type, &[None, Some(3)])];
            let examples = random(&specs, &sizes(1..=4), &mut Random::new(1)).unwrap();
            assert_eq!(examples.len(), 4);
            for (example, rows) in examples.iter().zip(1..) {
                assert_eq!(example.rows, rows);
                assert_eq!(example.tensors[0].1.shape().dims(), [rows, 3]);
                assert_eq!(example.tensors[0].1.data_type(), data_type);
            }
        }
    }

    #[test]
    fn a_free_dimension_must_be_said() {
        let specs = [spec("ids", DataType::Int64, &[None, None])];
        let error = random(&specs, &sizes(1..=1), &mut Random::new(1)).err().unwrap();
        assert!(error.to_string().contains("--shape ids:1,16"), "{error}");
        let shapes = BTreeMap::from([("ids".to_owned(), Shape::from([2, 16]))]);
        let told = Sizes { shapes, batch: 1..=1 };
        let examples = random(&specs, &told, &mut Random::new(1)).unwrap();
        assert_eq!(examples[0].tensors[0].1.shape().dims(), [2, 16]);
        let shapes = BTreeMap::from([("idz".to_owned(), Shape::from([2, 16]))]);
        assert!(random(&specs, &Sizes { shapes, batch: 1..=1 }, &mut Random::new(1)).is_err());
    }

    #[test]
    fn rows_of_a_file_become_requests() {
        let specs = [spec("x", DataType::Fp32, &[None, Some(2)])];
        let values = Tensor::from_vec([5, 2].into(), vec![1f32; 10]).unwrap();
        let examples = from_file(&specs, vec![values], 2).unwrap();
        assert_eq!(examples.len(), 2);
        assert!(examples.iter().all(|example| example.tensors[0].1.shape().dims() == [2, 2]));
    }
}
