//! From the wire to the core: `ModelInferRequest` to [`InferRequest`].

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use modelyard_serving::{
    InferError, InferRequest, Input, RequestOptions, Service, Sticky, Version,
};
use modelyard_tensor::{DataType, Rope, Shape, Signature};
use smallvec::SmallVec;

use super::contents;
use super::message::{Head, InputHead, Message, OutputHead};
use super::parameters::Parameter;
use crate::http::value_in;
use crate::options;
use crate::wording::{check_elements, is_shared_memory, shared_memory, shown, unknown};

/// A request for the core, and what its answer needs besides.
pub(super) struct Decoded {
    pub(super) request: InferRequest,
    /// Sent back.
    pub(super) id: String,
    /// For each output of `request.outputs` (all of them when it is empty), how many classes are
    /// wanted instead of numbers; empty when nowhere.
    pub(super) classes: SmallVec<[Option<usize>; 4]>,
}

/// How to decode.
pub(super) struct Decoder<'a> {
    pub(super) service: &'a Service,
    /// The metadata that came with the request.
    pub(super) headers: &'a HeaderMap,
    /// Most elements in one tensor.
    pub(super) tensor_elements: usize,
}

impl Decoder<'_> {
    /// Decodes a request that arrived just then, to be answered by `deadline`.
    ///
    /// The error comes with the request's id where that was readable.
    pub(super) fn decode(
        &self,
        message: Rope,
        arrived: Instant,
        deadline: Option<Instant>,
    ) -> Result<Decoded, Refused> {
        let message = Message::split(message)?;
        let head = message.head()?;
        let refused = |error| Refused { error, id: head.id.to_owned(), version: None };
        let version = version_number(head.model_version).map_err(refused)?;
        let key = |sticky: &Sticky| match sticky {
            Sticky::Header(_) => value_in(self.headers)(sticky),
            Sticky::Parameter(name) => head.parameters.iter().find_map(|one| one.text(name)),
        };
        let routed = self.service.route(head.model_name, version, key);
        let version = routed.map_err(refused)?;
        let decoded = self.inputs(&message, &head, version.signature()).and_then(|inputs| {
            let (outputs, classes) = outputs(&head, version.signature())?;
            Ok((inputs, outputs, classes, request_options(&head.parameters, arrived, deadline)?))
        });
        match decoded {
            Ok((inputs, outputs, classes, options)) => {
                let request = InferRequest { version, inputs, outputs, options };
                Ok(Decoded { request, id: head.id.to_owned(), classes })
            }
            Err(error) => Err(Refused { version: Some((*version).clone()), ..refused(error) }),
        }
    }

    /// The inputs in the order of the signature.
    fn inputs(
        &self,
        message: &Message,
        head: &Head<'_>,
        signature: &Signature,
    ) -> Result<SmallVec<[Input; 2]>, InferError> {
        check_raw_count(message, head)?;
        let mut inputs = SmallVec::with_capacity(signature.inputs.len());
        for (spec, position) in signature.inputs.iter().zip(positions(head, signature)?) {
            let input = &head.inputs[position];
            debug_assert_eq!(spec.name, input.name);
            inputs.push(self.input(message, input, position)?);
        }
        Ok(inputs)
    }

    fn input(
        &self,
        message: &Message,
        input: &InputHead<'_>,
        position: usize,
    ) -> Result<Input, InferError> {
        let data_type: DataType = input
            .datatype
            .parse()
            .map_err(|error| InferError::invalid(format!("input '{}': {error}", input.name)))?;
        let shape = self.shape(input)?;
        let raw = message.raw().get(position);
        let data = match (raw, input.contents.is_empty()) {
            (Some(raw), true) => raw.clone(),
            (Some(_), false) => {
                return Err(InferError::invalid(format!(
                    "input '{}' has contents, but the request has raw_input_contents: expected \
                     one of both",
                    input.name
                )));
            }
            (None, false) => {
                let elements = shape.elements().unwrap_or(usize::MAX);
                contents::bytes(message, input, data_type, elements)?
            }
            (None, true) if shape.elements() == Some(0) => Rope::default(),
            (None, true) => {
                return Err(InferError::invalid(format!(
                    "input '{}' has no data: expected it in raw_input_contents or contents",
                    input.name
                )));
            }
        };
        Ok(Input { data_type, shape, data })
    }

    fn shape(&self, input: &InputHead<'_>) -> Result<Shape, InferError> {
        let dim = |&dim: &i64| {
            usize::try_from(dim).map_err(|_| {
                InferError::invalid(format!(
                    "the shape of input '{}' has dimension {dim}, expected 0 or more",
                    input.name
                ))
            })
        };
        let shape: Shape = input.shape.iter().map(dim).collect::<Result<_, _>>()?;
        check_elements(input.name, &shape, self.tensor_elements)?;
        Ok(shape)
    }
}

