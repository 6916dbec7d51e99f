//! From the wire to the core: `ModelInferRequest` to [`InferRequest`].

use std::sync::Arc;
use std::time::Instant;

use modelyard_serving::{
    ErrorCode, InferError, InferRequest, Input, RequestOptions, Service, Version,
};
use modelyard_tensor::{DataType, Rope, Shape, Signature};
use smallvec::SmallVec;

use super::contents;
use super::message::{Head, InputHead, Message, OutputHead};
use super::parameters::Parameter;
use crate::options;

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
        let version = self.service.resolve(head.model_name, version).map_err(refused)?;
        let decoded = self.inputs(&message, &head, version.signature()).and_then(|inputs| {
            let (outputs, classes) = outputs(&head, version.signature())?;
            Ok((inputs, outputs, classes, request_options(&head.parameters, arrived, deadline)?))
        });
        match decoded {
            Ok((inputs, outputs, classes, options)) => {
                let request = InferRequest { version, inputs, outputs, options };
                Ok(Decoded { request, id: head.id.to_owned(), classes })
            }
            Err(error) => Err(Refused { version: Some(version), ..refused(error) }),
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
        match shape.elements() {
            Some(elements) if elements <= self.tensor_elements => Ok(shape),
            _ => Err(InferError::new(
                ErrorCode::TooLarge,
                format!(
                    "shape {shape} of input '{}' has more than {} elements",
                    input.name, self.tensor_elements
                ),
            )),
        }
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

/// A name from the wire, cut for an error message.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

fn check_raw_count(message: &Message, head: &Head<'_>) -> Result<(), InferError> {
    for input in &head.inputs {
        if let Some(parameter) =
            input.parameters.iter().find(|parameter| is_shared_memory(parameter))
        {
            return Err(no_shared_memory("input", input.name, parameter));
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

fn is_shared_memory(parameter: &Parameter<'_>) -> bool {
    parameter.name.starts_with("shared_memory_")
}

fn no_shared_memory(kind: &str, name: &str, parameter: &Parameter<'_>) -> InferError {
    InferError::new(
        ErrorCode::Unimplemented,
        format!(
            "{kind} '{}' has parameter '{}', but shared memory is not offered: send the data in \
             the request",
            shown(name),
            shown(parameter.name)
        ),
    )
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
        let index = signature.input_index(input.name).ok_or_else(|| {
            let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
            InferError::invalid(format!(
                "unexpected input '{}' for model '{}', expected {}",
                shown(input.name),
                head.model_name,
                names.join(", ")
            ))
        })?;
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
        let index = signature.output_index(output.name).ok_or_else(|| {
            InferError::invalid(format!(
                "unexpected output '{}' for model '{}'",
                shown(output.name),
                head.model_name
            ))
        })?;
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
        if is_shared_memory(parameter) {
            return Err(no_shared_memory("output", output.name, parameter));
        }
        if parameter.name == "classification" {
            let count = parameter.unsigned()?;
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

/// Reads the parameters that mean something here; a client's own ones are for nobody.
fn request_options(
    parameters: &[Parameter<'_>],
    arrived: Instant,
    deadline: Option<Instant>,
) -> Result<RequestOptions, InferError> {
    let mut read = RequestOptions { deadline, ..RequestOptions::arrived(arrived) };
    for parameter in parameters {
        match parameter.name {
            "priority" => read.priority = options::priority(parameter.unsigned()?),
            "timeout" => {
                read.deadline = options::deadline(deadline, arrived, parameter.unsigned()?);
            }
            // Every model here answers a request once, so the answer is always the final one.
            "triton_enable_empty_final_response" => {
                parameter.bool()?;
            }
            name if name.starts_with("triton_") => {
                return Err(InferError::invalid(format!(
                    "parameter '{}' is unknown: of those that begin with 'triton_', expected \
                     triton_enable_empty_final_response",
                    shown(name)
                )));
            }
            _ => {}
        }
    }
    Ok(read)
}
