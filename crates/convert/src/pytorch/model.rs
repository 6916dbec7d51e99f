//! A program as a [`SourceModel`].

use std::collections::{BTreeMap, HashMap, HashSet};

use modelyard_tensor::{Dim, Tensor};

use super::convert::Naming;
use super::graph::{Argument, InputKind, Meta, Node, Program, Range, Size};
use super::weight::Weight;
use super::{convert, evaluate};
use crate::{Conversion, ConvertError, EvaluateError, Format, Options, SourceModel};

/// A program of PyTorch, whatever file it came from.
#[derive(Debug)]
pub(crate) struct ProgramModel {
    program: Program,
    format: Format,
    /// Inputs that the file has, in order; none where it has none.
    sample: Vec<Weight>,
}

impl ProgramModel {
    /// The model that a program is. Options that name what it does not have are errors.
    pub(crate) fn open(
        program: Program,
        format: Format,
        options: &Options,
    ) -> Result<Box<dyn SourceModel>, ConvertError> {
        ProgramModel::open_with_sample(program, Vec::new(), format, options)
    }

    /// As [`ProgramModel::open`], with inputs to try it with, in order.
    pub(crate) fn open_with_sample(
        program: Program,
        sample: Vec<Weight>,
        format: Format,
        options: &Options,
    ) -> Result<Box<dyn SourceModel>, ConvertError> {
        let inputs: HashSet<&str> = program.user_inputs().map(|(name, _)| name).collect();
        for name in options.shapes.keys().chain(&options.inputs) {
            if !inputs.contains(name.as_str()) {
                let mut known: Vec<&str> = inputs.iter().copied().collect();
                known.sort_unstable();
                let message =
                    format!("there is no input '{name}'; the model has {}", known.join(", "));
                return Err(ConvertError::Option(message));
            }
        }
        for (name, meta) in program.user_inputs() {
            if let (Some(dims), Some(Meta::Tensor(_, sizes))) = (options.shapes.get(name), meta) {
                check_shape(name, dims, sizes)?;
            }
        }
        Ok(Box::new(ProgramModel { program, format, sample }))
    }

    /// What to call the free sizes: the one that leads the first input with several dimensions is
    /// the batch.
    fn naming(&self, options: &Options) -> Naming {
        let mut symbols = HashMap::new();
        let batch = self.program.user_inputs().find_map(|(_, meta)| match meta {
            Some(Meta::Tensor(_, sizes)) if sizes.len() > 1 => sizes.first().cloned(),
            _ => None,
        });
        if let Some(Size::Symbol(symbol)) = batch
            && !self.program.symbols.contains_key("batch")
            && self.format != Format::TorchScript
        {
            symbols.insert(symbol, "batch".to_owned());
        }
        let shapes = options.shapes.clone().into_iter().collect();
        Naming { symbols, shapes }
    }

    /// Sizes to try the symbols with: within their range, each another one.
    fn sizes(&self, naming: &Naming) -> BTreeMap<String, usize> {
        let mut sizes = BTreeMap::new();
        let mut next = 3i64;
        for (symbol, range) in &self.program.symbols {
            let name = naming.symbols.get(symbol).unwrap_or(symbol);
            let size = self.program.tried.get(symbol).copied();
            let size = size.unwrap_or_else(|| usize::try_from(size_of(next, *range)).unwrap_or(1));
            sizes.insert(name.clone(), size);
            next += 2;
        }
        sizes
    }

    fn notes(&self, naming: &Naming) -> Vec<String> {
        let mut notes = self.program.notes.clone();
        let is_script = self.format == Format::TorchScript;
        for (symbol, range) in self.program.symbols.iter().filter(|_| !is_script) {
            let name = naming.symbols.get(symbol).unwrap_or(symbol);
            let max = range.max.map_or(String::new(), |max| format!(" to {max}"));
            let most = if range.max.is_some() { "" } else { " or more" };
            notes.push(format!("size '{name}' was exported for {}{max}{most}", range.min));
        }
        if !self.program.guards.is_empty() {
            let shown: Vec<&str> = self.program.guards.iter().take(4).map(String::as_str).collect();
            notes.push(format!("the exporter relied on: {}", shown.join("; ")));
        }
        let is_free = |meta: Option<&Meta>| match meta {
            Some(Meta::Tensor(_, sizes)) => sizes.iter().any(|size| size.known().is_none()),
            _ => false,
        };
        if !self.program.user_inputs().any(|(_, meta)| is_free(meta)) {
            let way_out = match is_script {
                true => "give its size a name, as in --shape x=batch,3,224,224",
                false => {
                    "export with torch.export.export(model, args, \
                     dynamic_shapes=({0: torch.export.Dim(\"batch\")},))"
                }
            };
            notes.push(format!("all sizes are fixed, the batch too; for a free batch {way_out}"));
        }
        notes
    }

