//! `CategoryEncoding`, `Discretization`, `IntegerLookup`: integers, and what is made of them.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;
use serde_json::Value as Json;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::Arguments;
use crate::keras::config::{Config, integer};
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::elementwise::cast;
use crate::reference::layout::elements;
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, shape};

/// Finds an integer for each element, and encodes it.
#[derive(Debug)]
struct Category {
    find: Find,
    encode: Encode,
    /// How many integers there are.
    depth: usize,
    /// The type of integers that come out as they are.
    integers: ElementType,
    /// The type of what is encoded otherwise.
    encoded: ElementType,
}

/// How the integer is found.
#[derive(Debug)]
enum Find {
    /// It is the element.
    Element,
    /// How many of these bounds are at most the element.
    Bins(Vec<f32>),
    /// Its place in this list, after so many others; `oov` where it is not in it.
    Lookup { words: Vec<i64>, offset: i64, oov: i64, mask: Option<i64> },
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encode {
    Integer,
    OneHot,
    MultiHot,
    Count,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let default = if class == "CategoryEncoding" { "multi_hot" } else { "int" };
    let mode = config.text(&["output_mode"], default)?;
    let encode = match mode.as_str() {
        "int" => Encode::Integer,
        "one_hot" => Encode::OneHot,
        "multi_hot" => Encode::MultiHot,
        "count" => Encode::Count,
        other => {
            let way_out = "use 'int', 'one_hot', 'multi_hot' or 'count'";
            return Err(Fault::unsupported(format!("output mode '{other}'"), way_out));
        }
    };
    if config.flag(&["sparse"], false)? {
        return Err(Fault::unsupported("a sparse output", "leave 'sparse' out"));
    }
    let (find, depth) = match class {
        "CategoryEncoding" => (Find::Element, config.size(&["num_tokens", "max_tokens"])?),
        "Discretization" => {
            let bounds = config.numbers(&["bin_boundaries"])?.ok_or_else(|| {
                Fault::unsupported("bins that were never set", "adapt the layer before saving")
            })?;
            let bounds: Vec<f32> = bounds.iter().map(|&bound| bound as f32).collect();
            let depth = bounds.len() + 1;
            (Find::Bins(bounds), depth)
        }
        _ => lookup(config, encode)?,
    };
    let is_short = class == "Discretization" && context.reader.major >= 3;
    let integers = if is_short { ElementType::Int32 } else { ElementType::Int64 };
    let whole = class == "IntegerLookup" && context.reader.major >= 3;
    let encoded = if whole { ElementType::Int64 } else { ElementType::Float32 };
    Ok(Box::new(Category { find, encode, depth, integers, encoded }))
}

fn lookup(config: &Config, encode: Encode) -> Result<(Find, usize), Fault> {
    let words: Option<Vec<i64>> = config
        .get(&["vocabulary"])
        .and_then(Json::as_array)
        .and_then(|words| words.iter().map(integer).collect());
    let words = words.filter(|words| !words.is_empty()).ok_or_else(|| {
        Fault::unsupported(
            "a vocabulary that is not in the options",
            "pass the vocabulary to the layer when it is made",
        )
    })?;
    if config.flag(&["invert"], false)? {
        return Err(Fault::unsupported("an inverted lookup", "look the words up after the model"));
    }
    let oov = config.integer(&["num_oov_indices"])?.unwrap_or(1);
    if !(0..=1).contains(&oov) {
        return Err(Fault::unsupported("several indices for other values", "use one of them"));
    }
    let token = config.integer(&["mask_token"])?;
    let masks = i64::from(token.is_some() && encode == Encode::Integer);
    // A vocabulary may begin with what stands for nothing and for all others.
    let others = vec![config.integer(&["oov_token"])?.unwrap_or(-1); usize::from(oov == 1)];
    let special: Vec<i64> = token.filter(|_| masks == 1).into_iter().chain(others).collect();
    let words = words.strip_prefix(special.as_slice()).map(<[i64]>::to_vec).unwrap_or(words);
    let depth = words.len() + usize::from(masks == 1) + usize::from(oov == 1);
    let find = Find::Lookup {
        words,
        offset: masks + oov,
        oov: if oov == 1 { masks } else { -1 },
        mask: token.filter(|_| masks == 1),
    };
    Ok((find, depth))
}

impl Category {
    fn found(&self, x: &Value, to: &mut Converter<'_>) -> Result<Value, Fault> {
        let last = x.rank();
        match &self.find {
            Find::Element => Ok(to.cast(x, ElementType::Int64)),
            Find::Bins(bounds) => {
                let x = to.float(x);
                let x = to.unsqueeze(&x, &[last]);
                let bounds = to.emitter.floats("bounds", &[bounds.len()], bounds);
                let reached = to.op("GreaterOrEqual", &[&x.name, &bounds]);
                let reached = to.value(reached, x.dims.clone(), ElementType::Bool);
                let ones = to.cast(&reached, ElementType::Int32);
                let sum = to.reduce("ReduceSum", &ones, &[last], false);
                Ok(to.cast(&sum, ElementType::Int64))
            }
            Find::Lookup { words, offset, oov, mask } => {
                let x = to.cast(x, ElementType::Int64);
                let list = to.emitter.integers("vocabulary", words);
                let taller = to.unsqueeze(&x, &[last]);
                let equal = to.op("Equal", &[&taller.name, &list]);
                let mut dims = x.dims.clone();
                dims.push(Dim::Fixed(words.len()));
                let equal = to.value(equal, dims, ElementType::Bool);
                let equal = to.cast(&equal, ElementType::Float32);
                let place = node("ArgMax", &[&equal.name]).with("axis", last as i64);
                let place = to.add(place.with("keepdims", 0));
                let known = to.reduce("ReduceMax", &equal, &[last], false);
                let known = to.cast(&known, ElementType::Bool);
                let offset = to.emitter.integer("offset", *offset);
                let place = to.op("Add", &[&place, &offset]);
                let other = to.emitter.integer("other", *oov);
                let mut name = to.op("Where", &[&known.name, &place, &other]);
                if let Some(token) = mask {
                    let token = to.emitter.integer("token", *token);
                    let zero = to.emitter.integer("zero", 0);
                    let is_token = to.op("Equal", &[&x.name, &token]);
                    name = to.op("Where", &[&is_token, &zero, &name]);
                }
                Ok(to.value(name, x.dims.clone(), ElementType::Int64))
            }
        }
    }

