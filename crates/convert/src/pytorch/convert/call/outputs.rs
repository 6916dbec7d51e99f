//! What a call gives, and where it goes.

use modelyard_graph::ElementType;

use super::super::{Bound, Extent, Refusal, Scalar};
use super::{Call, Result};
use crate::pytorch::graph::{Graph, Meta, Size};

impl<'p> Call<'_, 'p> {
    /// Number of results.
    pub(in crate::pytorch) fn outputs(&self) -> usize {
        self.node.outputs.len()
    }

    /// Whether somebody uses result `index`.
    pub(in crate::pytorch) fn wants(&self, index: usize) -> bool {
        self.wanted.get(index).copied().unwrap_or(false)
    }

    /// Type and sizes of result `index`, as the program says.
    pub(in crate::pytorch) fn output(&self, index: usize) -> Result<(ElementType, &'p [Size])> {
        let name = self.node.outputs.get(index).map_or("", String::as_str);
        let graph: &'p Graph = self.to.graph;
        match graph.values.get(name) {
            Some(Meta::Tensor(element_type, sizes)) => Ok((*element_type, sizes)),
            _ => Err(Refusal::new(
                format!("result {index}, whose type is not known"),
                "export the model with torch.export.save",
            )),
        }
    }

    /// Result `index` is this tensor, which has the type that the program says.
    pub(in crate::pytorch) fn give(&mut self, index: usize, name: String) {
        self.set(index, Bound::Tensor(name));
    }

    /// Result `index` is this tensor of this type; cast where the program says another one.
    pub(in crate::pytorch) fn give_as(
        &mut self,
        index: usize,
        name: &str,
        element_type: ElementType,
    ) -> Result<()> {
        if !self.wants(index) {
            return Ok(());
        }
        let (wanted, _) = self.output(index)?;
        let name = self.to.cast(name, element_type, wanted);
        self.give(index, name);
        Ok(())
    }

    /// Result `index` is this whole number.
    pub(in crate::pytorch) fn give_extent(&mut self, index: usize, extent: Extent) {
        self.set(index, Bound::Extent(extent));
    }

    /// Result `index` is this number, which is known.
    pub(in crate::pytorch) fn give_scalar(&mut self, index: usize, scalar: Scalar) {
        let bound = match scalar {
            Scalar::Int(value) => Bound::Extent(Extent::Known(value)),
            other => Bound::Scalar(other),
        };
        self.set(index, bound);
    }

    /// Result `index` is a Python number: a tensor without dimensions.
    pub(in crate::pytorch) fn give_number(&mut self, index: usize, name: String) {
        self.set(index, Bound::Number(name));
    }

    pub(in crate::pytorch::convert) fn set(&mut self, index: usize, bound: Bound) {
        if let Some(result) = self.results.get_mut(index) {
            *result = Some(bound);
        }
    }

    /// Whether result `index` is a whole number, and its value where that is known.
    pub(in crate::pytorch) fn output_meta(&self, index: usize) -> Option<&'p Meta> {
        let name = self.node.outputs.get(index)?;
        let graph: &'p Graph = self.to.graph;
        graph.values.get(name)
    }
}
