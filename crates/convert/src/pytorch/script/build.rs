//! The whole program of an archive.
//!
//! Attributes that are tensors and that `forward` sets are state: what one call leaves is there in
//! the next one. They become inputs and outputs of the program, in the form that they have after
//! the first call.

use std::collections::HashSet;
use std::rc::Rc;

use modelyard_graph::ElementType;

use super::inputs::{self, Input, Inputs, Symbols, Types};
use super::interpret::{Interpreter, Stop};
use super::library::Library;
use super::objects::joined;
use super::outputs::Outputs;
use super::value::{Number, Object, Tensor, Value};
use super::{FORMAT, damaged};
use crate::input::Source;
use crate::pytorch::graph::{Argument, InputKind, Meta, OutputKind, Program, Range, Size};
use crate::{ConvertError, Limits, Missing, Options};

/// How often state is looked at until it keeps its form.
const CALLS: usize = 4;

/// Where free sizes other than the batch are tried from, in this order: images, sequences, samples.
const BASES: [usize; 5] = [224, 96, 32, 8, 16_000];

/// Reads the program of an archive.
pub(super) fn program(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Program, ConvertError> {
    let library = Library::open(source, limits)?;
    let bases = if inputs::has_inner(options) { &BASES[..] } else { &BASES[..1] };
    let mut first = None;
    for &base in bases {
        let symbols = inputs::symbols(options, base);
        match (Builder { library: &library, options, limits, symbols, kept: HashSet::new() })
            .build()
        {
            Ok(program) => return Ok(program),
            Err(error @ ConvertError::Option(_)) => return Err(error),
            // Perhaps the sizes do not suit the model.
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| damaged("the archive", "it has no program")))
}

struct Builder<'b> {
    library: &'b Library,
    options: &'b Options,
    limits: &'b Limits,
    /// What free sizes are tried with.
    symbols: Symbols,
    /// Free sizes that are tried with no larger ones, whatever the code compares them with.
    kept: HashSet<String>,
}

/// How often a model is tried with other sizes.
const MOST_TRIES: usize = 24;

/// State that calls leave behind: where it is, and its form.
#[derive(Clone, Debug, PartialEq)]
struct State {
    path: String,
    attribute: String,
    kept: Kept,
}

#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Tensor(ElementType, Vec<Size>),
    /// A number or nothing, as it is.
    Plain(String),
}

/// One evaluation of `forward`.
struct Run<'l> {
    interpreter: Interpreter<'l>,
    inputs: Vec<Input>,
    result: Value,
    /// State that it started with, as inputs.
    states: Vec<Input>,
    /// State that it left behind.
    left: Vec<(State, Value)>,
}

