//! Calls of ATen's operators: nodes of the graph, with what each world knows of their results.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use modelyard_graph::ElementType;

use super::inputs::SURE;
use super::interpret::{Interpreter, Result, Stop};
use super::objects::joined;
use super::resolve::{self, parameters};
use super::shapes::World;
use super::value::{Number, NumberKind, Seen, Tensor, Value};
use crate::Missing;
use crate::pytorch::convert::Scalar;
use crate::pytorch::evaluate::{self, Strided};
use crate::pytorch::graph::{Argument, Meta, Named, Node, Size};
use crate::pytorch::types::{Kind, kind};
use crate::pytorch::weight::{Storage, Weight};
use crate::pytorch::{inplace, ops};
use crate::reference::{Array, Data};

/// Elements that are worth knowing.
const KNOWN: usize = 1 << 12;

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

    /// `torch.tensor(...)`: a constant of numbers, or a stack of numbers that are computed.
    fn tensor(&mut self, positional: &[Value], named: &[(String, Value)]) -> Result<Value> {
        let Some(data) = positional.first() else {
            return Err(self.wrong("torch.tensor without data"));
        };
        let by_name = named.iter().find(|(name, _)| name == "dtype").map(|(_, value)| value);
        if let Value::Tensor(_) = data {
            return match by_name.or(positional.get(1)) {
                None | Some(Value::None) => Ok(data.clone()),
                Some(dtype) => self.aten("to", vec![data.clone(), dtype.clone()], Vec::new()),
            };
        }
        let element_type = match by_name.or(positional.get(1)) {
            Some(Value::Int(code)) => element_type(*code),
            _ => None,
        };
        let (mut dims, mut numbers) = (Vec::new(), Vec::new());
        if !flatten(data, 0, &mut dims, (&mut numbers, &mut MOST_NUMBERS.clone())) {
            let way_out = "give torch.tensor numbers in lists of equal length";
            return Err(self.refusal("aten.tensor", "a tensor of other data", way_out));
        }
        let strongest = numbers.iter().filter_map(number_kind_of).max().unwrap_or(Kind::Float);
        let element_type = element_type.unwrap_or(match strongest {
            Kind::Bool => ElementType::Bool,
            Kind::Int => ElementType::Int64,
            Kind::Float => ElementType::Float32,
        });
        let known: Option<Vec<Scalar>> = numbers.iter().map(Value::as_scalar).collect();
        match known {
            Some(known) => self.constant(element_type, &dims, &known),
            None => self.stacked(&numbers, &dims, element_type),
        }
    }

    /// A tensor of these numbers.
    fn constant(
        &mut self,
        element_type: ElementType,
        dims: &[usize],
        numbers: &[Scalar],
    ) -> Result<Value> {
        let array = match kind(element_type) {
            Kind::Int => {
                let data = numbers.iter().map(|number| number.as_i64()).collect();
                Array::new(element_type, dims, Data::Ints(data))
            }
            _ => {
                let data = numbers.iter().map(|number| number.as_f64()).collect();
                Array::from_f64s(element_type, dims, data)
            }
        };
        let wrong = |interpreter: &Self, error: &dyn std::fmt::Display| {
            interpreter.wrong(format!("a constant: {error}"))
        };
        let array = array.map_err(|error| wrong(self, &error))?;
        let tensor = array.to_tensor().map_err(|error| wrong(self, &error))?;
        let bytes = Bytes::copy_from_slice(tensor.data());
        let weight = Weight::dense(Storage::Memory(bytes), element_type, dims)?;
        let name = self.fresh("constant");
        self.weights.insert(name.clone(), weight);
        let seen = Seen { element_type, dims: dims.to_vec(), known: Some(Strided::new(array)) };
        // A memory of its own for each world.
        let worlds = (0..self.worlds).map(|_| Seen {
            known: seen
                .known
                .as_ref()
                .and_then(|known| known.array().ok())
                .map(|array| Strided::new(Array::clone(&array))),
            ..seen.clone()
        });
        let worlds = worlds.collect();
        Ok(self.keep(name, worlds, Rc::new(Cell::new(true))))
    }

    fn stacked(
        &mut self,
        numbers: &[Value],
        dims: &[usize],
        element_type: ElementType,
    ) -> Result<Value> {
        let mut parts = Vec::new();
        for number in numbers {
            let own = Named { name: String::new(), value: self.argument(number)? };
            let dtype = Named { name: "dtype".into(), value: Argument::Type(element_type) };
            let arguments = vec![own, dtype];
            parts.extend(self.emit("aten.scalar_tensor.default", arguments)?);
        }
        if dims.is_empty() {
            return Ok(parts.into_iter().next().unwrap_or(Value::Lost));
        }
        let stack = self.aten("stack", vec![Value::list(parts)], Vec::new())?;
        let dims = dims.iter().map(|&dim| Value::Int(dim as i64)).collect();
        self.aten("reshape", vec![stack, Value::list(dims)], Vec::new())
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

    /// A tensor under this name.
    pub(super) fn keep(
        &mut self,
        name: String,
        worlds: Vec<Seen>,
        is_known: Rc<Cell<bool>>,
    ) -> Value {
        let few = |seen: &Seen| seen.dims.iter().product::<usize>() <= KNOWN;
        let forget = !worlds.iter().all(few);
        let worlds = worlds
            .into_iter()
            .map(|seen| Seen { known: if forget { None } else { seen.known }, ..seen });
        let tensor = Tensor { name: name.clone(), worlds: worlds.collect(), is_known };
        let meta = self.tensor_meta(&tensor);
        self.graph.values.insert(name.clone(), meta);
        let value = Value::Tensor(Rc::new(tensor));
        self.values.insert(name, value.clone());
        value
    }

    /// What is known of a tensor for all sizes.
    pub(super) fn tensor_meta(&self, tensor: &Tensor) -> Meta {
        let (element_type, dims) = tensor.first();
        let sizes = (0..dims.len()).map(|axis| self.size_of(&tensor.sizes(axis)));
        Meta::Tensor(element_type, sizes.collect())
    }

    fn size_of(&self, all: &[usize]) -> Size {
        match all {
            [first, rest @ ..] if rest.iter().all(|other| other == first) => Size::from(*first),
            all => self.symbols.get(all).cloned().unwrap_or(Size::Unknown),
        }
    }

    fn number_meta(&self, number: &Number) -> Meta {
        match (number.kind, &number.worlds) {
            (NumberKind::Int, Some(_)) => {
                // Equal in all worlds by accident is not known.
                let symbol = number.sizes().and_then(|all| self.symbols.get(&all).cloned());
                Meta::Int(symbol.unwrap_or(Size::Unknown))
            }
            (NumberKind::Int, None) => Meta::Int(Size::Unknown),
            (NumberKind::Float, _) => Meta::Float,
            (NumberKind::Bool, _) => Meta::Bool,
        }
    }

    /// The size of a tensor along an axis.
    pub(super) fn size(&mut self, tensor: &Rc<Tensor>, axis: usize) -> Result<Value> {
        if let Size::Known(size) = self.size_of(&tensor.sizes(axis)) {
            return Ok(Value::Int(size));
        }
        let key = (tensor.name.clone(), axis);
        if let Some(size) = self.sizes.get(&key) {
            return Ok(size.clone());
        }
        let named = |value| Named { name: String::new(), value };
        let own = named(Argument::Value(tensor.name.clone()));
        let axis = named(Argument::Int(axis as i64));
        let size = self.emit("aten.sym_size.int", vec![own, axis])?;
        let size = size.into_iter().next().unwrap_or(Value::Lost);
        self.sizes.insert(key, size.clone());
        Ok(size)
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

/// Numbers and lists that `torch.tensor` takes at once.
const MOST_NUMBERS: usize = 1 << 22;

/// Numbers in nested lists, row-major; false where they do not make a tensor.
fn flatten(
    value: &Value,
    depth: usize,
    dims: &mut Vec<usize>,
    (numbers, left): (&mut Vec<Value>, &mut usize),
) -> bool {
    const DEPTH: usize = 8;
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match value.items() {
        _ if depth > DEPTH => false,
        Some(items) => {
            match dims.get(depth) {
                None => dims.push(items.len()),
                Some(&length) if length == items.len() => {}
                Some(_) => return false,
            }
            items.iter().all(|item| flatten(item, depth + 1, dims, (&mut *numbers, &mut *left)))
        }
        None => {
            numbers.push(value.clone());
            depth == dims.len()
                && (value.as_scalar().is_some() || matches!(value, Value::Number(_)))
        }
    }
}

/// The kind of a number, whether it is known or not.
fn number_kind_of(value: &Value) -> Option<Kind> {
    match value {
        Value::Number(number) => Some(match number.kind {
            NumberKind::Bool => Kind::Bool,
            NumberKind::Int => Kind::Int,
            NumberKind::Float => Kind::Float,
        }),
        other => other.as_scalar().map(Scalar::kind),
    }
}

/// PyTorch's number of a type of elements (`c10::ScalarType`).
pub(super) fn type_code(element_type: ElementType) -> Option<i64> {
    (0..=27).find(|&code| self::element_type(code) == Some(element_type))
}

/// The type of elements that has this number.
pub(super) fn element_type(code: i64) -> Option<ElementType> {
    Some(match code {
        0 => ElementType::Uint8,
        1 => ElementType::Int8,
        2 => ElementType::Int16,
        3 => ElementType::Int32,
        4 => ElementType::Int64,
        5 => ElementType::Float16,
        6 => ElementType::Float32,
        7 => ElementType::Float64,
        11 => ElementType::Bool,
        15 => ElementType::Bfloat16,
        27 => ElementType::Uint16,
        _ => return None,
    })
}

/// What a tensor's element is as a number of Python.
pub(super) fn number_kind(element_type: ElementType) -> NumberKind {
    match kind(element_type) {
        Kind::Bool => NumberKind::Bool,
        Kind::Int => NumberKind::Int,
        Kind::Float => NumberKind::Float,
    }
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
