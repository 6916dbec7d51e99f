//! The whole program of an archive.
//!
//! Attributes that are tensors and that `forward` sets are state: what one call leaves is there in
//! the next one. They become inputs and outputs of the program, in the form that they have after
//! the first call.

use std::collections::HashSet;
use std::rc::Rc;

use modelyard_graph::ElementType;

use super::damaged;
use super::inputs::{self, Input, Inputs, Symbols, Types};
use super::interpret::{Interpreter, Stop};
use super::library::Library;
use super::objects::joined;
use super::outputs::Outputs;
use super::report::{error, lacking, notes, placed};
use super::state::{Kept, State, find, left, size_like};
use super::value::{Object, Value};
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
        program.notes = notes(self.options, &interpreter, &inputs, &kept, &left);
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

/// Values that calls use.
fn used(interpreter: &Interpreter<'_>) -> HashSet<String> {
    let arguments = interpreter.graph.nodes.iter().flat_map(|node| &node.arguments);
    arguments.flat_map(|named| named.value.values()).map(str::to_owned).collect()
}
