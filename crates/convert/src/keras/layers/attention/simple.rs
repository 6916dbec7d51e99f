//! `Attention` and `AdditiveAttention`: one head, without projections.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::{Argument, Arguments};
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::attention::masks::Limits;
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::reference::elementwise::{add, cast, map, mul, select, sub};
use crate::reference::matmul::matmul;
use crate::reference::reduce::{Over, sum};
use crate::reference::{Array, shape, softmax};

/// Attention of queries over values.
#[derive(Debug)]
struct Attention {
    score: Score,
    use_scale: bool,
    causal: bool,
}

/// How alike a query and a key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Score {
    /// Their product.
    Dot,
    /// The sum of the tangents of their sum.
    Concat,
    /// As `Concat`, each feature with its own factor.
    Additive,
}

/// What is taken off of scores that do not count.
const HIDDEN: f32 = 1e9;

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let additive = class == "AdditiveAttention";
    let score = match (additive, config.text(&["score_mode"], "dot")?.as_str()) {
        (true, _) => Score::Additive,
        (_, "dot") => Score::Dot,
        (_, "concat") => Score::Concat,
        (_, other) => {
            return Err(Fault::malformed(format!("expected a score mode, found '{other}'")));
        }
    };
    Ok(Box::new(Attention {
        score,
        use_scale: config.flag(&["use_scale"], additive)?,
        // An option of the layer before it was one of the call.
        causal: config.flag(&["causal"], false)?,
    }))
}

/// The masks of queries and values: those that are given, else those that they carry.
fn masks<V: Clone>(
    call: &Arguments<V>,
    inputs: &[&V],
    mask_of: impl Fn(&V) -> Option<V>,
) -> Result<(Option<V>, Option<V>), Fault> {
    match call.named("mask") {
        Some(Argument::List(masks)) => {
            let at = |index: usize| match masks.get(index) {
                Some(mask) if !mask.is_none() => mask.value().cloned().map(Some),
                _ => Ok(None),
            };
            Ok((at(0)?, at(1)?))
        }
        _ => Ok((mask_of(inputs[0]), mask_of(inputs[1]))),
    }
}

impl Attention {
    fn written_scores(
        &self,
        (query, key): (&Value, &Value),
        layer: &Layer,
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let of = layer.variables();
        let scale = if self.use_scale { Some(to.weight(&of, "scale")?) } else { None };
        let scale = scale.map(|(name, dims)| {
            let dims = dims.into_iter().map(Dim::Fixed).collect();
            to.value(name, dims, ElementType::Float32)
        });
        if self.score == Score::Dot {
            let key = to.transpose(key, &[0, 2, 1]);
            let mut dims = query.dims.clone();
            dims[2] = key.dims[2].clone();
            let scores = to.matmul(query, &key, dims);
            return match scale {
                Some(scale) => to.binary("Mul", &scores, &scale),
                None => Ok(scores),
            };
        }
        let (query, key) = (to.unsqueeze(query, &[2]), to.unsqueeze(key, &[1]));
        let mut inner = to.binary("Add", &query, &key)?;
        if let (Some(scale), Score::Concat) = (&scale, self.score) {
            inner = to.binary("Mul", &inner, scale)?;
        }
        let mut inner = to.unary("Tanh", &inner);
        if let (Some(scale), Score::Additive) = (&scale, self.score) {
            inner = to.binary("Mul", &inner, scale)?;
        }
        let scores = to.reduce("ReduceSum", &inner, &[3], false);
        if self.score == Score::Concat {
            let (name, _) = to.weight(&of, "concat_score_weight")?;
            let weight = to.value(name, Vec::new(), ElementType::Float32);
            return to.binary("Mul", &scores, &weight);
        }
        Ok(scores)
    }

    fn scores(
        &self,
        (query, key): (&Array, &Array),
        layer: &Layer,
        with: &Evaluator<'_>,
    ) -> Result<Array, EvaluateError> {
        let of = layer.variables();
        let scale = if self.use_scale { with.weight(&of, "scale")? } else { Array::scalar(1.0) };
        if self.score == Score::Dot {
            return mul(&matmul(query, &shape::swap_axes(key, -1, -2)?)?, &scale);
        }
        let both = add(&shape::expand_dims(query, &[2])?, &shape::expand_dims(key, &[1])?)?;
        if self.score == Score::Additive {
            return sum(&mul(&scale, &map(&both, f64::tanh)?)?, Over::axes(&[-1]));
        }
        let inner = map(&mul(&scale, &both)?, f64::tanh)?;
        mul(&with.weight(&of, "concat_score_weight")?, &sum(&inner, Over::axes(&[-1]))?)
    }
}

