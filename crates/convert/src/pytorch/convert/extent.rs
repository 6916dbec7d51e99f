//! Sizes while a graph is written: known, or computed by nodes.
//!
//! Computed ones are tensors of shape `[1]` of 64-bit integers, so that a shape is their
//! concatenation.

use modelyard_graph::ElementType;

use super::{Converter, Tensor};
use crate::emitter::node;
use crate::pytorch::graph::Size;

/// A whole number: known, or the name of a tensor of shape `[1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pytorch) enum Extent {
    Known(i64),
    Value(String),
}

impl Extent {
    /// The number, where it is known.
    pub(in crate::pytorch) fn known(&self) -> Option<i64> {
        match self {
            Extent::Known(value) => Some(*value),
            Extent::Value(_) => None,
        }
    }
}

impl Converter<'_> {
    /// The size of a tensor along an axis.
    pub(in crate::pytorch) fn size(&mut self, tensor: &Tensor, axis: usize) -> Extent {
        if let Some(Size::Known(value)) = tensor.sizes.get(axis) {
            return Extent::Known(*value);
        }
        let axis = axis as i64;
        let shape = node("Shape", &[&tensor.name]).with("start", axis).with("end", axis + 1);
        Extent::Value(self.emitter.add(shape))
    }

    /// All sizes of a tensor.
    pub(in crate::pytorch) fn sizes(&mut self, tensor: &Tensor) -> Vec<Extent> {
        (0..tensor.rank()).map(|axis| self.size(tensor, axis)).collect()
    }

    /// An extent as a tensor of shape `[1]`.
    pub(in crate::pytorch) fn extent_vector(&mut self, extent: &Extent) -> String {
        match extent {
            Extent::Known(value) => self.ints(&[*value]),
            Extent::Value(name) => name.clone(),
        }
    }

    /// An extent as a tensor without dimensions.
    pub(in crate::pytorch) fn extent_scalar(&mut self, extent: &Extent) -> String {
        match extent {
            Extent::Known(value) => self.emitter.integer("value", *value),
            Extent::Value(name) => {
                let axes = self.ints(&[0]);
                self.emit("Squeeze", &[name, &axes])
            }
        }
    }

    /// Extents as a shape: a tensor of as many 64-bit integers.
    pub(in crate::pytorch) fn shape(&mut self, extents: &[Extent]) -> String {
        let known: Option<Vec<i64>> = extents.iter().map(Extent::known).collect();
        if let Some(known) = known {
            return self.ints(&known);
        }
        let mut parts = Vec::new();
        let mut run = Vec::new();
        for extent in extents {
            match extent {
                Extent::Known(value) => run.push(*value),
                Extent::Value(name) => {
                    if !run.is_empty() {
                        parts.push(self.ints(&std::mem::take(&mut run)));
                    }
                    parts.push(name.clone());
                }
            }
        }
        if !run.is_empty() {
            parts.push(self.ints(&run));
        }
        match parts.as_slice() {
            [one] => one.clone(),
            _ => self.emitter.add(node("Concat", &parts).with("axis", 0)),
        }
    }

    /// Combines two extents: known ones with `known`, others with a node of this operator.
    pub(in crate::pytorch) fn combine(
        &mut self,
        op_type: &str,
        one: &Extent,
        two: &Extent,
        known: impl Fn(i64, i64) -> Option<i64>,
    ) -> Extent {
        if let (Extent::Known(one), Extent::Known(two)) = (one, two)
            && let Some(value) = known(*one, *two)
        {
            return Extent::Known(value);
        }
        let (one, two) = (self.extent_vector(one), self.extent_vector(two));
        Extent::Value(self.emit(op_type, &[&one, &two]))
    }

    /// The product of extents.
    pub(in crate::pytorch) fn product(&mut self, extents: &[Extent]) -> Extent {
        let mut all = Extent::Known(1);
        for extent in extents {
            all = match (&all, extent) {
                (Extent::Known(1), other) => other.clone(),
                (all, Extent::Known(1)) => all.clone(),
                (all, other) => self.combine("Mul", &all.clone(), other, i64::checked_mul),
            };
        }
        all
    }

    /// An extent as a tensor without dimensions of another type.
    pub(in crate::pytorch) fn extent_number(
        &mut self,
        extent: &Extent,
        element_type: ElementType,
    ) -> String {
        match extent {
            Extent::Known(value) => self.number(super::Scalar::Int(*value), element_type),
            Extent::Value(_) => {
                let scalar = self.extent_scalar(extent);
                self.cast(&scalar, ElementType::Int64, element_type)
            }
        }
    }
}
