//! The graph of a symbol as ONNX.

use std::collections::{BTreeMap, HashMap};

use modelyard_tensor::Dim;

use super::candidates::{Layout, layout};
use super::infer::Info;
use super::ops::{self, Op};
use super::problem::Problem;
use super::site::{Known, Operand, Site};
use super::symbol::Place;
use super::{MxNet, NAME};
use crate::emitter::Emitter;
use crate::{Conversion, ConvertError, Options};

pub(super) fn convert(model: &MxNet, options: &Options) -> Result<Conversion, ConvertError> {
    let free = layout(model, options, false)?;
    match Converter::new(model, free).run() {
        Err(Stop::FreeSize(place)) => {
            let fixed = layout(model, options, true)?;
            let mut conversion = Converter::new(model, fixed).run().map_err(Stop::into_error)?;
            let note = format!("sizes are fixed because of '{place}', which depends on them");
            conversion.notes.push(note);
            Ok(conversion)
        }
        other => other.map_err(Stop::into_error),
    }
}

/// Why a conversion ended.
enum Stop {
    /// A node needs sizes that are free.
    FreeSize(String),
    Error(ConvertError),
}

impl Stop {
    fn into_error(self) -> ConvertError {
        match self {
            Stop::Error(error) => error,
            Stop::FreeSize(place) => ConvertError::Option(format!(
                "node '{place}' depends on sizes that are free; give all of them with --shape"
            )),
        }
    }
}

struct Converter<'a> {
    model: &'a MxNet,
    layout: Layout,
    emitter: Emitter,
    /// Names of values in the graph.
    values: HashMap<Place, String>,
    written: HashMap<String, String>,
}

