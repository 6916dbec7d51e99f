//! Convolutions.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::graph::Size;
use crate::reference::convolution::{Convolution, convolve, convolve_transposed};
use crate::reference::{Array, shape};

const DIRECT: &str = "input weight bias stride padding dilation groups";
const TRANSPOSED: &str = "input weight bias stride padding output_padding groups dilation";
const GENERAL: &str = "input weight bias stride padding dilation transposed output_padding groups";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.conv1d.default", DIRECT, convert, evaluate),
    operator("aten.conv1d.padding", DIRECT, convert, evaluate),
    operator("aten.conv2d.default", DIRECT, convert, evaluate),
    operator("aten.conv2d.padding", DIRECT, convert, evaluate),
    operator("aten.conv3d.default", DIRECT, convert, evaluate),
    operator("aten.conv3d.padding", DIRECT, convert, evaluate),
    operator("aten.conv_transpose1d.default", TRANSPOSED, convert, evaluate),
    operator("aten.conv_transpose2d.input", TRANSPOSED, convert, evaluate),
    operator("aten.conv_transpose3d.input", TRANSPOSED, convert, evaluate),
    operator("aten.convolution.default", GENERAL, convert, evaluate),
    operator("aten._convolution.default", GENERAL, convert, evaluate),
    operator("aten._convolution.deprecated", GENERAL, convert, evaluate),
];

/// Pads in front of and behind each axis.
type Pads = (Vec<i64>, Vec<i64>);

/// What `padding="same"` stands for: as many elements as the window is wider than one, the odd one
/// behind.
fn same_pads(kernel: &[i64], dilation: &[i64]) -> Pads {
    let total = kernel
        .iter()
        .zip(dilation)
        .map(|(kernel, dilation)| dilation.saturating_mul(kernel.saturating_sub(1)));
    let total: Vec<i64> = total.collect();
    let before: Vec<i64> = total.iter().map(|total| total / 2).collect();
    let after = total.iter().zip(&before).map(|(total, before)| total - before).collect();
    (before, after)
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (input, weight) = (call.tensor("input")?, call.tensor("weight")?);
    let bias = call.optional("bias")?;
    let rank = weight.rank().saturating_sub(2);
    let kernel: Option<Vec<i64>> = weight.sizes.iter().skip(2).map(Size::known).collect();
    let strides = call.spatial("stride", rank, 1)?;
    let dilations = call.spatial("dilation", rank, 1)?;
    let groups = call.int_or("groups", 1)?;
    let is_transposed =
        call.operator().starts_with("conv_transpose") || call.bool_or("transposed", false)?;
    let (before, after) = match call.text_or("padding", "valid") {
        Ok(padding) if padding == "same" => {
            let kernel = kernel.as_deref().ok_or_else(unknown_kernel)?;
            same_pads(kernel, &dilations)
        }
        Ok(_) => (vec![0; rank], vec![0; rank]),
        Err(_) => {
            let pads = call.spatial("padding", rank, 0)?;
            (pads.clone(), pads)
        }
    };
    let is_batched = input.rank() > rank + 1;
    let image = match is_batched {
        true => input.name.clone(),
        false => call.to.unsqueeze(&input.name, &[0]),
    };
    let mut inputs = vec![image, weight.name.clone()];
    inputs.extend(bias.map(|bias| bias.name));
    let op_type = if is_transposed { "ConvTranspose" } else { "Conv" };
    let mut conv = node(op_type, &inputs)
        .with("strides", strides.as_slice())
        .with("dilations", dilations.as_slice())
        .with("pads", [before, after].concat().as_slice())
        .with("group", groups);
    if let Some(kernel) = &kernel {
        conv = conv.with("kernel_shape", kernel.as_slice());
    }
    if is_transposed {
        let extra = call.spatial("output_padding", rank, 0)?;
        conv = conv.with("output_padding", extra.as_slice());
    }
    let result = call.to.emit_node(conv);
    give_unbatched(call, &result, is_batched, &input);
    Ok(())
}

fn give_unbatched(call: &mut Call<'_, '_>, result: &str, is_batched: bool, input: &Tensor) {
    let result = match is_batched || input.rank() == 0 {
        true => result.to_owned(),
        false => call.to.squeeze(result, &[0]),
    };
    call.give(0, result);
}

fn unknown_kernel() -> Refusal {
    Refusal::new("padding 'same' around a kernel of unknown size", "give the padding as numbers")
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let (input, weight) = (eval.tensor("input")?, eval.tensor("weight")?);
    let bias = eval.optional("bias")?;
    let rank = weight.rank().saturating_sub(2);
    let is_transposed =
        eval.operator().starts_with("conv_transpose") || eval.bool_or("transposed", false)?;
    let dilation = eval.spatial("dilation", rank, 1)?;
    let kernel: Vec<i64> = weight.dims().iter().skip(2).map(|&size| size as i64).collect();
    let (before, after) = match eval.text_or("padding", "valid").as_deref() {
        Ok("same") => same_pads(&kernel, &dilation),
        Ok(_) => (vec![0; rank], vec![0; rank]),
        Err(_) => {
            let pads = eval.spatial("padding", rank, 0)?;
            (pads.clone(), pads)
        }
    };
    let how = Convolution {
        strides: sizes(&eval.spatial("stride", rank, 1)?)?,
        dilations: sizes(&dilation)?,
        pads_begin: sizes(&before)?,
        pads_end: sizes(&after)?,
        groups: sizes(&[eval.int_or("groups", 1)?])?[0],
    };
    let is_batched = input.rank() > rank + 1;
    let image = if is_batched { input.as_ref().clone() } else { shape::expand_dims(&input, &[0])? };
    let result = if is_transposed {
        let extra = sizes(&eval.spatial("output_padding", rank, 0)?)?;
        convolve_transposed(&image, &weight, bias.as_deref(), (&how, &extra))?
    } else {
        convolve(&image, &weight, bias.as_deref(), &how)?
    };
    one(unbatched(result, is_batched))
}

fn unbatched(result: Array, is_batched: bool) -> Result<Array, EvaluateError> {
    if is_batched { Ok(result) } else { shape::squeeze(&result, Some(&[0])) }
}

/// Integers as sizes; an error for negative ones.
pub(super) fn sizes(ints: &[i64]) -> Result<Vec<usize>, EvaluateError> {
    let sizes: Option<Vec<usize>> = ints.iter().map(|&int| usize::try_from(int).ok()).collect();
    sizes.ok_or_else(|| EvaluateError::new(format!("expected sizes, found {ints:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odd_element_of_same_padding_stands_behind() {
        assert_eq!(same_pads(&[3, 4], &[1, 1]), (vec![1, 1], vec![1, 2]));
        assert_eq!(same_pads(&[2], &[3]), (vec![1], vec![2]));
    }
}
