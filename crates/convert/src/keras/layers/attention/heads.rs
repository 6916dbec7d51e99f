//! `MultiHeadAttention` and `GroupQueryAttention`.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::{Converter, Size};
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::attention::masks::Limits;
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::reference::elementwise::{add, map, mul, select};
use crate::reference::matmul::matmul;
use crate::reference::{Array, activations, shape, softmax};

/// Attention of several heads, each with its own projections.
#[derive(Debug)]
struct Heads {
    heads: usize,
    /// Heads of keys and values; several heads of queries share one.
    key_heads: usize,
    key_size: usize,
    value_size: usize,
    use_bias: bool,
    use_gate: bool,
    window: Option<usize>,
    /// Whether Keras computes scores one by one, where masked ones give nothing at all.
    explicit: bool,
    grouped: bool,
    /// Whether the projections are attributes that begin with an underscore.
    private: bool,
}

/// What masked scores are.
const HIDDEN: f32 = -1e9;

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    super::super::refuse_quantized(context)?;
    let grouped = class != "MultiHeadAttention";
    let heads = config.size(&["num_heads", "num_query_heads"])?;
    let key_heads = config.size_option(&["num_key_value_heads"])?.unwrap_or(heads);
    let key_size = config.size(&["key_dim", "head_dim"])?;
    if !heads.is_multiple_of(key_heads) {
        let message = format!("{heads} heads of queries cannot share {key_heads} of keys");
        return Err(Fault::malformed(message));
    }
    let axes = config.integers(&["attention_axes"])?;
    if axes.is_some_and(|axes| axes != [1] && axes != [-2])
        || config.get(&["output_shape"]).is_some()
    {
        return Err(Fault::unsupported(
            "attention over several axes, or with an output of another shape",
            "reshape to a sequence before, and add a Dense layer after",
        ));
    }
    Ok(Box::new(Heads {
        heads,
        key_heads,
        key_size,
        value_size: config.size_option(&["value_dim"])?.unwrap_or(key_size),
        use_bias: config.flag(&["use_bias"], true)?,
        use_gate: config.flag(&["use_gate"], false)?,
        window: config.size_option(&["sliding_window"])?,
        explicit: config.number_or(&["dropout"], 0.0)? > 0.0,
        grouped,
        private: grouped || context.reader.major < 3,
    }))
}

/// One of the projections inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Query,
    Key,
    Gate,
    Value,
    Output,
}

impl Part {
    /// The attribute that a `.keras` archive names it by, and its name.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Part::Query => ("query_dense", "query"),
            Part::Key => ("key_dense", "key"),
            Part::Gate => ("gate_dense", "gate"),
            Part::Value => ("value_dense", "value"),
            Part::Output => ("output_dense", "attention_output"),
        }
    }
}

/// The arguments of a call.
struct Call<V> {
    query: V,
    key: V,
    value: V,
    limits: Limits<V>,
    /// The mask of the queries, which is that of the output.
    mask: Option<V>,
    with_scores: bool,
    explicit: bool,
}

