//! `softmax(scale Q Kᵀ + masks) V`, head by head. Heads of queries may share heads of keys and
//! values (grouped queries): query head h meets key head `h / (heads / key heads)`.
//!
//! The probabilities are kept for the way back. A query that no key is left for gets zeros.

use modelyard_tensor::Shape;
use rten_simd::SimdOp;

use super::mask::Mask;
use super::place::Place;
use crate::error::OpError;
use crate::math::matmul::{self, ADDED, Matrix, PLAIN, Product};
use crate::math::vector;
use crate::operator::Scope;

/// One attention: where queries, keys and values are, and how they meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attend {
    pub(super) query: Place,
    pub(super) key: Place,
    pub(super) value: Place,
    scale: f32,
    /// Whether a query meets only the keys up to its own place.
    causal: bool,
    /// Scores are bent to stay within this of zero, before masks are added.
    softcap: Option<f32>,
}

/// The arrays that hold queries, keys and values.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) query: &'a [f32],
    pub(super) key: &'a [f32],
    pub(super) value: &'a [f32],
}

/// Gradients, heads one after the other.
pub(super) struct Back {
    pub(super) query: Vec<f32>,
    pub(super) key: Vec<f32>,
    pub(super) value: Vec<f32>,
    /// By the scores with their masks.
    pub(super) scores: Vec<f32>,
}

impl Attend {
    /// Checks that the three fit each other. `scale`: 1 over the square root of the width where
    /// not said.
    pub(super) fn new(
        (query, key, value): (Place, Place, Place),
        scale: Option<f32>,
        causal: bool,
    ) -> Result<Attend, OpError> {
        let fits = query.batch == key.batch
            && query.batch == value.batch
            && query.width == key.width
            && key.heads == value.heads
            && key.rows == value.rows
            && key.heads != 0
            && query.heads % key.heads == 0;
        let text = |place: Place| {
            let Place { batch, heads, rows, width, .. } = place;
            format!("[{batch},{heads},{rows},{width}]")
        };
        let (q, k, v) = (text(query), text(key), text(value));
        if !fits {
            return Err(OpError::new(format!(
                "queries {q}, keys {k} and values {v} do not fit each other"
            )));
        }
        if query.len() == 0 || key.len() == 0 || value.len() == 0 {
            return Err(OpError::new(format!(
                "queries {q}, keys {k} or values {v} have no elements"
            )));
        }
        let scale = scale.unwrap_or_else(|| 1.0 / (query.width as f32).sqrt());
        Ok(Attend { query, key, value, scale, causal, softcap: None })
    }

    /// The same with scores that are bent: `cap tanh(score / cap)`.
    pub(super) fn capped(self, softcap: Option<f32>) -> Attend {
        Attend { softcap, ..self }
    }

    /// The shape of scores.
    pub(super) fn scores(&self) -> [usize; 4] {
        [self.query.batch, self.query.heads, self.query.rows, self.key.rows]
    }

    /// Where heads of the result are when they follow each other.
    pub(super) fn output(&self) -> Place {
        Place::plain([self.query.batch, self.query.heads, self.query.rows, self.value.width])
    }

    /// Where heads of the result are when they are side by side, and its shape then.
    pub(super) fn flat_output(&self) -> (Place, Shape) {
        let Place { batch, heads, rows, width, .. } = self.output();
        let shape = [batch, rows, heads * width];
        (Place::columns(shape, 0, (heads, width)), shape.into())
    }

    /// Query heads to a key head.
    fn group(&self) -> usize {
        self.query.heads / self.key.heads
    }

    /// Elements of one head of scores.
    fn head(&self) -> usize {
        self.query.rows * self.key.rows
    }

