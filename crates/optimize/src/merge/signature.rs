//! Whether models take and give the same.

use modelyard_graph::{ElementType, ValueType};
use modelyard_tensor::{Dim, TensorSpec};

use super::fit::Stack;
use super::reading::{Gives, Readings};
use super::{Member, Options};
use crate::OptimizeError;

/// What all members take and give.
#[derive(Debug)]
pub(super) struct Signature {
    /// The first member's inputs, with the sizes that any member fixes.
    pub(super) inputs: Vec<TensorSpec>,
    /// For each member, the position in `inputs` of each of its own.
    pub(super) places: Vec<Vec<usize>>,
    /// The first member's name of the output.
    pub(super) output: String,
    /// The output's sizes; none where no member states them.
    pub(super) dims: Option<Vec<Dim>>,
    /// For each member, its output's type.
    pub(super) types: Vec<ElementType>,
}

impl Signature {
    pub(super) fn of(members: &[Member]) -> Result<Signature, OptimizeError> {
        let [first, ..] = members else {
            return Err(OptimizeError::Invalid("there is no model to merge".into()));
        };
        let mut signature = Signature {
            inputs: own(first)?.inputs.clone(),
            places: Vec::new(),
            output: own(first)?.outputs[first.output].name.clone(),
            dims: None,
            types: Vec::new(),
        };
        for member in members {
            signature.add_inputs(first, member)?;
            signature.add_output(first, member)?;
            check_labels(first, member)?;
        }
        Ok(signature)
    }

    fn add_inputs(&mut self, first: &Member, member: &Member) -> Result<(), OptimizeError> {
        let own = &own(member)?.inputs;
        let position = |spec: &TensorSpec| self.inputs.iter().position(|it| it.name == spec.name);
        let places: Option<Vec<usize>> = match own.as_slice() {
            [_] if self.inputs.len() == 1 => Some(vec![0]),
            own if own.len() == self.inputs.len() => own.iter().map(position).collect(),
            _ => None,
        };
        let places = places.ok_or_else(|| {
            let names = |specs: &[TensorSpec]| {
                let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                format!("'{}'", names.join("', '"))
            };
            let (one, two) = (names(&self.inputs), names(own));
            differ(first, member, &format!("takes {one}"), &format!("takes {two}"))
        })?;
        for (spec, &place) in own.iter().zip(&places) {
            let shared = &mut self.inputs[place];
            let same_type = shared.data_type == spec.data_type;
            let dims = unified(shared.dims.as_deref(), spec.dims.as_deref());
            let (Some(dims), true) = (dims, same_type) else {
                let text = |spec: &TensorSpec| format!("takes '{}' as {}", spec.name, shape(spec));
                return Err(differ(first, member, &text(shared), &text(spec)));
            };
            shared.dims = dims;
        }
        self.places.push(places);
        Ok(())
    }

    fn add_output(&mut self, first: &Member, member: &Member) -> Result<(), OptimizeError> {
        let spec = &own(member)?.outputs[member.output];
        let graph = &member.model.graph;
        let stated = graph.outputs[member.output].value_type.as_tensor();
        let (element_type, _) = stated.ok_or_else(|| {
            OptimizeError::Invalid(format!(
                "output '{}' of '{}' is no tensor",
                spec.name, member.name
            ))
        })?;
        use ElementType::{Bfloat16, Float16, Float32, Float64};
        if ![Float32, Float64, Float16, Bfloat16].contains(&element_type) {
            return Err(OptimizeError::Invalid(format!(
                "output '{}' of '{}' gives {element_type}, expected floats",
                spec.name, member.name
            )));
        }
        let found = spec.dims.clone().or_else(|| inferred(member, &spec.name));
        let dims = unified(self.dims.as_deref(), found.as_deref()).ok_or_else(|| {
            let text = |dims: &Option<Vec<Dim>>| format!("gives {}", shape_of(dims.as_deref()));
            differ(first, member, &text(&self.dims), &text(&found))
        })?;
        self.dims = dims;
        self.types.push(element_type);
        Ok(())
    }

    /// Forgets all members but these.
    pub(super) fn keep(&mut self, members: &[usize]) {
        self.places = members.iter().map(|&member| self.places[member].clone()).collect();
        self.types = members.iter().map(|&member| self.types[member]).collect();
    }

