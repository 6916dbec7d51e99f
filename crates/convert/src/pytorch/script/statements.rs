//! Statements of the code: loops, branches, assignments.

use std::rc::Rc;

use super::interpret::{Flow, Interpreter, Result, Stop};
use super::syntax::{Expression, Statement, What};
use super::value::Value;

impl Interpreter<'_> {
    /// Runs statements in order.
    pub(super) fn block(&mut self, statements: &[Statement]) -> Result<Flow> {
        self.deeper(|interpreter| interpreter.statements(statements))
    }

    fn statements(&mut self, statements: &[Statement]) -> Result<Flow> {
        for statement in statements {
            self.step()?;
            if let Some(frame) = self.frames.last_mut() {
                frame.line = statement.line;
            }
            match self.statement(&statement.what)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, what: &What) -> Result<Flow> {
        match what {
            What::Pass => Ok(Flow::Next),
            What::Break => Ok(Flow::Break),
            What::Continue => Ok(Flow::Continue),
            What::Expression(value) => self.evaluate(value).map(|_| Flow::Next),
            What::Assign(target, value) => {
                let value = self.evaluate(value)?;
                self.assign(target, value).map(|()| Flow::Next)
            }
            What::Return(None) => Ok(Flow::Return(Value::None)),
            What::Return(Some(value)) => self.evaluate(value).map(Flow::Return),
            What::With(body) => self.block(body),
            What::If(condition, yes, no) => self.branch(condition, yes, no),
            What::For(target, over, body) => self.for_loop(target, over, body),
            What::While(condition, body) => self.while_loop(condition, body),
            What::Assert(condition) => match self.evaluate(condition)? {
                value if value.is_computed() => {
                    self.assume("an assertion on data holds".into(), "which is not checked,");
                    Ok(Flow::Next)
                }
                value => match self.truth(&value)? {
                    Some(false) => Err(Stop::Raised("AssertionError".into())),
                    _ => Ok(Flow::Next),
                },
            },
            What::Raise(_) => Err(Stop::Raised("an exception".into())),
        }
    }

    fn for_loop(
        &mut self,
        target: &Expression,
        over: &Expression,
        body: &[Statement],
    ) -> Result<Flow> {
        let range = match over {
            Expression::Call(call) if call.function == Expression::Name("range".into()) => {
                let [count] = call.positional.as_slice() else {
                    return Err(self.wrong("a range of another form than range(count)"));
                };
                Some(self.count(count)?)
            }
            _ => None,
        };
        let items = match range {
            Some(_) => Vec::new(),
            None => {
                let value = self.evaluate(over)?;
                self.iterated(&value)?
            }
        };
        let count = range.unwrap_or(i64::try_from(items.len()).unwrap_or(i64::MAX));
        let mut index = 0;
        while index < count {
            self.step()?;
            let item = match range {
                Some(_) => Value::Int(index),
                None => items.get(index as usize).cloned().unwrap_or(Value::None),
            };
            self.assign(target, item)?;
            match self.block(body)? {
                Flow::Break => break,
                Flow::Return(value) => return Ok(Flow::Return(value)),
                Flow::Next | Flow::Continue => {}
            }
            index += 1;
        }
        Ok(Flow::Next)
    }

    fn count(&mut self, count: &Expression) -> Result<i64> {
        match self.evaluate(count)? {
            Value::Int(count) => Ok(count),
            Value::Bool(count) => Ok(i64::from(count)),
            Value::Lost => Err(Stop::Lost),
            other => Err(self.refusal(
                "a loop",
                format!("a loop whose number of steps is {}", other.type_name()),
                "fix the sizes that it depends on with --shape, or export the model with \
                 torch.export.save",
            )),
        }
    }

    fn while_loop(&mut self, condition: &Expression, body: &[Statement]) -> Result<Flow> {
        loop {
            self.step()?;
            let value = self.evaluate(condition)?;
            let truth = self.truth(&value)?;
            let Some(truth) = truth else {
                return Err(self.refusal(
                    "a loop",
                    "a loop that goes on as long as data wants it to",
                    "write it with a fixed number of steps",
                ));
            };
            if !truth {
                return Ok(Flow::Next);
            }
            match self.block(body)? {
                Flow::Break => return Ok(Flow::Next),
                Flow::Return(value) => return Ok(Flow::Return(value)),
                Flow::Next | Flow::Continue => {}
            }
        }
    }

    fn branch(
        &mut self,
        condition: &Expression,
        yes: &[Statement],
        no: &[Statement],
    ) -> Result<Flow> {
        let value = self.evaluate(condition)?;
        match self.truth(&value)? {
            Some(true) => self.block(yes),
            Some(false) => self.block(no),
            None => self.data_dependent(&value, yes, no),
        }
    }

    /// Whether a value counts as true; `None` where that depends on data.
    pub(super) fn truth(&mut self, value: &Value) -> Result<Option<bool>> {
        Ok(Some(match value {
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::None => false,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.borrow().is_empty(),
            Value::Dict(entries) => !entries.borrow().is_empty(),
            Value::Tuple(items, _) => !items.is_empty(),
            Value::Number(number) => {
                let Some(worlds) = &number.worlds else { return Ok(None) };
                let truths: Vec<bool> =
                    worlds.iter().map(|scalar| scalar.as_f64() != 0.0).collect();
                return self.agreed(&truths, Some(number)).map(Some);
            }
            Value::Tensor(tensor) => {
                let mut truths = Vec::new();
                for world in 0..self.worlds {
                    let Some(known) = tensor.known(world) else { return Ok(None) };
                    let array = known.array().ok();
                    let values = array.and_then(|array| array.to_f64s().ok()).unwrap_or_default();
                    let [value] = values.as_slice() else {
                        let text = "Boolean value of Tensor with more than one value is ambiguous";
                        return Err(Stop::Raised(text.into()));
                    };
                    truths.push(*value != 0.0);
                }
                return self.agreed(&truths, None).map(Some);
            }
            Value::Lost => return Err(Stop::Lost),
            other => return Err(self.wrong(format!("the truth of {}", other.type_name()))),
        }))
    }

    /// The items that a loop goes over.
    fn iterated(&mut self, value: &Value) -> Result<Vec<Value>> {
        match value {
            Value::Dict(entries) => {
                Ok(entries.borrow().iter().map(|(key, _)| key.clone()).collect())
            }
            Value::Lost => Err(Stop::Lost),
            other => match other.items() {
                Some(items) => Ok(items),
                None => Err(self.wrong(format!("a loop over {}", other.type_name()))),
            },
        }
    }

    fn assign(&mut self, target: &Expression, value: Value) -> Result<()> {
        match target {
            Expression::Name(name) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.variables.insert(name.clone(), value);
                }
                Ok(())
            }
            Expression::Tuple(targets) => {
                if matches!(value, Value::Lost) {
                    for target in targets {
                        self.assign(target, Value::Lost)?;
                    }
                    return Ok(());
                }
                let items = value.items().unwrap_or_else(|| vec![value.clone()]);
                if items.len() != targets.len() {
                    let (wanted, found) = (targets.len(), items.len());
                    return Err(Stop::Raised(format!(
                        "Expected {wanted} elements in a list but found {found}"
                    )));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item)?;
                }
                Ok(())
            }
            Expression::Attribute(of, name) => match self.evaluate(of)? {
                Value::Object(object) => {
                    self.changes += 1;
                    self.nested(std::slice::from_ref(&value))?;
                    object.attributes.borrow_mut().insert(name.clone(), value);
                    let known = self
                        .set
                        .iter()
                        .any(|(other, attribute)| Rc::ptr_eq(other, &object) && attribute == name);
                    if !known {
                        self.set.push((object, name.clone()));
                    }
                    Ok(())
                }
                other => Err(self.wrong(format!("an attribute of {} is set", other.type_name()))),
            },
            Expression::Index(of, index) => {
                let (of, index) = (self.evaluate(of)?, self.evaluate(index)?);
                self.builtin("torch._set_item", vec![of, index, value], Vec::new()).map(|_| ())
            }
            _ => Err(self.wrong("a value is assigned to what is no variable")),
        }
    }
}
