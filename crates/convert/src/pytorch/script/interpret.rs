//! The partial evaluation of code: what is known is computed, calls on tensors become calls of a
//! graph.
//!
//! The code runs once, from the top, as PyTorch would run it, with tensors that have sizes but no
//! elements. Sizes that are free have a number of their own in each of several worlds: where a
//! decision comes out differently in two of them, it depends on a free size.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::guards::Comparison;
use super::library::Library;
use super::objects::{Reader, Weights};
use super::syntax::{Expression, Function, Statement, What};
use super::value::{Callee, Object, Value};
use crate::pytorch::graph::{Graph, Size};
use crate::{ConvertError, Limits, Missing};

/// How deep calls may nest.
const CALLS: usize = 100;

/// How deep calls, blocks and expressions may nest together. Each level takes some kilobytes of
/// [`STACK_BYTES`](super::STACK_BYTES).
const MOST_DEPTH: usize = 2_000;

/// How often values may be put into others: whoever walks a value, or drops it, goes as deep.
const MOST_NESTINGS: usize = 20_000;

/// Why an evaluation does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something that has no counterpart.
    Refused(Box<Missing>),
    /// The file is damaged.
    Failed(ConvertError),
    /// The code raises an exception.
    Raised(String),
    /// It depends on a call that was refused before.
    Lost,
    /// The input of this name is of indices, not of floats.
    Retype(String),
    /// The model does not go along in this world, or decides otherwise there.
    Leave(usize),
    /// The code cuts a free size off at this number, which none of its sizes reaches.
    Beyond(String, usize),
}

impl From<ConvertError> for Stop {
    fn from(error: ConvertError) -> Self {
        Stop::Failed(error)
    }
}

pub(super) type Result<T> = std::result::Result<T, Stop>;

/// What comes after a statement.
#[derive(Debug)]
pub(super) enum Flow {
    Next,
    Return(Value),
    Break,
    Continue,
}

/// A function that runs.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) file: Rc<str>,
    pub(super) function: Rc<str>,
    /// The module that it belongs to.
    pub(super) path: String,
    pub(super) line: u32,
    pub(super) variables: HashMap<String, Value>,
}

/// Runs code.
pub(super) struct Interpreter<'l> {
    pub(super) library: &'l Library,
    pub(super) limits: &'l Limits,
    pub(super) constants: Vec<Value>,
    /// In how many worlds it runs.
    pub(super) worlds: usize,
    /// Free sizes by what they are in the worlds.
    pub(super) symbols: HashMap<Vec<usize>, Size>,
    /// What people know free sizes as.
    pub(super) subjects: HashMap<String, String>,
    /// Free sizes that are tried with no other sizes, whatever the code compares them with.
    pub(super) kept: HashSet<String>,
    /// How numbers of the graph come about, in words.
    pub(super) words: HashMap<String, String>,
    /// Numbers that are comparisons.
    pub(super) comparisons: HashMap<String, Comparison>,
    /// The calls so far, with what is known of their values.
    pub(super) graph: Graph,
    /// Sizes of tensors that are in the graph, by tensor and axis.
    pub(super) sizes: HashMap<(String, usize), Value>,
    /// Which input a value is a view or copy of.
    pub(super) origins: HashMap<String, String>,
    /// Values of the graph by name.
    pub(super) values: HashMap<String, Value>,
    pub(super) weights: Weights,
    pub(super) names: Names,
    /// What has no counterpart.
    pub(super) missing: Vec<Missing>,
    /// What has no counterpart, if somebody needs it; of which variable, where it is one.
    pub(super) doubts: Vec<(Option<String>, Missing)>,
    /// Variables without a value that somebody asked for.
    pub(super) asked: HashSet<String>,
    /// Decisions that depend on free sizes.
    pub(super) guards: Vec<String>,
    /// Attributes that the code sets.
    pub(super) set: Vec<(Rc<Object>, String)>,
    /// How often lists, dicts and objects were changed.
    pub(super) changes: usize,
    pub(super) frames: Vec<Frame>,
    steps: usize,
    /// How many more elements may be made to try calls with.
    pub(super) work: Cell<u64>,
    /// How deep expressions, blocks and calls nest where the code stands.
    pub(super) depth: usize,
    /// How often a value with others in it was put into another one: none nests deeper.
    nestings: usize,
}

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    counts: HashMap<String, usize>,
}

