//! Integers that stand for real numbers: where ONNX dequantizes, computes and quantizes, TensorFlow
//! Lite computes with integers.
//!
//! All of them are signed here: unsigned ones become signed ones, 128 less, with a zero point that is
//! 128 less too.

use modelyard_graph::{Constant, ElementType, Node};

use super::super::graph::{Facts, axis};
use super::file::{Quantization, Tensor};
use super::options;
use super::stop::{Stop, refused};
use super::writer::{Held, INT8, Id, UINT8, Writer};

/// How far signed integers are below unsigned ones.
const SHIFT: i64 = 128;

/// The scales and zero points of a QuantizeLinear or DequantizeLinear.
pub(super) fn parameters(facts: &Facts, node: &Node) -> Result<Quantization, Stop> {
    let way_out = "quantize with constant scales, per tensor or per channel";
    let scales = facts.constant_input(node, 1);
    let scales = scales.filter(|one| one.dims.len() <= 1).and_then(super::super::graph::floats);
    let scales = scales.filter(|scales| !scales.is_empty());
    let scales = scales.ok_or_else(|| refused("scales that are computed or of blocks", way_out))?;
    let zero_points = match node.input(2) {
        None => vec![0; scales.len()],
        Some(_) => {
            let constant = facts.constant_input(node, 2);
            let zero_points = constant.and_then(small_integers);
            zero_points.ok_or_else(|| refused("zero points that are computed", way_out))?
        }
    };
    if zero_points.len() != scales.len() {
        return Err(refused("scales and zero points of different lengths", way_out));
    }
    let rank = node.input(0).and_then(|input| facts.rank(input)).unwrap_or(1);
    let axis = match scales.len() {
        1 => 0,
        _ => axis(node.int("axis").unwrap_or(1), rank)
            .ok_or_else(|| refused("scales along an axis that is not there", way_out))?,
    };
    Ok(Quantization { scales, zero_points, axis })
}

/// The integers of a constant of few bits.
fn small_integers(constant: &Constant) -> Option<Vec<i64>> {
    let bytes = constant.bytes()?;
    Some(match constant.element_type {
        ElementType::Int8 => bytes.iter().map(|&byte| i64::from(byte as i8)).collect(),
        ElementType::Uint8 => bytes.iter().map(|&byte| i64::from(byte)).collect(),
        ElementType::Int16 => {
            bytes.as_chunks().0.iter().map(|&item| i16::from_le_bytes(item).into()).collect()
        }
        ElementType::Uint16 => {
            bytes.as_chunks().0.iter().map(|&item| u16::from_le_bytes(item).into()).collect()
        }
        ElementType::Int32 => {
            bytes.as_chunks().0.iter().map(|&item| i32::from_le_bytes(item).into()).collect()
        }
        _ => return None,
    })
}

/// A constant of integers with its quantization: unsigned ones as signed ones.
pub(super) fn signed(constant: &Constant, quantization: Quantization) -> (Constant, Quantization) {
    match (constant.element_type, constant.bytes()) {
        (ElementType::Uint8, Some(bytes)) => {
            let bytes: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x80).collect();
            let name = &constant.name;
            (Constant::raw(name, ElementType::Int8, &constant.dims, bytes), shifted(quantization))
        }
        _ => (constant.clone(), quantization),
    }
}

fn shifted(mut quantization: Quantization) -> Quantization {
    quantization.zero_points.iter_mut().for_each(|zero_point| *zero_point -= SHIFT);
    quantization
}

/// Whether there is one scale for all.
fn is_whole(quantization: &Quantization) -> bool {
    quantization.scales.len() == 1
}