impl Builder<'_> {
    fn build(&mut self) -> Result<Program, ConvertError> {
        let mut types: Types = self.options.types.clone().into_iter().collect();
        let mut grown = HashSet::new();
        let first = self.symbols.clone();
        for _ in 0..MOST_TRIES {
            let (stop, missing) = match self.settled(&types) {
                Ok(run) => return self.finish(run),
                Err(found) => found,
            };
            match stop {
                // Each time another input turns out to be of indices.
                Stop::Retype(name) if !types.contains_key(&name) => self.retype(&name, &mut types),
                Stop::Leave(world) => self.leave(world),
                Stop::Beyond(symbol, size) => {
                    self.grow(&symbol, size);
                    grown.insert(symbol);
                }
                // Perhaps the larger sizes do not suit the model.
                _ if !grown.is_empty() => {
                    self.symbols.clone_from(&first);
                    self.kept.extend(grown.drain());
                }
                stop => return Err(error(stop, missing)),
            }
        }
        Err(damaged(
            "the archive",
            "its code decides too much by free sizes; fix some with --shape",
        ))
    }

    /// Goes without a world.
    fn leave(&mut self, world: usize) {
        for sizes in self.symbols.values_mut().filter(|sizes| world < sizes.len()) {
            sizes.remove(world);
        }
    }

    /// Tries a free size with more than this, too.
    fn grow(&mut self, symbol: &str, size: usize) {
        let number = self.symbols.keys().position(|other| other == symbol).unwrap_or(0);
        if let Some(second) = self.symbols.get_mut(symbol).and_then(|sizes| sizes.get_mut(1)) {
            // Even, and apart from each other.
            *second = (size + size / 8 + 2) / 2 * 2 + 2 * number + 8;
        }
    }

    /// An input is of indices; so are those of the same shape that nothing was said of.
    fn retype(&self, name: &str, types: &mut Types) {
        types.insert(name.to_owned(), ElementType::Int64);
        let shape = self.options.shapes.get(name);
        for (other, dims) in &self.options.shapes {
            if Some(dims) == shape && !types.contains_key(other) {
                types.insert(other.clone(), ElementType::Int64);
            }
        }
    }

    /// A run whose state keeps its form.
    fn settled(&self, types: &Types) -> Result<Run<'_>, (Stop, Vec<Missing>)> {
        let mut states: Vec<(State, Option<Value>)> = Vec::new();
        for _ in 0..CALLS {
            let run = self.run(types, &states)?;
            let is_tensor = |state: &&(State, Value)| matches!(state.0.kept, Kept::Tensor(..));
            if !run.left.iter().any(|left| is_tensor(&left)) {
                return Ok(run);
            }
            let after: Vec<(State, Option<Value>)> = run
                .left
                .iter()
                .map(|(state, value)| {
                    let plain = !matches!(value, Value::Tensor(_));
                    (state.clone(), plain.then(|| value.clone()))
                })
                .collect();
            let same = |(one, two): (&(State, _), &(State, _))| match (&one.0.kept, &two.0.kept) {
                (Kept::Tensor(..), Kept::Tensor(..)) => one.0 == two.0,
                // Numbers may go on changing: a counter.
                _ => true,
            };
            if after.len() == states.len() && states.iter().zip(&after).all(same) {
                return Ok(run);
            }
            states = after;
        }
        let missing = Missing {
            operator: "state".into(),
            place: "forward".into(),
            reason: "state whose shape changes with each call".into(),
            way_out: "keep it outside of the model: as an input and an output".into(),
        };
        Err((Stop::Refused(Box::new(missing)), Vec::new()))
    }

    fn run(
        &self,
        types: &Types,
        states: &[(State, Option<Value>)],
    ) -> Result<Run<'_>, (Stop, Vec<Missing>)> {
        let worlds = self.symbols.values().next().map_or(1, Vec::len);
        let early = |stop| (stop, Vec::new());
        let mut interpreter = Interpreter::new(self.library, self.limits, worlds).map_err(early)?;
        for (symbol, sizes) in &self.symbols {
            interpreter.symbols.insert(sizes.clone(), Size::Symbol(symbol.clone()));
        }
        interpreter.subjects = inputs::subjects(self.options);
        interpreter.kept = self.kept.clone();
        let root = interpreter.root().map_err(early)?;
        let forward = root.class.method("forward").cloned();
        let forward = forward.ok_or_else(|| {
            early(damaged("the archive", "its root module has no method 'forward'").into())
        })?;
        let inputs = Inputs::new(&mut interpreter, self.options, &self.symbols, types);
        let (arguments, inputs) =
            inputs.arguments(&forward).map_err(|error| early(error.into()))?;
        let states = self.restore(&mut interpreter, &root, states);
        let file = Library::file_name(&root.class_name).into();
        let mut all = vec![Value::Object(Rc::clone(&root))];
        all.extend(arguments);
        let result = interpreter.invoke((file, &forward, String::new()), all, Vec::new());
        let result = match result {
            Ok(result) => result,
            Err(stop) => {
                let missing = lacking(&stop, &mut interpreter);
                return Err((placed(stop, &interpreter), missing));
            }
        };
        let left = left(&interpreter);
        Ok(Run { interpreter, inputs, result, states, left })
    }

    /// Puts state where it was left.
    fn restore(
        &self,
        interpreter: &mut Interpreter<'_>,
        root: &Rc<Object>,
        states: &[(State, Option<Value>)],
    ) -> Vec<Input> {
        let mut made = Vec::new();
        for (state, plain) in states {
            let Some(object) = find(root, &state.path) else { continue };
            let value = match (&state.kept, plain) {
                (Kept::Tensor(element_type, sizes), _) => {
                    let name = format!("state.{}", joined(&state.path, &state.attribute));
                    let sizes = sizes.clone();
                    let input = Input { name, element_type: *element_type, sizes };
                    let value = inputs::input_value(interpreter, &input, &self.symbols);
                    made.push(input);
                    value
                }
                // A free size of the run before is that of an input.
                (Kept::Plain(_), Some(Value::Number(number))) => {
                    match size_like(interpreter, number) {
                        Some(size) => size,
                        None => continue,
                    }
                }
                (Kept::Plain(_), Some(value)) => value.clone(),
                (Kept::Plain(_), None) => continue,
            };
            object.attributes.borrow_mut().insert(state.attribute.clone(), value);
        }
        made
    }

    fn finish(&self, run: Run<'_>) -> Result<Program, ConvertError> {
        let Run { mut interpreter, inputs, result, states, left } = run;
        let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        let outputs = Outputs::new(&mut interpreter, &result, names.into_iter());
        let mut outputs = match outputs {
            Ok(outputs) => outputs,
            Err(stop) => {
                let missing = lacking(&stop, &mut interpreter);
                return Err(error(stop, missing));
            }
        };
        let mut used = used(&interpreter);
        used.extend(outputs.found.iter().flat_map(|(_, argument)| {
            argument.values().into_iter().map(str::to_owned).collect::<Vec<_>>()
        }));
        // What is only written is no state.
        let kept: Vec<Input> =
            states.into_iter().filter(|state| used.contains(&state.name)).collect();
        if let Some(state) = kept.iter().find(|state| state.sizes.contains(&Size::Unknown)) {
            let missing = Missing {
                operator: "state".into(),
                place: state.name.clone(),
                reason: "state of a size that depends on a free size, but is another one".into(),
                way_out: "give the sizes of inputs as numbers with --shape".into(),
            };
            return Err(ConvertError::Unsupported(vec![missing]));
        }
        for (state, value) in &left {
            let name = format!("state.{}", joined(&state.path, &state.attribute));
            if let Value::Tensor(tensor) = value
                && kept.iter().any(|input| input.name == name)
            {
                used.insert(tensor.name.clone());
                outputs.put(&format!("{name}.next"), Argument::Value(tensor.name.clone()));
            }
        }
        if !interpreter.missing.is_empty() {
            return Err(ConvertError::Unsupported(interpreter.missing));
        }
        let mut program = Program::new(&self.producer());
        program.notes = notes(self, &interpreter, &inputs, &kept, &left);
        program.graph.values = std::mem::take(&mut interpreter.graph.values);
        for input in inputs.iter().chain(&kept) {
            let meta = Meta::Tensor(input.element_type, input.sizes.clone());
            program.add_input(&input.name, InputKind::User, meta);
        }
        for (name, weight) in std::mem::take(&mut interpreter.weights) {
            if used.contains(&name) {
                program.add_weight(&name, InputKind::Buffer(name.clone()), &name, weight);
            }
        }
        program.graph.nodes = std::mem::take(&mut interpreter.graph.nodes);
        for (name, argument) in outputs.found {
            program.graph.outputs.push(argument);
            program.outputs.push(OutputKind::User(name));
        }
        for (symbol, sizes) in &self.symbols {
            program.symbols.insert(symbol.clone(), Range { min: 1, max: None });
            program.tried.extend(sizes.first().map(|&size| (symbol.clone(), size)));
        }
        Ok(program)
    }

    fn producer(&self) -> String {
        match self.library.version().as_str() {
            "" => "TorchScript".into(),
            version => format!("TorchScript, operators of version {version}"),
        }
    }
}

