//! NumPy's files: an archive with inputs and targets by name, or one array and one of targets.

use anyhow::{Context, bail};
use modelyard_tensor::{DataType, Tensor, strings};

use super::arrays::{Column, Found, data_set, to_floats, to_integers};
use super::targets::Raw;
use super::{DataSet, Options};
use crate::tensors::{npy, npz, read_file};

/// Names of inputs and of targets, by preference: of what to train with, or of all there is.
const INPUTS: [&str; 7] =
    ["x_train", "train_images", "train_x", "x", "inputs", "images", "features"];
const TARGETS: [&str; 8] =
    ["y_train", "train_labels", "train_y", "y", "targets", "labels", "target", "label"];
/// The same of what to test with.
const TEST_INPUTS: [&str; 3] = ["x_test", "test_images", "test_x"];
const TEST_TARGETS: [&str; 3] = ["y_test", "test_labels", "test_y"];

/// One `.npy` file of inputs, its targets beside it if at all.
pub(super) fn array(content: &[u8], options: &Options) -> anyhow::Result<DataSet> {
    let targets = match &options.targets {
        None => Raw::Unknown,
        Some(path) => {
            let read = || raw(&npy::read(&read_file(path)?)?);
            read().with_context(|| format!("failed to use the targets '{}'", path.display()))?
        }
    };
    let column = Column::of_tensor(&npy::read(content)?)?;
    data_set(Found { inputs: vec![("x".to_owned(), column)], targets }, None, options, Vec::new())
}

/// One `.npz` archive: its inputs have a usual name, or each array but the targets is one.
pub(super) fn archive(content: &[u8], options: &Options) -> anyhow::Result<DataSet> {
    let arrays = Arrays(npz::read(content)?);
    let targets = match &options.target {
        Some(target) => match arrays.find(&[target.as_str()]) {
            Some(found) => Some(found),
            None => bail!("the archive has no array '{target}', only {}", arrays.names()),
        },
        None => arrays.find(&TARGETS),
    };
    let inputs = match arrays.find(&INPUTS) {
        Some(usual) => vec![usual],
        None => arrays.all_but(targets.map(|(name, _)| name), &options.ignore),
    };
    if inputs.is_empty() {
        bail!(
            "expected an array x, or one for each input, in the archive, found {}",
            arrays.names()
        );
    }
    let targets = targets.map(|(_, tensor)| tensor);
    let test = match (arrays.find(&TEST_INPUTS), arrays.find(&TEST_TARGETS)) {
        (Some((_, tensor)), Some((_, targets))) if inputs.len() == 1 => {
            Some(found(&[(inputs[0].0, tensor)], Some(targets))?)
        }
        _ => None,
    };
    data_set(found(&inputs, targets)?, test, options, Vec::new())
}

/// One part of an archive.
fn found(inputs: &[(&str, &Tensor)], targets: Option<&Tensor>) -> anyhow::Result<Found> {
    let columns = inputs.iter().map(|(name, tensor)| {
        let column = Column::of_tensor(tensor);
        let column = column.with_context(|| {
            format!("failed to use the array '{name}' (--ignore {name} leaves it out)")
        })?;
        Ok(((*name).to_owned(), column))
    });
    let inputs = columns.collect::<anyhow::Result<_>>()?;
    Ok(Found { inputs, targets: targets.map_or(Ok(Raw::Unknown), raw)? })
}

/// Arrays by name.
struct Arrays(Vec<(String, Tensor)>);

