//! Writes a plan into a model: QuantizeLinear and DequantizeLinear around what is integers (QDQ).

use std::collections::{BTreeMap, HashSet};

use modelyard_graph::{Constant, Model, Node};

use super::draft::Draft;
use super::plan::Plan;
use super::roles::{Role, Weighted, role};
use super::weights::{Integers, bias, integers};
use super::{Options, Quantized};
use crate::calibrate::Range;
use crate::floats::floats;
use crate::{Affine, OptimizeError};

/// The least scale of a weight is such that its bias takes at most this part of a 32-bit integer.
const BIAS_REACH: f32 = (1u32 << 30) as f32;

/// What stands for weights in a quantized model.
#[derive(Clone, Copy, Debug, Default)]
pub enum Weights<'a> {
    /// The nearest integers.
    #[default]
    Nearest,
    /// These integers, by the name of the weight; the nearest for those not named.
    Given(&'a BTreeMap<String, Given>),
    /// The weights themselves, rounded on the way, and biases as they are: so that they can be trained.
    Trained,
}

/// What stands for one weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Numbers in the order of the weight, each to be the nearest integer.
    pub numbers: Vec<f32>,
    /// The scale of each output channel, or one of all.
    pub affines: Vec<Affine>,
}

/// Writes a plan into a model, with these ranges of the tensors that [`Plan::observed`] lists.
pub fn insert(
    model: &Model,
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    options: &Options,
) -> Result<Quantized, OptimizeError> {
    insert_with(model, plan, (ranges, Weights::Nearest), options)
}

/// The same with what is to stand for weights.
pub fn insert_with(
    model: &Model,
    plan: &Plan,
    (ranges, weights): (&BTreeMap<String, Range>, Weights<'_>),
    options: &Options,
) -> Result<Quantized, OptimizeError> {
    let affines = affines(plan, ranges, options)?;
    let mut writer = Writer { draft: Draft::new(model), plan, options, affines, weights };
    for tensor in plan.tensors.keys() {
        writer.pair(tensor);
    }
    for &number in &plan.nodes {
        writer.node(number, &model.graph.nodes[number]);
    }
    let draft = writer.draft;
    draft.finish(plan.kept.clone())
}

/// The weights that a plan makes integers of, and the scales that [`insert`] gives them.
pub fn grids(
    model: &Model,
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    options: &Options,
) -> Result<BTreeMap<String, Given>, OptimizeError> {
    let affines = affines(plan, ranges, options)?;
    let draft = Draft::new(model);
    let writer = Writer { draft, plan, options, affines, weights: Weights::Nearest };
    let mut grids = BTreeMap::new();
    for &number in &plan.nodes {
        let links = &writer.draft.links;
        if let Ok(Role::Weighted(weighted)) = role(&model.graph.nodes[number], links)
            && let Some(numbers) = links.constant(weighted.weight).and_then(floats)
            && let Some((integers, _)) = writer.integers(&weighted)
        {
            let given = Given { numbers, affines: integers.affines };
            grids.entry(weighted.weight.to_owned()).or_insert(given);
        }
    }
    Ok(grids)
}

fn affines(
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    options: &Options,
) -> Result<BTreeMap<String, Affine>, OptimizeError> {
    let affine = |name: &str| {
        let range = ranges.get(name).ok_or_else(|| {
            OptimizeError::Invalid(format!("the range of tensor '{name}' is not given"))
        })?;
        Ok((name.to_owned(), options.activations.affine(range.low, range.high)))
    };
    plan.observed().into_iter().map(affine).collect()
}

/// Name and numbers of a bias.
type Bias<'a> = (&'a str, Vec<f32>);

struct Writer<'a> {
    draft: Draft<'a>,
    weights: Weights<'a>,
    plan: &'a Plan,
    options: &'a Options,
    /// By tensor that ranges were chosen for.
    affines: BTreeMap<String, Affine>,
}

impl<'a> Writer<'a> {
    /// Scale and zero point of a tensor, written once for all that share them.
    fn parameters(&mut self, source: &str) -> (String, String, Affine) {
        let affine = self.affines[source];
        let zero = |scale: &str| format!("{}_zero_point", scale.trim_end_matches("_scale"));
        if let Some(scale) = self.draft.done.get(source) {
            let zero = zero(scale);
            return (scale.clone(), zero, affine);
        }
        let scale = self.draft.names.unique(&format!("{source}_scale"));
        let zero = self.draft.names.unique(&zero(&scale));
        self.draft.constants.push(Constant::floats(&scale, &[], &[affine.scale]));
        let (kind, point) = (affine.grid.element_type(), vec![affine.zero_point as u8]);
        self.draft.constants.push(Constant::raw(&zero, kind, &[], point));
        self.draft.done.insert(source.to_owned(), scale.clone());
        (scale, zero, affine)
    }

