//! A layer of a model, and what all layers can do.

use std::fmt::Debug;

use modelyard_graph::ElementType;
use serde_json::Value as Json;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layers::input::Input;
use crate::keras::value::Value;
use crate::keras::variables::Variables;

/// What a layer does. One implementation for each class of Keras, or a few that are alike.
pub(crate) trait Operation: Debug {
    /// Its weights, added to `base`, which has its place in the model.
    fn variables(&self, base: Variables) -> Variables {
        base
    }

    /// What becomes of the mask of its first input: lost unless it says otherwise.
    fn masks(&self) -> Masks {
        Masks::Drop
    }

    /// The input layer that it is, if it is one.
    fn as_input(&self) -> Option<&Input> {
        None
    }

    /// Writes it as nodes.
    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault>;

    /// Computes it, as Keras defines it.
    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError>;
}

/// What an operation does with masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Masks {
    /// Its outputs have none.
    Drop,
    /// All outputs have that of the first input.
    Pass,
    /// It sets them itself.
    Own,
}

/// A layer, read and understood, or known to be not.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Its name within its model.
    pub(crate) name: String,
    /// Its name with those of the models and layers around it.
    pub(crate) label: String,
    /// Its class.
    pub(crate) class: String,
    /// Where a `.keras` archive has its weights.
    pub(crate) path: String,
    /// Whether it is trained.
    pub(crate) trainable: bool,
    /// The type that it computes in; `None` for functions, which take what comes.
    pub(crate) policy: Option<ElementType>,
    /// What it does, or why that is not covered.
    pub(crate) operation: Result<Box<dyn Operation>, Unsupported>,
}

/// Why a layer is not covered, and the nearest way out.
#[derive(Clone, Debug)]
pub(crate) struct Unsupported {
    pub(crate) reason: String,
    pub(crate) way_out: String,
}

impl Layer {
    /// Its weights.
    pub(crate) fn variables(&self) -> Variables {
        let base = Variables {
            label: self.label.clone(),
            path: self.path.clone(),
            trainable: self.trainable,
            ..Variables::default()
        };
        match &self.operation {
            Ok(operation) => operation.variables(base),
            Err(_) => base,
        }
    }

    fn operation(&self) -> Result<&dyn Operation, Fault> {
        match &self.operation {
            Ok(operation) => Ok(operation.as_ref()),
            Err(Unsupported { reason, way_out }) => {
                Err(Fault::unsupported(reason.clone(), way_out.clone()))
            }
        }
    }

    /// Writes one call of it as nodes.
    pub(crate) fn convert(
        &self,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let operation = self.operation()?;
        let mut outputs = operation.convert(self, call, to)?;
        match operation.masks() {
            Masks::Own => {}
            Masks::Drop => outputs.iter_mut().for_each(|output| output.mask = None),
            Masks::Pass => {
                let mask = call.all_values().first().and_then(|input| input.mask.clone());
                outputs.iter_mut().for_each(|output| output.mask = mask.clone());
            }
        }
        let first = call.all_values().first().and_then(|input| input.declared);
        let declared = if self.policy.is_some() { self.policy } else { first };
        for output in &mut outputs {
            output.declared = declared.filter(|_| output.element_type == ElementType::Float32);
        }
        Ok(outputs)
    }

    /// Computes one call of it.
    pub(crate) fn evaluate(
        &self,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let operation = self.operation()?;
        let mut outputs = operation.evaluate(self, call, with)?;
        match operation.masks() {
            Masks::Own => {}
            Masks::Drop => outputs.iter_mut().for_each(|output| output.mask = None),
            Masks::Pass => {
                let mask = call.all_values().first().and_then(|input| input.mask.clone());
                outputs.iter_mut().for_each(|output| output.mask = mask.clone());
            }
        }
        let first = call.all_values().first().and_then(|input| input.declared);
        let declared = if self.policy.is_some() { self.policy } else { first };
        outputs.iter_mut().for_each(|output| output.declared = declared);
        Ok(outputs)
    }
}

/// The type that a layer computes in, by the dtype policy in its config: a text, or an object of
/// one of several kinds with a name in it.
pub(crate) fn policy(json: Option<&Json>) -> (Option<ElementType>, Option<String>) {
    let (name, quantized) = match json {
        Some(Json::String(name)) => (Some(name.as_str()), None),
        Some(Json::Object(map)) => {
            let config = map.get("config");
            let entry = |name: &str| config.and_then(|config| config.get(name)?.as_str());
            let name = entry("name").or_else(|| entry("source_name"));
            (name, entry("mode").map(str::to_owned))
        }
        _ => (None, None),
    };
    let element_type = match name {
        Some("mixed_float16" | "float16") => ElementType::Float16,
        Some("mixed_bfloat16" | "bfloat16") => ElementType::Bfloat16,
        Some("float64") => ElementType::Float64,
        Some(name) if name.ends_with("_from_mixed_float16") => ElementType::Float16,
        Some(name) if name.ends_with("_from_mixed_bfloat16") => ElementType::Bfloat16,
        _ => ElementType::Float32,
    };
    (Some(element_type), quantized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_come_in_several_shapes() {
        let of = |json: Json| policy(Some(&json));
        assert_eq!(of(json!("float32")).0, Some(ElementType::Float32));
        assert_eq!(of(json!("mixed_float16")).0, Some(ElementType::Float16));
        let new = json!({"module": "keras", "class_name": "DTypePolicy",
            "config": {"name": "mixed_bfloat16"}});
        assert_eq!(of(new).0, Some(ElementType::Bfloat16));
        let quantized = json!({"class_name": "QuantizedDTypePolicy",
            "config": {"mode": "int8", "source_name": "float32"}});
        assert_eq!(of(quantized), (Some(ElementType::Float32), Some("int8".into())));
        assert_eq!(policy(None).0, Some(ElementType::Float32));
    }
}
