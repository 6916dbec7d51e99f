//! The seam between the program and its operators: one trait, one file an operator.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::buffers::Buffers;
use crate::error::OpError;
use crate::workers::Workers;

/// An operator of ONNX with its attributes, ready to run.
///
/// Shapes are only known when it runs, and may differ from run to run (the last batch of an epoch
/// is smaller). Nothing here panics on what a model or a batch contains: what does not fit is an
/// [`OpError`].
pub(crate) trait Operator: Debug + Send + Sync {
    /// The outputs from the inputs.
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError>;

    /// Whether there is a [`Operator::backward`]. The others may only stand where no gradient
    /// flows, as in the computation of shapes.
    fn is_differentiable(&self) -> bool {
        true
    }

    /// What [`Operator::backward`] will read, so that everything else can be dropped early.
    /// `wanted[i]`: whether the gradient of input `i` will be asked for.
    fn reads(&self, wanted: &[bool]) -> Reads {
        let _ = wanted;
        Reads::INPUTS
    }

    /// The gradients of the loss by the inputs, from those by the outputs. One entry an input;
    /// missing entries at the end, and those that are not wanted, may be left out or `None`.
    /// `None` for a wanted input stands for zero.
    fn backward(&self, scope: &mut Scope<'_>, at: Backward<'_>) -> Result<Gradients, OpError> {
        let _ = (scope, at);
        Err(OpError::new("it has no gradient"))
    }
}

/// One gradient an input.
pub(crate) type Gradients = Vec<Option<Array>>;

/// Inputs and outputs that the backward pass reads, as sets of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reads {
    inputs: u64,
    outputs: u64,
}

impl Reads {
    /// Shapes alone, which are always there.
    pub(crate) const NOTHING: Reads = Reads { inputs: 0, outputs: 0 };
    /// All inputs.
    pub(crate) const INPUTS: Reads = Reads { inputs: u64::MAX, outputs: 0 };
    /// All outputs.
    pub(crate) const OUTPUTS: Reads = Reads { inputs: 0, outputs: u64::MAX };

    /// One input more.
    pub(crate) const fn and_input(self, number: usize) -> Reads {
        Reads { inputs: self.inputs | bit(number), outputs: self.outputs }
    }

    /// One output more.
    pub(crate) const fn and_output(self, number: usize) -> Reads {
        Reads { inputs: self.inputs, outputs: self.outputs | bit(number) }
    }

    /// All of both.
    pub(crate) const fn and(self, other: Reads) -> Reads {
        Reads { inputs: self.inputs | other.inputs, outputs: self.outputs | other.outputs }
    }

    /// Whether this input is read.
    pub(crate) const fn input(self, number: usize) -> bool {
        self.inputs & bit(number) != 0
    }

    /// Whether this output is read.
    pub(crate) const fn output(self, number: usize) -> bool {
        self.outputs & bit(number) != 0
    }
}

/// Numbers past the last bit share it: such a set is larger than it need be, never smaller.
const fn bit(number: usize) -> u64 {
    1 << if number < 63 { number } else { 63 }
}

/// What an operator may use while it runs.
pub(crate) struct Scope<'a> {
    /// Memory for its results.
    pub(crate) buffers: &'a mut Buffers,
    /// Threads to share its work with.
    pub(crate) workers: &'a Workers,
    /// Whether this is a step of training: dropout drops, batch normalization takes the batch's
    /// own statistics.
    pub(crate) training: bool,
    /// For operators that draw numbers: another one at each step and node.
    pub(crate) seed: u64,
    /// By input: whether what is trained flows into it.
    pub(crate) trained: &'a [bool],
    /// Most bytes that the run may hold.
    pub(crate) memory_limit_bytes: usize,
}

/// Elements of one array at most, whatever the run's limit.
pub(crate) const ELEMENTS_MAX: usize = 1 << 30;

/// Operations below which sharing out costs more than it saves: about 80 us of them.
const SHARED_OPERATIONS_MIN: usize = 1 << 18;