    /// Makes a tensor integers and floats again. Who takes it takes the latter.
    fn pair(&mut self, tensor: &'a str) {
        let (scale, zero, _) = self.parameters(&self.plan.tensors[tensor]);
        let producer = self.draft.links.producer(tensor);
        // What a node of floats gives stays as it is for other nodes of floats.
        let for_all = producer.is_some_and(|number| self.gives_integers(number));
        let (float, back) = if for_all && self.draft.links.is_output(tensor) {
            let float = self.draft.names.unique(&format!("{tensor}_float"));
            if let Some(number) = producer {
                self.draft.replaced.insert((number, tensor.to_owned()), float.clone());
            }
            (float, tensor.to_owned())
        } else {
            (tensor.to_owned(), self.draft.names.unique(&format!("{tensor}_dequantized")))
        };
        let quantized = self.draft.names.unique(&format!("{tensor}_quantized"));
        let pair = [
            self.draft.named("QuantizeLinear", &[&float, &scale, &zero], &quantized),
            self.draft.named("DequantizeLinear", &[&quantized, &scale, &zero], &back),
        ];
        match producer {
            Some(number) => self.draft.after.entry(number).or_default().extend(pair),
            None => self.draft.front.extend(pair),
        }
        for &user in self.draft.links.users(tensor) {
            if (for_all || self.plan.nodes.contains(&user)) && back != tensor {
                self.draft.replaced.insert((user, tensor.to_owned()), back.clone());
            }
        }
    }

    /// Whether a node's output may be integers for all who take it.
    fn gives_integers(&self, number: usize) -> bool {
        let node = &self.draft.links.graph.nodes[number];
        let clamps = || matches!(role(node, &self.draft.links), Ok(Role::Clamps));
        let before = || node.input(0).and_then(|input| self.draft.links.producer(input));
        self.plan.nodes.contains(&number)
            || (clamps() && before().is_some_and(|before| self.plan.nodes.contains(&before)))
    }

    fn node(&mut self, number: usize, node: &'a Node) {
        match role(node, &self.draft.links) {
            Ok(Role::Weighted(weighted)) => self.weighted(number, node, &weighted),
            Ok(Role::Table) => self.draft.table(number, node, self.options),
            Ok(Role::Elementwise | Role::Product) => self.operands(number, node),
            _ => {}
        }
    }

    fn weighted(&mut self, number: usize, node: &'a Node, weighted: &Weighted<'a>) {
        let input = self.affines[&self.plan.tensors[weighted.input]].scale;
        let Some(constant) = self.draft.links.constant(weighted.weight) else { return };
        let Some((weight, bias)) = self.integers(weighted) else { return };
        self.draft.check(constant);
        let back = match self.weights {
            Weights::Trained => self.draft.rounded(weighted.weight, &weight),
            _ => self.draft.weight(weighted.weight, &weight),
        };
        self.draft.replaced.insert((number, weighted.weight.to_owned()), back);
        if let Some((name, numbers)) = bias
            && !matches!(self.weights, Weights::Trained)
        {
            let scales: Vec<f32> = weight.scales().iter().map(|scale| scale * input).collect();
            self.bias(number, name, (&numbers, &scales));
        }
        self.draft.layer(node, constant, weight.sqnr);
    }

    /// A weight as integers, and its bias with its name.
    fn integers(&self, weighted: &Weighted<'a>) -> Option<(Integers, Option<Bias<'a>>)> {
        let axis = weighted.axis.filter(|_| self.options.per_channel);
        let input = self.affines[&self.plan.tensors[weighted.input]].scale;
        let bias =
            weighted.bias.and_then(|name| Some((name, floats(self.draft.links.constant(name)?)?)));
        let constant = self.draft.links.constant(weighted.weight)?;
        let given = match self.weights {
            Weights::Given(given) => given.get(weighted.weight),
            _ => None,
        };
        if let Some(given) = given
            && let Some(integers) =
                Integers::given(constant, axis, (&given.numbers, &given.affines))
        {
            return Some((integers, bias));
        }
        let least = |x: f32| x / (input * BIAS_REACH);
        let least: Vec<f32> = match (&bias, axis) {
            (None, _) => Vec::new(),
            (Some((_, numbers)), Some(_)) => numbers.iter().map(|x| least(x.abs())).collect(),
            (Some((_, numbers)), None) => {
                vec![least(numbers.iter().fold(0.0, |most: f32, x| most.max(x.abs())))]
            }
        };
        Some((Integers::of(constant, axis, self.options.weights, &least)?, bias))
    }

    fn bias(&mut self, number: usize, name: &str, (numbers, scales): (&[f32], &[f32])) {
        // It fits, as the weight's scales were chosen for it; numbers that are none stay floats.
        let Some(values) = bias(numbers, scales) else { return };
        let [quantized, scale, zero, back] = ["quantized", "scale", "zero_point", "dequantized"]
            .map(|role| self.draft.names.unique(&format!("{name}_{role}")));
        let dims: &[usize] = if scales.len() > 1 { &[scales.len()] } else { &[] };
        self.draft.constants.push(integers(&quantized, &values));
        self.draft.constants.push(Constant::floats(&scale, dims, scales));
        let points = vec![0; scales.len() * 4];
        self.draft.constants.push(Constant::raw(
            &zero,
            modelyard_graph::ElementType::Int32,
            dims,
            points,
        ));
        let mut node = self.draft.named("DequantizeLinear", &[&quantized, &scale, &zero], &back);
        if scales.len() > 1 {
            node = node.with("axis", 0i64);
        }
        self.draft.front.push(node);
        self.draft.replaced.insert((number, name.to_owned()), back);
    }

    /// Constants beside activations have integers of the same kind.
    fn operands(&mut self, number: usize, node: &'a Node) {
        let inputs: HashSet<&str> = node.inputs.iter().map(String::as_str).collect();
        for name in inputs {
            let Some(constant) = self.draft.links.constant(name) else { continue };
            let grid = self.options.activations;
            let Some(integers) = Integers::of(constant, None, grid, &[]) else { continue };
            self.draft.check(constant);
            let back = self.draft.weight(name, &integers);
            self.draft.replaced.insert((number, name.to_owned()), back);
        }
    }
}