/// Conditions that are listed.
const MOST_GUARDS: usize = 20;

/// Values that calls use.
fn used(interpreter: &Interpreter<'_>) -> HashSet<String> {
    let arguments = interpreter.graph.nodes.iter().flat_map(|node| &node.arguments);
    arguments.flat_map(|named| named.value.values()).map(str::to_owned).collect()
}

/// What the reader should know.
fn notes(
    builder: &Builder<'_>,
    interpreter: &Interpreter<'_>,
    inputs: &[Input],
    kept: &[Input],
    left: &[(State, Value)],
) -> Vec<String> {
    let mut notes = Vec::new();
    for input in inputs {
        if !builder.options.types.contains_key(&input.name) {
            notes.push(format!(
                "input '{}' is taken as {}: TorchScript does not say; --type {0}=TYPE gives another",
                input.name, input.element_type
            ));
        }
    }
    for (name, value) in &builder.options.values {
        notes.push(format!("input '{name}' is fixed as {value}"));
    }
    notes.extend(interpreter.guards.iter().take(MOST_GUARDS).cloned());
    if let Some(more) = interpreter.guards.len().checked_sub(MOST_GUARDS).filter(|&more| more > 0) {
        notes.push(format!("takes {more} more conditions on sizes for granted"));
    }
    for input in kept {
        notes.push(format!(
            "state '{}' is an input; give it what '{0}.next' was in the call before. In the first \
             call the model has what was saved, which may be of another shape",
            input.name
        ));
    }
    for (state, value) in left {
        let name = joined(&state.path, &state.attribute);
        let is_kept = kept.iter().any(|input| input.name == format!("state.{name}"));
        if !is_kept && !is_same(value, state, interpreter) {
            notes.push(format!(
                "the model sets '{name}' in each call; the converted model starts each time from {}",
                if kept.is_empty() { "what was saved" } else { "what it is after the first call" }
            ));
        }
    }
    notes
}