    /// The result, heads one after the other, and the probabilities.
    pub(super) fn forward(
        &self,
        scope: &mut Scope<'_>,
        given: Given<'_>,
        masks: &[Mask<'_>],
    ) -> Result<(Vec<f32>, Vec<f32>), OpError> {
        let mut out = scope.buffers.take(self.output().len());
        let len = scope.elements(&self.scores())?;
        let mut scores = scope.buffers.take(len);
        let size = self.query.rows * self.value.width;
        let mut items: Vec<_> = scores
            .chunks_exact_mut(self.head())
            .zip(out.chunks_exact_mut(size))
            .map(|parts| (parts, Ok(())))
            .collect();
        let each = items.iter_mut().enumerate().collect();
        scope.workers.for_each(each, |(number, ((scores, out), result))| {
            *result = self.forward_head(number, given, masks, (scores, out));
        });
        items.into_iter().try_for_each(|(_, result)| result)?;
        Ok((out, scores))
    }

    fn forward_head(
        &self,
        number: usize,
        given: Given<'_>,
        masks: &[Mask<'_>],
        (scores, out): (&mut [f32], &mut [f32]),
    ) -> Result<(), OpError> {
        let (sample, head) = (number / self.query.heads, number % self.query.heads);
        let key_head = head / self.group();
        let query = self.query.matrix(given.query, sample, head);
        let key = self.key.matrix(given.key, sample, key_head);
        let product = Product { alpha: self.scale, ..PLAIN };
        matmul::multiply(scores, query, key.transposed(), product)?;
        if let Some(cap) = self.softcap {
            scores.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
        }
        for (query, row) in scores.chunks_exact_mut(self.key.rows).enumerate() {
            let met = if self.causal { (query + 1).min(row.len()) } else { row.len() };
            let (row, hidden) = row.split_at_mut(met);
            masks.iter().for_each(|mask| mask.add(row, [sample, head, query]));
            softmax(row);
            hidden.fill(0.0);
        }
        let probabilities = Matrix::new(scores, self.query.rows, self.key.rows);
        matmul::multiply(
            out,
            probabilities,
            self.value.matrix(given.value, sample, key_head),
            PLAIN,
        )
    }

    /// Gradients from `gradient`, which is by a result whose heads are at `at`.
    pub(super) fn backward(
        &self,
        scope: &mut Scope<'_>,
        given: Given<'_>,
        mut probabilities: Vec<f32>,
        (gradient, at): (&[f32], Place),
    ) -> Result<Back, OpError> {
        let group = self.group();
        let sizes = [
            group * self.query.rows * self.query.width,
            self.key.rows * self.key.width,
            self.value.rows * self.value.width,
        ];
        let mut by_query = scope.buffers.take(self.query.len());
        let mut by_key = scope.buffers.take(self.key.len());
        let mut by_value = scope.buffers.take(self.value.len());
        let mut items: Vec<_> = probabilities
            .chunks_exact_mut(group * self.head())
            .zip(by_query.chunks_exact_mut(sizes[0]))
            .zip(by_key.chunks_exact_mut(sizes[1]).zip(by_value.chunks_exact_mut(sizes[2])))
            .map(|((scores, query), (key, value))| (HeadBack { scores, query, key, value }, Ok(())))
            .collect();
        let each = items.iter_mut().enumerate().collect();
        scope.workers.for_each(each, |(number, (back, result))| {
            *result = self.backward_group(number, given, (gradient, at), back);
        });
        items.into_iter().try_for_each(|(_, result)| result)?;
        Ok(Back { query: by_query, key: by_key, value: by_value, scores: probabilities })
    }

    /// All query heads of one key head, whose gradients add up.
    fn backward_group(
        &self,
        number: usize,
        given: Given<'_>,
        (gradient, at): (&[f32], Place),
        back: &mut HeadBack<'_>,
    ) -> Result<(), OpError> {
        let (sample, key_head) = (number / self.key.heads, number % self.key.heads);
        let key = self.key.matrix(given.key, sample, key_head);
        let value = self.value.matrix(given.value, sample, key_head);
        let mut by_probabilities = vec![0.0; self.head()];
        for member in 0..self.group() {
            let head = key_head * self.group() + member;
            let query = self.query.matrix(given.query, sample, head);
            let dy = at.matrix(gradient, sample, head);
            let kept = &mut back.scores[member * self.head()..][..self.head()];
            let sum = if member == 0 { PLAIN } else { ADDED };
            let probabilities = Matrix::new(kept, self.query.rows, self.key.rows);
            matmul::multiply(back.value, probabilities.transposed(), dy, sum)?;
            matmul::multiply(&mut by_probabilities, dy, value.transposed(), PLAIN)?;
            let rows = kept.chunks_exact_mut(self.key.rows);
            for (kept, by) in rows.zip(by_probabilities.chunks_exact(self.key.rows)) {
                // ds = p (dp - sum(p dp))
                let sum = vector::dot(kept, by);
                vector::vectorized(|| kept.iter_mut().zip(by).for_each(|(p, by)| *p *= by - sum));
            }
            let by_products = match self.softcap {
                Some(cap) => {
                    // No longer needed for what it was.
                    let bent = &mut by_probabilities;
                    let product = Product { alpha: self.scale / cap, ..PLAIN };
                    matmul::multiply(bent, query, key.transposed(), product)?;
                    bent.iter_mut().zip(&*kept).for_each(|(bent, by)| {
                        let tanh = bent.tanh();
                        *bent = by * (1.0 - tanh * tanh);
                    });
                    &*bent
                }
                None => &*kept,
            };
            let by_scores = Matrix::new(by_products, self.query.rows, self.key.rows);
            let size = self.query.rows * self.query.width;
            let by_query = &mut back.query[member * size..][..size];
            matmul::multiply(by_query, by_scores, key, Product { alpha: self.scale, ..PLAIN })?;
            let scaled = Product { alpha: self.scale, ..sum };
            matmul::multiply(back.key, by_scores.transposed(), query, scaled)?;
        }
        Ok(())
    }
}

/// Parts of gradients that belong to one key head.
struct HeadBack<'a> {
    scores: &'a mut [f32],
    query: &'a mut [f32],
    key: &'a mut [f32],
    value: &'a mut [f32],
}

fn softmax(row: &mut [f32]) {
    if row.iter().all(|&score| score == f32::NEG_INFINITY) {
        return row.fill(0.0);
    }
    rten_vecmath::Softmax::new_mut(row).dispatch();
}
