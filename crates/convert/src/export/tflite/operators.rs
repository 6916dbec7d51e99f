//! Operators of the file, with their parameters, versions and what their kernels take.

use super::file::Operator;
use super::options::{self, Options};
use super::writer::{Id, Writer};
use super::{types, versions};

impl Writer<'_> {
    /// Writes an operator with its parameters.
    pub(super) fn with(
        &mut self,
        operator: &'static str,
        inputs: &[Option<Id>],
        outputs: &[Id],
        options: Option<Options>,
    ) {
        let number = |id: Id| i32::try_from(id).unwrap_or(i32::MAX);
        if let Some(&Some(computed)) = inputs.get(types::place(operator)) {
            self.check_type(operator, computed);
        }
        let first = inputs.first().copied().flatten().or(outputs.first().copied());
        let type_code = first.map_or(0, |id| self.tensor(id).type_code);
        let weight = inputs.get(1).copied().flatten();
        let by_channel = weight.is_some_and(|id| {
            self.tensor(id).quantization.as_ref().is_some_and(|one| one.scales.len() > 1)
        });
        self.file.operators.push(Operator {
            name: operator,
            version: versions::version(operator, type_code, (inputs.len(), by_channel)),
            inputs: inputs.iter().map(|input| input.map_or(-1, number)).collect(),
            outputs: outputs.iter().map(|&output| number(output)).collect(),
            options,
        });
        if let Some(step) = self.steps.last_mut() {
            step.nodes.push(operator.to_owned());
        }
    }

    /// Refuses the node in hand if the kernel does not compute with such elements.
    fn check_type(&mut self, operator: &'static str, computed: Id) {
        let tensor = self.tensor(computed);
        // Of integers that stand for real numbers, operators are written that compute with them.
        if tensor.quantization.is_none()
            && let Err(stop) = types::check(operator, tensor.type_code)
        {
            self.refusal.get_or_insert(stop);
        }
    }

    /// Writes an operator without parameters.
    pub(super) fn plain(&mut self, operator: &'static str, inputs: &[Id], output: Id) {
        let inputs: Vec<Option<Id>> = inputs.iter().copied().map(Some).collect();
        self.with(operator, &inputs, &[output], options::none(operator));
    }

    /// Writes an operator whose result has the type and sizes of its first input.
    pub(super) fn alike(&mut self, operator: &'static str, inputs: &[Id]) -> Id {
        let first = inputs[0];
        let dims = self.tensor(first).dims.clone();
        let output = self.between(operator, first, &dims);
        match operator {
            "ADD" | "SUB" | "MUL" | "DIV" => self.arithmetic(operator, inputs, output),
            _ => self.plain(operator, inputs, output),
        }
        output
    }

    /// Writes `ADD`, `SUB`, `MUL` or `DIV`.
    pub(super) fn arithmetic(&mut self, operator: &'static str, inputs: &[Id], output: Id) {
        let options = options::arithmetic(operator, crate::tflite::schema::Activation::None);
        let inputs: Vec<Option<Id>> = inputs.iter().copied().map(Some).collect();
        self.with(operator, &inputs, &[output], Some(options));
    }
}
