//! Nodes that many conversions write.

use modelyard_graph::{Constant, ElementType, Node};

use super::{Converter, Extent, Refusal, Scalar, Tensor};
use crate::emitter::node;
use crate::pytorch::graph::Size;

/// The end of a slice that goes to the end.
pub(in crate::pytorch) const TO_THE_END: i64 = i64::MAX;

impl Converter<'_> {
    /// A node with one output and no attributes. An empty name leaves an input out.
    pub(in crate::pytorch) fn emit(&mut self, op_type: &str, inputs: &[&str]) -> String {
        self.emitter.add(node(op_type, inputs))
    }

    /// A node with one output.
    pub(in crate::pytorch) fn emit_node(&mut self, node: Node) -> String {
        self.emitter.add(node)
    }

    /// A list of integers.
    pub(in crate::pytorch) fn ints(&mut self, values: &[i64]) -> String {
        self.emitter.integers("values", values)
    }

    /// A number of this type, without dimensions.
    pub(in crate::pytorch) fn number(
        &mut self,
        scalar: Scalar,
        element_type: ElementType,
    ) -> String {
        self.emitter.constant(scalar.constant(element_type, &[]))
    }

    /// A float of this type, without dimensions.
    pub(in crate::pytorch) fn float(&mut self, value: f64, element_type: ElementType) -> String {
        self.number(Scalar::Float(value), element_type)
    }

    /// The tensor as another type. From a float to integers it is cut off, to booleans it says
    /// what is not zero.
    pub(in crate::pytorch) fn cast(
        &mut self,
        name: &str,
        from: ElementType,
        to: ElementType,
    ) -> String {
        if from == to {
            return name.to_owned();
        }
        self.emit_node(node("Cast", &[name]).with("to", i64::from(to.code())))
    }

    /// The tensor with axis `i` of the result being axis `order[i]`.
    pub(in crate::pytorch) fn transpose(&mut self, name: &str, order: &[usize]) -> String {
        if order.iter().enumerate().all(|(index, &axis)| index == axis) {
            return name.to_owned();
        }
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.emit_node(node("Transpose", &[name]).with("perm", order.as_slice()))
    }

    /// The tensor with new axes of size 1, counted in the result.
    pub(in crate::pytorch) fn unsqueeze(&mut self, name: &str, axes: &[i64]) -> String {
        if axes.is_empty() {
            return name.to_owned();
        }
        let axes = self.ints(axes);
        self.emit("Unsqueeze", &[name, &axes])
    }

    /// The tensor without these axes of size 1.
    pub(in crate::pytorch) fn squeeze(&mut self, name: &str, axes: &[i64]) -> String {
        if axes.is_empty() {
            return name.to_owned();
        }
        let axes = self.ints(axes);
        self.emit("Squeeze", &[name, &axes])
    }

    /// Elements `start..end` along an axis, as Python counts.
    pub(in crate::pytorch) fn slice(
        &mut self,
        name: &str,
        axis: usize,
        start: &Extent,
        end: &Extent,
        step: i64,
    ) -> String {
        let (start, end) = (self.extent_vector(start), self.extent_vector(end));
        let axes = self.ints(&[axis as i64]);
        match step {
            1 => self.emit("Slice", &[name, &start, &end, &axes]),
            step => {
                let step = self.ints(&[step]);
                self.emit("Slice", &[name, &start, &end, &axes, &step])
            }
        }
    }

    /// Tensors one behind the other.
    pub(in crate::pytorch) fn concat(&mut self, names: &[String], axis: i64) -> String {
        match names {
            [one] => one.clone(),
            _ => self.emit_node(node("Concat", names).with("axis", axis)),
        }
    }

    /// The tensor in another shape. Where the new sizes are not all known, they are taken from the
    /// old ones, from one that is left open, or from `extents` (what the program computes).
    pub(in crate::pytorch) fn reshape(
        &mut self,
        tensor: &Tensor,
        to: &[Size],
        extents: Option<&[Extent]>,
    ) -> String {
        if tensor.sizes.len() == to.len()
            && tensor.sizes.iter().zip(to).all(|(one, two)| one.same(two))
        {
            return tensor.name.clone();
        }
        let shape = match self.simple_shape(tensor, to) {
            Some(shape) => self.ints(&shape),
            None => match extents {
                Some(extents) => self.shape(extents),
                None => self.extents_like(tensor, to),
            },
        };
        self.emit("Reshape", &[&tensor.name, &shape])
    }

    /// A shape of constants: `0` copies the size at the same place, `-1` leaves one open. `None`
    /// where more than one would be open.
    fn simple_shape(&self, tensor: &Tensor, to: &[Size]) -> Option<Vec<i64>> {
        let has_zero = to.iter().any(|size| size.known() == Some(0));
        let mut open = 0;
        let shape: Vec<i64> = to
            .iter()
            .enumerate()
            .map(|(axis, size)| match size {
                Size::Known(value) => *value,
                _ if tensor.sizes.get(axis).is_some_and(|own| own.same(size)) => 0,
                _ => {
                    open += 1;
                    -1
                }
            })
            .collect();
        // A single size that could be copied may as well be left open, which is the usual form.
        let copied: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] == 0).collect();
        if has_zero {
            return to.iter().map(Size::known).collect();
        }
        match (open, copied.as_slice()) {
            (0, [one]) => {
                let mut shape = shape;
                shape[*one] = -1;
                Some(shape)
            }
            (0 | 1, _) => Some(shape),
            _ => None,
        }
    }

    /// New sizes that are symbols which the tensor has somewhere, taken from there.
    fn extents_like(&mut self, tensor: &Tensor, to: &[Size]) -> String {
        let mut open = false;
        let mut extents = Vec::new();
        for size in to {
            let own = tensor.sizes.iter().position(|own| own.same(size));
            extents.push(match (size, own) {
                (Size::Known(value), _) => Extent::Known(*value),
                (_, Some(axis)) => self.size(tensor, axis),
                (_, None) if !open => {
                    open = true;
                    Extent::Known(-1)
                }
                (_, None) => Extent::Known(0),
            });
        }
        self.shape(&extents)
    }

    /// The tensor repeated along axes of size 1 to have these sizes. `extents` are used where a
    /// size is not known.
    pub(in crate::pytorch) fn expand(
        &mut self,
        tensor: &Tensor,
        to: &[Size],
        extents: &[Extent],
    ) -> String {
        let ahead = to.len().saturating_sub(tensor.rank());
        let own = |axis: usize| axis.checked_sub(ahead).and_then(|axis| tensor.sizes.get(axis));
        let mut wanted = Vec::new();
        let mut same = ahead == 0;
        for (axis, size) in to.iter().enumerate() {
            if own(axis).is_some_and(|own| own.same(size)) {
                // Broadcasting keeps it.
                wanted.push(Extent::Known(1));
                continue;
            }
            same = false;
            wanted.push(match size {
                Size::Known(value) => Extent::Known(*value),
                _ => extents.get(axis).cloned().unwrap_or(Extent::Known(1)),
            });
        }
        if same {
            return tensor.name.clone();
        }
        let shape = self.shape(&wanted);
        self.emit("Expand", &[&tensor.name, &shape])
    }

    /// A tensor filled with one number.
    pub(in crate::pytorch) fn filled(
        &mut self,
        extents: &[Extent],
        value: Scalar,
        element_type: ElementType,
    ) -> String {
        if extents.is_empty() {
            return self.number(value, element_type);
        }
        let shape = self.shape(extents);
        let value = value.constant(element_type, &[1]);
        self.emit_node(node("ConstantOfShape", &[&shape]).with("value", value))
    }
}

impl Converter<'_> {
    /// A list of `count` times the same number: one a channel.
    pub(in crate::pytorch) fn repeated(
        &mut self,
        value: f64,
        count: i64,
        element_type: ElementType,
    ) -> Result<String, Refusal> {
        const MOST: usize = 1 << 24;
        let wanted = usize::try_from(count).ok().filter(|&count| count <= MOST);
        let count = wanted.ok_or_else(|| Refusal::new(format!("{count} channels"), ""))?;
        let one = Scalar::Float(value).constant(element_type, &[1]);
        let bytes = one.bytes().unwrap_or_default().repeat(count);
        Ok(self.emitter.constant(Constant::raw("value", element_type, &[count], bytes)))
    }

    /// A matrix turned around. The same one is turned once, however often it is used.
    pub(in crate::pytorch) fn turned(&mut self, name: &str) -> String {
        if let Some(turned) = self.turned.get(name) {
            return turned.clone();
        }
        let turned = self.emit_node(node("Transpose", &[name]).with("perm", [1i64, 0]));
        self.turned.insert(name.to_owned(), turned.clone());
        turned
    }
}
