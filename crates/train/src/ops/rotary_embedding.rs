//! RotaryEmbedding of opset 23: turns pairs of elements of each head by angles that follow from
//! the position (Su et al., RoFormer, 2021).
//!
//! X is [N, heads, S, width] or [N, S, heads * width]. The cosines and sines are rows that
//! `position_ids` chooses, or without these one row a place, [N, S, width / 2]. They are tables of
//! the model: gradients flow to X alone, turned back by the same angles.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Rotary {
    /// Pairs are neighbours, not elements of two halves.
    interleaved: bool,
    /// Elements of a head that turn, from the first on; 0 for all.
    turned: usize,
    heads: Option<usize>,
}

/// Where the heads of X are.
struct Layout {
    batch: usize,
    steps: usize,
    heads: usize,
    width: usize,
    heads_first: bool,
    turned: usize,
}

/// Rows of cosines and sines, and which one belongs to each sample and step.
struct Angles<'a> {
    cosines: &'a [f32],
    sines: &'a [f32],
    rows: Vec<usize>,
}

impl Rotary {
    fn layout(&self, shape: &Shape) -> Result<Layout, OpError> {
        let refuse = |text: &str| OpError::new(format!("X has shape {shape}, {text}"));
        let (batch, steps, heads, width, heads_first) = match (shape.dims(), self.heads) {
            (&[batch, heads, steps, width], _) => (batch, steps, heads, width, true),
            (&[batch, steps, columns], Some(heads)) if columns % heads == 0 => {
                (batch, steps, heads, columns / heads, false)
            }
            (&[_, _, _], _) => {
                return Err(refuse("which attribute num_heads must divide into heads"));
            }
            _ => return Err(refuse("expected 3 or 4 dimensions")),
        };
        let turned = if self.turned == 0 { width } else { self.turned };
        if turned > width || turned % 2 != 0 {
            return Err(refuse(&format!("of whose heads {turned} elements cannot be turned")));
        }
        Ok(Layout { batch, steps, heads, width, heads_first, turned })
    }

    fn angles<'a>(&self, layout: &Layout, inputs: Inputs<'a>) -> Result<Angles<'a>, OpError> {
        let (cosines, sines) = (inputs.at(1)?, inputs.at(2)?);
        let places = layout.batch * layout.steps;
        let half = layout.turned / 2;
        let refuse = || {
            OpError::new(format!(
                "cosines of shape {} and sines of shape {} do not fit {} samples of {} steps and \
                 {half} angles",
                cosines.shape(),
                sines.shape(),
                layout.batch,
                layout.steps
            ))
        };
        if cosines.shape() != sines.shape() || cosines.shape().last() != Some(&half) {
            return Err(refuse());
        }
        let rows = match inputs.get(3) {
            None if cosines.shape().dims() == [layout.batch, layout.steps, half] => {
                (0..places).collect()
            }
            None => return Err(refuse()),
            Some(_) if cosines.shape().len() != 2 => return Err(refuse()),
            Some(ids) => chosen(ids, cosines.shape()[0], places)?,
        };
        Ok(Angles { cosines: cosines.as_floats()?, sines: sines.as_floats()?, rows })
    }

    /// Turns all heads in place; back where `sign` is -1.
    fn turn(&self, layout: &Layout, angles: &Angles<'_>, values: &mut [f32], sign: f32) {
        let half = layout.turned / 2;
        if values.is_empty() || half == 0 {
            return;
        }
        for (number, head) in values.chunks_exact_mut(layout.width).enumerate() {
            let place = match layout.heads_first {
                true => {
                    let sample = number / (layout.steps * layout.heads);
                    sample * layout.steps + number % layout.steps
                }
                false => number / layout.heads,
            };
            let row = angles.rows[place] * half;
            let row = row..row + half;
            let angles = angles.cosines[row.clone()].iter().zip(&angles.sines[row]);
            let turned = |(x, y): (&mut f32, &mut f32), (cosine, sine): (&f32, &f32)| {
                let sine = sign * sine;
                (*x, *y) = (*x * cosine - *y * sine, *x * sine + *y * cosine);
            };
            let head = &mut head[..layout.turned];
            if self.interleaved {
                let pairs = head.as_chunks_mut().0.iter_mut().map(|[x, y]| (x, y));
                pairs.zip(angles).for_each(|(pair, angle)| turned(pair, angle));
            } else {
                let (first, second) = head.split_at_mut(half);
                let pairs = first.iter_mut().zip(second);
                pairs.zip(angles).for_each(|(pair, angle)| turned(pair, angle));
            }
        }
    }
}

/// The rows that position ids choose, one a sample and step.
fn chosen(ids: &Array, rows: usize, places: usize) -> Result<Vec<usize>, OpError> {
    let values = ids.as_ints()?;
    if values.len() != places {
        return Err(OpError::new(format!(
            "position_ids have shape {}, expected {places} elements",
            ids.shape()
        )));
    }
    let row = |&id: &i64| {
        usize::try_from(id).ok().filter(|&row| row < rows).ok_or_else(|| {
            OpError::new(format!("position {id} is not one of a table of {rows} rows"))
        })
    };
    values.iter().map(row).collect()
}

impl Operator for Rotary {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let x = inputs.at(0)?;
        let layout = self.layout(x.shape())?;
        let angles = self.angles(&layout, inputs)?;
        let mut out = scope.buffers.take(x.len());
        out.copy_from_slice(x.as_floats()?);
        self.turn(&layout, &angles, &mut out, 1.0);
        Ok(Array::floats(x.shape().clone(), out).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(1).and_input(2).and_input(3)
    }

