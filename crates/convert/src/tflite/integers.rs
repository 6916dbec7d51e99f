//! Integers that stand for real numbers, as ONNX quantizes and dequantizes them.

use modelyard_graph::{Constant, ElementType, Node};

use super::convert::Converter;
use super::fixed::Fixed;
use super::model::Quantization;
use super::stop::{Stop, refused};
use crate::emitter::node;

impl Converter<'_> {
    /// DequantizeLinear takes no integers of 64 bits: those that fit are stored in 32, others as
    /// the numbers they stand for.
    pub(super) fn narrow_or_real(&mut self, mut fixed: Fixed) -> Result<String, Stop> {
        let values: Vec<i64> =
            fixed.bytes.as_chunks().0.iter().map(|&item| i64::from_le_bytes(item)).collect();
        let narrow: Option<Vec<i32>> =
            values.iter().map(|&value| i32::try_from(value).ok()).collect();
        let (element_type, bytes): (_, Vec<u8>) = match narrow {
            Some(narrow) => {
                (ElementType::Int32, narrow.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            None => {
                let real = super::quantization::real_elements(
                    fixed.element_type,
                    &fixed.dims,
                    &fixed.bytes,
                    fixed.quantization.take().as_ref(),
                )?;
                (ElementType::Float32, real.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        self.real_fixed(Fixed { element_type, bytes: bytes.into(), ..fixed })
    }

    /// The real numbers of integers.
    pub(crate) fn dequantize(
        &mut self,
        raw: &str,
        element_type: ElementType,
        quantization: &Quantization,
    ) -> Result<String, Stop> {
        let (scale, zero_point) = self.parameters(element_type, quantization)?;
        let mut inputs = vec![raw.to_owned(), scale];
        inputs.extend(zero_point);
        let node = node("DequantizeLinear", &inputs);
        Ok(self.emitter.add(per_axis(node, quantization)))
    }

    /// The integers of real numbers.
    pub(crate) fn quantize(
        &mut self,
        real: &str,
        element_type: ElementType,
        quantization: &Quantization,
    ) -> Result<String, Stop> {
        let (scale, zero_point) = self.parameters(element_type, quantization)?;
        let Some(zero_point) = zero_point else {
            return self.quantize_wide(real, element_type, &scale);
        };
        let node = node("QuantizeLinear", &[real.to_owned(), scale, zero_point]);
        Ok(self.emitter.add(per_axis(node, quantization)))
    }

    /// QuantizeLinear gives no integers of 32 bits.
    fn quantize_wide(
        &mut self,
        real: &str,
        element_type: ElementType,
        scale: &str,
    ) -> Result<String, Stop> {
        let steps = self.emitter.add(node("Div", &[real, scale]));
        let rounded = self.emitter.add(node("Round", &[steps]));
        Ok(self.cast(&rounded, element_type))
    }

    /// Scale and zero point as constants, one of each for all uses; integers of 32 bits have no
    /// zero point.
    fn parameters(
        &mut self,
        element_type: ElementType,
        quantization: &Quantization,
    ) -> Result<(String, Option<String>), Stop> {
        if matches!(element_type, ElementType::Int16 | ElementType::Uint16) {
            self.emitter.require("", 21);
        }
        let key = format!("{element_type} {quantization:?}");
        if let Some(found) = self.parameters.get(&key) {
            return Ok(found.clone());
        }
        let dims: Vec<usize> = match quantization.scales.len() {
            1 => Vec::new(),
            count => vec![count],
        };
        let scale = self.emitter.weight(Constant::floats("scale", &dims, &quantization.scales));
        let points = &quantization.zero_points;
        let bytes: Option<Vec<u8>> = match element_type {
            ElementType::Int8 | ElementType::Uint8 => {
                Some(points.iter().map(|&point| point as u8).collect())
            }
            ElementType::Int16 => {
                Some(points.iter().flat_map(|&point| (point as i16).to_le_bytes()).collect())
            }
            ElementType::Int32 if points.iter().all(|&point| point == 0) => None,
            _ => {
                return Err(refused(
                    format!("quantization to {element_type} with zero points"),
                    "convert the model to TensorFlow Lite again with 8-bit integers",
                ));
            }
        };
        let zero_point = bytes
            .map(|bytes| self.emitter.weight(Constant::raw("zero", element_type, &dims, bytes)));
        self.parameters.insert(key, (scale.clone(), zero_point.clone()));
        Ok((scale, zero_point))
    }
}

fn per_axis(node: Node, quantization: &Quantization) -> Node {
    match quantization.scales.len() {
        1 => node,
        _ => node.with("axis", quantization.axis as i64),
    }
}