    /// Numbers in one answer, where answers are rows of them.
    pub(super) fn width(&self) -> Option<usize> {
        match self.dims.as_deref()? {
            [_, Dim::Fixed(width)] => Some(*width),
            _ => None,
        }
    }

    /// The same, or why there is none.
    pub(super) fn known_width(&self, action: &str) -> Result<usize, OptimizeError> {
        self.width().ok_or_else(|| {
            let found = shape_of(self.dims.as_deref());
            OptimizeError::Invalid(format!(
                "cannot {action}: output '{}' gives {found}, expected one row of so many numbers an \
                 example, such as [n, 10]",
                self.output
            ))
        })
    }

    /// How many classes are voted for.
    pub(super) fn vote_width(
        &self,
        readings: &Readings,
        options: &Options,
    ) -> Result<usize, OptimizeError> {
        let width = self.known_width("vote")?;
        if width == 1 && readings.gives == Gives::Scores && !options.classes {
            return Err(OptimizeError::Invalid(format!(
                "cannot vote: output '{}' is one number and no probability, so there are no classes to \
                 vote for; average it instead",
                self.output
            )));
        }
        Ok(width)
    }

    pub(super) fn check_stack(&self, stack: &Stack, members: usize) -> Result<(), OptimizeError> {
        let width = self.known_width("stack")?;
        if (stack.inputs, stack.outputs) == (width * members, width) {
            return Ok(());
        }
        Err(OptimizeError::Invalid(format!(
            "the model that stacks makes {} numbers of {}, expected {width} of {}",
            stack.outputs,
            stack.inputs,
            width * members
        )))
    }
}

fn own(member: &Member) -> Result<&modelyard_tensor::Signature, OptimizeError> {
    let wrong =
        |text: String| OptimizeError::Invalid(format!("cannot merge '{}': {text}", member.name));
    let signature = member.model.signature().map_err(|error| wrong(error.to_string()))?;
    match signature.outputs.get(member.output) {
        Some(_) => Ok(signature),
        None => Err(wrong(format!("it has no output number {}", member.output))),
    }
}

fn inferred(member: &Member, output: &str) -> Option<Vec<Dim>> {
    let types = member.model.types();
    types.get(output).and_then(ValueType::as_tensor)?.1.map(<[Dim]>::to_vec)
}

pub(super) fn check_labels(first: &Member, member: &Member) -> Result<(), OptimizeError> {
    let (Some(one), Some(two)) = (&first.labels, &member.labels) else { return Ok(()) };
    if one == two {
        return Ok(());
    }
    let text = |labels: &[String]| {
        let shown: Vec<&str> = labels.iter().take(10).map(String::as_str).collect();
        format!(
            "tells apart '{}'{}",
            shown.join("', '"),
            if labels.len() > 10 { ", …" } else { "" }
        )
    };
    Err(differ(first, member, &text(one), &text(two)))
}

fn differ(first: &Member, member: &Member, one: &str, two: &str) -> OptimizeError {
    OptimizeError::Invalid(format!(
        "cannot merge '{}' and '{}': the first {one}, the second {two}",
        first.name, member.name
    ))
}

/// The sizes that two sets of them both allow: `None` where there are none. What is not stated allows
/// anything.
fn unified(one: Option<&[Dim]>, two: Option<&[Dim]>) -> Option<Option<Vec<Dim>>> {
    let (Some(one), Some(two)) = (one, two) else {
        return Some(one.or(two).map(<[Dim]>::to_vec));
    };
    let dim = |(one, two): (&Dim, &Dim)| match (one, two) {
        (Dim::Fixed(one), Dim::Fixed(two)) if one != two => None,
        (Dim::Fixed(size), _) | (_, Dim::Fixed(size)) => Some(Dim::Fixed(*size)),
        (one, _) => Some(one.clone()),
    };
    (one.len() == two.len()).then_some(())?;
    one.iter().zip(two).map(dim).collect::<Option<Vec<Dim>>>().map(Some)
}

fn shape(spec: &TensorSpec) -> String {
    format!("{} {}", spec.data_type, shape_of(spec.dims.as_deref()))
}

fn shape_of(dims: Option<&[Dim]>) -> String {
    let Some(dims) = dims else { return "an unknown shape".into() };
    let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}