    fn backward(&self, _scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        if at.wants(1) || at.wants(2) {
            return Err(OpError::new("gradients by cosines and sines are not covered"));
        }
        let mut gradient = at.gradient()?;
        let layout = self.layout(gradient.shape())?;
        let angles = self.angles(&layout, at.inputs)?;
        self.turn(&layout, &angles, gradient.floats_mut()?, -1.0);
        Ok(vec![Some(gradient)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let size = |name: &str| {
        let value = site.int(name, 0);
        usize::try_from(value)
            .map_err(|_| OpError::new(format!("attribute {name} is {value}, expected 0 or more")))
    };
    Ok(Box::new(Rotary {
        interleaved: site.flag("interleaved", false),
        turned: size("rotary_embedding_dim")?,
        heads: Some(size("num_heads")?).filter(|&heads| heads > 0),
    }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn tables(shape: &[usize]) -> [Array; 2] {
        let len = shape.iter().product();
        let shape = || modelyard_tensor::Shape::new(shape);
        let angle = |at: usize| at as f32 * 0.37;
        [
            Array::floats(shape(), (0..len).map(|at| angle(at).cos()).collect()),
            Array::floats(shape(), (0..len).map(|at| angle(at).sin()).collect()),
        ]
    }

    /// 2 samples, 3 steps, 2 heads of 6, of which `turned` turn.
    fn case(flat: bool, interleaved: bool, turned: usize, seed: u64) -> Case {
        let [cosines, sines] = tables(&[5, turned / 2]);
        let dims: &[usize] = if flat { &[2, 3, 12] } else { &[2, 2, 3, 6] };
        Case::new("RotaryEmbedding")
            .opset(23)
            .with("interleaved", i64::from(interleaved))
            .with("rotary_embedding_dim", if turned == 6 { 0 } else { turned as i64 })
            .with("num_heads", if flat { 2 } else { 0 })
            .trained(dims, numbers(seed, 72))
            .fixed(cosines)
            .fixed(sines)
            .fixed(Array::ints([2, 3], IDS.to_vec()))
    }

    const IDS: [i64; 6] = [0, 1, 2, 4, 3, 0];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn gradient(flat in any::<bool>(), interleaved in any::<bool>(), turned in 1usize..4, seed in any::<u64>()) {
            case(flat, interleaved, 2 * turned, seed).check();
        }

        #[test]
        fn values_follow_the_formula(flat in any::<bool>(), interleaved in any::<bool>(), turned in 1usize..4, seed in any::<u64>()) {
            let found = case(flat, interleaved, 2 * turned, seed).run();
            let (found, x) = (found[0].as_floats().unwrap(), numbers(seed, 72));
            for sample in 0..2 {
                for (step, head) in [(0, 0), (1, 0), (2, 1), (0, 1)] {
                    let start = match flat {
                        true => ((sample * 3 + step) * 2 + head) * 6,
                        false => ((sample * 2 + head) * 3 + step) * 6,
                    };
                    for pair in 0..turned {
                        let (one, two) = match interleaved {
                            true => (start + 2 * pair, start + 2 * pair + 1),
                            false => (start + pair, start + turned + pair),
                        };
                        let row = IDS[sample * 3 + step] as usize;
                        let (sine, cosine) = ((row * turned + pair) as f32 * 0.37).sin_cos();
                        prop_assert!((found[one] - (x[one] * cosine - x[two] * sine)).abs() < 1e-6);
                        prop_assert!((found[two] - (x[one] * sine + x[two] * cosine)).abs() < 1e-6);
                    }
                    for at in start + 2 * turned..start + 6 {
                        prop_assert_eq!(found[at], x[at]);
                    }
                }
            }
        }
    }

    #[test]
    fn without_positions_each_place_has_its_angles() {
        let chosen = |array: &Array| {
            let rows = array.as_floats().unwrap();
            let rows = IDS.iter().flat_map(|&id| rows[id as usize * 3..][..3].to_vec());
            Array::floats([2, 3, 3], rows.collect())
        };
        let [cosines, sines] = tables(&[5, 3]);
        let case_without = Case::new("RotaryEmbedding")
            .opset(23)
            .trained(&[2, 2, 3, 6], numbers(1, 72))
            .fixed(chosen(&cosines))
            .fixed(chosen(&sines));
        assert_eq!(case_without.run(), case(false, false, 6, 1).run());
        case_without.check();
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |case: Case, text: &str| {
            let error = case.try_run().unwrap_err();
            assert!(error.contains(text), "{error}");
        };
        let with = |ids: Vec<i64>| {
            let [cosines, sines] = tables(&[5, 3]);
            let case = Case::new("RotaryEmbedding").trained(&[1, 1, 2, 6], numbers(1, 12));
            case.fixed(cosines).fixed(sines).fixed(Array::ints([1, ids.len()], ids))
        };
        refused(with(vec![0, 5]), "position 5 is not one of a table of 5 rows");
        refused(with(vec![0, -1]), "position -1 is not one");
        refused(with(vec![0]), "position_ids have shape [1,1], expected 2 elements");
        let [cosines, sines] = tables(&[5, 2]);
        let case = Case::new("RotaryEmbedding").trained(&[1, 1, 2, 6], numbers(1, 12));
        refused(case.fixed(cosines).fixed(sines), "do not fit 1 samples of 2 steps and 3 angles");
    }
}
