//! Operators of images whose channels are last, as other frameworks have them.
//!
//! They have the names and attributes of ONNX's own, and weights, scales and sizes in ONNX's order of
//! axes; only the image that they take, and the one that they give, is `[batch, space..., channels]`.
//! No engine runs them: a graph has them on its way to another format.

use super::fact::{Answer, Fact, Op, Rule};

/// The domain of such operators.
pub const CHANNELS_LAST: &str = "modelyard.channels_last";

/// What the rule of ONNX's operator says of one whose channels are last.
pub(super) fn answer(op: &Op<'_>, rule: Rule, opset: i64) -> Option<Answer> {
    let mut image = op.input(0)?.clone();
    move_axis(&mut image, |dims| dims[1..].rotate_right(1))?;
    let mut inputs = op.inputs.clone();
    *inputs.first_mut()? = Some(&image);
    let mut answer = rule(&Op { node: op.node, inputs, opset, trust: op.trust })?;
    for output in answer.outputs.iter_mut().flatten() {
        move_axis(output, |dims| dims[1..].rotate_left(1))?;
    }
    Some(answer)
}

fn move_axis(image: &mut Fact, rotate: fn(&mut [usize])) -> Option<()> {
    if image.dims.len() < 3 {
        return None;
    }
    rotate(&mut image.dims);
    image.values = None;
    Some(())
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::{DataType, Dim};

    use super::*;
    use crate::{GraphBuilder, Node};

    #[test]
    fn channels_come_last_and_weights_stay() {
        let dims = [Dim::Symbol("n".into()), Dim::Fixed(8), Dim::Fixed(9), Dim::Fixed(3)];
        let conv = Node::new("Conv", &["x", "w"], &["y"]).in_domain(CHANNELS_LAST);
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .floats("w", &[5, 3, 3, 2], &[0.0; 90])
            .node(conv.with("strides", [2, 1]))
            .output("y", DataType::Fp32, &[Dim::Free, Dim::Free, Dim::Free, Dim::Free])
            .model()
            .with_opset(CHANNELS_LAST, 1);
        let types = model.types();
        let (_, found) = types["y"].as_tensor().unwrap();
        let expected = [Dim::Symbol("n".into()), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(5)];
        assert_eq!(found.unwrap(), expected);
    }
}
