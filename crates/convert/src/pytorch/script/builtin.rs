//! Functions that are built in: those of Python on known values are computed, those on numbers that
//! the model computes become operations on numbers, the others calls of ATen's operators.

use std::cell::RefCell;
use std::rc::Rc;

use super::interpret::{Interpreter, Result, Stop};
use super::value::Value;
use super::{containers, lists, numbers, slices, texts};
use crate::Missing;
use crate::pytorch::convert::Scalar;
use crate::pytorch::graph::Named;

/// A list, which several names may have.
type List = Rc<RefCell<Vec<Value>>>;

impl Interpreter<'_> {
    /// Calls a function by its name: `torch.add`, `ops.prim.device`, `int`.
    pub(super) fn builtin(
        &mut self,
        name: &str,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        if let Some(class) = name.strip_prefix("new.") {
            let found = self.library.class(class)?;
            let found = found.ok_or_else(|| self.wrong(format!("there is no class {class}")))?;
            return Ok(Value::Object(self.instance(class.into(), found)));
        }
        let (namespace, short) = match name.strip_prefix("ops.").unwrap_or(name).split_once('.') {
            Some(("torch", short)) => ("aten", short),
            Some((namespace, short)) => (namespace, short),
            None => ("python", name),
        };
        if !matches!(namespace, "aten" | "prim" | "python") {
            return self.foreign(&format!("{namespace}.{short}"));
        }
        if let ("getattr", [of, Value::Text(attribute)]) = (short, positional.as_slice()) {
            let attribute = Rc::clone(attribute);
            return self.attribute_of(&of.clone(), &attribute);
        }
        if let Some(value) = self.without_effect(short, &positional)? {
            return Ok(value);
        }
        if let Some(value) = self.container(short, &positional, &named)? {
            return Ok(value);
        }
        if let Some(text) = texts::call(short, &positional) {
            self.charge_scan(&positional)?;
            return self.text(text);
        }
        if let Some(value) = self.number(short, &positional)? {
            return Ok(value);
        }
        if positional.iter().chain(named.iter().map(|(_, value)| value)).any(Value::is_lost) {
            self.note_unknown(namespace, short);
            return Ok(Value::Lost);
        }
        if let Some(value) = self.about_tensor(short, &positional)? {
            return Ok(value);
        }
        if let Some(value) = self.fused(short, &positional)? {
            return Ok(value);
        }
        match namespace {
            "prim" => self.prim(short, positional),
            _ => self.aten(short, positional, named),
        }
    }

    /// An operator of another library than ATen.
    fn foreign(&mut self, target: &str) -> Result<Value> {
        let refusal = crate::pytorch::ops::unknown(target);
        self.refuse(target, &refusal.reason, &refusal.way_out);
        Ok(Value::Lost)
    }

    /// What changes nothing in inference.
    fn without_effect(&mut self, name: &str, positional: &[Value]) -> Result<Option<Value>> {
        Ok(Some(match name {
            "warn"
            | "print"
            | "manual_seed"
            | "set_grad_enabled"
            | "_assert_async"
            | "record_stream"
            | "_record_function_enter"
            | "_record_function_exit" => Value::None,
            "RaiseException" => {
                let message = match positional.first() {
                    Some(Value::Text(text)) => text.to_string(),
                    _ => "an exception".into(),
                };
                return Err(Stop::Raised(message));
            }
            "is_contiguous" if matches!(positional.first(), Some(Value::Tensor(_))) => {
                // How elements lie in memory is no part of the converted model.
                self.assume("a tensor is contiguous".into(), "is_contiguous()");
                Value::Bool(true)
            }
            "device" if matches!(positional, [Value::Text(_)]) => match &positional[0] {
                Value::Text(text) => Value::Device(Rc::clone(text)),
                _ => Value::None,
            },
            // With gradients, modules do what they say; without, some take a shortcut with an
            // operator that is all of them at once.
            "is_grad_enabled" | "is_scripting" => Value::Bool(true),
            "is_autocast_enabled"
            | "is_tracing"
            | "AutogradAnyNonZero"
            | "AutogradAllNonZero"
            | "is_autocast_cpu_enabled" => Value::Bool(false),
            "_get_cpu_capability" => Value::text("DEFAULT"),
            _ => return Ok(None),
        }))
    }

    /// What Python does with lists, tuples and dicts.
    fn container(
        &mut self,
        name: &str,
        positional: &[Value],
        named: &[(String, Value)],
    ) -> Result<Option<Value>> {
        if matches!(name, "slice") && !matches!(positional.first(), Some(Value::Tensor(_))) {
            return self.slice(positional).map(Some);
        }
        if name == "__getitem__"
            && let [of, index] = positional
        {
            return self.item(of, index).map(Some);
        }
        if name == "_set_item" {
            return self.set_item(positional).map(Some);
        }
        if let ("min" | "max" | "sum", [Value::List(items)]) = (name, positional)
            && items.borrow().iter().any(|item| matches!(item, Value::Number(_)))
        {
            let items = items.borrow().clone();
            return self.folded(name, &items);
        }
        self.charge_scan(positional)?;
        if let ("append" | "insert", [Value::List(list), rest @ ..]) = (name, positional) {
            self.check_within(list, rest)?;
        }
        let done = containers::call(name, positional, named);
        let Some(done) = done.map_err(|fault| self.told(fault))? else { return Ok(None) };
        if done.changes {
            self.changes += 1;
            self.nested(positional.get(1..).unwrap_or(&[]))?;
        }
        self.charge(&done.value)?;
        Ok(Some(done.value))
    }

    /// An error where a list would come to stand in itself: nobody would come out of it again.
    fn check_within(&mut self, list: &List, items: &[Value]) -> Result<()> {
        let mut left = lists::MOST_VALUES;
        let is_within = items.iter().any(|value| lists::holds(value, list, &mut left));
        self.steps_of((lists::MOST_VALUES - left) / 16)?;
        match is_within {
            true => Err(self.told(containers::Fault::Open("a list within itself".into()))),
            false => Ok(()),
        }
    }

    /// The least, greatest or sum of numbers of which the model computes some.
    fn folded(&mut self, name: &str, items: &[Value]) -> Result<Option<Value>> {
        let name = if name == "sum" { "add" } else { name };
        let mut all: Option<Value> = None;
        for item in items {
            all = Some(match all {
                None => item.clone(),
                Some(one) => match self.number(name, &[one, item.clone()])? {
                    Some(value) => value,
                    None => return Ok(None),
                },
            });
        }
        Ok(all)
    }

    /// Why a call on lists, tuples or dicts gives nothing.
    pub(super) fn told(&self, fault: containers::Fault) -> Stop {
        match fault {
            containers::Fault::Raised(text) => Stop::Raised(text),
            containers::Fault::Open(what) => self.refusal(
                "a list, tuple or dict",
                what,
                "give the sizes that it depends on as numbers with --shape, or use constants",
            ),
        }
    }

    /// A text; what depends on free sizes or data is lost, as nobody may need it: messages.
    fn text(&mut self, text: std::result::Result<Value, texts::Fault>) -> Result<Value> {
        match text {
            Ok(value) => self.charge(&value).map(|()| value),
            Err(texts::Fault::Raised(text)) => Err(Stop::Raised(text)),
            Err(texts::Fault::TooLong) => {
                Err(self.refusal("a text", "a text of more than a million letters", ""))
            }
            Err(texts::Fault::Open) => {
                let missing = Missing {
                    operator: "a text".into(),
                    place: self.place(),
                    reason: "a text of what is not known at conversion: a free size, or data"
                        .into(),
                    way_out: "give the sizes that it depends on as numbers with --shape".into(),
                };
                self.doubts.push((None, missing));
                Ok(Value::Lost)
            }
        }
    }

    fn set_item(&mut self, positional: &[Value]) -> Result<Value> {
        let [of, index, value] = positional else {
            return Err(self.wrong("_set_item takes 3 arguments"));
        };
        self.changes += 1;
        self.nested(std::slice::from_ref(value))?;
        self.charge_scan(std::slice::from_ref(of))?;
        match of {
            Value::List(items) => {
                self.check_within(items, std::slice::from_ref(value))?;
                let length = items.borrow().len();
                let at = match index {
                    Value::Int(index) => lists::place(*index, length),
                    other => {
                        let what = format!("an item of a list at {}", other.type_name());
                        Err(containers::Fault::Open(what))
                    }
                };
                let at = at.map_err(|fault| self.told(fault))?;
                if let Some(item) = items.borrow_mut().get_mut(at) {
                    *item = value.clone();
                }
            }
            Value::Dict(entries) => {
                containers::check_key(index).map_err(|fault| self.told(fault))?;
                containers::put(entries, index, value);
            }
            Value::Lost => {}
            other => return Err(self.wrong(format!("an item of {} is set", other.type_name()))),
        }
        Ok(Value::None)
    }

    /// An item of a list, tuple, dict or text.
    pub(super) fn item(&mut self, of: &Value, index: &Value) -> Result<Value> {
        if matches!(of, Value::Dict(_) | Value::Text(_)) {
            self.charge_scan(std::slice::from_ref(of))?;
        }
        let at = match index {
            Value::Int(index) => Some(*index),
            Value::Bool(index) => Some(i64::from(*index)),
            _ => None,
        };
        let found = match (of, at) {
            (Value::Lost, _) => return Ok(Value::Lost),
            (_, _) if matches!(index, Value::Lost) => return Ok(Value::Lost),
            (Value::Dict(entries), _) => {
                containers::check_key(index).map_err(|fault| self.told(fault))?;
                containers::get(entries, index)
            }
            (Value::List(items), Some(at)) => {
                let items = items.borrow();
                counted(at, items.len()).and_then(|at| items.get(at).cloned())
            }
            (Value::Tuple(items, _), Some(at)) => {
                counted(at, items.len()).and_then(|at| items.get(at).cloned())
            }
            (Value::Text(text), Some(at)) => {
                let letters: Vec<char> = text.chars().collect();
                let letter = counted(at, letters.len()).and_then(|at| letters.get(at));
                letter.map(|letter| Value::text(&letter.to_string()))
            }
            (Value::Tensor(_), _) => {
                let arguments = vec![of.clone(), Value::Int(0), index.clone()];
                return self.builtin("torch.select", arguments, Vec::new());
            }
            _ => {
                let message = format!("{} of {}", index.type_name(), of.type_name());
                return Err(self.refusal("an item", message, "use indices that are constants"));
            }
        };
        found.ok_or_else(|| {
            let index = texts::shown(index);
            match of {
                Value::Dict(_) => Stop::Raised(format!("KeyError: {index}")),
                _ => Stop::Raised(format!("IndexError: {index} is out of range")),
            }
        })
    }

    /// A part of a list, tuple or text: what, start, end, step.
    pub(super) fn slice(&mut self, arguments: &[Value]) -> Result<Value> {
        if let Some(of @ Value::Tensor(_)) = arguments.first() {
            let mut all = vec![of.clone(), Value::Int(0)];
            all.extend(arguments.iter().skip(1).cloned());
            return self.builtin("torch.slice", all, Vec::new());
        }
        self.charge_scan(arguments)?;
        let part = slices::slice(arguments).map_err(|fault| self.told(fault))?;
        self.charge(&part)?;
        Ok(part)
    }

    /// Arithmetic of Python: computed, or an operation of the graph.
    pub(super) fn number(&mut self, name: &str, positional: &[Value]) -> Result<Option<Value>> {
        if positional.is_empty() || !positional.iter().all(is_number) {
            return Ok(None);
        }
        let known: Option<Vec<Scalar>> = positional.iter().map(Value::as_scalar).collect();
        if let Some(known) = known {
            return match numbers::calculate(name, &known) {
                Some(Ok(value)) => Ok(Some(value)),
                Some(Err(message)) => Err(Stop::Raised(message.into())),
                None => Ok(None),
            };
        }
        if let Some(same) = numbers::unchanged(name, positional) {
            return Ok(Some(same));
        }
        if let ("bool" | "Bool", [number]) = (name, positional) {
            return self.number("ne", &[number.clone(), Value::Int(0)]);
        }
        let Some(target) = numbers::target(name) else { return Ok(None) };
        let mut operands = positional.to_vec();
        if name == "pow" {
            // Powers are floats, those of integers too.
            for operand in &mut operands {
                if let Some(float) = self.number("float", std::slice::from_ref(operand))? {
                    *operand = float;
                }
            }
        }
        let mut arguments = Vec::new();
        for value in &operands {
            let argument = self.argument(value)?;
            arguments.push(Named { name: String::new(), value: argument });
        }
        let results = self.emit(target, arguments)?;
        let value = results.into_iter().next().unwrap_or(Value::Lost);
        Ok(Some(value))
    }
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Number(_))
}

/// An index counted from the front.
pub(super) fn counted(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 { index.checked_add(length)? } else { index };
    usize::try_from(index).ok().filter(|_| index < length)
}
