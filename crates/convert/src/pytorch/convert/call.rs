//! One call of an operator, as its conversion sees it.

mod outputs;

use modelyard_graph::ElementType;

use super::scalar::scalar;
use super::{Bound, Converter, Extent, Refusal, Scalar, Tensor};
use crate::pytorch::arguments::Arguments;
use crate::pytorch::graph::{Argument, Graph, Meta, Node};

type Result<T> = std::result::Result<T, Refusal>;

/// A call that is being converted: arguments by name, and where results go.
pub(in crate::pytorch) struct Call<'c, 'p> {
    /// The graph that is written.
    pub(in crate::pytorch) to: &'c mut Converter<'p>,
    node: &'p Node,
    arguments: Arguments<'p>,
    /// Which results somebody uses.
    wanted: Vec<bool>,
    results: Vec<Option<Bound>>,
}

/// An argument that may be a tensor or a number.
#[derive(Clone, Debug)]
pub(in crate::pytorch) enum Operand {
    Tensor(Tensor),
    Number(Scalar),
    /// A whole number that is computed.
    Extent(Extent),
    /// A tensor without dimensions that stands for a Python float or boolean.
    Computed(Tensor),
}

impl<'c, 'p> Call<'c, 'p> {
    pub(super) fn new(
        to: &'c mut Converter<'p>,
        node: &'p Node,
        parameters: &'static str,
        wanted: Vec<bool>,
    ) -> Call<'c, 'p> {
        let results = vec![None; node.outputs.len()];
        Call { to, node, arguments: Arguments::new(node, parameters), wanted, results }
    }

    /// Binds the results.
    pub(super) fn finish(self) {
        for (name, result) in self.node.outputs.iter().zip(self.results) {
            if !name.is_empty() {
                self.to.bound.insert(name.clone(), result.unwrap_or(Bound::Refused));
            }
        }
    }

