//! Sequences without the steps that do not count.
//!
//! A step that is masked changes nothing: the state stays, and the step gives what the one before
//! gave. So the steps that count are moved to the front, walked over without a mask, and what they
//! gave is spread to where they stood. No loop is needed, wherever the masked steps are.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::emitter::node;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::value::Value;

/// Larger than any number of steps, and exact in floats with one added.
const FRONT: f32 = (1 << 22) as f32;

/// Where the steps that count are.
pub(crate) struct Compact {
    mask: Value,
    /// The steps in their new order, `[batch, steps]`.
    order: Value,
    /// How many steps up to each count, `[batch, steps]`.
    seen: Value,
    /// How many count, `[batch, 1]`.
    count: Value,
}

impl Compact {
    /// Of a mask `[batch, steps]`.
    pub(crate) fn new(mask: &Value, to: &mut Converter<'_>) -> Result<Compact, Fault> {
        let ones = to.cast(mask, ElementType::Float32);
        let axis = to.emitter.integer("axis", 1);
        let seen = to.op("CumSum", &[&ones.name, &axis]);
        let seen = to.like(&ones, seen);
        let count = to.reduce("ReduceSum", &ones, &[1], true);
        // Steps that count come first, each group in the order that it has: the place of a step is
        // the running sum of ones.
        let all = to.with_scalar("Mul", &ones, 0.0);
        let all = to.with_scalar("Add", &all, 1.0);
        let place = to.op("CumSum", &[&all.name, &axis]);
        let place = to.like(&ones, place);
        let key = to.with_scalar("Mul", &ones, FRONT);
        let key = to.binary("Sub", &key, &place)?;
        let steps = to.size_of(&key, 1);
        let top = node("TopK", &[&key.name, &steps]).with("axis", 1);
        let names = to.emitter.add_many(top, 2);
        let order = to.value(names[1].clone(), mask.dims.clone(), ElementType::Int64);
        Ok(Compact { mask: mask.clone(), order, seen, count })
    }

    /// Values `[batch, steps, features]` with those steps in front that count.
    pub(crate) fn front(&self, x: &Value, to: &mut Converter<'_>) -> Result<Value, Fault> {
        pick(x, &self.order, to)
    }

    /// 1 at the steps that do not count, in the new order, `[steps, batch, 1]`.
    pub(crate) fn marker(&self, to: &mut Converter<'_>) -> Result<Value, Fault> {
        let masked = to.unary("Not", &self.mask.clone());
        let masked = to.float(&masked);
        let gather = node("GatherElements", &[&masked.name, &self.order.name]).with("axis", 1);
        let name = to.add(gather);
        let moved = to.like(&masked, name);
        let moved = to.transpose(&moved, &[1, 0]);
        Ok(to.unsqueeze(&moved, &[2]))
    }

    /// The state after the last step that counts, of what all gave in the new order; where none
    /// does, that at the start.
    pub(crate) fn end(
        &self,
        all: &Value,
        start: Option<&Value>,
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let end = self.after(all, &self.count.clone(), to)?;
        let end = to.squeeze(&end, &[1]);
        let Some(start) = start else { return Ok(end) };
        let any = to.with_scalar("Greater", &self.count.clone(), 0.0);
        let name = to.op("Where", &[&any.name, &end.name, &start.name]);
        Ok(to.like(&end, name))
    }

    /// What the last step gave, of what all gave in the new order.
    pub(crate) fn last(
        &self,
        all: &Value,
        zero_masked: bool,
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let last = self.after(all, &self.count.clone(), to)?;
        let last = to.squeeze(&last, &[1]);
        if !zero_masked {
            return Ok(last);
        }
        let end = to.slice(&self.mask.clone(), 1, (-1, i64::MAX, 1));
        let zero = to.scalar(0.0);
        let name = to.op("Where", &[&end.name, &last.name, &zero.name]);
        Ok(to.like(&last, name))
    }

    /// What each step gave, where it stood.
    pub(crate) fn spread(
        &self,
        all: &Value,
        zero_masked: bool,
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let spread = self.after(all, &self.seen.clone(), to)?;
        if !zero_masked {
            return Ok(spread);
        }
        let mask = to.unsqueeze(&self.mask.clone(), &[2]);
        let zero = to.scalar(0.0);
        let name = to.op("Where", &[&mask.name, &spread.name, &zero.name]);
        Ok(to.like(&spread, name))
    }

    /// What was given after so many steps that count, `[batch, some]`; zeros after none.
    fn after(&self, all: &Value, seen: &Value, to: &mut Converter<'_>) -> Result<Value, Fault> {
        let index = to.with_scalar("Sub", seen, 1.0);
        let index = to.with_scalar("Max", &index, 0.0);
        let index = to.cast(&index, ElementType::Int64);
        let picked = pick(all, &index, to)?;
        let any = to.with_scalar("Greater", seen, 0.0);
        let any = to.unsqueeze(&any, &[2]);
        let zero = to.scalar(0.0);
        let name = to.op("Where", &[&any.name, &picked.name, &zero.name]);
        Ok(to.like(&picked, name))
    }
}

/// The steps of `x`, `[batch, steps, features]`, that `index`, `[batch, some]`, says.
fn pick(x: &Value, index: &Value, to: &mut Converter<'_>) -> Result<Value, Fault> {
    let taller = to.unsqueeze(index, &[2]);
    let batch = to.size_of(index, 0);
    let steps = to.size_of(index, 1);
    let features = to.size_of(x, 2);
    let shape = to.add(node("Concat", &[&batch, &steps, &features]).with("axis", 0));
    let wide = to.op("Expand", &[&taller.name, &shape]);
    let name = to.add(node("GatherElements", &[&x.name, &wide]).with("axis", 1));
    let dims: Vec<Dim> = vec![index.dims[0].clone(), index.dims[1].clone(), x.dims[2].clone()];
    Ok(to.value(name, dims, x.element_type))
}
