//! `depth_to_space` and `space_to_depth`: channels as elements of blocks, and back.

use super::{Info, Op, Operator, Problem, at, info};
use crate::emitter::node;
use crate::reference::shape;

pub(super) const OPERATOR: Operator = Operator {
    names: &["depth_to_space", "space_to_depth"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let block = block(op)?;
        let wrong = || Problem::shape(format!("blocks of {block} in shape {:?}", input.dims));
        let [batch, channels, height, width] = input.dims.as_slice() else { return Err(wrong()) };
        let divided = |size: usize, by: usize| match size % by {
            0 => Ok(size / by),
            _ => Err(wrong()),
        };
        let dims = match op.operator {
            "depth_to_space" => {
                [*batch, divided(*channels, block * block)?, height * block, width * block]
            }
            _ => [
                *batch,
                channels * block * block,
                divided(*height, block)?,
                divided(*width, block)?,
            ],
        };
        Ok(vec![Info::new(input.kind, &dims)])
    },
    convert: |site| {
        let block = block(&site.op)? as i64;
        let name = match site.op.operator {
            "depth_to_space" => "DepthToSpace",
            _ => "SpaceToDepth",
        };
        let x = site.input(0)?;
        Ok(vec![site.add(node(name, &[x]).with("blocksize", block))])
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let block = block(op)?;
        let [n, c, h, w] = x.dims() else {
            return Err(crate::EvaluateError::new("expected an image"));
        };
        let (n, c, h, w) = (*n, *c, *h, *w);
        Ok(vec![match op.operator {
            "depth_to_space" => {
                let inner = c / (block * block);
                let x = x.clone().reshaped(&[n, block, block, inner, h, w])?;
                let x = shape::transpose(&x, &[0, 3, 4, 1, 5, 2])?;
                x.reshaped(&[n, inner, h * block, w * block])?
            }
            _ => {
                let (rows, columns) = (h / block, w / block);
                let x = x.clone().reshaped(&[n, c, rows, block, columns, block])?;
                let x = shape::transpose(&x, &[0, 3, 5, 1, 2, 4])?;
                x.reshaped(&[n, c * block * block, rows, columns])?
            }
        }])
    },
};

fn block(op: &Op<'_>) -> Result<usize, Problem> {
    let block = op.attributes.need_count("block_size")?;
    match (1..=1 << 10).contains(&block) {
        true => Ok(block),
        false => Err(Problem::shape(format!("blocks of {block}"))),
    }
}
