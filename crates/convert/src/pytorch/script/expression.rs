//! Expressions of the code.

use std::cell::RefCell;
use std::rc::Rc;

use super::containers;
use super::interpret::{Interpreter, Result, Stop};
use super::syntax::{Call, Expression};
use super::value::{Callee, Object, Value};

impl Interpreter<'_> {
    /// The value of an expression.
    pub(super) fn evaluate(&mut self, expression: &Expression) -> Result<Value> {
        self.deeper(|interpreter| interpreter.evaluated(expression))
    }

    fn evaluated(&mut self, expression: &Expression) -> Result<Value> {
        Ok(match expression {
            Expression::None => Value::None,
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Int(value) => Value::Int(*value),
            Expression::Float(value) => Value::Float(*value),
            Expression::Text(text) => Value::text(text),
            Expression::Name(name) => return self.name(name),
            Expression::Attribute(of, name) => return self.attribute(expression, of, name),
            Expression::Index(of, index) => {
                let (of, index) = (self.evaluate(of)?, self.evaluate(index)?);
                return self.item(&of, &index);
            }
            Expression::Slice(of, parts) => {
                let mut arguments = vec![self.evaluate(of)?];
                for part in parts.iter() {
                    arguments.push(match part {
                        Some(part) => self.evaluate(part)?,
                        None => Value::None,
                    });
                }
                return self.slice(&arguments);
            }
            Expression::Call(call) => return self.call_expression(call),
            Expression::List(items) => Value::list(self.nested_all(items)?),
            Expression::Tuple(items) => Value::tuple(self.nested_all(items)?),
            Expression::Dict(entries) => return self.dict(entries),
            Expression::Unary(name, value) => {
                let value = self.evaluate(value)?;
                return self.builtin(&format!("torch.{name}"), vec![value], Vec::new());
            }
            Expression::Binary(name, both) => {
                let both = vec![self.evaluate(&both.0)?, self.evaluate(&both.1)?];
                return self.builtin(&format!("torch.{name}"), both, Vec::new());
            }
            Expression::Lazy(is_or, both) => {
                let first = self.evaluate(&both.0)?;
                match self.truth(&first)? {
                    Some(truth) if truth == *is_or => first,
                    Some(_) => return self.evaluate(&both.1),
                    None => {
                        let name = if *is_or { "torch.__or__" } else { "torch.__and__" };
                        let second = self.evaluate(&both.1)?;
                        return self.builtin(name, vec![first, second], Vec::new());
                    }
                }
            }
            Expression::Choice(parts) => {
                let (condition, yes, no) = parts.as_ref();
                let condition = self.evaluate(condition)?;
                match self.truth(&condition)? {
                    Some(true) => return self.evaluate(yes),
                    Some(false) => return self.evaluate(no),
                    None => {
                        return Err(self.refusal(
                            "a condition",
                            "a choice that depends on data",
                            "write it with torch.where",
                        ));
                    }
                }
            }
        })
    }

    fn dict(&mut self, entries: &[(Expression, Expression)]) -> Result<Value> {
        let made = Rc::new(RefCell::new(Vec::new()));
        for (key, value) in entries {
            let (key, value) = (self.evaluate(key)?, self.evaluate(value)?);
            containers::check_key(&key).map_err(|fault| self.told(fault))?;
            self.nested(std::slice::from_ref(&value))?;
            containers::put(&made, &key, &value);
        }
        Ok(Value::Dict(made))
    }

    /// Values that are put into another one.
    fn nested_all(&mut self, expressions: &[Expression]) -> Result<Vec<Value>> {
        let values = self.all(expressions)?;
        self.nested(&values)?;
        Ok(values)
    }

    fn all(&mut self, expressions: &[Expression]) -> Result<Vec<Value>> {
        expressions.iter().map(|expression| self.evaluate(expression)).collect()
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.frames.last()?.variables.get(name)
    }

    fn name(&mut self, name: &str) -> Result<Value> {
        if let Some(value) = self.variable(name).cloned() {
            if matches!(value, Value::Lost) {
                self.asked.insert(name.to_owned());
            }
            return Ok(value);
        }
        // What is built in and called by its name alone.
        match name {
            "int" | "float" | "bool" | "str" | "len" | "getattr" | "range" | "print" | "sorted" => {
                Ok(Value::Function(Callee::Builtin(name.into())))
            }
            _ => Err(self.wrong(format!("there is no variable '{name}'"))),
        }
    }

    fn attribute(&mut self, whole: &Expression, of: &Expression, name: &str) -> Result<Value> {
        if let Some(dotted) = whole.dotted() {
            let first = dotted.split('.').next().unwrap_or_default();
            if self.variable(first).is_none() {
                return self.global(&dotted);
            }
        }
        let value = self.evaluate(of)?;
        self.attribute_of(&value, name)
    }

    /// Something by its full name.
    fn global(&mut self, dotted: &str) -> Result<Value> {
        if let Some(index) = dotted.strip_prefix("CONSTANTS.c") {
            let found = index.parse().ok().and_then(|index: usize| self.constants.get(index));
            return found.cloned().ok_or_else(|| self.wrong(format!("there is no {dotted}")));
        }
        if dotted.starts_with("torch.") || dotted.starts_with("ops.") {
            return Ok(Value::Function(Callee::Builtin(dotted.into())));
        }
        if let Some((file, function)) = self.library.function(dotted)? {
            return Ok(Value::Function(Callee::Function(file, function)));
        }
        if let Some(class) = self.library.class(dotted)? {
            return Ok(Value::Function(Callee::Class(dotted.into(), class)));
        }
        if let Some((outer, name)) = dotted.rsplit_once('.')
            && let Some(class) = self.library.class(outer)?
        {
            return self.member(outer, &class, name);
        }
        Err(self.wrong(format!("the archive has no '{dotted}'")))
    }

    /// Something that stands in a class: `__new__`, members of enumerations.
    fn member(
        &mut self,
        class_name: &str,
        class: &Rc<super::syntax::Class>,
        name: &str,
    ) -> Result<Value> {
        if name == "__new__" {
            return Ok(Value::Function(Callee::Builtin(format!("new.{class_name}").into())));
        }
        let field = class.fields.iter().find(|field| field.name == name);
        if let Some(value) = field.and_then(|field| field.value.as_ref())
            && class.base == "Enum"
        {
            let value = self.evaluate(value)?;
            let made = self.instance(class_name.into(), Rc::clone(class));
            let mut attributes = made.attributes.borrow_mut();
            attributes.insert("name".into(), Value::text(name));
            attributes.insert("value".into(), value);
            drop(attributes);
            return Ok(Value::Object(made));
        }
        Err(self.wrong(format!("'{class_name}' has no '{name}'")))
    }

    /// An attribute of a value.
    pub(super) fn attribute_of(&mut self, value: &Value, name: &str) -> Result<Value> {
        match value {
            Value::Object(object) => self.attribute_of_object(object, name),
            Value::Tuple(items, Some(class)) => {
                let at = class.fields.iter().position(|field| field.name == name);
                let found = at.and_then(|at| items.get(at)).cloned();
                found.ok_or_else(|| no_attribute(&class.name, name))
            }
            Value::Tensor(_) => match name {
                "shape" => self.builtin("torch.size", vec![value.clone()], Vec::new()),
                "T" => self.builtin("torch.numpy_T", vec![value.clone()], Vec::new()),
                "mT" => self.builtin("torch.mT", vec![value.clone()], Vec::new()),
                _ => self.builtin(&format!("ops.prim.{name}"), vec![value.clone()], Vec::new()),
            },
            Value::Lost => Ok(Value::Lost),
            other => Err(no_attribute(other.type_name(), name)),
        }
    }

    fn attribute_of_object(&mut self, object: &Rc<Object>, name: &str) -> Result<Value> {
        if let Some(value) = object.attributes.borrow().get(name) {
            return Ok(value.clone());
        }
        if let Some(method) = object.class.method(name) {
            let callee = Callee::Method(Rc::clone(object), Rc::clone(method));
            return Ok(Value::Function(callee));
        }
        let field = object.class.fields.iter().find(|field| field.name == name);
        if let Some(constant) = field.and_then(|field| field.value.clone()) {
            return self.evaluate(&constant);
        }
        Err(no_attribute(&object.class.name, name))
    }

    fn call_expression(&mut self, call: &Call) -> Result<Value> {
        let before = self.frames.last().map_or(0, |frame| frame.line);
        if let Some(frame) = self.frames.last_mut() {
            frame.line = call.line;
        }
        let value = self.called(call);
        if value.is_ok()
            && let Some(frame) = self.frames.last_mut()
        {
            frame.line = before;
        }
        value
    }

    fn called(&mut self, call: &Call) -> Result<Value> {
        if let Expression::Name(name) = &call.function
            && self.variable(name).is_none()
            && let Some(value) = self.special(name, &call.positional)?
        {
            return Ok(value);
        }
        let function = self.evaluate(&call.function)?;
        let positional = self.all(&call.positional)?;
        let mut named = Vec::new();
        for (name, value) in &call.named {
            named.push((name.clone(), self.evaluate(value)?));
        }
        match function {
            Value::Function(callee) => self.call(callee, positional, named),
            Value::Object(_) => {
                let forward = self.attribute_of(&function, "forward")?;
                match forward {
                    Value::Function(callee) => self.call(callee, positional, named),
                    _ => Err(self.wrong("an object without forward is called")),
                }
            }
            Value::Lost => Ok(Value::Lost),
            other => Err(self.wrong(format!("{} is called", other.type_name()))),
        }
    }

    /// Calls that take types.
    fn special(&mut self, name: &str, arguments: &[Expression]) -> Result<Option<Value>> {
        Ok(Some(match (name, arguments) {
            ("annotate" | "unchecked_cast", [kind, value]) => {
                let value = self.evaluate(value)?;
                // Where tracing put a tensor in the place of a number.
                match (kind.dotted().as_deref(), &value) {
                    (Some("number" | "Scalar"), Value::Tensor(_)) => {
                        self.builtin("torch.ScalarImplicit", vec![value], Vec::new())?
                    }
                    (Some("int" | "float"), Value::Tensor(_)) => {
                        let name = kind.dotted().unwrap_or_default();
                        self.builtin(&name, vec![value], Vec::new())?
                    }
                    _ => value,
                }
            }
            ("uninitialized", _) => Value::Lost,
            ("isinstance", [value, kind]) => {
                let value = self.evaluate(value)?;
                if matches!(value, Value::Lost) {
                    return Err(Stop::Lost);
                }
                Value::Bool(self.is_instance(&value, kind))
            }
            _ => return Ok(None),
        }))
    }

    /// Whether a value is of a type, or of one of several.
    fn is_instance(&self, value: &Value, kind: &Expression) -> bool {
        match kind {
            Expression::Tuple(kinds) | Expression::List(kinds) => {
                kinds.iter().any(|kind| self.is_instance(value, kind))
            }
            Expression::None => matches!(value, Value::None),
            Expression::Index(of, inner) => {
                let inner = inner.as_ref();
                // All items of a list are of one type.
                let all = |items: &[Value]| {
                    items.first().is_none_or(|item| self.is_instance(item, inner))
                };
                match (of.dotted().as_deref(), value) {
                    (Some("Optional"), Value::None) => true,
                    (Some("Optional"), value) => self.is_instance(value, inner),
                    (Some("List"), Value::List(items)) => all(&items.borrow()),
                    (Some("Dict"), Value::Dict(_)) | (Some("Tuple"), Value::Tuple(..)) => true,
                    _ => false,
                }
            }
            other => match (other.dotted().as_deref(), value) {
                (Some("int"), Value::Int(_))
                | (Some("float"), Value::Float(_))
                | (Some("bool"), Value::Bool(_))
                | (Some("str"), Value::Text(_))
                | (Some("Tensor"), Value::Tensor(_))
                | (Some("NoneType"), Value::None)
                | (Some("list"), Value::List(_))
                | (Some("tuple"), Value::Tuple(..))
                | (Some("number"), Value::Int(_) | Value::Float(_)) => true,
                (Some(name), Value::Number(number)) => {
                    use super::value::NumberKind;
                    let own = match number.kind {
                        NumberKind::Int => "int",
                        NumberKind::Float => "float",
                        NumberKind::Bool => "bool",
                    };
                    name == own
                }
                (Some(name), Value::Object(object)) => *object.class_name == *name,
                _ => false,
            },
        }
    }
}

/// What is raised where a value lacks an attribute.
fn no_attribute(of: &str, name: &str) -> Stop {
    Stop::Raised(format!("AttributeError: {of} has no attribute '{name}'"))
}