/// Whether an attribute was set to what it was in the call before.
fn is_same(value: &Value, state: &State, _interpreter: &Interpreter<'_>) -> bool {
    match &state.kept {
        Kept::Plain(text) => {
            *text == super::texts::shown(value) && !matches!(value, Value::Tensor(_))
        }
        Kept::Tensor(..) => false,
    }
}

/// The size of an input that is this number in all worlds.
fn size_like(interpreter: &mut Interpreter<'_>, number: &Number) -> Option<Value> {
    let worlds = number.worlds.as_ref()?;
    let sizes: Vec<usize> =
        worlds.iter().map(|one| usize::try_from(one.as_i64()).ok()).collect::<Option<_>>()?;
    let mut names: Vec<String> = interpreter.origins.keys().cloned().collect();
    names.sort_unstable();
    for name in names {
        let Some(Value::Tensor(tensor)) = interpreter.values.get(&name).cloned() else { continue };
        for axis in 0..tensor.rank() {
            let own = tensor.worlds.iter().map(|seen| seen.dims.get(axis).copied().unwrap_or(0));
            if own.eq(sizes.iter().copied()) {
                return interpreter.size(&tensor, axis).ok();
            }
        }
    }
    None
}

/// The object at a path from the root.
fn find(root: &Rc<Object>, path: &str) -> Option<Rc<Object>> {
    let mut at = Rc::clone(root);
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let next = match at.attributes.borrow().get(part) {
            Some(Value::Object(object)) => Rc::clone(object),
            _ => return None,
        };
        at = next;
    }
    Some(at)
}

/// Attributes of modules that a run has set, with their values at its end.
fn left(interpreter: &Interpreter<'_>) -> Vec<(State, Value)> {
    let mut left = Vec::new();
    for (object, attribute) in &interpreter.set {
        if object.path.is_empty() && object.class.base != "Module" {
            // Made by the code itself: gone with the call.
            continue;
        }
        let Some(value) = object.attributes.borrow().get(attribute).cloned() else { continue };
        let kept = match &value {
            Value::Tensor(tensor) => form(interpreter, tensor),
            other => Kept::Plain(super::texts::shown(other)),
        };
        let state = State { path: object.path.clone(), attribute: attribute.clone(), kept };
        left.push((state, value));
    }
    left
}

fn form(interpreter: &Interpreter<'_>, tensor: &Tensor) -> Kept {
    match interpreter.tensor_meta(tensor) {
        Meta::Tensor(element_type, sizes) => Kept::Tensor(element_type, sizes),
        _ => Kept::Tensor(tensor.first().0, Vec::new()),
    }
}

/// An exception with the place where it was raised.
fn placed(stop: Stop, interpreter: &Interpreter<'_>) -> Stop {
    match stop {
        Stop::Raised(text) => interpreter.refusal(
            "an exception",
            format!("what the code raises for these inputs: {text}"),
            "give other shapes or values (--shape, --value)",
        ),
        other => other,
    }
}

/// What is missing; where nothing is and the code decides on what has no value, why it has none.
fn lacking(stop: &Stop, interpreter: &mut Interpreter<'_>) -> Vec<Missing> {
    let mut missing = std::mem::take(&mut interpreter.missing);
    if !missing.is_empty() || !matches!(stop, Stop::Lost) {
        return missing;
    }
    let asked = |variable: &Option<String>| {
        variable.as_ref().is_some_and(|variable| interpreter.asked.contains(variable))
    };
    let is_asked = interpreter.doubts.iter().any(|(variable, _)| asked(variable));
    for (variable, doubt) in &interpreter.doubts {
        if (asked(variable) || !is_asked) && !missing.contains(doubt) {
            missing.push(doubt.clone());
        }
    }
    missing
}

/// The error of an evaluation that ended early, with all that was missing before.
fn error(stop: Stop, mut missing: Vec<Missing>) -> ConvertError {
    match stop {
        Stop::Refused(last) => missing.push(*last),
        Stop::Failed(error) if missing.is_empty() => return error,
        Stop::Raised(text) => missing.push(Missing {
            operator: "an exception".into(),
            place: FORMAT.into(),
            reason: format!("what the code raises: {text}"),
            way_out: String::new(),
        }),
        Stop::Failed(_) | Stop::Lost | Stop::Retype(_) | Stop::Leave(_) | Stop::Beyond(..) => {}
    }
    if missing.is_empty() {
        missing.push(Missing {
            operator: "a value".into(),
            place: "forward".into(),
            reason: "a decision or output that depends on a variable without a value".into(),
            way_out: "save the model with torch.export.save instead".into(),
        });
    }
    ConvertError::Unsupported(missing)
}
