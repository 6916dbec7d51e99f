//! Values as tensors: constants in the order of axes that an operator wants, lists of integers, real
//! numbers from integers that stand for them.

use modelyard_graph::{Constant, ElementType};

use super::constants::{elements, narrowed, permuted, reals};
use super::file::{Quantization, Tensor};
use super::options;
use super::quantized::{parameters, signed};
use super::stop::{Stop, refused};
use super::writer::{FLOAT, Held, INT32, Id, Writer, type_of};

/// A constant as it is stored: floats, or something from which floats are made.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// 8-bit integers are signed.
    pub(super) constant: Constant,
    pub(super) quantization: Option<Quantization>,
}

impl Writer<'_> {
    /// The tensor of a value as ONNX has it.
    pub(super) fn value(&mut self, name: &str) -> Result<Id, Stop> {
        let held = self.values.get(name).copied().unwrap_or_default();
        if held.shifted {
            let way_out = "quantize to signed integers of 8 bits";
            return Err(refused("unsigned quantized integers that are computed with", way_out));
        }
        let plain = match held {
            Held { plain: Some(plain), .. } => return Ok(plain),
            Held { quantized: Some(quantized), .. } => self.dequantize(quantized, name),
            _ => {
                let stored = self.stored(name)?.ok_or_else(|| absent(name))?;
                self.stored_tensor(stored, None)?
            }
        };
        self.values.entry(name.to_owned()).or_default().plain = Some(plain);
        Ok(plain)
    }

    /// The tensor of an input of a node.
    pub(super) fn input(&mut self, node: &modelyard_graph::Node, slot: usize) -> Result<Id, Stop> {
        let name = node.input(slot).ok_or_else(|| refused(format!("no input {slot}"), ""))?;
        self.value(name)
    }

    /// Real numbers of integers that stand for them.
    fn dequantize(&mut self, quantized: Id, name: &str) -> Id {
        let dims = self.tensor(quantized).dims.clone();
        let plain = self.add_tensor(Tensor {
            name: name.to_owned(),
            type_code: FLOAT,
            dims,
            elements: None,
            quantization: None,
        });
        self.with("DEQUANTIZE", &[Some(quantized)], &[plain], options::none("DEQUANTIZE"));
        plain
    }

    /// The constant that a value is, or is made from: an initializer, perhaps behind a
    /// DequantizeLinear or a Cast.
    pub(super) fn stored(&self, name: &str) -> Result<Option<Stored>, Stop> {
        if let Some(constant) = self.facts.constant(name) {
            return Ok(Some(Stored { constant: constant.clone(), quantization: None }));
        }
        let Some((_, node)) = self.producer(name) else { return Ok(None) };
        let Some(constant) = self.facts.constant_input(node, 0) else { return Ok(None) };
        match node.op_type.as_str() {
            "DequantizeLinear" if node.domain.is_empty() => {
                let quantization = parameters(self.facts, node)?;
                let is_known = matches!(
                    constant.element_type,
                    ElementType::Int8
                        | ElementType::Uint8
                        | ElementType::Int16
                        | ElementType::Int32
                );
                if !is_known {
                    let reason = format!("weights of type {}", constant.element_type);
                    return Err(refused(reason, "quantize weights to 8 bits"));
                }
                let (constant, quantization) = signed(constant, quantization);
                Ok(Some(Stored { constant, quantization: Some(quantization) }))
            }
            "Cast"
                if constant.element_type == ElementType::Float16
                    && self.facts.element_type(name) == Some(ElementType::Float32) =>
            {
                Ok(Some(Stored { constant: constant.clone(), quantization: None }))
            }
            _ => Ok(None),
        }
    }

    /// A tensor of a constant, with its axes in another order; of real numbers.
    pub(super) fn stored_tensor(
        &mut self,
        stored: Stored,
        order: Option<&[usize]>,
    ) -> Result<Id, Stop> {
        let name = stored.constant.name.clone();
        // TensorFlow Lite dequantizes no integers of 32 bits.
        if stored.constant.element_type == ElementType::Int32
            && order.is_none()
            && let Some(values) = reals(&stored)
        {
            return Ok(self.floats(&name, &stored.constant.dims.clone(), &values));
        }
        let is_real =
            stored.constant.element_type == ElementType::Float16 || stored.quantization.is_some();
        let id = self.raw_tensor(stored, order)?;
        Ok(if is_real { self.dequantize(id, &format!("{name}/real")) } else { id })
    }

    /// A tensor of a constant as it is stored, with its axes in another order.
    pub(super) fn raw_tensor(
        &mut self,
        stored: Stored,
        order: Option<&[usize]>,
    ) -> Result<Id, Stop> {
        let Stored { constant, mut quantization } = stored;
        let type_code = match constant.element_type {
            ElementType::Float16 => 1,
            other => type_of(other)?,
        };
        let bytes = elements(&constant)?;
        let (dims, bytes) = match order {
            Some(order) if !order.iter().enumerate().all(|(place, &axis)| place == axis) => {
                let size = constant.element_type.bits() / 8;
                permuted(&constant.dims, &bytes, size, order)
                    .ok_or_else(|| refused("weights of an unexpected shape", ""))?
            }
            _ => (constant.dims.clone(), bytes),
        };
        if let (Some(order), Some(quantization)) = (order, &mut quantization)
            && quantization.scales.len() > 1
            && let Some(place) = order.iter().position(|&axis| axis == quantization.axis)
        {
            quantization.axis = place;
        }
        Ok(self.add_tensor(Tensor {
            name: constant.name,
            type_code,
            dims: dims.into_iter().map(Some).collect(),
            elements: Some(bytes),
            quantization,
        }))
    }

    /// A constant of floats.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Id {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = format!("{}/{name}", self.label());
        self.constant(&name, FLOAT, dims, bytes)
    }

    /// A float without dimensions.
    pub(super) fn scalar(&mut self, value: f32) -> Id {
        self.floats("constant", &[], &[value])
    }

    /// A constant of 32-bit integers; one is kept of each.
    pub(super) fn ints(&mut self, dims: &[usize], values: &[i32]) -> Id {
        let key = (dims.to_vec(), values.to_vec());
        if let Some(&id) = self.lists.get(&key) {
            return id;
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = format!("{}/list", self.label());
        let id = self.constant(&name, INT32, dims, bytes);
        self.lists.insert(key, id);
        id
    }

    /// A list of 32-bit integers.
    pub(super) fn list(&mut self, values: &[i32]) -> Id {
        self.ints(&[values.len()], values)
    }

    /// A constant of these elements.
    pub(super) fn constant(
        &mut self,
        name: &str,
        type_code: i8,
        dims: &[usize],
        bytes: Vec<u8>,
    ) -> Id {
        self.add_tensor(Tensor {
            name: name.to_owned(),
            type_code,
            dims: dims.iter().copied().map(Some).collect(),
            elements: Some(bytes.into()),
            quantization: None,
        })
    }

    /// Integers of a value as 32-bit ones: sizes, axes, places.
    pub(super) fn narrow(&mut self, name: &str) -> Result<Id, Stop> {
        if let Some(constant) = self.facts.constant(name)
            && let Some(values) = constant.integers(usize::MAX)
        {
            return Ok(self.ints(&constant.dims.clone(), &narrowed(&values)));
        }
        let id = self.value(name)?;
        Ok(self.narrow_tensor(id))
    }

    /// Integers of a tensor as 32-bit ones.
    pub(super) fn narrow_tensor(&mut self, id: Id) -> Id {
        if self.tensor(id).type_code == INT32 {
            return id;
        }
        if let Some(&known) = self.narrowed.get(&id) {
            return known;
        }
        let dims = self.tensor(id).dims.clone();
        let narrow = self.typed("narrow", INT32, &dims);
        self.cast(id, narrow);
        self.narrowed.insert(id, narrow);
        narrow
    }

    /// Writes a `CAST`.
    pub(super) fn cast(&mut self, from: Id, to: Id) {
        let codes = (self.tensor(from).type_code, self.tensor(to).type_code);
        self.with("CAST", &[Some(from)], &[to], Some(options::cast(codes.0, codes.1)));
    }

    /// The sizes of a tensor, as 32-bit integers.
    pub(super) fn sizes_of(&mut self, id: Id) -> Id {
        let dims = self.tensor(id).dims.clone();
        if let Some(sizes) =
            dims.iter().map(|dim| Some((*dim)? as i32)).collect::<Option<Vec<i32>>>()
        {
            return self.list(&sizes);
        }
        let sizes = self.typed("sizes", INT32, &[Some(dims.len())]);
        self.with("SHAPE", &[Some(id)], &[sizes], Some(options::shape(INT32)));
        sizes
    }
}

fn absent(name: &str) -> Stop {
    refused(format!("a value '{name}' that nothing gives"), "")
}
