//! `GroupNormalization`: groups of channels of each sample.

use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::{Converter, Size};
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::{Value, axis_of};
use crate::keras::variables::Variables;
use crate::reference::normalize::{Affine, group_norm};
use crate::reference::shape;

/// Each group by its own mean and variance.
#[derive(Debug)]
struct GroupNorm {
    /// -1: as many as channels.
    groups: i64,
    axis: i64,
    epsilon: f32,
    scale: bool,
    center: bool,
}

/// More groups than any layer has: a constant of that size is written.
const GROUPS_MAX: usize = 1 << 20;

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(GroupNorm {
        groups: config.integer(&["groups"])?.unwrap_or(32),
        axis: config.integer(&["axis"])?.unwrap_or(-1),
        epsilon: config.number_or(&["epsilon"], 1e-3)? as f32,
        scale: config.flag(&["scale"], true)?,
        center: config.flag(&["center"], true)?,
    }))
}

impl GroupNorm {
    fn groups(&self, channels: usize) -> Result<usize, Fault> {
        let groups =
            if self.groups == -1 { Some(channels) } else { usize::try_from(self.groups).ok() };
        let fits =
            |groups: &usize| (1..=GROUPS_MAX).contains(groups) && channels.is_multiple_of(*groups);
        groups.filter(fits).ok_or_else(|| {
            let groups = self.groups;
            Fault::malformed(format!("{channels} channels cannot be in {groups} groups"))
        })
    }

    /// The axes with that of the channels second, and the way back.
    fn orders(&self, rank: usize) -> Result<(Vec<usize>, Vec<usize>), Fault> {
        let axis = axis_of(self.axis, rank).filter(|&axis| axis > 0).ok_or_else(|| {
            let axis = self.axis;
            Fault::malformed(format!("expected an axis of {rank} dimensions, found {axis}"))
        })?;
        let mut order: Vec<usize> = (0..rank).filter(|&other| other != axis).collect();
        order.insert(1, axis);
        let mut back = vec![0; rank];
        order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
        Ok((order, back))
    }
}

impl Operation for GroupNorm {
    fn variables(&self, base: Variables) -> Variables {
        let base = if self.scale { base.trained(&["gamma"]) } else { base };
        if self.center { base.trained(&["beta"]) } else { base }
    }

    fn masks(&self) -> Masks {
        Masks::Pass
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let (order, back) = self.orders(x.rank())?;
        let x = to.transpose(&x, &order);
        let channels = x.size(1).ok_or_else(|| Fault::malformed("the channels are not known"))?;
        let groups = self.groups(channels)?;
        // Groups are normalized like channels are, one by one.
        let grouped = to.reshape(&x, &[Size::Axis(0), Size::Fixed(groups), Size::Rest]);
        let ones = to.emitter.floats("ones", &[groups], &vec![1.0; groups]);
        let zeros = to.emitter.floats("zeros", &[groups], &vec![0.0; groups]);
        let norm = node("InstanceNormalization", &[&grouped.name, &ones, &zeros]);
        let name = to.add(norm.with("epsilon", self.epsilon));
        let shape = to.shape_of(&x);
        let name = to.op("Reshape", &[&name, &shape]);
        let mut y = to.like(&x, name);
        let of = layer.variables();
        let mut dims = vec![1; x.rank() - 1];
        dims[0] = channels;
        for (used, name, op_type) in [(self.scale, "gamma", "Mul"), (self.center, "beta", "Add")] {
            if used {
                let (weight, _) = to.weight_as(&of, name, |weight| weight.reshaped(&dims))?;
                let weight_dims = dims.iter().map(|&size| Dim::Fixed(size)).collect();
                let weight = to.value(weight, weight_dims, y.element_type);
                y = to.binary(op_type, &y, &weight)?;
            }
        }
        Ok(vec![to.transpose(&y, &back)])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let (order, back) = self.orders(x.rank())?;
        let x = shape::transpose(&x, &order)?;
        let of = layer.variables();
        let scale = if self.scale { Some(with.weight(&of, "gamma")?) } else { None };
        let bias = if self.center { Some(with.weight(&of, "beta")?) } else { None };
        let affine = Affine { scale: scale.as_ref(), bias: bias.as_ref() };
        let groups = self.groups(x.dims()[1])?;
        let y = group_norm(&x, groups, self.epsilon.into(), affine)?;
        Ok(Sample::only(shape::transpose(&y, &back)?))
    }
}
