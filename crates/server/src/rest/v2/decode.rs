//! Requests of `POST .../infer`: JSON, tensors in binary behind it, or raw.

use std::borrow::Cow;
use std::time::Instant;

use modelyard_serving::{Input, RequestOptions, Version};
use modelyard_tensor::{DataType, Rope, Shape, TensorSpec, UnknownDataType};
use smallvec::SmallVec;

use crate::Limits;
use crate::http::Refusal;
use crate::json::{Array, Bounds, JsonError, Scanner, array};
use crate::options::{self, Value};
use crate::wording::{
    bytes, check_elements, is_shared_memory, names, shared_memory, shown, unknown,
};

/// More dimensions than any model has.
const MOST_DIMS: usize = 32;

/// A decoded request.
pub(super) struct Decoded {
    /// In the order of the signature.
    pub(super) inputs: SmallVec<[Input; 2]>,
    /// Deadline and priority.
    pub(super) options: RequestOptions,
    /// How the client wants its answer.
    pub(super) reply: Reply,
}

/// How a client wants its answer.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The request's id; empty for none.
    pub(super) id: String,
    /// What is asked for; `None` means every output.
    pub(super) outputs: Option<SmallVec<[Wanted; 2]>>,
    /// Whether outputs that do not say otherwise come in binary.
    pub(super) binary: bool,
}

/// One output as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Position in the signature's outputs.
    pub(super) output: usize,
    /// Whether in binary, if the request says so of this output.
    pub(super) binary: Option<bool>,
    /// How many classes, instead of the numbers.
    pub(super) classes: Option<usize>,
}

/// Decodes a request for `version` that arrived then.
pub(super) fn decode(
    version: &Version,
    json: &[u8],
    blobs: Rope,
    limits: &Limits,
    arrived: Instant,
) -> Result<Decoded, Refusal> {
    let mut decoder = Decoder {
        version,
        limits,
        blobs,
        inputs: SmallVec::new(),
        reply: Reply::default(),
        options: RequestOptions::arrived(arrived),
    };
    let mut scanner = Scanner::new(json, limits.json_depth);
    scanner.object(|scanner, key| decoder.member(scanner, key))?;
    scanner.end()?;
    decoder.finish()
}

/// Decodes a body that is nothing but the bytes of the model's only input.
pub(super) fn decode_raw(
    version: &Version,
    body: Rope,
    arrived: Instant,
) -> Result<Decoded, Refusal> {
    let [spec] = version.signature().inputs.as_slice() else {
        return Err(Refusal::invalid(format!(
            "a raw body needs a model with one input, but model '{}' has {}",
            version.model(),
            version.signature().inputs.len()
        )));
    };
    let (shape, data) = match spec.data_type.size() {
        Some(size) => (raw_shape(version, spec, size, body.len())?, body),
        None => raw_string(spec, body)?,
    };
    Ok(Decoded {
        inputs: SmallVec::from_iter([Input { data_type: spec.data_type, shape, data }]),
        options: RequestOptions::arrived(arrived),
        reply: Reply { binary: true, ..Reply::default() },
    })
}

/// The shape of a raw body: a batch of one, and at most one other dimension to find out.
fn raw_shape(
    version: &Version,
    spec: &TensorSpec,
    size: usize,
    bytes: usize,
) -> Result<Shape, Refusal> {
    let unclear = || {
        Refusal::invalid(format!(
            "a raw body needs at most one free dimension besides the batch, but input '{}' has \
             shape {}",
            spec.name,
            spec.shape_text()
        ))
    };
    let mut dims = spec.wire_shape();
    if version.max_batch_size() > 0 && dims.len() > 1 && dims[0] < 0 {
        dims[0] = 1;
    }
    if spec.dims.is_none() || dims.iter().filter(|&&dim| dim < 0).count() > 1 {
        return Err(unclear());
    }
    let known = dims.iter().filter_map(|&dim| usize::try_from(dim).ok());
    let known_bytes = known.fold(size, usize::saturating_mul);
    let fits = known_bytes > 0 && bytes.is_multiple_of(known_bytes);
    let free = if fits { bytes / known_bytes } else { 0 };
    let has_free = dims.iter().any(|&dim| dim < 0);
    if !fits || (!has_free && free != 1) {
        return Err(Refusal::invalid(format!(
            "the raw body has {bytes} bytes, but input '{}' takes {known_bytes} for {} of shape {}",
            spec.name,
            spec.data_type,
            spec.shape_text()
        )));
    }
    Ok(dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(free)).collect())
}

