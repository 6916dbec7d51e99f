//! Sizes of tensors: what holds for all sizes of inputs, as far as the worlds say.

use std::cell::Cell;
use std::rc::Rc;

use super::interpret::{Interpreter, Result};
use super::value::{Number, NumberKind, Seen, Tensor, Value};
use crate::pytorch::graph::{Argument, Meta, Named, Size};

/// Elements that are worth knowing.
const KNOWN: usize = 1 << 12;

impl Interpreter<'_> {
    /// A tensor under this name.
    pub(super) fn keep(
        &mut self,
        name: String,
        worlds: Vec<Seen>,
        is_known: Rc<Cell<bool>>,
    ) -> Value {
        let few = |seen: &Seen| seen.dims.iter().product::<usize>() <= KNOWN;
        let forget = !worlds.iter().all(few);
        let worlds = worlds
            .into_iter()
            .map(|seen| Seen { known: if forget { None } else { seen.known }, ..seen });
        let tensor = Tensor { name: name.clone(), worlds: worlds.collect(), is_known };
        let meta = self.tensor_meta(&tensor);
        self.graph.values.insert(name.clone(), meta);
        let value = Value::Tensor(Rc::new(tensor));
        self.values.insert(name, value.clone());
        value
    }

    /// What is known of a tensor for all sizes.
    pub(super) fn tensor_meta(&self, tensor: &Tensor) -> Meta {
        let (element_type, dims) = tensor.first();
        let sizes = (0..dims.len()).map(|axis| self.size_of(&tensor.sizes(axis)));
        Meta::Tensor(element_type, sizes.collect())
    }

    fn size_of(&self, all: &[usize]) -> Size {
        match all {
            [first, rest @ ..] if rest.iter().all(|other| other == first) => Size::from(*first),
            all => self.symbols.get(all).cloned().unwrap_or(Size::Unknown),
        }
    }

    pub(super) fn number_meta(&self, number: &Number) -> Meta {
        match (number.kind, &number.worlds) {
            (NumberKind::Int, Some(_)) => {
                // Equal in all worlds by accident is not known.
                let symbol = number.sizes().and_then(|all| self.symbols.get(&all).cloned());
                Meta::Int(symbol.unwrap_or(Size::Unknown))
            }
            (NumberKind::Int, None) => Meta::Int(Size::Unknown),
            (NumberKind::Float, _) => Meta::Float,
            (NumberKind::Bool, _) => Meta::Bool,
        }
    }

    /// The size of a tensor along an axis.
    pub(super) fn size(&mut self, tensor: &Rc<Tensor>, axis: usize) -> Result<Value> {
        if let Size::Known(size) = self.size_of(&tensor.sizes(axis)) {
            return Ok(Value::Int(size));
        }
        let key = (tensor.name.clone(), axis);
        if let Some(size) = self.sizes.get(&key) {
            return Ok(size.clone());
        }
        let named = |value| Named { name: String::new(), value };
        let own = named(Argument::Value(tensor.name.clone()));
        let axis = named(Argument::Int(axis as i64));
        let size = self.emit("aten.sym_size.int", vec![own, axis])?;
        let size = size.into_iter().next().unwrap_or(Value::Lost);
        self.sizes.insert(key, size.clone());
        Ok(size)
    }
}