impl Converter<'_> {
    fn new(model: &MxNet, layout: Layout) -> Converter<'_> {
        let emitter = Emitter::new("mxnet");
        Converter { model, layout, emitter, values: HashMap::new(), written: HashMap::new() }
    }

    fn run(mut self) -> Result<Conversion, Stop> {
        let names = output_names(self.model);
        names.iter().for_each(|name| self.emitter.reserve(name));
        for input in &self.layout.inputs {
            self.emitter.reserve(&input.name);
        }
        for input in &self.layout.inputs {
            let name = self.emitter.input(&input.name, input.kind, Some(&input.dims));
            self.values.insert(Place { node: input.node, output: 0 }, name);
        }
        for &index in &self.model.used {
            self.node(index)?;
        }
        for (place, name) in self.model.symbol.heads.iter().zip(&names) {
            self.output(*place, name)?;
        }
        let ranges = self.ranges();
        let (model, steps) = self.emitter.finish().map_err(Stop::Error)?;
        let notes = self.model.notes.iter().chain(&self.layout.notes).cloned().collect();
        let sizes = self.layout.sizes;
        Ok(Conversion { notes, sizes, ranges, ..Conversion::new(model, steps) })
    }

    fn known(&self, place: Place) -> Option<Known> {
        let known = self.layout.one.get(place).zip(self.layout.two.get(place));
        let known = known.and_then(|(one, two)| merged(one, two))?;
        // The same for two sizes may still be another for a third.
        let others = self.layout.others.iter().filter_map(|other| other.get(place));
        others.into_iter().try_fold(known, narrowed)
    }

    fn node(&mut self, index: usize) -> Result<(), Stop> {
        let Some(node) = self.model.symbol.nodes.get(index).filter(|node| !node.is_variable())
        else {
            return Ok(());
        };
        self.emitter.begin(&node.name, &node.operator);
        let found = self.converted(index);
        let count = self.layout.one.infos.get(index).and_then(Option::as_ref).map_or(1, Vec::len);
        let names = match found {
            Ok(names) => names,
            Err(Problem::FreeSize(_)) => return Err(Stop::FreeSize(node.name.clone())),
            Err(Problem::Refused { reason, way_out }) => {
                self.emitter.refuse(reason, way_out);
                vec![String::from("refused"); count]
            }
            Err(Problem::Shape(message)) => {
                self.emitter.refuse(format!("what it is given ({message})"), "");
                vec![String::from("refused"); count]
            }
        };
        for (output, name) in names.into_iter().enumerate() {
            self.values.insert(Place { node: index, output }, name);
        }
        Ok(())
    }

    fn converted(&mut self, index: usize) -> Result<Vec<String>, Problem> {
        let unknown = || Problem::shape("its shape is not known");
        let node = self.model.symbol.nodes.get(index).ok_or_else(unknown)?;
        let operator = ops::find(&node.operator).ok_or_else(|| ops::unknown(&node.operator))?;
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &place in &node.inputs {
            inputs.push(Operand {
                value: self.values.get(&place).cloned(),
                parameter: self.model.parameter(place).and_then(|_| {
                    self.model.symbol.nodes.get(place.node).map(|node| node.name.clone())
                }),
                known: self.known(place).ok_or_else(unknown)?,
            });
        }
        let count = self.layout.one.infos.get(index).and_then(Option::as_ref).map_or(0, Vec::len);
        let outputs: Option<Vec<Known>> =
            (0..count).map(|output| self.known(Place { node: index, output })).collect();
        let mut site = Site {
            emitter: &mut self.emitter,
            op: Op::of(node),
            inputs: &inputs,
            outputs: &outputs.ok_or_else(unknown)?,
            parameters: &self.model.parameters,
            written: &mut self.written,
        };
        (operator.convert)(&mut site)
    }

    fn output(&mut self, place: Place, name: &str) -> Result<(), Stop> {
        let damaged = || {
            Stop::Error(ConvertError::Malformed {
                format: NAME,
                place: "the heads".into(),
                message: format!("'{name}' is no output of its node"),
            })
        };
        let known = self.known(place).ok_or_else(damaged)?;
        let value = match self.values.get(&place) {
            Some(value) => value.clone(),
            None => {
                let parameter = self.model.symbol.nodes.get(place.node).ok_or_else(damaged)?;
                let constant = self.model.parameters.read(&parameter.name).map_err(Stop::Error)?;
                self.emitter.weight(constant)
            }
        };
        let batch = self.layout.inputs.first().and_then(|input| input.dims.first()).cloned();
        let dims: Vec<Dim> = known
            .dims
            .iter()
            .enumerate()
            .map(|(axis, size)| match (size, axis, &batch) {
                (Some(size), ..) => Dim::Fixed(*size),
                (None, 0, Some(batch @ Dim::Symbol(_))) if self.grows_like_batch(place) => {
                    batch.clone()
                }
                _ => Dim::Free,
            })
            .collect();
        self.emitter.output(name, &value, known.kind, Some(&dims));
        Ok(())
    }

    /// Whether the first size of an output is that of the batch.
    fn grows_like_batch(&self, place: Place) -> bool {
        let first = |inference: &super::infer::Inference| {
            let input = self.layout.inputs.first()?;
            let batch = inference.get(Place { node: input.node, output: 0 })?;
            Some(inference.get(place)?.dims.first()? == batch.dims.first()?)
        };
        first(&self.layout.one) == Some(true) && first(&self.layout.two) == Some(true)
    }

    /// Inputs that are indices into tables.
    fn ranges(&self) -> BTreeMap<String, (f64, f64)> {
        let mut ranges = BTreeMap::new();
        for input in &self.layout.inputs {
            let place = Place { node: input.node, output: 0 };
            for (_, user) in self.model.users(place) {
                let table = user.inputs.get(1).and_then(|place| self.model.parameter(*place));
                if user.operator == "Embedding"
                    && let Some(rows) = table.and_then(|table| table.dims.first())
                {
                    ranges.insert(input.name.clone(), (0.0, rows.saturating_sub(1) as f64));
                }
            }
        }
        ranges
    }
}

fn merged(one: &Info, two: &Info) -> Option<Known> {
    if one.kind != two.kind || one.rank() != two.rank() {
        return None;
    }
    let same = |(one, two): (&usize, &usize)| (one == two).then_some(*one);
    Some(Known { dims: one.dims.iter().zip(&two.dims).map(same).collect(), kind: one.kind })
}

/// What is known of a value that has this shape too.
fn narrowed(mut known: Known, other: &Info) -> Option<Known> {
    if known.kind != other.kind || known.rank() != other.rank() {
        return None;
    }
    for (size, other) in known.dims.iter_mut().zip(&other.dims) {
        *size = size.filter(|size| size == other);
    }
    Some(known)
}

/// The names of the outputs, as `symbol.list_outputs()` has them; each only once.
fn output_names(model: &MxNet) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for place in &model.symbol.heads {
        let Some(node) = model.symbol.nodes.get(place.node) else { continue };
        let base = match node.is_variable() {
            true => format!("{}_output", node.name),
            false => ops::output_name(node, place.output),
        };
        let mut name = base.clone();
        let mut count = 1;
        while names.contains(&name) {
            name = format!("{base}_{count}");
            count += 1;
        }
        names.push(name);
    }
    names
}