/// A raw body for an input of strings: one element, without a length before it.
fn raw_string(spec: &TensorSpec, body: Rope) -> Result<(Shape, Rope), Refusal> {
    let rank = spec.dims.as_ref().map_or(1, Vec::len);
    let shape: Shape = (0..rank).map(|_| 1).collect();
    let length = u32::try_from(body.len())
        .map_err(|_| Refusal::too_large("the raw body is too long for one element of BYTES"))?;
    let mut data = Rope::from(bytes::Bytes::copy_from_slice(&length.to_le_bytes()));
    body.chunks().iter().for_each(|chunk| data.push(chunk.clone()));
    Ok((shape, data))
}

struct Decoder<'a> {
    version: &'a Version,
    limits: &'a Limits,
    /// Tensors in binary, not yet taken by an input.
    blobs: Rope,
    /// By position in the signature, in the order of the request.
    inputs: SmallVec<[(usize, Input); 2]>,
    reply: Reply,
    options: RequestOptions,
}

impl Decoder<'_> {
    fn member(&mut self, scanner: &mut Scanner<'_>, key: &str) -> Result<(), Refusal> {
        match key {
            "id" => self.reply.id = scanner.string()?.into_owned(),
            "inputs" => scanner.items(|scanner| self.input(scanner))?,
            "outputs" => {
                // An empty list asks for nothing in particular: for all.
                let mut outputs = SmallVec::new();
                scanner.items(|scanner| self.output(scanner, &mut outputs))?;
                self.reply.outputs = (!outputs.is_empty()).then_some(outputs);
            }
            "parameters" => scanner.object(|scanner, key| self.parameter(scanner, key))?,
            _ => scanner.skip()?,
        }
        Ok(())
    }

    fn parameter(&mut self, scanner: &mut Scanner<'_>, key: &str) -> Result<(), Refusal> {
        match key {
            "binary_data_output" => self.reply.binary = scanner.boolean("binary_data_output")?,
            key if options::is_known(key) => {
                options::parameter(&mut self.options, key, &value(scanner)?)?;
            }
            _ => scanner.skip()?,
        }
        Ok(())
    }

    fn input(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Refusal> {
        let mut head = InputHead::default();
        let limits = self.limits;
        scanner.object(|scanner, key| head.member(scanner, key, limits))?;
        let name = head.name.take().ok_or_else(|| missing("an input", "name"))?;
        let signature = self.version.signature();
        let position = signature
            .input_index(&name)
            .ok_or_else(|| unknown("input", &name, self.version.model(), &signature.inputs))?;
        if self.inputs.iter().any(|(other, _)| *other == position) {
            return Err(Refusal::invalid(format!("input '{name}' is given twice")));
        }
        let input = head.finish(&signature.inputs[position], &mut self.blobs, limits)?;
        self.inputs.push((position, input));
        Ok(())
    }

    fn output(
        &self,
        scanner: &mut Scanner<'_>,
        outputs: &mut SmallVec<[Wanted; 2]>,
    ) -> Result<(), Refusal> {
        let mut name = None;
        let mut wanted = Wanted { output: 0, binary: None, classes: None };
        scanner.object::<Refusal>(|scanner, key| {
            match key {
                "name" => name = Some(scanner.string()?),
                "parameters" => scanner.object::<Refusal>(|scanner, key| {
                    if is_shared_memory(key) {
                        let name = name.as_deref().unwrap_or("?");
                        return Err(shared_memory("output", name, key).into());
                    }
                    wanted.parameter(scanner, key)
                })?,
                _ => scanner.skip()?,
            }
            Ok(())
        })?;
        let name = name.ok_or_else(|| missing("an output", "name"))?;
        let signature = self.version.signature();
        wanted.output = signature
            .output_index(&name)
            .ok_or_else(|| unknown("output", &name, self.version.model(), &signature.outputs))?;
        if outputs.iter().any(|other| other.output == wanted.output) {
            return Err(Refusal::invalid(format!("output '{name}' is asked for twice")));
        }
        outputs.push(wanted);
        Ok(())
    }

    fn finish(mut self) -> Result<Decoded, Refusal> {
        if !self.blobs.is_empty() {
            return Err(Refusal::invalid(format!(
                "the body has {} more than the inputs take: expected binary_data_size of the \
                 inputs to add up to all that follows the JSON",
                bytes(self.blobs.len())
            )));
        }
        let expected = &self.version.signature().inputs;
        if self.inputs.len() < expected.len() {
            let absent = |position: &usize| !self.inputs.iter().any(|(at, _)| at == position);
            let position = (0..expected.len()).find(absent).unwrap_or_default();
            return Err(Refusal::invalid(format!(
                "input '{}' is missing, model '{}' takes {}",
                expected[position].name,
                self.version.model(),
                names(expected)
            )));
        }
        self.inputs.sort_unstable_by_key(|(position, _)| *position);
        Ok(Decoded {
            inputs: self.inputs.into_iter().map(|(_, input)| input).collect(),
            options: self.options,
            reply: self.reply,
        })
    }
}