impl Writer<'_> {
    /// The tensor of 8-bit integers that stands for a value, if there is one.
    pub(super) fn quantized(&self, name: &str) -> Option<Id> {
        self.values.get(name)?.quantized
    }

    /// How a value is wanted as 8-bit integers by all that take it.
    pub(super) fn wanted(&self, name: &str) -> Option<Quantization> {
        let users = self.inner_users(name);
        let mut wanted: Option<Quantization> = None;
        for (_, node) in users {
            let output = node.output(0).filter(|_| node.is("QuantizeLinear"))?;
            let found = parameters(self.facts, node).ok().filter(is_whole)?;
            let found = match self.facts.element_type(output)? {
                ElementType::Int8 => found,
                ElementType::Uint8 => shifted(found),
                _ => return None,
            };
            if wanted.as_ref().is_some_and(|wanted| *wanted != found) {
                return None;
            }
            wanted = Some(found);
        }
        wanted
    }

    /// Of a tensor of integers that stand for real numbers.
    pub(super) fn quantization(&self, id: Id) -> Option<&Quantization> {
        self.tensor(id).quantization.as_ref()
    }

    /// The tensors that an operator takes and gives which moves elements and changes none: integers
    /// stay integers.
    pub(super) fn through(&mut self, input: &str, output: &str) -> Result<(Id, Id), Stop> {
        if let Some(id) = self.quantized(input)
            && let Some(quantization) = self.quantization(id).cloned()
        {
            return Ok((id, self.quantized_output(output, quantization)));
        }
        if let Some(&Held { plain: Some(id), shifted, .. }) = self.values.get(input)
            && self.tensor(id).quantization.is_some()
        {
            let like = self.tensor(id).clone();
            let dims = self.dims_of(output).unwrap_or_default();
            let name = output.to_owned();
            let made = self.add_tensor(Tensor { name: name.clone(), dims, elements: None, ..like });
            self.values.insert(name, Held { plain: Some(made), quantized: None, shifted });
            return Ok((id, made));
        }
        let id = self.value(input)?;
        Ok((id, self.output(output)?))
    }

    /// `QuantizeLinear`.
    pub(super) fn write_quantize(&mut self, node: &Node) -> Result<(), Stop> {
        let (input, output) = ends(node)?;
        let quantization = parameters(self.facts, node)?;
        let element_type = self.facts.element_type(output);
        let (quantization, is_shifted) = match element_type {
            Some(ElementType::Uint8) => (shifted(quantization), true),
            Some(ElementType::Int8 | ElementType::Int16) => (quantization, false),
            other => {
                let found = other.map_or("an unknown type".into(), |found| found.to_string());
                return Err(refused(format!("integers of type {found}"), "quantize to 8 bits"));
            }
        };
        if !is_whole(&quantization) {
            return Err(refused("scales by channel of what is computed", "quantize per tensor"));
        }
        let held = self.quantized(input);
        let same = held.filter(|&id| self.quantization(id) == Some(&quantization));
        let is_int8 = element_type != Some(ElementType::Int16);
        if let Some(id) = same.filter(|_| is_int8) {
            let held = Held { plain: Some(id), quantized: None, shifted: is_shifted };
            self.values.insert(output.to_owned(), held);
            return Ok(());
        }
        let from = match held.filter(|_| is_int8) {
            Some(id) => id,
            None => self.value(input)?,
        };
        let id = self.add_tensor(Tensor {
            name: output.to_owned(),
            type_code: if is_int8 { INT8 } else { INT16 },
            dims: self.dims_of(output).unwrap_or_default(),
            elements: None,
            quantization: Some(quantization),
        });
        self.with("QUANTIZE", &[Some(from)], &[id], options::none("QUANTIZE"));
        let held = Held { plain: Some(id), quantized: None, shifted: is_shifted };
        self.values.insert(output.to_owned(), held);
        Ok(())
    }

    /// `DequantizeLinear`.
    pub(super) fn write_dequantize(&mut self, node: &Node) -> Result<(), Stop> {
        let (input, output) = ends(node)?;
        if self.stored(output)?.is_some() {
            // It is written where it is used.
            return Ok(());
        }
        let quantization = parameters(self.facts, node)?;
        if !is_whole(&quantization) {
            return Err(refused("scales by channel of what is computed", "quantize per tensor"));
        }
        let held = self.values.get(input).copied().unwrap_or_default();
        let Some(id) = held.plain else {
            return Err(refused(format!("a value '{input}' that nothing gives"), ""));
        };
        let expected = if held.shifted { shifted(quantization.clone()) } else { quantization };
        self.state(id, &expected)?;
        let quantized = match self.tensor(id).type_code {
            INT8 => id,
            UINT8 => {
                let dims = self.tensor(id).dims.clone();
                let made = self.quantized_output(output, shifted(expected));
                self.file.tensors[made].dims = dims;
                self.with("QUANTIZE", &[Some(id)], &[made], options::none("QUANTIZE"));
                made
            }
            _ => {
                let made = self.output(output)?;
                self.with("DEQUANTIZE", &[Some(id)], &[made], options::none("DEQUANTIZE"));
                return Ok(());
            }
        };
        let held = Held { plain: None, quantized: Some(quantized), shifted: false };
        self.values.insert(output.to_owned(), held);
        Ok(())
    }

    /// Says of a tensor how its integers stand for real numbers.
    fn state(&mut self, id: Id, quantization: &Quantization) -> Result<(), Stop> {
        match &self.tensor(id).quantization {
            Some(found) if found == quantization => Ok(()),
            Some(_) => Err(refused("other scales than what it takes was quantized with", "")),
            None => {
                self.file.tensors[id].quantization = Some(quantization.clone());
                Ok(())
            }
        }
    }

    /// The tensor of an output of the model.
    pub(super) fn model_output(&mut self, name: &str) -> Result<Id, Stop> {
        let held = self.values.get(name).copied().unwrap_or_default();
        let Some(id) = held.plain.filter(|_| held.shifted) else { return self.value(name) };
        let tensor = self.tensor(id).clone();
        let quantization = tensor.quantization.clone().map(|mut quantization| {
            quantization.zero_points.iter_mut().for_each(|zero_point| *zero_point += SHIFT);
            quantization
        });
        let name = name.to_owned();
        let made = self.add_tensor(Tensor { name, type_code: UINT8, quantization, ..tensor });
        self.with("QUANTIZE", &[Some(id)], &[made], options::none("QUANTIZE"));
        Ok(made)
    }

    /// A tensor of 8-bit integers quantized otherwise.
    pub(super) fn requantized(&mut self, id: Id, wanted: &Quantization) -> Id {
        if self.quantization(id) == Some(wanted) {
            return id;
        }
        let dims = self.tensor(id).dims.clone();
        let made = self.between("requantized", id, &dims);
        self.file.tensors[made].quantization = Some(wanted.clone());
        self.with("QUANTIZE", &[Some(id)], &[made], options::none("QUANTIZE"));
        made
    }
}

/// The number of 16-bit integers.
const INT16: i8 = 7;

fn ends(node: &Node) -> Result<(&str, &str), Stop> {
    match (node.input(0), node.output(0)) {
        (Some(input), Some(output)) => Ok((input, output)),
        _ => Err(refused("no input or no output", "the model is damaged")),
    }
}
