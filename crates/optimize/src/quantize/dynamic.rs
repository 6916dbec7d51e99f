//! Weights as integers in the file, activations as integers of the range that they have in each call.
//!
//! Needs no calibration, and suits products of matrices: the range costs one look at each activation.
//! Convolutions get slower by it, many times (docs/optimization.md), and are only taken when asked for.

use std::collections::BTreeSet;

use modelyard_graph::{Constant, ElementType, Model, Node};

use super::draft::Draft;
use super::plan::{Kept, refuse_quantized};
use super::roles::{Role, Weighted, role};
use super::weights::Integers;
use super::{Options, Quantized};
use crate::{Grid, OptimizeError};

/// Operators with weights that are quantized unless others are asked for.
const USUAL: [&str; 3] = ["Gather", "Gemm", "MatMul"];

/// Writes a model whose products of matrices take integers. The activations of
/// `options` do not count: ONNX's DynamicQuantizeLinear gives unsigned 8-bit integers.
pub fn dynamic(model: &Model, options: &Options) -> Result<Quantized, OptimizeError> {
    refuse_quantized(model)?;
    let usual = || USUAL.iter().map(|&operator| operator.to_owned()).collect();
    let operators: BTreeSet<String> = options.operators.clone().unwrap_or_else(usual);
    let mut writer = Writer { draft: Draft::new(model), options };
    let (mut kept, mut changed) = (Kept::inside(model, options, &operators), 0);
    for (number, node) in model.graph.nodes.iter().enumerate() {
        if let Some(reason) = options.refusal(node, &operators) {
            if reason == "excluded" {
                kept.push(Kept::new(node, reason));
            }
            continue;
        }
        match writer.node(number, node) {
            Ok(()) => changed += 1,
            Err(reason) => kept.push(Kept::new(node, reason)),
        }
    }
    if changed == 0 {
        return Err(OptimizeError::Nothing("no node can be quantized".into()));
    }
    writer.draft.finish(kept)
}

struct Writer<'a> {
    draft: Draft<'a>,
    options: &'a Options,
}

/// An activation as integers, computed in the model.
struct Activation {
    quantized: String,
    scale: String,
    zero_point: String,
}

impl<'a> Writer<'a> {
    fn node(&mut self, number: usize, node: &'a Node) -> Result<(), &'static str> {
        match role(node, &self.draft.links)? {
            Role::Weighted(weighted) => self.weighted(number, node, &weighted),
            Role::Table => {
                self.draft.table(number, node, self.options);
                Ok(())
            }
            _ => Err("it has no weight"),
        }
    }

    fn weighted(
        &mut self,
        number: usize,
        node: &'a Node,
        weighted: &Weighted<'a>,
    ) -> Result<(), &'static str> {
        let constant =
            self.draft.links.constant(weighted.weight).ok_or("its weight is computed")?;
        let is_conv = match (node.op_type.as_str(), constant.dims.len()) {
            ("Conv", _) => true,
            ("MatMul" | "Gemm", 2) => false,
            ("MatMul", _) => return Err("its weight has more than two dimensions"),
            _ => return Err("no operator of integers stands for it"),
        };
        let transposed;
        let (constant, axis) = match node.int("transB") {
            Some(1) => {
                transposed = turned(constant).ok_or("its weight is no float")?;
                (&transposed, Some(1))
            }
            _ => (constant, weighted.axis),
        };
        let axis = axis.filter(|_| self.options.per_channel);
        let weight = Integers::of(constant, axis, self.options.weights, &[])
            .ok_or("its weight is no float")?;
        self.draft.check(constant);
        self.draft.layer(node, constant, weight.sqnr);
        let channels_first = is_conv.then_some(constant.dims.len());
        self.write(number, node, weighted, (&weight, channels_first));
        Ok(())
    }