/// A request that was not understood.
pub(super) struct Refused {
    pub(super) error: InferError,
    /// Its id, as far as it was readable.
    pub(super) id: String,
    /// The version it was for, where that was known.
    pub(super) version: Option<Arc<Version>>,
}

impl From<InferError> for Refused {
    fn from(error: InferError) -> Self {
        Refused { error, id: String::new(), version: None }
    }
}

/// A version on the wire: a number, or empty for any.
pub(super) fn version_number(version: &str) -> Result<Option<u64>, InferError> {
    if version.is_empty() {
        return Ok(None);
    }
    version.parse().map(Some).map_err(|_| {
        InferError::invalid(format!(
            "model version '{}' is not a number: expected one, or nothing for the highest version",
            shown(version)
        ))
    })
}

fn check_raw_count(message: &Message, head: &Head<'_>) -> Result<(), InferError> {
    for input in &head.inputs {
        if let Some(parameter) =
            input.parameters.iter().find(|parameter| is_shared_memory(parameter.name))
        {
            return Err(shared_memory("input", input.name, parameter.name));
        }
    }
    let (inputs, raw) = (head.inputs.len(), message.raw().len());
    if raw == 0 || raw == inputs {
        return Ok(());
    }
    Err(InferError::invalid(format!(
        "the request has {inputs} inputs, but {raw} raw_input_contents: expected one for each"
    )))
}

/// For each input of the signature, where it lies in the request.
fn positions(head: &Head<'_>, signature: &Signature) -> Result<SmallVec<[usize; 4]>, InferError> {
    let ordered = signature.inputs.iter().map(|spec| spec.name.as_str());
    if ordered.eq(head.inputs.iter().map(|input| input.name)) {
        return Ok((0..signature.inputs.len()).collect());
    }
    const MISSING: usize = usize::MAX;
    let mut positions: SmallVec<[usize; 4]> = SmallVec::from_elem(MISSING, signature.inputs.len());
    for (position, input) in head.inputs.iter().enumerate() {
        let index = signature
            .input_index(input.name)
            .ok_or_else(|| unknown("input", input.name, head.model_name, &signature.inputs))?;
        if positions[index] != MISSING {
            return Err(InferError::invalid(format!("input '{}' is given twice", input.name)));
        }
        positions[index] = position;
    }
    if let Some(missing) = positions.iter().position(|&position| position == MISSING) {
        return Err(InferError::invalid(format!(
            "input '{}' of model '{}' is missing",
            signature.inputs[missing].name, head.model_name
        )));
    }
    Ok(positions)
}

type Outputs = (SmallVec<[usize; 4]>, SmallVec<[Option<usize>; 4]>);

/// The outputs asked for, and the classes wanted of each.
fn outputs(head: &Head<'_>, signature: &Signature) -> Result<Outputs, InferError> {
    let mut wanted: SmallVec<[usize; 4]> = SmallVec::new();
    let mut classes = SmallVec::new();
    for output in &head.outputs {
        let index = signature
            .output_index(output.name)
            .ok_or_else(|| unknown("output", output.name, head.model_name, &signature.outputs))?;
        if wanted.contains(&index) {
            return Err(InferError::invalid(format!(
                "output '{}' is asked for twice",
                output.name
            )));
        }
        wanted.push(index);
        classes.push(classes_of(output)?);
    }
    if classes.iter().all(Option::is_none) {
        classes.clear();
    }
    Ok((wanted, classes))
}

