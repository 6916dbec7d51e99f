//! What queries may look at: masks of the sequences, those that are given, and the past.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::value::Value;
use crate::reference::elementwise::{cast, logical};
use crate::reference::{Array, shape};

/// Everything that limits what queries `[batch, T, ...]` see of keys `[batch, S, ...]`.
#[derive(Debug)]
pub(crate) struct Limits<V> {
    /// Which queries count, `[batch, T]`.
    pub(crate) query: Option<V>,
    /// Which keys count, `[batch, S]`.
    pub(crate) keys: Vec<V>,
    /// Which pairs count, `[batch, T, S]` or with heads.
    pub(crate) pairs: Option<V>,
    /// Whether a query sees only what is not after it.
    pub(crate) causal: bool,
    /// How far a query sees on both sides, itself included.
    pub(crate) window: Option<usize>,
}

impl<V> Limits<V> {
    fn is_banded(&self) -> bool {
        self.causal || self.window.is_some()
    }
}

impl Limits<Value> {
    /// The mask as a value that broadcasts to `[batch, T, S]`, or to `[batch, heads, T, S]`.
    pub(crate) fn written(
        &self,
        (queries, keys): (&Value, &Value),
        to: &mut Converter<'_>,
    ) -> Result<Option<Value>, Fault> {
        let mut parts = Vec::new();
        if let Some(mask) = &self.query {
            let mask = to.cast(mask, ElementType::Bool);
            parts.push(to.unsqueeze(&mask, &[2]));
        }
        for mask in &self.keys {
            let mask = to.cast(mask, ElementType::Bool);
            parts.push(to.unsqueeze(&mask, &[1]));
        }
        if self.is_banded() {
            parts.push(self.band((queries, keys), to)?);
        }
        let mut all = self.pairs.as_ref().map(|mask| to.cast(mask, ElementType::Bool));
        for part in parts {
            all = Some(match all {
                None => part,
                Some(all) => {
                    let part = if all.rank() == 4 { to.unsqueeze(&part, &[1]) } else { part };
                    let both = to.binary("And", &all, &part)?;
                    Value { element_type: ElementType::Bool, ..both }
                }
            });
        }
        Ok(all)
    }

    /// Pairs that are near enough, `[1, T, S]`.
    fn band(
        &self,
        (queries, keys): (&Value, &Value),
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let (rows, columns) = (places(queries, to), places(keys, to));
        let rows = to.unsqueeze(&rows, &[0, 2]);
        let columns = to.unsqueeze(&columns, &[0, 1]);
        let after = to.binary("Sub", &rows, &columns)?;
        let mut band = None;
        if self.causal {
            let zero = to.emitter.integer("zero", 0);
            let name = to.op("GreaterOrEqual", &[&after.name, &zero]);
            band = Some(to.value(name, after.dims.clone(), ElementType::Bool));
        }
        if let Some(window) = self.window {
            let size = to.emitter.integer("window", window as i64);
            let apart = to.unary("Abs", &after);
            let name = to.op("Less", &[&apart.name, &size]);
            let near = to.value(name, after.dims.clone(), ElementType::Bool);
            band = Some(match band {
                None => near,
                Some(causal) => {
                    let both = to.binary("And", &causal, &near)?;
                    Value { element_type: ElementType::Bool, ..both }
                }
            });
        }
        band.ok_or_else(|| Fault::malformed("expected a limit of what queries see"))
    }
}

/// As many steps are listed in a constant; more are counted when the model runs.
const LISTED_MAX: usize = 4096;

/// `0, 1, 2 ...`: one number for each step of a sequence.
fn places(sequence: &Value, to: &mut Converter<'_>) -> Value {
    let dim = sequence.dims[1].clone();
    if let Some(size) = sequence.size(1).filter(|&size| size <= LISTED_MAX) {
        let list: Vec<i64> = (0..size as i64).collect();
        let name = to.emitter.integers("places", &list);
        return to.value(name, vec![Dim::Fixed(size)], ElementType::Int64);
    }
    let size = to.size_of(sequence, 1);
    let size = to.value(size, vec![Dim::Fixed(1)], ElementType::Int64);
    let end = to.squeeze(&size, &[0]);
    let (start, step) = (to.emitter.integer("start", 0), to.emitter.integer("step", 1));
    let name = to.op("Range", &[&start, &end.name, &step]);
    to.value(name, vec![dim], ElementType::Int64)
}

impl Limits<Array> {
    /// The mask of `rows` queries and `columns` keys.
    pub(crate) fn evaluated(
        &self,
        (rows, columns): (usize, usize),
    ) -> Result<Option<Array>, EvaluateError> {
        let mut parts = Vec::new();
        if let Some(mask) = &self.query {
            parts.push(shape::expand_dims(&cast(mask, ElementType::Bool)?, &[2])?);
        }
        for mask in &self.keys {
            parts.push(shape::expand_dims(&cast(mask, ElementType::Bool)?, &[1])?);
        }
        if self.is_banded() {
            let seen = |row: usize, column: usize| {
                let near = self.window.is_none_or(|window| row.abs_diff(column) < window);
                (!self.causal || column <= row) && near
            };
            let values = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            let values = values.map(|(row, column)| seen(row, column)).collect();
            parts.push(Array::bools(&[1, rows, columns], values)?);
        }
        let mut all = match &self.pairs {
            Some(mask) => Some(cast(mask, ElementType::Bool)?),
            None => None,
        };
        for part in parts {
            all = Some(match all {
                None => part,
                Some(all) => {
                    let part =
                        if all.rank() == 4 { shape::expand_dims(&part, &[1])? } else { part };
                    logical(&all, &part, |one, two| one && two)?
                }
            });
        }
        Ok(all)
    }
}