    /// The operator without namespace and overload: `add`.
    pub(in crate::pytorch) fn operator(&self) -> &'p str {
        self.node.target.split('.').nth(1).unwrap_or_default()
    }

    /// The overload: `Tensor`.
    pub(in crate::pytorch) fn overload(&self) -> &'p str {
        self.node.target.split('.').nth(2).unwrap_or_default()
    }

    /// Whether the argument was given and is not none.
    pub(in crate::pytorch) fn has(&self, name: &str) -> bool {
        self.arguments.has(name)
    }

    /// The argument as it is.
    pub(in crate::pytorch) fn argument(&self, name: &str) -> &'p Argument {
        self.arguments.get(name)
    }

    /// All arguments, for operators that have no schema.
    pub(in crate::pytorch) fn positional(&self) -> Vec<&'p Argument> {
        self.node.arguments.iter().map(|named| &named.value).collect()
    }

    fn wrong(&self, name: &str, expected: &str) -> Refusal {
        let found = match self.argument(name) {
            Argument::None => "nothing".to_owned(),
            Argument::Value(value) => format!("the value '{value}'"),
            Argument::Other(what) => what.clone(),
            other => format!("{other:?}").chars().take(60).collect(),
        };
        Refusal::new(
            format!("argument '{name}': expected {expected}, found {found}"),
            "make it a constant of the model",
        )
    }

    /// A refusal that repeats another one, and says nothing.
    fn because_of_another() -> Refusal {
        Refusal::new("", "")
    }

    fn tensor_named(&mut self, value: &str) -> Result<Tensor> {
        let bound = self.to.bound(value);
        let meta = self.to.graph.values.get(value);
        match (bound, meta) {
            (Bound::Tensor(name), Some(Meta::Tensor(element_type, sizes))) => {
                Ok(Tensor { name, element_type: *element_type, sizes: sizes.clone() })
            }
            (Bound::Extent(extent), _) => {
                let name = self.to.extent_scalar(&extent);
                Ok(Tensor { name, element_type: ElementType::Int64, sizes: Vec::new() })
            }
            (Bound::Number(name), Some(meta)) => {
                let is_bool = *meta == Meta::Bool;
                let element_type = if is_bool { ElementType::Bool } else { ElementType::Float32 };
                Ok(Tensor { name, element_type, sizes: Vec::new() })
            }
            (Bound::Refused, Some(Meta::Other(what))) => {
                Err(Refusal::new(format!("'{value}', which is {what}"), "use plain tensors"))
            }
            (Bound::Refused, _) => Err(Call::because_of_another()),
            _ => Err(Refusal::new(
                format!("'{value}', whose type is not known"),
                "export the model with torch.export.save",
            )),
        }
    }

    /// A tensor.
    pub(in crate::pytorch) fn tensor(&mut self, name: &str) -> Result<Tensor> {
        match self.argument(name) {
            Argument::Value(value) => self.tensor_named(value),
            _ => Err(self.wrong(name, "a tensor")),
        }
    }

    /// A tensor that may be left out.
    pub(in crate::pytorch) fn optional(&mut self, name: &str) -> Result<Option<Tensor>> {
        if self.has(name) { self.tensor(name).map(Some) } else { Ok(None) }
    }

    /// A list of tensors.
    pub(in crate::pytorch) fn tensors(&mut self, name: &str) -> Result<Vec<Tensor>> {
        let all = self.optional_tensors(name)?;
        all.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| self.wrong(name, "tensors"))
    }

    /// A list of tensors, some of which may be left out.
    pub(in crate::pytorch) fn optional_tensors(
        &mut self,
        name: &str,
    ) -> Result<Vec<Option<Tensor>>> {
        let Argument::List(items) = self.argument(name) else {
            return Err(self.wrong(name, "a list of tensors"));
        };
        let mut tensors = Vec::new();
        for item in items {
            tensors.push(match item {
                Argument::Value(value) => Some(self.tensor_named(value)?),
                Argument::None => None,
                _ => return Err(self.wrong(name, "a list of tensors")),
            });
        }
        Ok(tensors)
    }

    /// A tensor or a number.
    pub(in crate::pytorch) fn operand(&mut self, name: &str) -> Result<Operand> {
        match self.argument(name) {
            Argument::Value(value) => self.operand_of(value),
            other => match scalar(other) {
                Some(scalar) => Ok(Operand::Number(scalar)),
                None => Err(self.wrong(name, "a tensor or a number")),
            },
        }
    }

    /// The operand that an argument is.
    pub(in crate::pytorch) fn as_operand(&mut self, argument: &'p Argument) -> Result<Operand> {
        match argument {
            Argument::Value(value) => self.operand_of(value),
            other => scalar(other).map(Operand::Number).ok_or_else(|| {
                Refusal::new("an argument that is no number", "use numbers and tensors only")
            }),
        }
    }

    fn operand_of(&mut self, value: &str) -> Result<Operand> {
        match self.to.bound(value) {
            Bound::Extent(extent) => Ok(match extent.known() {
                Some(known) => Operand::Number(Scalar::Int(known)),
                None => Operand::Extent(extent),
            }),
            Bound::Scalar(scalar) => Ok(Operand::Number(scalar)),
            Bound::Number(_) => self.tensor_named(value).map(Operand::Computed),
            _ => self.tensor_named(value).map(Operand::Tensor),
        }
    }

    /// A whole number, known or computed.
    pub(in crate::pytorch) fn extent(&mut self, name: &str) -> Result<Extent> {
        let argument = self.argument(name);
        self.extent_of(argument).unwrap_or_else(|| Err(self.wrong(name, "a whole number")))
    }

    /// A list of whole numbers, known or computed; a single number is a list of one.
    pub(in crate::pytorch) fn extents(&mut self, name: &str) -> Result<Vec<Extent>> {
        let argument = self.argument(name);
        let items = match argument {
            Argument::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut extents = Vec::new();
        for item in items {
            let extent = self.extent_of(item);
            extents.push(extent.unwrap_or_else(|| Err(self.wrong(name, "whole numbers")))?);
        }
        Ok(extents)
    }

    fn extent_of(&mut self, argument: &Argument) -> Option<Result<Extent>> {
        match argument {
            Argument::Int(value) => Some(Ok(Extent::Known(*value))),
            Argument::Bool(value) => Some(Ok(Extent::Known(i64::from(*value)))),
            Argument::Value(value) => match self.to.bound(value) {
                Bound::Extent(extent) => Some(Ok(extent)),
                Bound::Scalar(scalar) => Some(Ok(Extent::Known(scalar.as_i64()))),
                Bound::Refused => Some(Err(Call::because_of_another())),
                Bound::Tensor(name) => match self.to.graph.values.get(value) {
                    Some(Meta::Tensor(element_type, _)) => {
                        let long = self.to.cast(&name, *element_type, ElementType::Int64);
                        let one = self.to.ints(&[1]);
                        Some(Ok(Extent::Value(self.to.emit("Reshape", &[&long, &one]))))
                    }
                    _ => None,
                },
                Bound::Number(_) => None,
            },
            _ => None,
        }
    }

    /// An integer that must be known.
    pub(in crate::pytorch) fn int(&mut self, name: &str) -> Result<i64> {
        let extent = self.extent(name)?;
        extent.known().ok_or_else(|| self.wrong(name, "an integer that is known"))
    }

    /// An integer that must be known, or this one where it is left out.
    pub(in crate::pytorch) fn int_or(&mut self, name: &str, default: i64) -> Result<i64> {
        if self.has(name) { self.int(name) } else { Ok(default) }
    }

    /// Integers that must be known; a single number is a list of one.
    pub(in crate::pytorch) fn ints(&mut self, name: &str) -> Result<Vec<i64>> {
        let extents = self.extents(name)?;
        let known: Option<Vec<i64>> = extents.iter().map(Extent::known).collect();
        known.ok_or_else(|| self.wrong(name, "integers that are known"))
    }

    /// Integers that must be known, or these where they are left out.
    pub(in crate::pytorch) fn ints_or(&mut self, name: &str, default: &[i64]) -> Result<Vec<i64>> {
        if self.has(name) { self.ints(name) } else { Ok(default.to_vec()) }
    }

    /// As many integers as there are spatial dimensions: one number stands for all.
    pub(in crate::pytorch) fn spatial(
        &mut self,
        name: &str,
        rank: usize,
        default: i64,
    ) -> Result<Vec<i64>> {
        let given = self.ints_or(name, &[default])?;
        match given.as_slice() {
            [] => Ok(vec![default; rank]),
            [one] => Ok(vec![*one; rank]),
            all if all.len() == rank => Ok(given),
            _ => Err(self.wrong(name, &format!("{rank} integers"))),
        }
    }

    /// A number that must be known, or this one where it is left out.
    pub(in crate::pytorch) fn float_or(&mut self, name: &str, default: f64) -> Result<f64> {
        match self.scalar(name)? {
            Some(scalar) => Ok(scalar.as_f64()),
            None => Ok(default),
        }
    }

    /// A number that must be known; `None` where it is left out.
    pub(in crate::pytorch) fn scalar(&mut self, name: &str) -> Result<Option<Scalar>> {
        if !self.has(name) {
            return Ok(None);
        }
        match self.operand(name)? {
            Operand::Number(scalar) => Ok(Some(scalar)),
            _ => Err(self.wrong(name, "a number that is known")),
        }
    }

    /// A truth value, or this one where it is left out.
    pub(in crate::pytorch) fn bool_or(&self, name: &str, default: bool) -> Result<bool> {
        match self.argument(name) {
            Argument::None => Ok(default),
            Argument::Bool(value) => Ok(*value),
            Argument::Int(value) => Ok(*value != 0),
            _ => Err(self.wrong(name, "a truth value that is known")),
        }
    }

    /// A text, or this one where it is left out.
    pub(in crate::pytorch) fn text_or(&self, name: &str, default: &str) -> Result<String> {
        match self.argument(name) {
            Argument::None => Ok(default.to_owned()),
            Argument::String(text) => Ok(text.clone()),
            _ => Err(self.wrong(name, "a text")),
        }
    }

    /// An axis of a tensor of this rank, counted from the front.
    pub(in crate::pytorch) fn axis(
        &mut self,
        name: &str,
        rank: usize,
        default: i64,
    ) -> Result<usize> {
        let axis = self.int_or(name, default)?;
        counted(axis, rank).ok_or_else(|| self.wrong(name, &format!("an axis below {rank}")))
    }

    /// Axes of a tensor of this rank, counted from the front; all where they are left out or none
    /// are named.
    pub(in crate::pytorch) fn axes(&mut self, name: &str, rank: usize) -> Result<Vec<usize>> {
        let axes = self.ints_or(name, &[])?;
        if axes.is_empty() {
            return Ok((0..rank).collect());
        }
        let counted: Option<Vec<usize>> = axes.iter().map(|&axis| counted(axis, rank)).collect();
        counted.ok_or_else(|| self.wrong(name, &format!("axes below {rank}")))
    }

    /// Numbers that must be known; none where they are left out.
    pub(in crate::pytorch) fn floats(&mut self, name: &str) -> Result<Vec<f64>> {
        match self.argument(name) {
            Argument::None => Ok(Vec::new()),
            Argument::List(items) => {
                let mut floats = Vec::new();
                for item in items {
                    match self.as_operand(item)? {
                        Operand::Number(scalar) => floats.push(scalar.as_f64()),
                        _ => return Err(self.wrong(name, "numbers that are known")),
                    }
                }
                Ok(floats)
            }
            _ => Err(self.wrong(name, "a list of numbers")),
        }
    }

    /// The body of a branch or loop.
    pub(in crate::pytorch) fn graph(&self, index: usize) -> Option<&'p Graph> {
        match self.node.arguments.get(index).map(|named| &named.value) {
            Some(Argument::Graph(graph)) => Some(graph),
            _ => None,
        }
    }
}

/// An axis counted from the front; `None` where there is none. Tensors without dimensions have
/// axis 0 and -1.
pub(in crate::pytorch) fn counted(axis: i64, rank: usize) -> Option<usize> {
    let rank = rank.max(1);
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}
