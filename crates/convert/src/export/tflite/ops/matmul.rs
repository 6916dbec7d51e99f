//! Products of matrices: `FULLY_CONNECTED` where the weights are constants `[out, in]`,
//! `BATCH_MATMUL` else.

use modelyard_graph::{Constant, Node};

use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{Id, Writer};
use super::convolution::Weighted;

pub(super) fn matmul<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    let (left_rank, right_rank) = (cx.known_dims(left)?.len(), cx.known_dims(right)?.len());
    if left_rank < 2 || right_rank < 2 {
        return vector(cx, node, [left_rank, right_rank]);
    }
    if right_rank == 2 && cx.stored(right)?.is_some() {
        let (bias, output) = biased(cx, right, output);
        let (fused, output) = cx.fused(output);
        let sum =
            Weighted { input: left, weights: right, order: vec![1, 0], channels: 0, bias, output };
        let tensors = cx.weighted(&sum)?;
        let options = options::fully_connected(left_rank > 2, fused);
        cx.finish("FULLY_CONNECTED", &tensors, options);
        return Ok(());
    }
    let (left, right, made) = operands(cx, [left, right], output)?;
    let options = options::batch_matmul(false, false);
    cx.with("BATCH_MATMUL", &[Some(left), Some(right)], &[made], Some(options));
    Ok(())
}

/// Integers where both sides and the result are quantized.
fn operands(
    cx: &mut Writer<'_>,
    [left, right]: [&str; 2],
    output: &str,
) -> Result<(Id, Id, Id), Stop> {
    if let (Some(one), Some(two), Some(wanted)) =
        (cx.quantized(left), cx.quantized(right), cx.wanted(output))
    {
        return Ok((one, two, cx.quantized_output(output, wanted)));
    }
    Ok((cx.value(left)?, cx.value(right)?, cx.output(output)?))
}

/// A vector is a matrix of one row or column.
fn vector(
    cx: &mut Writer<'_>,
    node: &Node,
    [left_rank, right_rank]: [usize; 2],
) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    let mut sides = [cx.value(left)?, cx.value(right)?];
    for (index, rank) in [left_rank, right_rank].into_iter().enumerate() {
        if rank == 1 {
            let size = cx.tensor(sides[index]).dims.first().copied().flatten();
            let size = size.ok_or_else(|| refused("a vector of an open size", ""))?;
            let dims = if index == 0 { [1, size] } else { [size, 1] };
            sides[index] = cx.reshaped(sides[index], &dims.map(Some));
        }
    }
    let dims = cx.known_dims(output)?;
    let mut wide = dims.clone();
    if right_rank == 1 {
        wide.push(Some(1));
    }
    if left_rank == 1 {
        wide.insert(wide.len().saturating_sub(1), Some(1));
    }
    let product = cx.between("BATCH_MATMUL", sides[0], &wide);
    let options = options::batch_matmul(false, false);
    cx.with("BATCH_MATMUL", &[Some(sides[0]), Some(sides[1])], &[product], Some(options));
    let made = cx.output(output)?;
    cx.reshape_into(product, made, &dims)
}

/// The bias that is all that is done with a product, and what comes behind it.
fn biased<'a>(cx: &mut Writer<'a>, weights: &str, output: &'a str) -> (Option<&'a str>, &'a str) {
    let none = (None, output);
    let Some((index, node)) = cx.only_user(output).filter(|(_, node)| node.is("Add")) else {
        return none;
    };
    let other = if node.input(0) == Some(output) { node.input(1) } else { node.input(0) };
    let (Some(bias), Some(behind)) = (other, node.output(0)) else { return none };
    let columns = cx.facts.sizes(weights).and_then(|sizes| sizes.last().copied());
    let is_row =
        cx.facts.constant(bias).is_some_and(|one| one.dims.len() == 1 && one.elements() == columns);
    let is_same_shape = cx.dims_of(output) == cx.dims_of(behind);
    if !(is_row && is_same_shape) {
        return none;
    }
    cx.join(index);
    (Some(bias), behind)
}

fn ends(node: &Node) -> Result<(&str, &str, &str), Stop> {
    match (node.input(0), node.input(1), node.output(0)) {
        (Some(left), Some(right), Some(output)) => Ok((left, right, output)),
        _ => Err(refused("a product without operands", "")),
    }
}

pub(super) fn gemm<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    let number = |name: &str| node.float(name).unwrap_or(1.0);
    let turned = |name: &str| node.int(name).unwrap_or(0) != 0;
    let is_plain = number("alpha") == 1.0 && number("beta") == 1.0 && !turned("transA");
    let columns = cx.known_dims(output)?.last().copied().flatten();
    let is_row = |constant: &Constant| {
        let row = constant.dims.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
        constant.elements() == columns && row.len() <= 1
    };
    let bias = node.input(2);
    let has_row = match bias {
        None => true,
        Some(bias) => cx.stored(bias)?.is_some_and(|stored| is_row(&stored.constant)),
    };
    if is_plain && has_row && cx.stored(right)?.is_some() {
        let order = if turned("transB") { vec![0, 1] } else { vec![1, 0] };
        let (fused, output) = cx.fused(output);
        let sum = Weighted { input: left, weights: right, order, channels: 0, bias, output };
        let tensors = cx.weighted(&sum)?;
        cx.finish("FULLY_CONNECTED", &tensors, options::fully_connected(false, fused));
        return Ok(());
    }
    let dims = cx.known_dims(output)?;
    let sides = [cx.value(left)?, cx.value(right)?];
    let mut value = cx.between("BATCH_MATMUL", sides[0], &dims);
    let options = options::batch_matmul(turned("transA"), turned("transB"));
    cx.with("BATCH_MATMUL", &[Some(sides[0]), Some(sides[1])], &[value], Some(options));
    if number("alpha") != 1.0 {
        let alpha = cx.scalar(number("alpha"));
        value = cx.alike("MUL", &[value, alpha]);
    }
    let summand = match bias {
        Some(bias) => cx.value(bias)?,
        None => cx.scalar(0.0),
    };
    let summand = match number("beta") {
        1.0 => summand,
        beta => {
            let beta = cx.scalar(beta);
            cx.alike("MUL", &[summand, beta])
        }
    };
    let (fused, output) = cx.fused(output);
    let made = cx.output(output)?;
    let options = options::arithmetic("ADD", fused);
    cx.with("ADD", &[Some(value), Some(summand)], &[made], Some(options));
    Ok(())
}
