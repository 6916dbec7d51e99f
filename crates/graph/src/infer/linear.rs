//! Products of matrices: two FLOPs for each multiplication with its addition.

use std::collections::BTreeMap;

use super::elementwise::broadcast;
use super::fact::{Answer, Fact, Op, Rule, product};
use crate::ElementType;

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "MatMul" => |op| matmul(op, 0, 1, None),
        "MatMulInteger" => |op| matmul(op, 0, 1, Some(ElementType::Int32)),
        "com.microsoft.DynamicQuantizeMatMul" | "com.microsoft.MatMulIntegerToFloat" => {
            |op| matmul(op, 0, 1, Some(ElementType::Float32))
        }
        "QLinearMatMul" => |op| {
            let element_type = op.input(7)?.element_type;
            matmul(op, 0, 3, Some(element_type))
        },
        "com.microsoft.FusedMatMul" => fused_matmul,
        "com.microsoft.MatMulNBits" => matmul_nbits,
        "Gemm" | "com.microsoft.FusedGemm" => gemm,
        "Einsum" => einsum,
        _ => return None,
    })
}

fn matmul(
    op: &Op<'_>,
    left: usize,
    right: usize,
    element_type: Option<ElementType>,
) -> Option<Answer> {
    let (left, right) = (op.input(left)?, op.input(right)?);
    multiply(&left.dims, &right.dims, element_type.unwrap_or(left.element_type))
}

/// As NumPy's `matmul`: vectors get a dimension that goes again.
fn multiply(left: &[usize], right: &[usize], element_type: ElementType) -> Option<Answer> {
    let mut left = left.to_vec();
    let mut right = right.to_vec();
    let (row, column) = (left.len() == 1, right.len() == 1);
    if row {
        left.insert(0, 1);
    }
    if column {
        right.push(1);
    }
    let (left_batch, [rows, inner]) = left.split_last_chunk::<2>()?;
    let (right_batch, [inner_right, columns]) = right.split_last_chunk::<2>()?;
    if inner != inner_right {
        return None;
    }
    let mut dims = broadcast([left_batch, right_batch])?;
    dims.extend([*rows, *columns]);
    let flops = product(&dims).saturating_mul(*inner as u64).saturating_mul(2);
    if column {
        dims.pop();
    }
    if row {
        dims.remove(dims.len() - if column { 1 } else { 2 });
    }
    Some(Answer::one(Fact::new(element_type, &dims)).flops(flops))
}

fn fused_matmul(op: &Op<'_>) -> Option<Answer> {
    let swapped = |index, attribute| {
        let mut dims = op.dims(index)?.to_vec();
        let rank = dims.len();
        if op.int(attribute, 0) != 0 && rank >= 2 {
            dims.swap(rank - 1, rank - 2);
        }
        Some(dims)
    };
    if op.int("transBatchA", 0) != 0 || op.int("transBatchB", 0) != 0 {
        return None;
    }
    multiply(&swapped(0, "transA")?, &swapped(1, "transB")?, op.input(0)?.element_type)
}

fn matmul_nbits(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let inner = usize::try_from(op.node.int("K")?).ok()?;
    let columns = usize::try_from(op.node.int("N")?).ok()?;
    multiply(&input.dims, &[inner, columns], input.element_type)
}

fn gemm(op: &Op<'_>) -> Option<Answer> {
    let matrix = |index, attribute| {
        let &[rows, columns] = op.dims(index)? else { return None };
        Some(if op.int(attribute, 0) != 0 { [columns, rows] } else { [rows, columns] })
    };
    let ([rows, inner], [inner_right, columns]) = (matrix(0, "transA")?, matrix(1, "transB")?);
    if inner != inner_right {
        return None;
    }
    let output = Fact::new(op.input(0)?.element_type, &[rows, columns]);
    let bias = if op.has(2) { output.elements() } else { 0 };
    let flops = output.elements().saturating_mul(inner as u64).saturating_mul(2);
    Some(Answer::one(output).flops(flops.saturating_add(bias)))
}

/// One multiplication and addition for each combination of all indices. Without ellipsis.
fn einsum(op: &Op<'_>) -> Option<Answer> {
    let equation: String =
        op.node.string("equation")?.chars().filter(|letter| !letter.is_whitespace()).collect();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    if terms.len() != op.inputs.len() || equation.contains('.') {
        return None;
    }
    let mut sizes: BTreeMap<char, (usize, usize)> = BTreeMap::new();
    for (index, term) in terms.iter().enumerate() {
        let dims = op.dims(index)?;
        if term.chars().count() != dims.len() {
            return None;
        }
        for (letter, &size) in term.chars().zip(dims) {
            let (known, uses) = sizes.entry(letter).or_insert((size, 0));
            *uses += 1;
            *known = (*known).max(size);
        }
    }
    let dims: Vec<usize> = match result {
        Some(result) => result
            .chars()
            .map(|letter| sizes.get(&letter).map(|(size, _)| *size))
            .collect::<Option<_>>()?,
        // Implicit: the letters used once, in alphabetical order.
        None => sizes.values().filter(|(_, uses)| *uses == 1).map(|(size, _)| *size).collect(),
    };
    let all: Vec<usize> = sizes.values().map(|(size, _)| *size).collect();
    let flops = product(&all).saturating_mul(if terms.len() > 1 { 2 } else { 1 });
    Some(Answer::one(Fact::new(op.input(0)?.element_type, &dims)).flops(flops))
}
