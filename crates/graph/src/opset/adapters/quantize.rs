//! QuantizeLinear and DequantizeLinear: along an axis since 13, other scales than floats since 19,
//! blocks and 16 bits since 21. What an earlier version has no node for is written as arithmetic.

use modelyard_tensor::Shape;

use super::layer_normalization::cast;
use super::{Adapter, adapter, code, front};
use crate::opset::site::{Refusal, Site, number, refuse};
use crate::{AttributeValue, Constant, ElementType, Node};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("DequantizeLinear", 10, None, Some(as_arithmetic)),
    adapter("DequantizeLinear", 13, None, Some(whole_tensors_only)),
    adapter("DequantizeLinear", 19, None, Some(float_scales_only)),
    adapter("DequantizeLinear", 21, None, Some(eight_bits_only)),
    adapter("DequantizeLinear", 23, None, Some(types_of_scales)),
    adapter("QuantizeLinear", 13, None, Some(whole_tensors_only)),
    adapter("QuantizeLinear", 19, None, Some(float_scales_only)),
    adapter("QuantizeLinear", 21, None, Some(eight_bits_only)),
    adapter("QuantizeLinear", 23, None, Some(types_of_scales)),
];

/// More scales than any tensor has along an axis.
const MOST_SCALES: usize = 1 << 20;

fn quantizes(site: &Site<'_>) -> bool {
    site.node.op_type == "QuantizeLinear"
}

/// The quantized type.
fn quantized(site: &Site<'_>) -> Result<ElementType, Refusal> {
    if !quantizes(site) {
        return site.element_type(&site.required(0)?);
    }
    if let Some(zero) = site.node.input(2) {
        return site.element_type(zero);
    }
    match site.node.int("output_dtype").unwrap_or(0) {
        0 => Ok(ElementType::Uint8),
        code => match i32::try_from(code).ok().and_then(ElementType::from_code) {
            Some(element_type) => Ok(element_type),
            None => refuse(format!("output_dtype {code}")),
        },
    }
}

fn types_of_scales(site: &mut Site<'_>) -> Result<(), Refusal> {
    let scale = site.element_type(&site.required(1)?)?;
    if quantizes(site) {
        let precision = site.take("precision").unwrap_or(AttributeValue::Int(0));
        if precision != AttributeValue::Int(0) && precision != AttributeValue::Int(code(scale)) {
            return refuse("a precision that is not the scale's");
        }
        return Ok(());
    }
    match site.take("output_dtype") {
        None | Some(AttributeValue::Int(0)) => {}
        Some(AttributeValue::Int(to)) if to == code(scale) => {}
        Some(to) => site.pass_output(0, Node::new("Cast", &[], &[]).with("to", to)),
    }
    Ok(())
}

fn eight_bits_only(site: &mut Site<'_>) -> Result<(), Refusal> {
    let element_type = quantized(site)?;
    let blocks = site.node.int("block_size").unwrap_or(0) != 0;
    let wide = matches!(element_type, ElementType::Int16 | ElementType::Uint16);
    let narrow = matches!(element_type, ElementType::Int4 | ElementType::Uint4);
    if blocks || wide || narrow {
        return as_arithmetic(site);
    }
    site.take("block_size");
    let stated = site.take("output_dtype");
    if stated.is_some() && site.node.input(2).is_none() && element_type != ElementType::Uint8 {
        let scale = site.required(1)?;
        let dims = site.fixed(&scale);
        let count = dims.as_ref().and_then(|dims| Shape::new(dims).elements());
        let (Some(dims), Some(count @ ..=MOST_SCALES)) = (dims, count) else {
            return refuse(format!("the shape of '{scale}' is not known"));
        };
        let zero = number(element_type, 0.0).unwrap_or_else(|| vec![0]);
        let zero = Constant::raw("zero_point", element_type, &dims, zero.repeat(count));
        let zero = site.constant(zero);
        site.set_input(2, zero);
    }
    Ok(())
}

fn float_scales_only(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.take("saturate");
    let scale = site.required(1)?;
    let element_type = site.element_type(&scale)?;
    if matches!(element_type, ElementType::Float16 | ElementType::Bfloat16) {
        let wide = cast(site, &scale, element_type, ElementType::Float32);
        site.set_input(1, wide);
        if quantizes(site) {
            let input = site.required(0)?;
            let given = site.element_type(&input)?;
            let wide = cast(site, &input, given, ElementType::Float32);
            site.set_input(0, wide);
        } else {
            site.pass_output(0, Node::new("Cast", &[], &[]).with("to", code(element_type)));
        }
    }
    Ok(())
}

fn whole_tensors_only(site: &mut Site<'_>) -> Result<(), Refusal> {
    let scale = site.required(1)?;
    let single = site.rank(&scale)? == 0 || site.fixed(&scale).is_some_and(|dims| dims == [1]);
    if !single {
        return as_arithmetic(site);
    }
    site.take("axis");
    Ok(())
}