fn classes_of(output: &OutputHead<'_>) -> Result<Option<usize>, InferError> {
    let mut classes = None;
    for parameter in &output.parameters {
        if is_shared_memory(parameter.name) {
            return Err(shared_memory("output", output.name, parameter.name));
        }
        if parameter.name == "classification" {
            let count = options::unsigned(parameter.name, &parameter.value())?;
            if count == 0 {
                return Err(InferError::invalid(format!(
                    "parameter 'classification' of output '{}' is 0, expected 1 or more",
                    output.name
                )));
            }
            classes = Some(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
    Ok(classes)
}

/// Reads the parameters of a request.
fn request_options(
    parameters: &[Parameter<'_>],
    arrived: Instant,
    deadline: Option<Instant>,
) -> Result<RequestOptions, InferError> {
    let mut read = RequestOptions { deadline, ..RequestOptions::arrived(arrived) };
    for parameter in parameters {
        options::parameter(&mut read, parameter.name, &parameter.value())?;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use modelyard_serving::ErrorCode;
    use modelyard_tensor::{Tensor, strings};
    use prost::Message as _;

    use super::*;
    use crate::grpc::proto::infer_parameter::ParameterChoice;
    use crate::grpc::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
    use crate::grpc::proto::{InferParameter, InferTensorContents, ModelInferRequest};
    use crate::grpc::testing::{self, rope, spec};

    fn decode(service: &Service, request: &ModelInferRequest) -> Result<Decoded, InferError> {
        let decoder = Decoder { service, headers: &HeaderMap::new(), tensor_elements: 1 << 20 };
        let message = rope(&request.encode_to_vec(), 100);
        decoder.decode(message, Instant::now(), None).map_err(|refused| refused.error)
    }

    /// A request for the model `every` with two elements of each datatype: 1 and 0.
    fn every_raw() -> ModelInferRequest {
        let inputs = DataType::ALL.map(|data_type| InferInputTensor {
            name: data_type.name().into(),
            datatype: data_type.name().into(),
            shape: vec![2, 1],
            ..Default::default()
        });
        let raw = DataType::ALL.map(|data_type| match data_type {
            DataType::Fp16 => vec![0x00, 0x3c, 0, 0].into(),
            DataType::Bf16 => vec![0x80, 0x3f, 0, 0].into(),
            DataType::Fp32 => Bytes::from([1f32.to_le_bytes(), [0; 4]].concat()),
            DataType::Fp64 => Bytes::from([1f64.to_le_bytes(), [0; 8]].concat()),
            DataType::Bytes => strings::encode(["1", ""]),
            other => {
                let size = other.size().unwrap();
                let mut elements = vec![0; 2 * size];
                elements[0] = 1;
                elements.into()
            }
        });
        ModelInferRequest {
            model_name: "every".into(),
            id: "some id".into(),
            inputs: inputs.into(),
            raw_input_contents: raw.into(),
            ..Default::default()
        }
    }

    /// Contents with the two elements 1 and 0.
    fn typed(data_type: DataType) -> InferTensorContents {
        let mut contents = InferTensorContents::default();
        match data_type {
            DataType::Bool => contents.bool_contents = vec![true, false],
            DataType::Int8 | DataType::Int16 | DataType::Int32 => {
                contents.int_contents = vec![1, 0]
            }
            DataType::Int64 => contents.int64_contents = vec![1, 0],
            DataType::Uint8 | DataType::Uint16 | DataType::Uint32 => {
                contents.uint_contents = vec![1, 0];
            }
            DataType::Uint64 => contents.uint64_contents = vec![1, 0],
            DataType::Fp32 => contents.fp32_contents = vec![1., 0.],
            DataType::Fp64 => contents.fp64_contents = vec![1., 0.],
            DataType::Bytes => contents.bytes_contents = vec![Bytes::from("1"), Bytes::new()],
            DataType::Fp16 | DataType::Bf16 => {}
        }
        contents
    }

    #[test]
    fn every_datatype_is_read_raw() {
        let (service, _version) = testing::every_data_type();
        let decoded = decode(&service, &every_raw()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(decoded.id, "some id");
        for (input, raw) in decoded.request.inputs.iter().zip(&every_raw().raw_input_contents) {
            assert_eq!(&input.data.clone().into_bytes(), raw);
            assert_eq!(input.shape.dims(), [2, 1]);
        }
    }

    #[test]
    fn typed_contents_become_the_same_bytes() {
        for (data_type, raw) in DataType::ALL.into_iter().zip(every_raw().raw_input_contents) {
            let spec = spec("x", data_type, &[-1]);
            let (service, _version) = testing::service("one", vec![spec]);
            let request = ModelInferRequest {
                model_name: "one".into(),
                inputs: vec![InferInputTensor {
                    name: "x".into(),
                    datatype: data_type.name().into(),
                    shape: vec![2],
                    contents: Some(typed(data_type)),
                    ..Default::default()
                }],
                ..Default::default()
            };
            match decode(&service, &request) {
                Ok(decoded) => {
                    let data = decoded.request.inputs[0].data.clone().into_bytes();
                    assert_eq!(data, raw, "{data_type}");
                    Tensor::new(data_type, [2].into(), data).unwrap();
                }
                Err(error) => {
                    assert!(matches!(data_type, DataType::Fp16 | DataType::Bf16));
                    assert!(error.message.contains("raw_input_contents"), "{error}");
                }
            }
        }
    }

    /// Checks that a change to a good request is refused with words that name what is wrong.
    fn refused(change: impl FnOnce(&mut ModelInferRequest), code: ErrorCode, words: &[&str]) {
        let (service, _version) = testing::every_data_type();
        let mut request = every_raw();
        change(&mut request);
        let Err(error) = decode(&service, &request) else { panic!("accepted: {words:?}") };
        assert_eq!(error.code, code, "{error}");
        words.iter().for_each(|word| assert!(error.message.contains(word), "{error}"));
    }

    fn parameter(choice: ParameterChoice) -> InferParameter {
        InferParameter { parameter_choice: Some(choice) }
    }

    #[test]
    fn wrong_requests_are_refused_with_what_is_wrong() {
        use ErrorCode::{InvalidArgument, NotFound, TooLarge, Unimplemented};
        let output =
            |name: &str| InferRequestedOutputTensor { name: name.into(), ..Default::default() };
        refused(|r| r.outputs = vec![output("z")], InvalidArgument, &["'z'", "'out_BOOL'"]);
        refused(|r| r.inputs[0].shape = vec![1 << 40], TooLarge, &["'BOOL'"]);
        refused(|r| r.model_name = "other".into(), NotFound, &["other"]);
        refused(|r| r.model_version = "7".into(), NotFound, &["7"]);
        refused(|r| r.model_version = "-1".into(), InvalidArgument, &["'-1'", "number"]);
        refused(|r| r.inputs[0].name = "odd".into(), InvalidArgument, &["'odd'", "every", "INT8"]);
        refused(|r| r.inputs[1].name = "BOOL".into(), InvalidArgument, &["'BOOL'", "twice"]);
        refused(|r| r.inputs[2].datatype = "FP31".into(), InvalidArgument, &["UINT16", "FP31"]);
        refused(|r| r.inputs[0].shape[0] = -2, InvalidArgument, &["'BOOL'", "-2"]);
        refused(|r| r.inputs[0].shape = vec![i64::MAX; 3], InvalidArgument, &["'BOOL'"]);
        refused(|r| r.inputs[0].shape = vec![1; 65], InvalidArgument, &["dimensions"]);
        refused(
            |r| {
                r.inputs.pop();
                r.raw_input_contents.pop();
            },
            InvalidArgument,
            &["'BYTES'", "missing"],
        );
        refused(|r| drop(r.raw_input_contents.pop()), InvalidArgument, &["14 inputs", "13 raw"]);
        refused(|r| r.raw_input_contents.clear(), InvalidArgument, &["'BOOL'", "no data"]);
        refused(
            |r| r.inputs[4].contents = Some(typed(DataType::Uint64)),
            InvalidArgument,
            &["'UINT64'", "one of both"],
        );
        let shared = |name: &str| {
            let value = parameter(ParameterChoice::StringParam("region".into()));
            [(name.to_owned(), value)].into()
        };
        refused(
            |r| r.inputs[0].parameters = shared("shared_memory_region"),
            Unimplemented,
            &["'BOOL'", "shared memory"],
        );
    }

    #[test]
    fn wrong_contents_are_refused_with_what_is_wrong() {
        let check = |data_type: DataType, shape: i64, contents: InferTensorContents, word: &str| {
            let (service, _version) = testing::service("one", vec![spec("x", data_type, &[-1])]);
            let request = ModelInferRequest {
                model_name: "one".into(),
                inputs: vec![InferInputTensor {
                    name: "x".into(),
                    datatype: data_type.name().into(),
                    shape: vec![shape],
                    contents: Some(contents),
                    ..Default::default()
                }],
                ..Default::default()
            };
            let Err(error) = decode(&service, &request) else { panic!("accepted: {word}") };
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(error.message.contains("'x'") && error.message.contains(word), "{error}");
        };
        let ints = |int_contents| InferTensorContents { int_contents, ..Default::default() };
        let uints = |uint_contents| InferTensorContents { uint_contents, ..Default::default() };
        check(DataType::Int8, 1, ints(vec![128]), "128");
        check(DataType::Int8, 1, ints(vec![-129]), "-129");
        check(DataType::Int16, 1, ints(vec![40_000]), "40000");
        check(DataType::Uint8, 1, uints(vec![256]), "256");
        check(DataType::Uint16, 1, uints(vec![u32::MAX]), "4294967295");
        check(DataType::Int32, 2, ints(vec![1]), "1 elements");
        check(DataType::Int32, 9, ints(vec![1]), "too few");
        check(DataType::Int32, 2, ints(vec![1, 2, 3]), "more elements");
        check(DataType::Fp32, 2, typed(DataType::Fp64), "fp64_contents");
        check(DataType::Fp32, 3, typed(DataType::Fp32), "2 elements");
        check(DataType::Fp32, 1 << 19, typed(DataType::Fp32), "2 elements");
        check(DataType::Bytes, 3, typed(DataType::Bytes), "2 elements");
        check(DataType::Bytes, 1, typed(DataType::Bytes), "more elements");
        check(DataType::Uint8, 2, typed(DataType::Int8), "int_contents");
    }

    #[test]
    fn unpacked_elements_are_understood() {
        let (service, _version) = testing::service("one", vec![spec("x", DataType::Fp32, &[2])]);
        let mut contents = Vec::new();
        for value in [1f32, 2.] {
            contents.push(6 << 3 | 5);
            contents.extend(value.to_le_bytes());
        }
        let mut input = vec![10, 1, b'x', 18, 4, b'F', b'P', b'3', b'2', 24, 2];
        input.extend([5 << 3 | 2, u8::try_from(contents.len()).unwrap()]);
        input.extend(contents);
        let mut message = vec![10, 3, b'o', b'n', b'e', 5 << 3 | 2];
        message.push(u8::try_from(input.len()).unwrap());
        message.extend(input);
        let headers = HeaderMap::new();
        let decoder = Decoder { service: &service, headers: &headers, tensor_elements: 10 };
        let decoded = decoder.decode(rope(&message, 7), Instant::now(), None);
        let decoded = decoded.unwrap_or_else(|refused| panic!("{}", refused.error));
        let expected = [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat();
        assert_eq!(&decoded.request.inputs[0].data.clone().into_bytes()[..], expected);
    }

    #[test]
    fn outputs_and_parameters_are_read() {
        let (service, _version) = testing::every_data_type();
        let mut request = every_raw();
        let classification = parameter(ParameterChoice::Int64Param(3));
        request.outputs = vec![
            InferRequestedOutputTensor { name: "out_FP32".into(), ..Default::default() },
            InferRequestedOutputTensor {
                name: "out_INT8".into(),
                parameters: [("classification".to_owned(), classification)].into(),
            },
        ];
        let number = |value| parameter(ParameterChoice::Int64Param(value));
        request.parameters =
            [("priority".to_owned(), number(1)), ("timeout".to_owned(), number(5))].into();
        request.parameters.insert("my own".into(), number(-1));
        request.parameters.insert("sequence_id".into(), number(0));
        request
            .parameters
            .insert("sequence_end".into(), parameter(ParameterChoice::BoolParam(false)));
        let decoded = decode(&service, &request).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(decoded.request.outputs.as_slice(), [11, 5]);
        assert_eq!(decoded.classes.as_slice(), [None, Some(3)]);
        let options = decoded.request.options;
        assert!(options.priority > 0);
        let timeout = options.deadline.map(|deadline| deadline - options.arrived);
        assert_eq!(timeout, Some(std::time::Duration::from_micros(5)));

        let refuse = |name: &str, value: InferParameter| {
            let mut request = every_raw();
            request.parameters = [(name.to_owned(), value)].into();
            assert!(decode(&service, &request).is_err(), "{name}");
        };
        refuse("timeout", number(-1));
        refuse("priority", parameter(ParameterChoice::StringParam("high".into())));
        refuse("triton_something", number(1));
        refuse("sequence_id", number(1));
        refuse("sequence_start", parameter(ParameterChoice::BoolParam(true)));
        refuse("triton_enable_empty_final_response", number(1));
    }
}