impl Heads {
    fn part(&self, base: &Variables, part: Part) -> Variables {
        let (attribute, name) = part.names();
        let private = self.private || part == Part::Gate;
        let attribute = if private { format!("_{attribute}") } else { attribute.to_owned() };
        let variables = Variables {
            label: format!("{}/{name}", base.label),
            path: format!("{}/{attribute}", base.path),
            trainable: base.trainable,
            ..Variables::default()
        };
        variables.trained(if self.use_bias { &["kernel", "bias"] } else { &["kernel"] })
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Query, Part::Key, Part::Value, Part::Output];
        if self.use_gate {
            parts.insert(2, Part::Gate);
        }
        parts
    }

    /// The parts of a call. `mask_of` is what a tensor carries.
    fn call<V: Clone>(
        &self,
        call: &Arguments<V>,
        mask_of: impl Fn(&V) -> Option<V>,
    ) -> Result<Call<V>, Fault> {
        let wanted = |name: &str| Fault::malformed(format!("expected the argument '{name}'"));
        let query = call.get(0, "query").ok_or_else(|| wanted("query"))?.value()?.clone();
        let value = call.get(1, "value").ok_or_else(|| wanted("value"))?.value()?.clone();
        let key = match call.get(2, "key") {
            Some(key) => Some(key.value()?.clone()),
            None => None,
        };
        let given = |name: &str| call.named(name).map(|mask| mask.value().cloned()).transpose();
        let own = |value: &V| if self.grouped { None } else { mask_of(value) };
        let query_mask = given("query_mask")?.or_else(|| mask_of(&query));
        let value_mask = given("value_mask")?.or_else(|| mask_of(&value));
        let key_mask = given("key_mask")?.or_else(|| key.as_ref().and_then(&mask_of));
        let with_scores = call.flag("return_attention_scores", false);
        Ok(Call {
            mask: own(&query),
            limits: Limits {
                query: query_mask,
                keys: value_mask.into_iter().chain(key_mask).collect(),
                pairs: given("attention_mask")?,
                causal: call.flag("use_causal_mask", false),
                window: self.window,
            },
            key: key.unwrap_or_else(|| value.clone()),
            query,
            value,
            with_scores,
            explicit: self.explicit || with_scores,
        })
    }

    /// A projection: `[batch, steps, features]` to `[batch, heads, steps, size]`.
    fn project(
        &self,
        x: &Value,
        (of, part): (&Variables, Part),
        (heads, size): (usize, usize),
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let of = self.part(of, part);
        let width = heads * size;
        let (kernel, dims) = to.weight_as(&of, "kernel", |kernel| flat(kernel, width))?;
        if x.size(2).is_some_and(|features| features != dims[0]) {
            let found = &x.dims;
            return Err(Fault::malformed(format!("a kernel {dims:?} does not fit {found:?}")));
        }
        let out = vec![x.dims[0].clone(), x.dims[1].clone(), Dim::Fixed(width)];
        let name = to.op("MatMul", &[&x.name, &kernel]);
        let mut y = to.value(name, out, ElementType::Float32);
        if self.use_bias {
            let (bias, _) = to.weight_as(&of, "bias", |bias| bias.reshaped(&[width]))?;
            let name = to.op("Add", &[&y.name, &bias]);
            y = to.like(&y, name);
        }
        let sizes = [Size::Axis(0), Size::Axis(1), Size::Fixed(heads), Size::Fixed(size)];
        let y = to.reshape(&y, &sizes);
        Ok(to.transpose(&y, &[0, 2, 1, 3]))
    }

    /// Heads of keys or values as often as queries share them.
    fn shared(&self, x: &Value, to: &mut Converter<'_>) -> Value {
        let times = self.heads / self.key_heads;
        if times == 1 {
            return x.clone();
        }
        let taller = to.unsqueeze(x, &[2]);
        let repeats = to.emitter.integers("repeats", &[1, 1, times as i64, 1, 1]);
        let name = to.op("Tile", &[&taller.name, &repeats]);
        let mut dims = taller.dims.clone();
        dims[2] = Dim::Fixed(times);
        let tiled = to.value(name, dims, x.element_type);
        let size = x.size(3).unwrap_or(self.key_size);
        to.reshape(
            &tiled,
            &[Size::Axis(0), Size::Fixed(self.heads), Size::Axis(3), Size::Fixed(size)],
        )
    }

    fn evaluate_projection(
        &self,
        x: &Array,
        (of, part): (&Variables, Part),
        (heads, size): (usize, usize),
        with: &Evaluator<'_>,
    ) -> Result<Array, EvaluateError> {
        let of = self.part(of, part);
        let width = heads * size;
        let mut y = matmul(x, &flat(with.read(&of, "kernel")?, width)?.array()?)?;
        if self.use_bias {
            y = add(&y, &with.read(&of, "bias")?.reshaped(&[width])?.array()?)?;
        }
        let &[batch, steps, _] = x.dims() else {
            return Err(EvaluateError::new("expected a sequence of three dimensions"));
        };
        let y = y.reshaped(&[batch, steps, heads, size])?;
        let y = shape::transpose(&y, &[0, 2, 1, 3])?;
        let times = if heads == self.key_heads { self.heads / self.key_heads } else { 1 };
        let is_shared = matches!(part, Part::Key | Part::Value) && times > 1;
        if is_shared { crate::keras::layers::resize::repeated(&y, 1, times) } else { Ok(y) }
    }

    fn mask_with_heads(mask: Value, to: &mut Converter<'_>) -> Value {
        match mask.rank() {
            2 => to.unsqueeze(&mask, &[1, 2]),
            3 => to.unsqueeze(&mask, &[1]),
            _ => mask,
        }
    }
}