impl Wanted {
    fn parameter(&mut self, scanner: &mut Scanner<'_>, key: &str) -> Result<(), Refusal> {
        match key {
            "binary_data" => self.binary = Some(scanner.boolean("binary_data")?),
            "classification" => {
                let classes = scanner.unsigned("classification")?;
                self.classes = match usize::try_from(classes).unwrap_or(usize::MAX) {
                    0 => return Err(Refusal::invalid("classification asks for 0 classes")),
                    classes => Some(classes),
                };
            }
            _ => scanner.skip()?,
        }
        Ok(())
    }
}

/// One input as far as it has been read.
#[derive(Default)]
struct InputHead<'a> {
    name: Option<Cow<'a, str>>,
    data_type: Option<DataType>,
    shape: Option<Shape>,
    binary_size: Option<usize>,
    data: Option<Data<'a>>,
}

/// The elements of an input.
enum Data<'a> {
    Taken(Array),
    /// They came before their datatype or shape: a bookmark to read them at later.
    Later(Scanner<'a>),
}

impl<'a> InputHead<'a> {
    fn member(
        &mut self,
        scanner: &mut Scanner<'a>,
        key: &str,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        self.check_once(key)?;
        match key {
            "name" => self.name = Some(scanner.string()?),
            "datatype" => {
                let data_type = scanner.string()?.parse();
                let refused = |error: UnknownDataType| {
                    Refusal::invalid(format!("{}: {error}", self.called()))
                };
                self.data_type = Some(data_type.map_err(refused)?);
            }
            "shape" => {
                let shape = shape(scanner);
                let refused = |error| Refusal::of_input(self.name.as_deref(), error);
                self.shape = Some(shape.map_err(refused)?);
            }
            "parameters" => scanner.object::<Refusal>(|scanner, key| {
                match key {
                    "binary_data_size" => {
                        let size = scanner.unsigned("binary_data_size")?;
                        self.binary_size = Some(usize::try_from(size).unwrap_or(usize::MAX));
                    }
                    key if is_shared_memory(key) => {
                        let name = self.name.as_deref().unwrap_or("?");
                        return Err(shared_memory("input", name, key).into());
                    }
                    _ => scanner.skip()?,
                }
                Ok(())
            })?,
            "data" => {
                let bookmark = *scanner;
                self.data = Some(match (self.data_type, &self.shape) {
                    (Some(data_type), Some(shape)) => {
                        let name = self.name.as_deref();
                        Data::Taken(elements(scanner, name, (data_type, shape), limits)?)
                    }
                    _ => {
                        scanner.skip()?;
                        Data::Later(bookmark)
                    }
                });
            }
            _ => scanner.skip()?,
        }
        Ok(())
    }

    /// What came first may have been used: data read as one datatype is not of another.
    fn check_once(&self, key: &str) -> Result<(), Refusal> {
        let found = match key {
            "name" => self.name.is_some(),
            "datatype" => self.data_type.is_some(),
            "shape" => self.shape.is_some(),
            "data" => self.data.is_some(),
            _ => false,
        };
        match found {
            true => Err(Refusal::invalid(format!("{} has '{key}' twice", self.called()))),
            false => Ok(()),
        }
    }

