//! Shapes of all values for given shapes of the inputs.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_graph::ElementType;

use super::ops::{self, Op};
use super::parameters::Parameters;
use super::problem::Problem;
use super::symbol::{Place, Symbol};

/// Shape and type of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Info {
    pub(super) dims: Vec<usize>,
    pub(super) kind: ElementType,
}

impl Info {
    pub(super) fn new(kind: ElementType, dims: &[usize]) -> Info {
        Info { dims: dims.to_vec(), kind }
    }

    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Number of elements; an error where it is more than anybody has.
    pub(super) fn len(&self) -> Result<usize, Problem> {
        let count = self.dims.iter().try_fold(1usize, |count, dim| count.checked_mul(*dim));
        let count = count.filter(|&count| count <= 1 << 40);
        count.ok_or_else(|| Problem::shape(format!("shape {:?} is too large", self.dims)))
    }

    /// The dimension of an axis, which counts from the back where it is negative.
    pub(super) fn axis(&self, axis: i64) -> Result<usize, Problem> {
        axis_of(axis, self.rank())
    }
}

/// An axis counted from the front.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, Problem> {
    let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    let found = usize::try_from(counted).ok().filter(|&axis| axis < rank);
    found.ok_or_else(|| Problem::shape(format!("there is no axis {axis} among {rank}")))
}

/// What came out: shapes by node, as far as they are known, and what was wrong.
#[derive(Debug)]
pub(super) struct Inference {
    pub(super) infos: Vec<Option<Vec<Info>>>,
    pub(super) problems: Vec<(usize, Problem)>,
}

impl Inference {
    pub(super) fn get(&self, place: Place) -> Option<&Info> {
        self.infos.get(place.node)?.as_ref()?.get(place.output)
    }
}

/// Infers the shapes of the nodes in `used`, in order. Nodes behind one that has none have none.
pub(super) fn infer(
    symbol: &Symbol,
    parameters: &Parameters,
    used: &BTreeSet<usize>,
    inputs: &BTreeMap<usize, Info>,
) -> Inference {
    let mut found = Inference { infos: vec![None; symbol.nodes.len()], problems: Vec::new() };
    for &index in used {
        let Some(node) = symbol.nodes.get(index) else { continue };
        if node.is_variable() {
            let input = inputs.get(&index).cloned();
            let info = input.or_else(|| {
                let entry = parameters.get(&node.name)?;
                Some(Info::new(entry.element_type, &entry.dims))
            });
            found.infos[index] = info.map(|info| vec![info]);
            continue;
        }
        let given: Option<Vec<Info>> =
            node.inputs.iter().map(|&place| found.get(place).cloned()).collect();
        let (Some(operator), Some(given)) = (ops::find(&node.operator), given) else { continue };
        match (operator.infer)(&Op::of(node), &given) {
            Ok(infos) => found.infos[index] = Some(infos),
            Err(problem) => found.problems.push((index, problem)),
        }
    }
    found
}