/// A kernel `[features, heads, size]`, or back, as a matrix.
fn flat(kernel: Weight, width: usize) -> Result<Weight, Fault> {
    kernel.of_rank(3)?;
    let features = kernel.dims[0];
    kernel.reshaped(&[features, width])
}

impl Operation for Heads {
    fn variables(&self, base: Variables) -> Variables {
        let parts: Vec<Variables> =
            self.parts().iter().map(|&part| self.part(&base, part)).collect();
        parts.into_iter().fold(base, Variables::with)
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
        let mask_of = |value: &Value| {
            let name = value.mask.clone()?;
            let dims = value.dims.iter().take(2).cloned().collect();
            let element_type = ElementType::Bool;
            Some(Value { name, dims, element_type, mask: None, declared: None })
        };
        let call = self.call(call, mask_of)?;
        let of = layer.variables();
        for value in [&call.query, &call.key, &call.value] {
            if value.rank() != 3 {
                return Err(Fault::unsupported(
                    format!("attention over {} dimensions", value.rank()),
                    "reshape to a sequence [batch, steps, features] before",
                ));
            }
        }
        let (query, key, value) =
            (to.float(&call.query), to.float(&call.key), to.float(&call.value));
        let key_heads = (self.key_heads, self.key_size);
        let q = self.project(&query, (&of, Part::Query), (self.heads, self.key_size), to)?;
        let k = self.project(&key, (&of, Part::Key), key_heads, to)?;
        let v = self.project(&value, (&of, Part::Value), (self.key_heads, self.value_size), to)?;
        let (k, v) = (self.shared(&k, to), self.shared(&v, to));
        let q = to.with_scalar("Mul", &q, (self.key_size as f32).sqrt().recip());
        let k = to.transpose(&k, &[0, 1, 3, 2]);
        let mut dims = q.dims.clone();
        dims[3] = k.dims[3].clone();
        let mut scores = to.matmul(&q, &k, dims);
        let mask = call.limits.written((&call.query, &call.value), to)?;
        let mask = mask.map(|mask| Self::mask_with_heads(mask, to));
        if let Some(mask) = &mask {
            let hidden = to.scalar(HIDDEN);
            let name = to.op("Where", &[&mask.name, &scores.name, &hidden.name]);
            scores = to.like(&scores, name);
        }
        let name = to.add(node("Softmax", &[&scores.name]).with("axis", -1));
        let mut weights = to.like(&scores, name);
        if let Some(mask) = mask.filter(|_| call.explicit) {
            let zero = to.scalar(0.0);
            let name = to.op("Where", &[&mask.name, &weights.name, &zero.name]);
            weights = to.like(&weights, name);
        }
        let mut dims = weights.dims.clone();
        dims[3] = v.dims[3].clone();
        let mut y = to.matmul(&weights, &v, dims);
        if self.use_gate {
            let gate =
                self.project(&query, (&of, Part::Gate), (self.heads, self.value_size), to)?;
            let gate = to.unary("Sigmoid", &gate);
            y = to.binary("Mul", &y, &gate)?;
        }
        let y = to.transpose(&y, &[0, 2, 1, 3]);
        let width = self.heads * self.value_size;
        let y = to.reshape(&y, &[Size::Axis(0), Size::Axis(1), Size::Fixed(width)]);
        let part = self.part(&of, Part::Output);
        let (kernel, dims) = to.weight_as(&part, "kernel", |kernel| {
            kernel.of_rank(3)?;
            let features = kernel.dims[2];
            kernel.reshaped(&[width, features])
        })?;
        let out = vec![y.dims[0].clone(), y.dims[1].clone(), Dim::Fixed(dims[1])];
        let mut y = to.matmul(&y, &Value { name: kernel, ..y.clone() }, out);
        if self.use_bias {
            let (bias, _) = to.weight(&part, "bias")?;
            let name = to.op("Add", &[&y.name, &bias]);
            y = to.like(&y, name);
        }
        y.mask = call.mask.map(|mask| mask.name);
        let mut outputs = vec![y];
        if call.with_scores {
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
        let call = self.call(call, |sample| sample.mask.clone().map(Sample::new))?;
        let of = layer.variables();
        let floats = |sample: &Sample| super::super::floats(&sample.array);
        let (query, key, value) = (floats(&call.query)?, floats(&call.key)?, floats(&call.value)?);
        let project = |x: &Array, part: Part, sizes: (usize, usize)| {
            self.evaluate_projection(x, (&of, part), sizes, with)
        };
        let q = project(&query, Part::Query, (self.heads, self.key_size))?;
        let k = project(&key, Part::Key, (self.key_heads, self.key_size))?;
        let v = project(&value, Part::Value, (self.key_heads, self.value_size))?;
        let scores = matmul(&q, &shape::swap_axes(&k, -1, -2)?)?;
        let size = self.key_size as f64;
        let mut scores = map(&scores, |score| score / size.sqrt())?;
        let limits = Limits {
            query: call.limits.query.map(|mask| mask.array),
            keys: call.limits.keys.into_iter().map(|mask| mask.array).collect(),
            pairs: call.limits.pairs.map(|mask| mask.array),
            causal: call.limits.causal,
            window: call.limits.window,
        };
        let mask = limits.evaluated((query.dims()[1], value.dims()[1]))?;
        let mask = mask.map(|mask| match mask.rank() {
            2 => shape::expand_dims(&mask, &[1, 2]),
            3 => shape::expand_dims(&mask, &[1]),
            _ => Ok(mask),
        });
        let mask = mask.transpose()?;
        if let Some(mask) = &mask {
            scores = select(mask, &scores, &Array::scalar(HIDDEN))?;
        }
        let mut weights = softmax::softmax(&scores, -1)?;
        if let Some(mask) = mask.filter(|_| call.explicit) {
            weights = select(&mask, &weights, &Array::scalar(0.0))?;
        }
        let mut y = matmul(&weights, &v)?;
        if self.use_gate {
            let gate = project(&query, Part::Gate, (self.heads, self.value_size))?;
            y = mul(&y, &map(&gate, activations::sigmoid)?)?;
        }
        let width = self.heads * self.value_size;
        let y = shape::transpose(&y, &[0, 2, 1, 3])?;
        let (batch, steps) = (y.dims()[0], y.dims()[1]);
        let y = y.reshaped(&[batch, steps, width])?;
        let part = self.part(&of, Part::Output);
        let kernel = with.read(&part, "kernel")?;
        kernel.of_rank(3)?;
        let features = kernel.dims[2];
        let mut y = matmul(&y, &kernel.reshaped(&[width, features])?.array()?)?;
        if self.use_bias {
            y = add(&y, &with.weight(&part, "bias")?)?;
        }
        let mask = call.mask.map(|mask| mask.array);
        let mut outputs = vec![Sample { mask, ..Sample::new(y) }];
        if call.with_scores {
            outputs.push(Sample::new(weights));
        }
        Ok(outputs)
    }
}