impl Operation for Attention {
    fn variables(&self, base: Variables) -> Variables {
        let base = if self.use_scale { base.trained(&["scale"]) } else { base };
        if self.score == Score::Concat { base.trained(&["concat_score_weight"]) } else { base }
    }

    fn masks(&self) -> Masks {
        Masks::Own
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let inputs = call.inputs()?;
        if inputs.len() < 2 || inputs.iter().any(|input| input.rank() != 3) {
            return Err(Fault::malformed("expected queries and values of three dimensions"));
        }
        let (query_mask, value_mask) = masks(call, &inputs, |value| {
            let name = value.mask.clone()?;
            let dims = value.dims.iter().take(2).cloned().collect();
            let element_type = ElementType::Bool;
            Some(Value { name, dims, element_type, mask: None, declared: None })
        })?;
        let (query, value) = (to.float(inputs[0]), to.float(inputs[1]));
        let key = to.float(inputs.get(2).copied().unwrap_or(inputs[1]));
        let mut scores = self.written_scores((&query, &key), layer, to)?;
        let limits = Limits {
            query: None,
            keys: value_mask.into_iter().collect(),
            pairs: None,
            causal: self.causal || call.flag("use_causal_mask", false),
            window: None,
        };
        if let Some(mask) = limits.written((&query, &key), to)? {
            let hidden = to.with_scalar("Sub", &scores, HIDDEN);
            let name = to.op("Where", &[&mask.name, &scores.name, &hidden.name]);
            scores = to.like(&scores, name);
        }
        let name = to.add(node("Softmax", &[&scores.name]).with("axis", -1));
        let weights = to.like(&scores, name);
        let mut dims = weights.dims.clone();
        dims[2] = value.dims[2].clone();
        let mut y = to.matmul(&weights, &value, dims);
        if let Some(mask) = query_mask {
            let mask = to.cast(&mask, ElementType::Bool);
            let wide = to.unsqueeze(&mask, &[2]);
            let zero = to.scalar(0.0);
            let name = to.op("Where", &[&wide.name, &y.name, &zero.name]);
            y = Value { mask: Some(mask.name), ..to.like(&y, name) };
        }
        let mut outputs = vec![y];
        if call.flag("return_attention_scores", false) {
            outputs.push(weights);
        }
        Ok(outputs)
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let inputs = call.inputs()?;
        if inputs.len() < 2 {
            return Err(EvaluateError::new("expected queries and values"));
        }
        let (query_mask, value_mask) =
            masks(call, &inputs, |sample| sample.mask.clone().map(Sample::new))?;
        let floats = |sample: &Sample| super::super::floats(&sample.array);
        let (query, value) = (floats(inputs[0])?, floats(inputs[1])?);
        let key = floats(inputs.get(2).copied().unwrap_or(inputs[1]))?;
        let mut scores = self.scores((&query, &key), layer, with)?;
        let limits = Limits {
            query: None,
            keys: value_mask.into_iter().map(|mask| mask.array).collect(),
            pairs: None,
            causal: self.causal || call.flag("use_causal_mask", false),
            window: None,
        };
        if let Some(mask) = limits.evaluated((query.dims()[1], key.dims()[1]))? {
            scores = select(&mask, &scores, &sub(&scores, &Array::scalar(HIDDEN))?)?;
        }
        let weights = softmax::softmax(&scores, -1)?;
        let mut y = Sample::new(matmul(&weights, &value)?);
        if let Some(mask) = query_mask {
            let mask = cast(&mask.array, ElementType::Bool)?;
            let wide = shape::expand_dims(&mask, &[2])?;
            y = Sample {
                mask: Some(mask),
                ..Sample::new(select(&wide, &y.array, &Array::scalar(0.0))?)
            };
        }
        let mut outputs = vec![y];
        if call.flag("return_attention_scores", false) {
            outputs.push(Sample::new(weights));
        }
        Ok(outputs)
    }
}