    /// Indices of embeddings must be below the number of rows.
    fn ranges(&self) -> BTreeMap<String, (f64, f64)> {
        let mut ranges = BTreeMap::new();
        let user: HashSet<&str> = self.program.user_inputs().map(|(name, _)| name).collect();
        let nodes = self.program.graph.nodes.iter();
        let makers: HashMap<&str, &Node> = nodes
            .flat_map(|node| node.outputs.iter().map(move |name| (name.as_str(), node)))
            .collect();
        for node in &self.program.graph.nodes {
            if !node.target.starts_with("aten.embedding.") {
                continue;
            }
            let arguments = super::arguments::Arguments::new(node, "weight indices");
            let (Argument::Value(weight), Argument::Value(indices)) =
                (arguments.get("weight"), arguments.get("indices"))
            else {
                continue;
            };
            let rows = match self.program.graph.values.get(weight) {
                Some(Meta::Tensor(_, sizes)) => sizes.first().and_then(Size::known),
                _ => None,
            };
            let (Some(rows), Some(input)) = (rows, origin(indices, &user, &makers)) else {
                continue;
            };
            let range = ranges.entry(input).or_insert((0.0, f64::INFINITY));
            range.1 = f64::min(range.1, (rows - 1).max(0) as f64);
        }
        ranges
    }
}

/// `next`, or the nearest number in the range.
fn size_of(next: i64, Range { min, max }: Range) -> i64 {
    next.clamp(min.max(1), max.unwrap_or(i64::MAX).max(min.max(1)))
}

/// The user input that a value is a view, cast or copy of.
fn origin(value: &str, user: &HashSet<&str>, makers: &HashMap<&str, &Node>) -> Option<String> {
    const STEPS: usize = 32;
    const CARRIED: [&str; 14] = [
        "view",
        "reshape",
        "to",
        "_to_copy",
        "slice",
        "select",
        "contiguous",
        "clone",
        "unsqueeze",
        "squeeze",
        "expand",
        "alias",
        "clamp",
        "detach",
    ];
    let mut at = value;
    for _ in 0..STEPS {
        if user.contains(at) {
            return Some(at.to_owned());
        }
        let node = makers.get(at)?;
        if !CARRIED.contains(&node.target.split('.').nth(1)?) {
            return None;
        }
        at = node.arguments.first()?.value.values().first().copied()?;
    }
    None
}

/// An error where a shape asks for another size than the program was exported with: it may have
/// become a number anywhere in it.
fn check_shape(name: &str, dims: &[Dim], sizes: &[Size]) -> Result<(), ConvertError> {
    let fits = |(dim, size): (&Dim, &Size)| match (dim, size) {
        (Dim::Fixed(dim), Size::Known(size)) => i64::try_from(*dim) == Ok(*size),
        (_, Size::Known(_)) => false,
        _ => true,
    };
    if dims.len() == sizes.len() && dims.iter().zip(sizes).all(fits) {
        return Ok(());
    }
    let found: Vec<String> = sizes.iter().map(Size::to_string).collect();
    let found = found.join(", ");
    Err(ConvertError::Option(format!(
        "input '{name}' was exported with shape [{found}]; for another one export the model again, \
         with dynamic_shapes where sizes shall be free"
    )))
}

impl SourceModel for ProgramModel {
    fn format(&self) -> Format {
        self.format
    }

    fn producer(&self) -> String {
        self.program.producer.clone()
    }

    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError> {
        let naming = self.naming(options);
        let mut conversion = convert::convert(&self.program, &naming)?;
        let mut notes = self.notes(&naming);
        notes.append(&mut conversion.notes);
        conversion.notes = notes;
        conversion.sizes = self.sizes(&naming);
        conversion.ranges = self.ranges();
        Ok(conversion)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        let expected = self.program.inputs.iter().filter(|kind| **kind == InputKind::User).count();
        if inputs.len() != expected {
            let found = inputs.len();
            return Err(EvaluateError::new(format!("expected {expected} inputs, found {found}")));
        }
        evaluate::evaluate(&self.program, inputs)
    }

    fn samples(&self) -> Vec<Vec<Tensor>> {
        // Those that cannot be read are not tried.
        let tensor = |weight: &Weight| weight.array().and_then(|array| array.to_tensor()).ok();
        let sample: Option<Vec<Tensor>> = self.sample.iter().map(tensor).collect();
        sample.filter(|sample| !sample.is_empty()).into_iter().collect()
    }
}