impl Arrays {
    /// The first of these names that is there, in whatever case.
    fn find(&self, names: &[&str]) -> Option<(&str, &Tensor)> {
        let named = |name: &&str| self.0.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        names.iter().find_map(named).map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// All arrays but the targets and those to be left out.
    fn all_but(&self, targets: Option<&str>, ignore: &[String]) -> Vec<(&str, &Tensor)> {
        let named = self.0.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let is_left_out =
            |name: &str| Some(name) == targets || ignore.iter().any(|one| one == name);
        named.filter(|(name, _)| !is_left_out(name)).collect()
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// Integers and texts, one an example, may be classes; everything else is values.
fn raw(tensor: &Tensor) -> anyhow::Result<Raw> {
    let dims = tensor.shape().dims();
    let Some((rows, rest)) = dims.split_first() else {
        bail!("expected one target an example, found a single number");
    };
    let width = rest.iter().try_fold(1usize, |width, &dim| width.checked_mul(dim));
    let width = width.context("the targets are too large")?;
    let float = matches!(
        tensor.data_type(),
        DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64
    );
    if width == 1 && tensor.data_type() == DataType::Bytes {
        let texts = strings::iter(tensor.data());
        return Ok(Raw::Texts(texts.map(|t| String::from_utf8_lossy(t).into_owned()).collect()));
    }
    if width == 1 && !float {
        return Ok(Raw::Integers(to_integers(tensor)?));
    }
    if width == 0 && *rows > 0 {
        bail!("the targets have shape {}: no values", tensor.shape());
    }
    Ok(Raw::Values(width, to_floats(tensor).context("failed to use the targets")?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Files, classes, floats, values};
    use super::super::{InputKind, Task};
    use super::*;
    use modelyard_tensor::Shape;

    fn floats_tensor(dims: &[usize], values: &[f32]) -> Tensor {
        Tensor::from_vec(Shape::new(dims), values.to_vec()).unwrap()
    }

    #[test]
    fn an_archive_as_keras_ships_mnist() {
        let pixels = Tensor::from_vec([2, 1, 1].into(), vec![0u8, 255]).unwrap();
        let labels = Tensor::from_vec([2].into(), vec![4i64, 2]).unwrap();
        let arrays =
            [("x_test", &pixels), ("x_train", &pixels), ("y_train", &labels), ("y_test", &labels)];
        let files = Files::new().file("mnist.npz", npz::write(arrays).unwrap());
        let data = DataSet::open(&files.path("mnist.npz"), &Options::default()).unwrap();
        assert_eq!(data.inputs[0].kind, InputKind::Image);
        assert_eq!(floats(&*data.train), [0.0, 1.0]);
        assert_eq!(classes(&*data.test.unwrap()), [1, 0]);
    }

    #[test]
    fn two_arrays_make_a_regression() {
        let x = npy::write(&floats_tensor(&[2, 3], &[1., 2., 3., 4., 5., 6.])).unwrap();
        let y = npy::write(&floats_tensor(&[2, 2], &[0.5, 1., 1.5, 2.])).unwrap();
        let files = Files::new().file("x.npy", x).file("y.npy", y);
        let options = Options { targets: Some(files.path("y.npy")), ..Options::default() };
        let data = DataSet::open(&files.path("x.npy"), &options).unwrap();
        assert_eq!(data.task, Task::Regression { width: 2 });
        assert_eq!(values(&*data.train), [0.5, 1., 1.5, 2.]);
        let lone = DataSet::open(&files.path("x.npy"), &Options::default()).unwrap();
        assert_eq!(lone.task, Task::Unlabelled);
    }

    #[test]
    fn an_archive_with_an_array_for_each_input_of_a_model() {
        let tokens = Tensor::from_vec([2, 3].into(), vec![101i64, 7, 102, 101, 8, 102]).unwrap();
        let mask = floats_tensor(&[2, 3], &[1.; 6]);
        let labels = Tensor::from_vec([2].into(), vec![1i64, 0]).unwrap();
        let names = Tensor::from_strings([2].into(), ["a", "b"]).unwrap();
        let arrays =
            [("input_ids", &tokens), ("mask", &mask), ("label", &labels), ("names", &names)];
        let files = Files::new().file("text.npz", npz::write(arrays).unwrap());
        let open = |ignore: &[&str]| {
            let ignore = ignore.iter().map(|&name| name.to_owned()).collect();
            DataSet::open(&files.path("text.npz"), &Options { ignore, ..Options::default() })
        };
        let refusal = format!("{:#}", open(&[]).err().unwrap());
        assert!(refusal.contains("'names' (--ignore names leaves it out)"), "{refusal}");
        let data = open(&["names"]).unwrap();
        let inputs: Vec<&str> = data.inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(inputs, ["input_ids", "mask"]);
        assert_eq!(classes(&*data.train), [1, 0]);
    }

    #[test]
    fn what_an_archive_lacks_is_named() {
        let x = floats_tensor(&[2], &[1., 2.]);
        let files = Files::new()
            .file("a.npz", npz::write([("y", &x)]).unwrap())
            .file("b.npz", npz::write([("x", &x), ("y", &floats_tensor(&[3], &[0.; 3]))]).unwrap());
        let refusal = |name: &str, target: Option<&str>| {
            let options = Options { target: target.map(str::to_owned), ..Options::default() };
            format!("{:#}", DataSet::open(&files.path(name), &options).err().unwrap())
        };
        assert!(refusal("a.npz", None).contains("found y"));
        assert!(refusal("b.npz", None).contains("2 examples and 3 targets"));
        assert!(refusal("b.npz", Some("z")).contains("no array 'z', only x, y"));
    }
}
