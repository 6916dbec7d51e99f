//! What a layer is called with.

use serde_json::Value as Json;

use crate::keras::fault::Fault;

/// One argument of a call: a tensor, a constant, or several of them. `V` is what stands for a
/// tensor: a reference to another call, a value of the graph, or an array.
#[derive(Clone, Debug)]
pub(crate) enum Argument<V> {
    /// A tensor.
    Value(V),
    /// A list or tuple.
    List(Vec<Argument<V>>),
    /// A dictionary.
    Map(Vec<(String, Argument<V>)>),
    /// A number, text, yes or no, or nothing.
    Json(Json),
}

/// All arguments of a call.
#[derive(Clone, Debug)]
pub(crate) struct Arguments<V> {
    /// Those without a name, in order.
    pub(crate) positional: Vec<Argument<V>>,
    /// Those with a name.
    pub(crate) named: Vec<(String, Argument<V>)>,
}

impl<V> Argument<V> {
    /// The tensors in it, from left to right.
    pub(crate) fn values(&self) -> Vec<&V> {
        let mut values = Vec::new();
        self.collect(&mut values);
        values
    }

    fn collect<'a>(&'a self, values: &mut Vec<&'a V>) {
        match self {
            Argument::Value(value) => values.push(value),
            Argument::List(items) => items.iter().for_each(|item| item.collect(values)),
            Argument::Map(items) => items.iter().for_each(|(_, item)| item.collect(values)),
            Argument::Json(_) => {}
        }
    }

    /// The same argument with every tensor replaced; the first error of `replace` ends it.
    pub(crate) fn try_map<W, E>(
        &self,
        replace: &mut dyn FnMut(&V) -> Result<W, E>,
    ) -> Result<Argument<W>, E> {
        Ok(match self {
            Argument::Value(value) => Argument::Value(replace(value)?),
            Argument::Json(json) => Argument::Json(json.clone()),
            Argument::List(items) => Argument::List(
                items.iter().map(|item| item.try_map(replace)).collect::<Result<_, E>>()?,
            ),
            Argument::Map(items) => Argument::Map(try_map_named(items, replace)?),
        })
    }

    /// The tensor; an error for anything else.
    pub(crate) fn value(&self) -> Result<&V, Fault> {
        match self {
            Argument::Value(value) => Ok(value),
            Argument::List(items) if items.len() == 1 => items[0].value(),
            _ => Err(Fault::malformed("expected a tensor as argument, found something else")),
        }
    }

    /// Whether it is Python's `None`.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Argument::Json(Json::Null))
    }

    /// The constant, where there is no tensor in it.
    pub(crate) fn to_json(&self) -> Option<Json> {
        match self {
            Argument::Json(json) => Some(json.clone()),
            Argument::Value(_) => None,
            Argument::List(items) => {
                items.iter().map(Argument::to_json).collect::<Option<_>>().map(Json::Array)
            }
            Argument::Map(items) => {
                let items = items.iter().map(|(key, item)| Some((key.clone(), item.to_json()?)));
                items.collect::<Option<_>>().map(Json::Object)
            }
        }
    }
}

fn try_map_named<V, W, E>(
    items: &[(String, Argument<V>)],
    replace: &mut dyn FnMut(&V) -> Result<W, E>,
) -> Result<Vec<(String, Argument<W>)>, E> {
    items.iter().map(|(key, item)| Ok((key.clone(), item.try_map(replace)?))).collect()
}

impl<V> Arguments<V> {
    /// A call with one tensor.
    pub(crate) fn one(value: V) -> Arguments<V> {
        Arguments { positional: vec![Argument::Value(value)], named: Vec::new() }
    }

    /// The argument at this position or of this name; `None` where it is absent or `None`.
    pub(crate) fn get(&self, position: usize, name: &str) -> Option<&Argument<V>> {
        let named = || self.named.iter().find(|(key, _)| key == name).map(|(_, item)| item);
        self.positional.get(position).or_else(named).filter(|argument| !argument.is_none())
    }

    /// The argument of this name; `None` where it is absent or `None`.
    pub(crate) fn named(&self, name: &str) -> Option<&Argument<V>> {
        let found = self.named.iter().find(|(key, _)| key == name);
        found.map(|(_, item)| item).filter(|argument| !argument.is_none())
    }

    /// The first argument, whatever its name.
    pub(crate) fn first(&self) -> Result<&Argument<V>, Fault> {
        let first = self.positional.first().or_else(|| self.named.first().map(|(_, item)| item));
        first.ok_or_else(|| Fault::malformed("expected an argument, found none"))
    }

    /// The first argument, which is one tensor.
    pub(crate) fn input(&self) -> Result<&V, Fault> {
        self.first()?.value()
    }

    /// The tensors of the first argument.
    pub(crate) fn inputs(&self) -> Result<Vec<&V>, Fault> {
        Ok(self.first()?.values())
    }

    /// All tensors, in the order of the arguments.
    pub(crate) fn all_values(&self) -> Vec<&V> {
        let mut values = Vec::new();
        self.positional.iter().for_each(|item| item.collect(&mut values));
        self.named.iter().for_each(|(_, item)| item.collect(&mut values));
        values
    }

    /// The same call with every tensor replaced.
    pub(crate) fn try_map<W, E>(
        &self,
        replace: &mut dyn FnMut(&V) -> Result<W, E>,
    ) -> Result<Arguments<W>, E> {
        let positional =
            self.positional.iter().map(|item| item.try_map(replace)).collect::<Result<_, E>>()?;
        Ok(Arguments { positional, named: try_map_named(&self.named, replace)? })
    }

    /// A yes or no of this name, or this where it is absent.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        match self.named(name) {
            Some(Argument::Json(json)) => json.as_bool().unwrap_or(default),
            _ => default,
        }
    }
}
