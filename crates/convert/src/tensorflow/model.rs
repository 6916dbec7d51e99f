//! A model that was read, and its two uses.

use std::collections::BTreeMap;

use modelyard_graph::ElementType;
use modelyard_tensor::{Dim, Tensor};

use super::context::Context;
use super::evaluate;
use super::graph::Graph;
use super::tables::Tables;
use super::value::{Refusal, Val, Value};
use crate::emitter::Emitter;
use crate::{
    Conversion, ConvertError, EvaluateError, Format, Limits, Options, SourceModel, Tolerance,
};

/// A graph with its inputs, outputs, weights and tables.
#[derive(Debug)]
pub(super) struct TensorFlowModel {
    pub(super) format: Format,
    pub(super) producer: String,
    pub(super) graph: Graph,
    pub(super) inputs: Vec<Endpoint>,
    pub(super) outputs: Vec<Endpoint>,
    pub(super) tables: Tables,
    pub(super) notes: Vec<String>,
    pub(super) limits: Limits,
}

/// An input or output of the model.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) element_type: ElementType,
    pub(super) dims: Option<Vec<Dim>>,
}

/// A size to try inputs with whose sizes are free.
const TRIED_SIZE: usize = 64;

impl SourceModel for TensorFlowModel {
    fn format(&self) -> Format {
        self.format
    }

    fn producer(&self) -> String {
        self.producer.clone()
    }

    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError> {
        let mut emitter = Emitter::new("tensorflow");
        let outputs = self.output_names();
        outputs.iter().for_each(|name| emitter.reserve(name));
        let mut inputs = Vec::new();
        let mut sizes = BTreeMap::new();
        for input in &self.inputs {
            let dims = options.shapes.get(&input.name).cloned().or_else(|| input.dims.clone());
            let name = emitter.input(&input.name, input.element_type, dims.as_deref());
            for (axis, dim) in dims.iter().flatten().enumerate() {
                if let (Dim::Symbol(symbol), 1..) = (dim, axis) {
                    sizes.insert(symbol.clone(), TRIED_SIZE);
                }
            }
            inputs.push(Value::tensor(name, input.element_type, dims));
        }
        let mut context = Context::new(emitter, self);
        context.inputs =
            self.inputs.iter().map(|input| (input.name.clone(), input.name.clone())).collect();
        let values = context.run(&self.graph, &inputs)?;
        for ((endpoint, name), value) in self.outputs.iter().zip(&outputs).zip(&values) {
            self.finish(&mut context, endpoint, name, value)?;
        }
        let ranges = context.ranges;
        let (model, steps) = context.emitter.finish()?;
        let rounds = steps.iter().any(|step| step.operator.contains("Quant"));
        let mut conversion = Conversion::new(model, steps);
        conversion.notes.clone_from(&self.notes);
        conversion.sizes = sizes;
        conversion.ranges = ranges;
        if rounds {
            // A number between two steps may be rounded to either, and what follows differs.
            conversion.tolerance =
                Tolerance { relative: 1e-2, outliers: 1e-2, ..Tolerance::default() };
        }
        Ok(conversion)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        evaluate::evaluate(self, inputs)
    }
}

impl TensorFlowModel {
    /// The names of outputs, with those that are also names of inputs made different: values have
    /// one name in ONNX.
    fn output_names(&self) -> Vec<String> {
        let taken = |name: &str| self.inputs.iter().any(|input| input.name == name);
        let name = |output: &Endpoint| match taken(&output.name) {
            true => format!("{}_output", output.name),
            false => output.name.clone(),
        };
        self.outputs.iter().map(name).collect()
    }

    fn finish(
        &self,
        context: &mut Context<'_>,
        endpoint: &Endpoint,
        name: &str,
        value: &Val,
    ) -> Result<(), ConvertError> {
        if value.is_missing() {
            return Ok(());
        }
        context.emitter.begin(name, "output");
        let found = if value.is_complex() {
            let way_out = "give the real and imaginary parts as two outputs";
            Err(Refusal::new("an output of complex numbers", way_out))
        } else {
            context.name(value)
        };
        match found {
            Ok(found) => {
                let dims = stated(value.dims.as_deref(), endpoint.dims.as_deref());
                context.emitter.output(name, &found, value.element_type, dims.as_deref());
                Ok(())
            }
            Err(Refusal::Failed(error)) => Err(error),
            Err(Refusal::Refused { reason, way_out }) => {
                context.emitter.refuse(reason, way_out);
                Ok(())
            }
        }
    }
}

/// What was found of a shape, with what the signature says where nothing was found.
fn stated(found: Option<&[Dim]>, signature: Option<&[Dim]>) -> Option<Vec<Dim>> {
    match (found, signature) {
        (Some(found), Some(signature)) if found.len() == signature.len() => {
            let each = |(found, signature): (&Dim, &Dim)| match found {
                Dim::Free => signature.clone(),
                found => found.clone(),
            };
            Some(found.iter().zip(signature).map(each).collect())
        }
        (Some(found), _) => Some(found.to_vec()),
        (None, signature) => signature.map(<[Dim]>::to_vec),
    }
}