    /// Integers of the activation times integers of the weight, then floats, scaled, with the bias.
    /// `channels_first` is the rank of images, whose scales are along the second dimension.
    fn write(
        &mut self,
        number: usize,
        node: &'a Node,
        weighted: &Weighted<'a>,
        (weight, channels_first): (&Integers, Option<usize>),
    ) {
        let output = node.output(0).unwrap_or_default().to_owned();
        let activation = self.activation(weighted.input, number);
        let [quantized, scale, zero] = self.weight(weighted.weight, weight, channels_first);
        let base = node.label();
        let [sum, float, factor, scaled] = ["integer", "float", "scale", "scaled"]
            .map(|role| self.draft.names.unique(&format!("{base}_{role}")));
        let is_last = weighted.bias.is_none();
        let product = if is_last { output.clone() } else { scaled };
        let operator = if channels_first.is_some() { "ConvInteger" } else { "MatMulInteger" };
        let inputs = [&activation.quantized, &quantized, &activation.zero_point, &zero];
        let mut integer = self.draft.named(operator, &inputs.map(String::as_str), &sum);
        if channels_first.is_some() {
            integer.attributes.clone_from(&node.attributes);
        }
        let to = i64::from(ElementType::Float32.code());
        let mut nodes = vec![
            integer,
            self.draft.named("Cast", &[&sum], &float).with("to", to),
            self.draft.named("Mul", &[&activation.scale, &scale], &factor),
            self.draft.named("Mul", &[&float, &factor], &product),
        ];
        if let Some(bias) = weighted.bias {
            let bias = self.bias(bias, channels_first);
            nodes.push(self.draft.named("Add", &[&product, &bias], &output));
        }
        self.draft.removed.insert(number);
        self.draft.after.entry(number).or_default().extend(nodes);
    }

    /// An activation as integers, written once for all who take it, before the first of them.
    fn activation(&mut self, name: &str, number: usize) -> Activation {
        let key = format!("{name}/activation");
        let known = self.draft.done.get(&key).cloned();
        let quantized =
            known.clone().unwrap_or_else(|| self.draft.names.unique(&format!("{name}_quantized")));
        let [scale, zero_point] = ["scale", "zero_point"].map(|role| format!("{quantized}_{role}"));
        if known.is_none() {
            let mut node = self.draft.named("DynamicQuantizeLinear", &[name], &quantized);
            node.outputs.extend([scale.clone(), zero_point.clone()]);
            self.draft.before.entry(number).or_default().push(node);
            self.draft.done.insert(key, quantized.clone());
        }
        Activation { quantized, scale, zero_point }
    }

    /// A weight as integers, with its scales and zero points.
    fn weight(
        &mut self,
        name: &str,
        weight: &Integers,
        channels_first: Option<usize>,
    ) -> [String; 3] {
        let key = format!("{name}/dynamic/{:?}", weight.dims);
        let known = self.draft.done.get(&key).cloned();
        let base =
            known.clone().unwrap_or_else(|| self.draft.names.unique(&format!("{name}_integers")));
        let [scale, zero] = ["scale", "zero_point"].map(|role| format!("{base}_{role}"));
        if known.is_none() {
            self.draft.constants.push(weight.constant(&base));
            let mut parameters = weight.parameters(&scale, &zero);
            // Scales along the second dimension of images; one for all where there is one zero point.
            if let (Some(rank), Some(_)) = (channels_first, weight.axis) {
                parameters[0].dims = along_channels(weight.affines.len(), rank);
            }
            self.draft.constants.extend(parameters);
            self.draft.done.insert(key, base.clone());
        }
        [base, scale, zero]
    }

    /// A bias as it is added to images, or to rows.
    fn bias(&mut self, name: &str, channels_first: Option<usize>) -> String {
        let (Some(rank), Some(constant)) = (channels_first, self.draft.links.constant(name)) else {
            return name.to_owned();
        };
        let key = format!("{name}/along");
        if let Some(known) = self.draft.done.get(&key) {
            return known.clone();
        }
        let along = self.draft.names.unique(&format!("{name}_along_channels"));
        let dims = along_channels(constant.elements().unwrap_or(0), rank);
        let mut constant = constant.clone();
        constant.name.clone_from(&along);
        constant.dims = dims;
        self.draft.constants.push(constant);
        self.draft.done.insert(key, along.clone());
        along
    }
}

fn along_channels(channels: usize, rank: usize) -> Vec<usize> {
    let mut dims = vec![1; rank];
    dims[1] = channels;
    dims
}

/// A matrix with its dimensions the other way round.
fn turned(constant: &Constant) -> Option<Constant> {
    let numbers = crate::floats::floats(constant)?;
    let [rows, columns] = constant.dims[..] else { return None };
    let mut turned = Vec::with_capacity(numbers.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| numbers[row * columns + column]));
    }
    Some(Constant::floats(&constant.name, &[columns, rows], &turned))
}

/// The grid of weights that processors without VNNI multiply without saturating.
pub const SEVEN_BITS: Grid = Grid { bits: 7, ..Grid::S8 };