    /// What to call it in an error message.
    fn called(&self) -> String {
        self.name.as_ref().map_or("an input".into(), |name| format!("input '{}'", shown(name)))
    }

    fn finish(
        self,
        spec: &TensorSpec,
        blobs: &mut Rope,
        limits: &Limits,
    ) -> Result<Input, Refusal> {
        let what = || format!("input '{}'", spec.name);
        let data_type = self.data_type.ok_or_else(|| missing(&what(), "datatype"))?;
        let shape = self.shape.ok_or_else(|| missing(&what(), "shape"))?;
        check_elements(&spec.name, &shape, limits.tensor_elements)?;
        let data = match (self.data, self.binary_size) {
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid(format!(
                    "{} has both data and binary_data_size",
                    what()
                )));
            }
            (None, None) => {
                return Err(Refusal::invalid(format!(
                    "{} has neither data nor binary_data_size",
                    what()
                )));
            }
            (None, Some(size)) => blob(spec, blobs, size)?,
            (Some(Data::Taken(array)), None) => fitting(spec, &shape, array)?,
            (Some(Data::Later(mut bookmark)), None) => {
                let array = elements(&mut bookmark, Some(&spec.name), (data_type, &shape), limits)?;
                fitting(spec, &shape, array)?
            }
        };
        Ok(Input { data_type, shape, data })
    }
}

fn shape(scanner: &mut Scanner<'_>) -> Result<Shape, JsonError> {
    let mut shape = Shape::default();
    scanner.items::<JsonError>(|scanner| {
        if shape.len() == MOST_DIMS {
            return Err(scanner.misfit("a shape has more dimensions than any model"));
        }
        let dim = scanner.unsigned("a dimension")?;
        shape.push(usize::try_from(dim).unwrap_or(usize::MAX));
        Ok(())
    })?;
    Ok(shape)
}

/// The value of a parameter.
fn value<'a>(scanner: &mut Scanner<'a>) -> Result<Value<'a>, JsonError> {
    Ok(match scanner.peek() {
        b't' | b'f' => Value::Bool(scanner.boolean("a parameter")?),
        b'"' => Value::Text(scanner.string()?),
        b'-' | b'0'..=b'9' => match scanner.integer()? {
            Some(number) => Value::Integer(number),
            None => Value::Other,
        },
        _ => {
            scanner.skip()?;
            Value::Other
        }
    })
}

fn elements(
    scanner: &mut Scanner<'_>,
    name: Option<&str>,
    (data_type, shape): (DataType, &Shape),
    limits: &Limits,
) -> Result<Array, Refusal> {
    let expected = shape.elements().unwrap_or(0);
    let bounds = Bounds { expected, most: limits.tensor_elements };
    array(scanner, data_type, bounds).map_err(|error| Refusal::of_input(name, error))
}

/// The elements, when they are as many, and nested as, the shape says.
fn fitting(spec: &TensorSpec, shape: &Shape, array: Array) -> Result<Rope, Refusal> {
    let found = array.nesting.elements();
    if found != shape.elements() {
        return Err(Refusal::invalid(format!(
            "input '{}' has {} elements of data, but shape {shape} holds {}",
            spec.name,
            found.unwrap_or(usize::MAX),
            shape.elements().unwrap_or(usize::MAX)
        )));
    }
    if array.nesting.len() > 1 && array.nesting != *shape {
        return Err(Refusal::invalid(format!(
            "the data of input '{}' is nested as {}, but its shape is {shape}",
            spec.name, array.nesting
        )));
    }
    Ok(array.data.into())
}

fn blob(spec: &TensorSpec, blobs: &mut Rope, size: usize) -> Result<Rope, Refusal> {
    let left = blobs.len();
    blobs.split_to(size).ok_or_else(|| {
        Refusal::invalid(format!(
            "binary_data_size of input '{}' is {size}, but only {} of the body are left",
            spec.name,
            bytes(left)
        ))
    })
}

fn missing(what: &str, member: &str) -> Refusal {
    Refusal::invalid(format!("{what} has no '{member}'"))
}
