//! What a model computes as it was read: by the interpreter that trains models, which shares no
//! code with what rewrites them.

use modelyard_graph::{Constant, ElementType, Limits as GraphLimits, Model, inline};
use modelyard_tensor::Tensor;
use modelyard_train::{Array, Buffers, CompileError, Mode, Program, Run, Workers};

use crate::reference;
use crate::{EvaluateError, Limits};

/// The answers of `model` to `inputs`. An error names the operators that the interpreter does not
/// know.
pub(super) fn evaluate(
    model: &Model,
    inputs: &[Tensor],
    limits: &Limits,
) -> Result<Vec<Tensor>, EvaluateError> {
    let model = &without_functions(model)?;
    let signature = model.signature().map_err(|error| EvaluateError::new(error.to_string()))?;
    if inputs.len() != signature.inputs.len() {
        let (expected, found) = (signature.inputs.len(), inputs.len());
        return Err(EvaluateError::new(format!("expected {expected} inputs, found {found}")));
    }
    let program = Program::compile(model).map_err(uncovered)?;
    let outputs: Vec<&str> = program.outputs().collect();
    let plan = program.plan(&outputs, &[]).map_err(uncovered)?;
    let specs = program.inputs().zip(inputs);
    let arrays: Vec<(&str, Array)> = specs
        .map(|(spec, input)| Ok((spec.name.as_str(), array(&spec.name, input)?)))
        .collect::<Result<_, EvaluateError>>()?;
    let workers = Workers::new(rayon::current_num_threads())
        .map_err(|error| EvaluateError::new(format!("failed to start threads: {error}")))?;
    let memory_limit_bytes = usize::try_from(limits.evaluation_bytes).unwrap_or(usize::MAX);
    let mut run = Run {
        buffers: &mut Buffers::default(),
        workers: &workers,
        mode: Mode::Evaluate,
        memory_limit_bytes,
    };
    let pass = program
        .forward(&plan, program.weights(), arrays, &mut run)
        .map_err(|error| EvaluateError::new(error.to_string()))?;
    signature
        .outputs
        .iter()
        .map(|spec| tensor(pass.value(&spec.name), spec.data_type.into()))
        .collect()
}

/// The interpreter knows operators only.
fn without_functions(model: &Model) -> Result<Model, EvaluateError> {
    if model.functions.is_empty() {
        return Ok(model.clone());
    }
    let error = |error: &dyn std::error::Error| EvaluateError::new(error.to_string());
    let model = inline(model.clone()).map_err(|found| error(&found))?;
    model.verified(&GraphLimits::default()).map_err(|found| error(&found))
}

fn uncovered(error: CompileError) -> EvaluateError {
    EvaluateError::new(error.to_string())
}

fn array(name: &str, tensor: &Tensor) -> Result<Array, EvaluateError> {
    let element_type = ElementType::from(tensor.data_type());
    let constant = Constant::raw(name, element_type, tensor.shape().dims(), tensor.data().clone());
    Array::from_constant(&constant)
        .ok_or_else(|| EvaluateError::new(format!("input '{name}' is made of {element_type}")))
}

fn tensor(array: &Array, element_type: ElementType) -> Result<Tensor, EvaluateError> {
    use modelyard_train::Data;
    let dims: &[usize] = array.shape();
    let data = match array.data() {
        Data::Floats(values) if element_type == ElementType::Float64 => {
            reference::Data::Doubles(values.iter().map(|&value| value.into()).collect())
        }
        Data::Floats(values) => reference::Data::Floats(values.to_vec()),
        Data::Ints(values) => reference::Data::Ints(values.to_vec()),
        Data::Bools(values) => reference::Data::Bools(values.to_vec()),
    };
    reference::Array::new(element_type, dims, data)?.to_tensor()
}