/// `(x - zero_point) * scale`, or `round(x / scale) + zero_point` within what the type holds.
fn as_arithmetic(site: &mut Site<'_>) -> Result<(), Refusal> {
    let (input, scale) = (site.required(0)?, site.required(1)?);
    let float = ElementType::Float32;
    let (given, scale_type) = (site.element_type(&input)?, site.element_type(&scale)?);
    let element_type = quantized(site)?;
    let zero = match site.node.input(2).map(str::to_owned) {
        Some(zero) => {
            let zero = unpacked(site, &zero)?;
            let zero = along_axis(site, &input, &zero)?;
            let zero_type = site.element_type(&zero).unwrap_or(element_type);
            Some(cast(site, &zero, zero_type, float))
        }
        None => None,
    };
    let scale = along_axis(site, &input, &scale)?;
    let scale = cast(site, &scale, scale_type, float);
    let quantizes = quantizes(site);
    let input = if quantizes { input } else { unpacked(site, &input)? };
    let mut value = cast(site, &input, given, float);
    if !quantizes {
        if let Some(zero) = zero {
            value = site.add("Sub", &[&value, &zero]);
        }
        let value = site.add("Mul", &[&value, &scale]);
        site.replace(Node::new("Cast", &[&value], &[]).with("to", code(scale_type)));
        return Ok(());
    }
    let Some((low, high)) = range(element_type) else {
        return refuse(format!("elements of type {element_type}"));
    };
    value = site.add("Div", &[&value, &scale]);
    value = site.add("Round", &[&value]);
    if let Some(zero) = zero {
        value = site.add("Add", &[&value, &zero]);
    }
    let (low, high) = (site.scalar("low", float, low)?, site.scalar("high", float, high)?);
    value = site.add("Clip", &[&value, &low, &high]);
    site.replace(Node::new("Cast", &[&value], &[]).with("to", code(element_type)));
    Ok(())
}

/// What the elements of a quantized type can be.
fn range(element_type: ElementType) -> Option<(f64, f64)> {
    Some(match element_type {
        ElementType::Int8 => (-128.0, 127.0),
        ElementType::Uint8 => (0.0, 255.0),
        ElementType::Int16 => (-32768.0, 32767.0),
        ElementType::Uint16 => (0.0, 65535.0),
        _ => return None,
    })
}

/// A scale or zero point in the form that stretches to the shape of `input`.
fn along_axis(site: &mut Site<'_>, input: &str, value: &str) -> Result<String, Refusal> {
    let dims = site.fixed(value);
    let rank = dims.as_ref().map_or_else(|| site.rank(value), |dims| Ok(dims.len()))?;
    let block = site.node.int("block_size").unwrap_or(0);
    if rank == 0 || dims.as_deref() == Some(&[1]) && block == 0 {
        let scalar = site.ints("scalar", &[]);
        return Ok(if rank == 0 {
            value.to_owned()
        } else {
            site.add("Reshape", &[value, &scalar])
        });
    }
    let around = site.rank(input)?;
    let axis = site.node.int("axis").unwrap_or(1);
    let Some(axis) = front(axis, around) else { return refuse(format!("axis {axis} of {around}")) };
    if block == 0 {
        let mut shape = vec![1i64; around];
        shape[axis] = -1;
        let shape = site.ints("along", &shape);
        return Ok(site.add("Reshape", &[value, &shape]));
    }
    let (Some(whole), Some(dims)) = (site.fixed(input), dims) else {
        return refuse("blocks of a tensor whose shape is not fixed");
    };
    // Each repeated along a new axis of its own, then cut to size.
    let mut apart: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
    let mut together = apart.clone();
    if axis >= together.len() {
        return refuse(format!("axis {axis} of scales with {} dimensions", together.len()));
    }
    together[axis] = together[axis].saturating_mul(block);
    apart.insert(axis + 1, 1);
    let mut repeats = vec![1i64; apart.len()];
    repeats[axis + 1] = block;
    let (apart, repeats) = (site.ints("apart", &apart), site.ints("repeats", &repeats));
    let value = site.add("Reshape", &[value, &apart]);
    let value = site.add("Tile", &[&value, &repeats]);
    let together = site.ints("together", &together);
    let value = site.add("Reshape", &[&value, &together]);
    let (start, end) = (site.ints("start", &[0]), site.ints("end", &[whole[axis] as i64]));
    let axis = site.ints("axis", &[axis as i64]);
    Ok(site.add("Slice", &[&value, &start, &end, &axis]))
}

/// A constant of 4 bits as one of 8, which earlier versions can read; anything else as it is.
fn unpacked(site: &mut Site<'_>, name: &str) -> Result<String, Refusal> {
    let element_type = site.element_type(name)?;
    let signed = match element_type {
        ElementType::Int4 => true,
        ElementType::Uint4 => false,
        _ => return Ok(name.to_owned()),
    };
    let Some(constant) = site.knowledge.constant(name) else {
        return refuse(format!("'{name}' of type {element_type} is no constant"));
    };
    let (Some(bytes), Some(elements)) = (constant.bytes(), constant.elements()) else {
        return refuse(format!("'{name}' is in a file that is not loaded"));
    };
    let half = |index: usize| bytes.get(index / 2).map(|byte| (byte >> (4 * (index % 2))) & 15);
    let widen = |half: u8| if signed { (((half << 4) as i8) >> 4) as u8 } else { half };
    let bytes: Vec<u8> = (0..elements).filter_map(half).map(widen).collect();
    let element_type = if signed { ElementType::Int8 } else { ElementType::Uint8 };
    let dims = constant.dims.clone();
    Ok(site.constant(Constant::raw(name, element_type, &dims, bytes)))
}