impl Scope<'_> {
    /// Number of elements of an array of this shape, or an error where the shape, which follows
    /// from what a model states, asks for more than the run may hold. To be asked before memory is
    /// taken.
    pub(crate) fn elements(&self, shape: &[usize]) -> Result<usize, OpError> {
        let most = ELEMENTS_MAX.min(self.memory_limit_bytes / size_of::<f32>());
        // Without the zeros: products of some of the sizes must not overflow either.
        let elements =
            shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size.max(1)));
        match elements {
            Some(elements) if elements <= most => Ok(shape.iter().product()),
            _ => {
                let shape = Shape::new(shape);
                Err(OpError::new(format!(
                    "an array of shape {shape} outgrows the limit of {most} elements; make the batch smaller or the memory limit larger"
                )))
            }
        }
    }

    /// Runs `work` on every item, on all threads where the work is worth it: `operations` is how
    /// many elements are passed over; 16 products count as much as a pass over one. Returns an
    /// error of one of the items if any fails.
    pub(crate) fn share<T: Send>(
        &self,
        operations: usize,
        items: Vec<T>,
        work: impl Fn(T) -> Result<(), OpError> + Sync,
    ) -> Result<(), OpError> {
        if operations < SHARED_OPERATIONS_MIN || self.workers.threads() == 1 {
            return items.into_iter().try_for_each(work);
        }
        let failure = Mutex::new(None);
        self.workers.for_each(items, |item| {
            if let Err(error) = work(item) {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The inputs of a node; `None` where an optional one is left out.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a>(pub(crate) &'a [Option<&'a Array>]);

impl<'a> Inputs<'a> {
    /// Input `number`, if it is there.
    pub(crate) fn get(self, number: usize) -> Option<&'a Array> {
        self.0.get(number).copied().flatten()
    }

    /// Input `number`, which must be there.
    pub(crate) fn at(self, number: usize) -> Result<&'a Array, OpError> {
        self.get(number).ok_or_else(|| OpError::new(format!("input {number} is missing")))
    }

    /// The floats of input `number`, which must be there.
    pub(crate) fn floats(self, number: usize) -> Result<&'a [f32], OpError> {
        self.at(number)?.as_floats()
    }

    /// Number of inputs, those left out at the end not counted.
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }
}

/// What came of a node.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// One array an output.
    pub(crate) outputs: Vec<Array>,
    /// What else the backward pass needs: [`Backward::saved`].
    pub(crate) saved: Vec<Array>,
    /// New values for inputs that are state (the running statistics of batch normalization), by
    /// number of the input. They take effect when the step ends.
    pub(crate) updates: Vec<(usize, Array)>,
}

impl From<Array> for Outcome {
    fn from(output: Array) -> Self {
        Outcome { outputs: vec![output], ..Outcome::default() }
    }
}

impl Outcome {
    /// The same with one more array for the backward pass.
    pub(crate) fn saving(mut self, array: Array) -> Outcome {
        self.saved.push(array);
        self
    }
}

/// Where a backward pass stands: one node, with what [`Operator::reads`] asked to keep.
pub(crate) struct Backward<'a> {
    /// The inputs that were kept.
    pub(crate) inputs: Inputs<'a>,
    /// Shapes of all inputs; empty for those left out.
    pub(crate) input_shapes: &'a [Shape],
    /// The outputs that were kept.
    pub(crate) outputs: Inputs<'a>,
    /// Shapes of all outputs.
    pub(crate) output_shapes: &'a [Shape],
    /// What the forward pass saved.
    pub(crate) saved: Vec<Array>,
    /// Gradients by the outputs; `None` stands for zero. At least one is there.
    pub(crate) gradients: Gradients,
    /// Which inputs' gradients are asked for.
    pub(crate) wanted: &'a [bool],
}

impl Backward<'_> {
    /// The gradient by the first output: for operators that have one only.
    pub(crate) fn gradient(&mut self) -> Result<Array, OpError> {
        let gradient = self.gradients.first_mut().and_then(Option::take);
        gradient.ok_or_else(|| OpError::new("expected a gradient of the first output"))
    }

    /// Whether the gradient of this input is asked for.
    pub(crate) fn wants(&self, number: usize) -> bool {
        self.wanted.get(number).copied().unwrap_or(false)
    }

    /// The shape of this input.
    pub(crate) fn shape(&self, number: usize) -> Result<&Shape, OpError> {
        self.input_shapes
            .get(number)
            .ok_or_else(|| OpError::new(format!("input {number} is missing")))
    }
}
