//! Calls of ATen's operators: nodes of the graph, with what each world knows of their results.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::codes::element_type;
use super::inputs::SURE;
use super::interpret::{Interpreter, Result, Stop};
use super::objects::joined;
use super::resolve::{self, parameters};
use super::shapes::World;
use super::value::{Number, NumberKind, Seen, Value};
use crate::Missing;
use crate::pytorch::convert::Scalar;
use crate::pytorch::evaluate;
use crate::pytorch::graph::{Argument, Named, Node};
use crate::pytorch::types::{Kind, kind};
use crate::pytorch::{inplace, ops};

/// What a call gives in one world.
pub(super) enum Outcome {
    Tensor(Seen),
    Number(NumberKind, Option<Scalar>),
    Nothing,
}

impl Interpreter<'_> {
    /// Calls an operator of ATen by its name without namespace and overload.
    pub(super) fn aten(
        &mut self,
        name: &str,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        if matches!(name, "tensor" | "as_tensor") {
            return self.tensor(&positional, &named);
        }
        let is_out = |(name, value): &(String, Value)| name == "out" && value.has_tensor();
        if let Some(at) = named.iter().position(is_out) {
            let mut named = named;
            let (_, out) = named.remove(at);
            return self.put_out(name, (positional, named), out);
        }
        let (target, positional, named) = match resolve::target(name, positional, named) {
            Ok(found) => found,
            Err(resolve::Unresolved::Unfit) => {
                let reason = "a call with arguments that no overload which is covered takes";
                let way_out = "write it with other arguments, or save the model with \
                               torch.export.save instead";
                self.refuse(&format!("aten.{name}"), reason, way_out);
                return Ok(Value::Lost);
            }
            Err(resolve::Unresolved::Unknown) => {
                let target = format!("aten.{name}");
                let refusal = ops::unknown(&target);
                let way_out = match refusal.way_out.contains("run_decompositions") {
                    true => {
                        "save the model with torch.export.save instead, which may write it \
                             with other operators; or replace it in the model"
                    }
                    false => &refusal.way_out,
                };
                self.refuse(&target, &refusal.reason, way_out);
                return Ok(Value::Lost);
            }
        };
        let parameters = parameters(&target);
        let mut arguments = Vec::new();
        for (index, value) in positional.iter().enumerate() {
            let parameter = parameters.get(index).copied().unwrap_or_default();
            let value = self.argument_for(parameter, value)?;
            arguments.push(Named { name: String::new(), value });
        }
        for (name, value) in &named {
            let value = self.argument_for(name, value)?;
            arguments.push(Named { name: name.clone(), value });
        }
        let results = self.emit(&target, arguments)?;
        Ok(match results.len() {
            _ if results.iter().any(Value::is_lost) => Value::Lost,
            _ if resolve::gives_list(name) => Value::list(results),
            1 => results.into_iter().next().unwrap_or(Value::None),
            _ => Value::tuple(results),
        })
    }

    /// A call whose result is put into a tensor that was there before: `torch.add(a, b, out=c)`.
    fn put_out(
        &mut self,
        name: &str,
        (positional, named): (Vec<Value>, Vec<(String, Value)>),
        out: Value,
    ) -> Result<Value> {
        let result = self.aten(name, positional, named)?;
        let (Value::Tensor(from), Value::Tensor(to)) = (&result, &out) else {
            let what = format!("aten.{name}");
            let way_out = "take what the call gives instead";
            return match result {
                Value::Lost => Ok(Value::Lost),
                _ => Err(self.refusal(what, "several results with out=", way_out)),
            };
        };
        let mut pairs = from.worlds.iter().zip(&to.worlds);
        if !pairs.all(|(from, to)| from.dims == to.dims && from.element_type == to.element_type) {
            let reason = "out= with a tensor of another shape or type than the result's";
            let way_out = "take what the call gives instead";
            return Err(self.refusal(format!("aten.{name}"), reason, way_out));
        }
        self.aten("copy_", vec![out, result], Vec::new())
    }

    /// A value as an argument for this parameter.
    fn argument_for(&mut self, parameter: &str, value: &Value) -> Result<Argument> {
        Ok(match (parameter, value) {
            ("dtype", Value::Int(code)) => match element_type(*code) {
                Some(element_type) => Argument::Type(element_type),
                None => Argument::Other(format!("PyTorch's type {code}")),
            },
            ("layout", Value::Int(_)) => Argument::Layout("strided".into()),
            ("memory_format", Value::Int(_)) => Argument::Layout("contiguous".into()),
            _ => self.argument(value)?,
        })
    }

    /// A value as an argument.
    pub(super) fn argument(&mut self, value: &Value) -> Result<Argument> {
        Ok(match value {
            Value::None => Argument::None,
            Value::Bool(value) => Argument::Bool(*value),
            Value::Int(value) => Argument::Int(*value),
            Value::Float(value) => Argument::Float(*value),
            Value::Text(text) => Argument::String(text.to_string()),
            Value::Device(text) => Argument::Device(text.to_string()),
            Value::Number(number) => Argument::Value(number.name.clone()),
            Value::Tensor(tensor) => Argument::Value(tensor.name.clone()),
            Value::List(items) => {
                let items = items.borrow().clone();
                self.steps_of(1 + items.len())?;
                let items: Result<Vec<Argument>> =
                    items.iter().map(|item| self.argument(item)).collect();
                Argument::List(items?)
            }
            Value::Tuple(items, _) => {
                self.steps_of(1 + items.len())?;
                let items: Result<Vec<Argument>> =
                    items.iter().map(|item| self.argument(item)).collect();
                Argument::List(items?)
            }
            Value::Lost => return Err(Stop::Lost),
            other => Argument::Other(other.type_name().into()),
        })
    }

    /// Adds a call to the graph; gives its results.
    pub(super) fn emit(&mut self, target: &str, arguments: Vec<Named>) -> Result<Vec<Value>> {
        if self.graph.nodes.len() >= self.limits.nodes {
            return Err(Stop::Failed(crate::ConvertError::TooLarge {
                place: self.place(),
                what: "calls",
                found: self.graph.nodes.len() as u64 + 1,
                limit: self.limits.nodes as u64,
            }));
        }
        self.check_indices(target, &arguments)?;
        let path = self.frames.last().map_or("", |frame| frame.path.as_str());
        let short = target.split('.').nth(1).unwrap_or(target).trim_matches('_');
        let name = joined(path, short);
        let node = Node { name, target: target.to_owned(), arguments, outputs: Vec::new() };
        self.check_cuts(&node)?;
        let mut worlds = Vec::new();
        for world in 0..self.worlds {
            match (World { values: &self.values, world, work: &self.work }).outcomes(&node) {
                Ok(outcomes) => worlds.push(outcomes),
                Err(_) if world >= SURE => return Err(Stop::Leave(world)),
                Err(fault) => {
                    self.refuse(target, &fault.reason, fault.way_out);
                    return Ok(vec![Value::Lost]);
                }
            }
        }
        self.bind_results(node, worlds)
    }

    /// Where floats stand for indices and come from an input, that input is one of integers.
    fn check_indices(&mut self, target: &str, arguments: &[Named]) -> Result<()> {
        let at: &[usize] = match target.split('.').nth(1).unwrap_or_default() {
            "embedding" | "index" | "index_put" | "index_put_" => &[1],
            "gather" | "index_select" | "scatter" | "scatter_" | "scatter_add" | "scatter_add_"
            | "index_add" | "index_add_" => &[2],
            "one_hot" => &[0],
            _ => return Ok(()),
        };
        for named in at.iter().filter_map(|&at| arguments.get(at)) {
            for name in named.value.values() {
                let is_float = match self.values.get(name) {
                    Some(Value::Tensor(tensor)) => kind(tensor.first().0) == Kind::Float,
                    _ => false,
                };
                if let Some(input) = self.origins.get(name).filter(|_| is_float) {
                    return Err(Stop::Retype(input.clone()));
                }
            }
        }
        Ok(())
    }

    /// Views and copies of an input remember which one.
    fn follow(&mut self, node: &Node) {
        const CARRIED: [&str; 12] = [
            "view",
            "reshape",
            "slice",
            "select",
            "contiguous",
            "clone",
            "unsqueeze",
            "squeeze",
            "expand",
            "detach",
            "transpose",
            "flatten",
        ];
        let name = node.target.split('.').nth(1).unwrap_or_default();
        let first = node.arguments.first().and_then(|named| named.value.values().first().copied());
        let origin = first.and_then(|first| self.origins.get(first));
        if let (true, Some(origin)) = (CARRIED.contains(&name), origin) {
            let origin = origin.clone();
            for output in &node.outputs {
                self.origins.insert(output.clone(), origin.clone());
            }
        }
    }

    fn bind_results(&mut self, mut node: Node, worlds: Vec<Vec<Outcome>>) -> Result<Vec<Value>> {
        let count = worlds.first().map_or(0, Vec::len);
        if let Some(world) = worlds.iter().position(|outcomes| !alike(outcomes, &worlds[0])) {
            if world >= SURE {
                return Err(Stop::Leave(world));
            }
            let reason = "a number of results or dimensions that depends on a free size";
            self.refuse(&node.target, reason, "give that size as a number with --shape");
            return Ok(vec![Value::Lost]);
        }
        let is_known = self.memory_of(&node, &worlds);
        node.name = self.fresh(&node.name);
        let mut columns: Vec<Vec<Outcome>> = (0..count).map(|_| Vec::new()).collect();
        for outcomes in worlds {
            for (column, outcome) in columns.iter_mut().zip(outcomes) {
                column.push(outcome);
            }
        }
        let mut values = Vec::new();
        for (index, column) in columns.into_iter().enumerate() {
            let output = if index == 0 { node.name.clone() } else { self.fresh(&node.name) };
            node.outputs.push(output.clone());
            values.push(self.result(output, column, &is_known));
        }
        self.follow(&node);
        self.describe(&node);
        self.graph.nodes.push(node);
        Ok(values)
    }

    /// Whether the memory of results is known; views share that with what they look at.
    fn memory_of(&mut self, node: &Node, worlds: &[Vec<Outcome>]) -> Rc<Cell<bool>> {
        let is_known = worlds.iter().all(|outcomes| {
            outcomes.iter().all(|outcome| match outcome {
                Outcome::Tensor(seen) => seen.known.is_some(),
                _ => true,
            })
        });
        let first = node.arguments.first().and_then(|named| match &named.value {
            Argument::Value(name) => self.values.get(name),
            _ => None,
        });
        let Some(Value::Tensor(first)) = first else { return Rc::new(Cell::new(is_known)) };
        let changes = inplace::computed_by(&node.target).is_some();
        if changes && !is_known {
            first.is_known.set(false);
        }
        if is_known {
            // Perhaps a view.
            return Rc::clone(&first.is_known);
        }
        Rc::new(Cell::new(is_known))
    }

    fn result(&mut self, name: String, column: Vec<Outcome>, is_known: &Rc<Cell<bool>>) -> Value {
        let (mut seen, mut numbers, mut kind) = (Vec::new(), Vec::new(), NumberKind::Int);
        for outcome in column {
            match outcome {
                Outcome::Tensor(one) => seen.push(one),
                Outcome::Number(own, number) => {
                    kind = own;
                    numbers.push(number);
                }
                Outcome::Nothing => return Value::None,
            }
        }
        if seen.len() == self.worlds {
            return self.keep(name, seen, Rc::clone(is_known));
        }
        if self.worlds == 1
            && let [Some(known)] = numbers.as_slice()
        {
            // In one world there are no free sizes: what is known is so for ever.
            return Value::scalar(*known);
        }
        let number = Number { name: name.clone(), kind, worlds: numbers.into_iter().collect() };
        let meta = self.number_meta(&number);
        self.graph.values.insert(name.clone(), meta);
        let value = Value::Number(Rc::new(number));
        self.values.insert(name, value.clone());
        value
    }

    /// A name for a value of the graph.
    pub(super) fn fresh(&mut self, base: &str) -> String {
        loop {
            let name = self.names.fresh(base);
            if !self.weights.contains_key(&name) {
                return name;
            }
        }
    }

    /// Notes a call that has no counterpart.
    pub(super) fn refuse(&mut self, target: &str, reason: &str, way_out: &str) {
        self.missing.push(Missing {
            operator: target.to_owned(),
            place: self.place(),
            reason: reason.to_owned(),
            way_out: way_out.to_owned(),
        });
    }

    /// Notes a call on what is lost, if it would not be converted in any case.
    pub(super) fn note_unknown(&mut self, namespace: &str, short: &str) {
        let is_known = matches!(short, "tensor" | "as_tensor" | "NumToTensor")
            || matches!(namespace, "python" | "prim")
            || resolve::is_about_values(short)
            || resolve::is_known(short);
        if !is_known {
            let target = format!("{namespace}.{short}");
            let refusal = ops::unknown(&target);
            self.refuse(&target, &refusal.reason, "save the model with torch.export.save instead");
        }
    }
}

/// Whether there are as many results, of as many dimensions.
fn alike(one: &[Outcome], two: &[Outcome]) -> bool {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Tensor(seen) => Some(seen.dims.len()),
        _ => None,
    };
    one.len() == two.len() && one.iter().zip(two).all(|(one, two)| rank(one) == rank(two))
}

/// A result of the evaluator as an outcome.
pub(super) fn outcome(value: evaluate::Value, is_known: bool) -> Outcome {
    let number = |kind, scalar| Outcome::Number(kind, is_known.then_some(scalar));
    match value {
        evaluate::Value::Tensor(view) => Outcome::Tensor(Seen {
            element_type: view.element_type(),
            dims: view.dims().to_vec(),
            known: is_known.then_some(view),
        }),
        evaluate::Value::Int(value) => number(NumberKind::Int, Scalar::Int(value)),
        evaluate::Value::Float(value) => number(NumberKind::Float, Scalar::Float(value)),
        evaluate::Value::Bool(value) => number(NumberKind::Bool, Scalar::Bool(value)),
        evaluate::Value::None => Outcome::Nothing,
    }
}

/// Values by name, as the evaluator has them.
pub(super) type Given = HashMap<String, evaluate::Value>;