    fn find(&self, x: &Array) -> Result<Array, EvaluateError> {
        let numbers = x.to_f64s()?;
        let found = numbers.iter().map(|&number| match &self.find {
            Find::Element => number as i64,
            Find::Bins(bounds) => {
                bounds.iter().filter(|&&bound| f64::from(bound) <= number).count() as i64
            }
            Find::Lookup { words, offset, oov, mask } => {
                let number = number as i64;
                if *mask == Some(number) {
                    return 0;
                }
                let place = words.iter().position(|&word| word == number);
                place.map_or(*oov, |place| place as i64 + offset)
            }
        });
        Array::ints(x.dims(), found.collect())
    }

    /// Whether the last axis disappears: a single category a sample.
    fn shrinks(&self, rank: usize, last: Option<usize>) -> bool {
        self.encode == Encode::OneHot && rank > 1 && last == Some(1)
    }
}

impl Operation for Category {
    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        if call.named("count_weights").is_some() || call.positional.len() > 1 {
            return Err(Fault::unsupported("weights of counts", "multiply them after encoding"));
        }
        let x = call.input()?;
        let mut found = self.found(x, to)?;
        if self.encode == Encode::Integer {
            return Ok(vec![to.cast(&found, self.integers)]);
        }
        if self.shrinks(x.rank(), x.size(x.rank().saturating_sub(1))) {
            found = to.squeeze(&found, &[x.rank() - 1]);
        }
        let depth = to.emitter.integer("depth", self.depth as i64);
        let values = to.emitter.floats("values", &[2], &[0.0, 1.0]);
        let name = to.add(node("OneHot", &[&found.name, &depth, &values]).with("axis", -1));
        let mut dims = found.dims.clone();
        dims.push(Dim::Fixed(self.depth));
        let hot = to.value(name, dims, ElementType::Float32);
        let y = match (self.encode, x.rank()) {
            (Encode::OneHot | Encode::Integer, _) => hot,
            (_, ..=1) => {
                return Err(Fault::unsupported(
                    "counting without an axis for the categories",
                    "give the input a second axis",
                ));
            }
            (Encode::MultiHot, _) => to.reduce("ReduceMax", &hot, &[1], false),
            (Encode::Count, _) => to.reduce("ReduceSum", &hot, &[1], false),
        };
        Ok(vec![to.cast(&y, self.encoded)])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = &call.input()?.array;
        let mut found = self.find(x)?;
        if self.encode == Encode::Integer {
            return Ok(Sample::only(cast(&found, self.integers)?));
        }
        if self.shrinks(x.rank(), x.dims().last().copied()) {
            found = shape::squeeze(&found, Some(&[-1]))?;
        }
        // What is outside of the categories is none of them.
        let indices: Vec<i64> = found.as_ints()?.to_vec();
        let mut dims = found.dims().to_vec();
        dims.push(self.depth);
        let mut hot = vec![0.0; elements(&dims)?];
        for (row, &index) in indices.iter().enumerate() {
            if let Some(place) = usize::try_from(index).ok().filter(|&index| index < self.depth) {
                hot[row * self.depth + place] = 1.0;
            }
        }
        let hot = Array::floats(&dims, hot)?;
        let y = match self.encode {
            Encode::OneHot | Encode::Integer => hot,
            Encode::MultiHot => reduce::max(&hot, Over::axes(&[1]))?,
            Encode::Count => reduce::sum(&hot, Over::axes(&[1]))?,
        };
        Ok(Sample::only(cast(&y, self.encoded)?))
    }
}
