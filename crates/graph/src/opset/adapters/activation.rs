//! Activations that came late, written as what they are made of.

use super::{Adapter, adapter};
use crate::Node;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Celu", 12, None, Some(celu)),
    adapter("Gelu", 20, None, Some(gelu)),
    adapter("HardSwish", 14, None, Some(hard_swish)),
    adapter("Mish", 18, None, Some(mish)),
    adapter("SwiGLU", 28, None, Some(swiglu)),
    adapter("Swish", 24, None, Some(swish)),
    adapter("ThresholdedRelu", 10, None, Some(thresholded_relu)),
];

/// `alpha * elu(x / alpha)`.
fn celu(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let element_type = site.element_type(&input)?;
    let alpha = site.node.float("alpha").unwrap_or(1.0);
    let alpha = site.scalar("alpha", element_type, alpha.into())?;
    let divided = site.add("Div", &[&input, &alpha]);
    let bent = site.add("Elu", &[&divided]);
    site.replace_by("Mul", &[&bent, &alpha]);
    Ok(())
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`, or its approximation by tanh.
fn gelu(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let element_type = site.element_type(&input)?;
    let bent = match site.node.string("approximate") {
        Some("tanh") => {
            let three = site.scalar("three", element_type, 3.0)?;
            let cubed = site.add("Pow", &[&input, &three]);
            let factor = site.scalar("cubic", element_type, 0.044715)?;
            let cubic = site.add("Mul", &[&cubed, &factor]);
            let sum = site.add("Add", &[&input, &cubic]);
            let factor = (2.0 / std::f64::consts::PI).sqrt();
            let factor = site.scalar("scale", element_type, factor)?;
            let scaled = site.add("Mul", &[&sum, &factor]);
            site.add("Tanh", &[&scaled])
        }
        Some("none") | None => {
            let root = site.scalar("root", element_type, std::f64::consts::SQRT_2)?;
            let scaled = site.add("Div", &[&input, &root]);
            site.add("Erf", &[&scaled])
        }
        Some(other) => return refuse(format!("approximate '{other}'")),
    };
    let one = site.scalar("one", element_type, 1.0)?;
    let half = site.scalar("half", element_type, 0.5)?;
    let sum = site.add("Add", &[&bent, &one]);
    let halved = site.add("Mul", &[&input, &half]);
    site.replace_by("Mul", &[&halved, &sum]);
    Ok(())
}

/// `x * hard_sigmoid(x)` with slope 1/6.
fn hard_swish(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let gate =
        Node::new("HardSigmoid", &[&input], &[]).with("alpha", 1.0f32 / 6.0).with("beta", 0.5f32);
    let gate = site.add_node(gate);
    site.replace_by("Mul", &[&input, &gate]);
    Ok(())
}

/// `x * tanh(softplus(x))`.
fn mish(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let soft = site.add("Softplus", &[&input]);
    let bent = site.add("Tanh", &[&soft]);
    site.replace_by("Mul", &[&input, &bent]);
    Ok(())
}

/// `x * sigmoid(alpha * x)`.
fn swish(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let alpha = site.node.float("alpha").unwrap_or(1.0);
    let mut scaled = input.clone();
    if alpha != 1.0 {
        let element_type = site.element_type(&input)?;
        let alpha = site.scalar("alpha", element_type, alpha.into())?;
        scaled = site.add("Mul", &[&input, &alpha]);
    }
    let gate = site.add("Sigmoid", &[&scaled]);
    site.replace_by("Mul", &[&input, &gate]);
    Ok(())
}

/// `swish(a) * b`.
fn swiglu(site: &mut Site<'_>) -> Result<(), Refusal> {
    let (gate, value) = (site.required(0)?, site.required(1)?);
    let alpha = site.node.float("alpha").unwrap_or(1.0);
    let swish = site.add_node(Node::new("Swish", &[&gate], &[]).with("alpha", alpha));
    site.replace_by("Mul", &[&swish, &value]);
    Ok(())
}

/// `x` where it is above alpha, else 0.
fn thresholded_relu(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let element_type = site.element_type(&input)?;
    let alpha = site.node.float("alpha").unwrap_or(1.0);
    let alpha = site.scalar("alpha", element_type, alpha.into())?;
    let zero = site.scalar("zero", element_type, 0.0)?;
    let above = site.add("Greater", &[&input, &alpha]);
    site.replace_by("Where", &[&above, &input, &zero]);
    Ok(())
}