impl Names {
    /// A name that is not taken yet: `base`, `base_1`, ...
    pub(super) fn fresh(&mut self, base: &str) -> String {
        if self.taken.insert(base.to_owned()) {
            return base.to_owned();
        }
        let count = self.counts.entry(base.to_owned()).or_default();
        loop {
            *count += 1;
            let name = format!("{base}_{count}");
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

impl<'l> Interpreter<'l> {
    /// One that runs code of this archive in so many worlds.
    pub(super) fn new(
        library: &'l Library,
        limits: &'l Limits,
        worlds: usize,
    ) -> Result<Interpreter<'l>> {
        let mut weights = Weights::new();
        let constants = Reader::new(library, "constants", worlds, &mut weights)?.read()?;
        let mut interpreter = Interpreter {
            library,
            limits,
            constants: constants.items().unwrap_or_default(),
            worlds,
            symbols: HashMap::new(),
            subjects: HashMap::new(),
            kept: HashSet::new(),
            words: HashMap::new(),
            comparisons: HashMap::new(),
            graph: Graph::default(),
            sizes: HashMap::new(),
            origins: HashMap::new(),
            values: HashMap::new(),
            weights,
            names: Names::default(),
            missing: Vec::new(),
            doubts: Vec::new(),
            asked: HashSet::new(),
            guards: Vec::new(),
            set: Vec::new(),
            changes: 0,
            frames: Vec::new(),
            steps: 0,
            work: Cell::new(super::cost::MOST_WORK),
            depth: 0,
            nestings: 0,
        };
        for constant in interpreter.constants.clone() {
            interpreter.register(&constant, &mut HashSet::new());
        }
        Ok(interpreter)
    }

    /// The root module with all of its attributes.
    pub(super) fn root(&mut self) -> Result<Rc<Object>> {
        let root = Reader::new(self.library, "data", self.worlds, &mut self.weights)?.read()?;
        self.register(&root, &mut HashSet::new());
        match root {
            Value::Object(object) => Ok(object),
            other => {
                let message = format!("expected a module, found {}", other.type_name());
                Err(super::damaged("data.pkl", message).into())
            }
        }
    }

    /// Makes tensors of the archive known to the graph.
    fn register(&mut self, value: &Value, seen: &mut HashSet<*const ()>) {
        match value {
            Value::Tensor(tensor) => {
                self.names.fresh(&tensor.name);
                self.values.insert(tensor.name.clone(), value.clone());
                let meta = self.tensor_meta(tensor);
                self.graph.values.insert(tensor.name.clone(), meta);
            }
            Value::Object(object) if seen.insert(Rc::as_ptr(object).cast()) => {
                for value in object.attributes.borrow().values() {
                    self.register(value, seen);
                }
            }
            Value::List(items) if seen.insert(Rc::as_ptr(items).cast()) => {
                items.borrow().iter().for_each(|item| self.register(item, seen));
            }
            Value::Tuple(items, _) if seen.insert(Rc::as_ptr(items).cast()) => {
                items.iter().for_each(|item| self.register(item, seen))
            }
            Value::Dict(entries) if seen.insert(Rc::as_ptr(entries).cast()) => {
                entries.borrow().iter().for_each(|(_, value)| self.register(value, seen));
            }
            _ => {}
        }
    }

    /// Where the code stands, for people.
    pub(super) fn place(&self) -> String {
        match self.frames.last() {
            Some(frame) => {
                let module = match frame.path.as_str() {
                    "" => String::new(),
                    path => format!(" of {path}"),
                };
                format!("{}:{}, {}{module}", frame.file, frame.line, frame.function)
            }
            None => "the model".into(),
        }
    }

    /// A refusal of something at the place where the code stands.
    pub(super) fn refusal(
        &self,
        what: impl Into<String>,
        reason: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Stop {
        Stop::Refused(Box::new(Missing {
            operator: what.into(),
            place: self.place(),
            reason: reason.into(),
            way_out: way_out.into(),
        }))
    }

    /// The error of code that contradicts itself.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Stop {
        Stop::Failed(super::damaged(&self.place(), message.into()))
    }

    /// Calls a function with these arguments.
    pub(super) fn invoke(
        &mut self,
        (file, function, path): (Rc<str>, &Rc<Function>, String),
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        if self.frames.len() >= CALLS {
            return Err(self.wrong(format!("calls nest deeper than {CALLS} levels")));
        }
        let line = function.body.first().map_or(0, |statement| statement.line);
        self.frames.push(Frame {
            file,
            function: function.name.as_str().into(),
            path,
            line,
            variables: HashMap::new(),
        });
        let variables = self.bind(function, positional, named)?;
        if let Some(frame) = self.frames.last_mut() {
            frame.variables = variables;
        }
        // The frame stays where the code stops: it says where that was.
        let flow = self.block(&function.body)?;
        self.frames.pop();
        Ok(match flow {
            Flow::Return(value) => value,
            _ => Value::None,
        })
    }

    fn bind(
        &mut self,
        function: &Function,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<HashMap<String, Value>> {
        let mut variables = HashMap::new();
        let given = positional.len();
        if given > function.parameters.len() {
            let message = format!("'{}' is called with {given} arguments", function.name);
            return Err(self.wrong(message));
        }
        let mut values = positional.into_iter();
        for parameter in &function.parameters {
            let by_name = named.iter().find(|(name, _)| *name == parameter.name);
            let value = match (values.next(), by_name, &parameter.default) {
                (Some(value), ..) => value,
                (None, Some((_, value)), _) => value.clone(),
                (None, None, Some(default)) => self.evaluate(default)?,
                (None, None, None) => {
                    let message = format!(
                        "'{}' is called without argument '{}'",
                        function.name, parameter.name
                    );
                    return Err(self.wrong(message));
                }
            };
            variables.insert(parameter.name.clone(), value);
        }
        Ok(variables)
    }

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

    /// Counts what is done: loops of the code may not go on for ever.
    pub(super) fn step(&mut self) -> Result<()> {
        self.steps_of(1)
    }

    /// Counts what was made: each item and letter is a step.
    pub(super) fn charge(&mut self, made: &Value) -> Result<()> {
        match made {
            Value::Text(text) => self.steps_of(text.len() / 512),
            Value::List(items) => {
                let count = items.borrow().len();
                self.steps_of(count)
            }
            Value::Tuple(items, _) => self.steps_of(items.len()),
            Value::Dict(entries) => {
                let count = entries.borrow().len();
                self.steps_of(count)
            }
            _ => Ok(()),
        }
    }

    /// Counts a walk over the items or letters of a value.
    pub(super) fn charge_scan(&mut self, over: &[Value]) -> Result<()> {
        let length = match over.first() {
            Some(Value::Text(text)) => text.len() / 8,
            Some(Value::List(items)) => items.borrow().len(),
            Some(Value::Dict(entries)) => entries.borrow().len(),
            _ => 0,
        };
        if length < 64 { Ok(()) } else { self.steps_of(length / 64) }
    }

    /// Counts values that are put into another one and may have others in them.
    pub(super) fn nested(&mut self, items: &[Value]) -> Result<()> {
        let deep = |value: &&Value| {
            matches!(value, Value::List(_) | Value::Tuple(..) | Value::Dict(_) | Value::Object(_))
        };
        self.nestings += items.iter().filter(deep).count();
        if self.nestings > MOST_NESTINGS {
            return Err(Stop::Failed(ConvertError::TooLarge {
                place: self.place(),
                what: "lists, tuples and dicts within others",
                found: self.nestings as u64,
                limit: MOST_NESTINGS as u64,
            }));
        }
        Ok(())
    }

    /// Goes one level deeper for a step.
    pub(super) fn deeper<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MOST_DEPTH {
            return Err(Stop::Failed(ConvertError::TooLarge {
                place: self.place(),
                what: "levels of calls, blocks and expressions",
                found: self.depth as u64 + 1,
                limit: MOST_DEPTH as u64,
            }));
        }
        self.depth += 1;
        let result = step(self);
        self.depth -= 1;
        result
    }

    pub(super) fn steps_of(&mut self, count: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(count);
        let limit = self.limits.nodes.saturating_mul(4);
        if self.steps > limit {
            return Err(Stop::Failed(ConvertError::TooLarge {
                place: self.place(),
                what: "steps of the code",
                found: self.steps as u64,
                limit: limit as u64,
            }));
        }
        Ok(())
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

    /// A callable as a value, and what it is called with.
    pub(super) fn call(
        &mut self,
        callee: Callee,
        positional: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value> {
        let path = self.frames.last().map_or(String::new(), |frame| frame.path.clone());
        match callee {
            Callee::Function(file, function) => {
                self.invoke((file, &function, path), positional, named)
            }
            Callee::Method(object, function) => {
                let file = Library::file_name(&object.class_name).into();
                let path = if object.path.is_empty() { path } else { object.path.clone() };
                let mut all = vec![Value::Object(object)];
                all.extend(positional);
                self.invoke((file, &function, path), all, named)
            }
            Callee::Class(name, class) if class.base == "NamedTuple" => {
                let mut items = positional;
                for field in class.fields.iter().skip(items.len()) {
                    match named.iter().find(|(name, _)| *name == field.name) {
                        Some((_, value)) => items.push(value.clone()),
                        None => return Err(self.wrong(format!("'{name}' without all its fields"))),
                    }
                }
                self.nested(&items)?;
                Ok(Value::Tuple(Rc::new(items), Some(class)))
            }
            Callee::Class(class_name, class) => {
                let object = self.instance(class_name, class);
                let method = object.class.method("__init__").cloned();
                if let Some(method) = method {
                    let callee = Callee::Method(Rc::clone(&object), method);
                    self.call(callee, positional, named)?;
                }
                Ok(Value::Object(object))
            }
            Callee::Builtin(name) => self.builtin(&name, positional, named),
        }
    }

    /// An object without attributes.
    pub(super) fn instance(
        &self,
        class_name: Rc<str>,
        class: Rc<super::syntax::Class>,
    ) -> Rc<Object> {
        Rc::new(Object { class_name, class, path: String::new(), attributes: Default::default() })
    }
}
