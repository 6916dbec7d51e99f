//! The partial evaluation of code: what is known is computed, calls on tensors become calls of a
//! graph.
//!
//! The code runs once, from the top, as PyTorch would run it, with tensors that have sizes but no
//! elements. Sizes that are free have a number of their own in each of several worlds: where a
//! decision comes out differently in two of them, it depends on a free size.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::library::Library;
use super::objects::{Reader, Weights};
use super::value::{Object, Value};
use super::words::Comparison;
use crate::pytorch::graph::{Graph, Size};
use crate::{ConvertError, Limits, Missing};

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
    pub(super) steps: usize,
    /// How many more elements may be made to try calls with.
    pub(super) work: Cell<u64>,
    /// How deep expressions, blocks and calls nest where the code stands.
    pub(super) depth: usize,
    /// How often a value with others in it was put into another one: none nests deeper.
    pub(super) nestings: usize,
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
}
