//! What tests of operators share: gradients against finite differences.

use modelyard_graph::{GraphBuilder, Node};

use modelyard_tensor::Shape;
use proptest::prelude::*;

use crate::array::Array;
use crate::buffers::Buffers;
use crate::program::{Mode, Program, Run};
use crate::workers::Workers;

/// One node with values for its inputs.
pub(crate) struct Case {
    node: Node,
    opset: i64,
    mode: Mode,
    tolerance: f32,
    inputs: Vec<(Array, bool)>,
    /// By output: whether it is asked for.
    outputs: Vec<bool>,
}

impl Case {
    /// A case for `op_type`, whose inputs come from [`Case::trained`] and [`Case::fixed`] in
    /// order.
    pub(crate) fn new(op_type: &str) -> Case {
        Case {
            node: Node { op_type: op_type.into(), name: "node".into(), ..Node::default() },
            opset: 20,
            mode: Mode::Evaluate,
            tolerance: 1e-2,
            inputs: Vec::new(),
            outputs: vec![true],
        }
    }

    /// An attribute.
    pub(crate) fn with(
        mut self,
        name: &str,
        value: impl Into<modelyard_graph::AttributeValue>,
    ) -> Case {
        self.node = self.node.with(name, value);
        self
    }

    /// An operator of another domain than ONNX's own.
    pub(crate) fn domain(mut self, domain: &str) -> Case {
        self.node = self.node.in_domain(domain);
        self
    }

    /// Another version of the operator set than 20.
    pub(crate) fn opset(mut self, opset: i64) -> Case {
        self.opset = opset;
        self
    }

    /// Runs as a step of training.
    pub(crate) fn training(mut self) -> Case {
        self.mode = Mode::Train { seed: 7 };
        self
    }

    /// How far a gradient may be from the finite difference, relative to the larger of 1 and the
    /// largest gradient; 0.01 where not said.
    pub(crate) fn tolerance(mut self, tolerance: f32) -> Case {
        self.tolerance = tolerance;
        self
    }

    /// How many outputs the node has; 1 where not said.
    pub(crate) fn outputs(self, outputs: usize) -> Case {
        self.named_outputs(&vec![true; outputs])
    }

    /// By output: whether the node names it, or leaves it out.
    pub(crate) fn named_outputs(mut self, outputs: &[bool]) -> Case {
        self.outputs = outputs.to_vec();
        self
    }

    /// An input whose gradient is checked.
    pub(crate) fn trained(mut self, dims: &[usize], values: Vec<f32>) -> Case {
        self.inputs.push((Array::floats(Shape::new(dims), values), true));
        self
    }

    /// An input without gradient.
    pub(crate) fn fixed(mut self, array: Array) -> Case {
        self.inputs.push((array, false));
        self
    }

    /// An optional input left out.
    pub(crate) fn without(mut self) -> Case {
        self.inputs.push((Array::floats([0], Vec::new()), false));
        self
    }

    /// The outputs.
    pub(crate) fn run(&self) -> Vec<Array> {
        self.try_run().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The only output, which must be these floats.
    pub(crate) fn gives(&self, dims: &[usize], expected: &[f32]) {
        let output = self.run().remove(0);
        assert_eq!(output.shape().dims(), dims, "shape");
        let found = output.as_floats().unwrap();
        let near = |(found, expected): (&f32, &f32)| {
            found == expected || (found - expected).abs() <= 1e-5 * expected.abs().max(1.0)
        };
        assert!(found.iter().zip(expected).all(near), "found {found:?}, expected {expected:?}");
        assert_eq!(found.len(), expected.len());
    }

    /// The only output, which must be these integers.
    pub(crate) fn gives_ints(&self, dims: &[usize], expected: &[i64]) {
        let output = self.run().remove(0);
        assert_eq!((output.shape().dims(), output.as_ints().unwrap()), (dims, expected));
    }

    /// The only output, which must be these booleans.
    pub(crate) fn gives_bools(&self, dims: &[usize], expected: &[bool]) {
        let output = self.run().remove(0);
        assert_eq!((output.shape().dims(), output.as_bools().unwrap()), (dims, expected));
    }

    /// Checks that it is refused for this reason.
    pub(crate) fn is_refused(&self, reason: &str) {
        let error = self.try_run().expect_err("expected a refusal");
        assert!(error.contains(reason), "found: {error}");
    }

    /// The outputs, or why there are none.
    pub(crate) fn try_run(&self) -> Result<Vec<Array>, String> {
        let program = self.program();
        self.evaluate(&program, &program.weights().clone())
    }

    /// New values that a run gives to inputs that are state, by number of the input. All inputs
    /// must be there.
    pub(crate) fn updates(&self) -> Vec<(usize, Array)> {
        let program = self.program();
        let names = self.trained_names();
        let trained: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = program.plan(&["output0"], &trained).unwrap_or_else(|error| panic!("{error}"));
        let (mut buffers, workers) = (Buffers::default(), Workers::new(1).unwrap());
        let mut run = run(&mut buffers, &workers, self.mode);
        let pass = program.forward(&plan, program.weights(), Vec::new(), &mut run);
        pass.unwrap_or_else(|error| panic!("{error}")).take_updates()
    }

    /// Checks every gradient against a central finite difference of a weighted sum of all
    /// outputs.
    pub(crate) fn check(&self) {
        let program = self.program();
        let analytic = self.gradients(&program);
        let names = self.trained_names();
        for (name, gradient) in names.iter().zip(analytic) {
            let number = program.weights().number(name).expect("every input is a weight");
            let len = program.weights().array(number).len();
            let gradient =
                gradient.map_or_else(|| vec![0.0; len], |gradient| gradient.into_floats().unwrap());
            let largest = gradient.iter().fold(1f32, |most, value| most.max(value.abs()));
            for (index, &found) in gradient.iter().enumerate() {
                let expected = self.difference(&program, number, index);
                assert!(
                    (found - expected).abs() <= self.tolerance * largest,
                    "{} gradient of {name}[{index}]: {found}, finite difference: {expected}",
                    self.node.op_type,
                );
            }
        }
    }

    /// Gradients of the weighted sum of all outputs, an entry a trained input.
    pub(crate) fn gradients(&self, program: &Program) -> Vec<Option<Array>> {
        self.gradients_on(program, 2)
    }

    /// The same on so many threads.
    pub(crate) fn gradients_on(&self, program: &Program, threads: usize) -> Vec<Option<Array>> {
        let outputs = self.output_names();
        let targets: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let names = self.trained_names();
        let trained: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = program.plan(&targets, &trained).unwrap_or_else(|error| panic!("{error}"));
        let (mut buffers, workers) = (Buffers::default(), Workers::new(threads).unwrap());
        let mut run = run(&mut buffers, &workers, self.mode);
        let mut pass = program
            .forward(&plan, program.weights(), Vec::new(), &mut run)
            .unwrap_or_else(|error| panic!("{error}"));
        let seeds = targets
            .iter()
            .filter(|name| matches!(pass.value(name).data(), crate::Data::Floats(_)))
            .map(|&name| {
                let shape = pass.value(name).shape().clone();
                let len = pass.value(name).len();
                (name, Array::floats(shape, (0..len).map(output_weight).collect()))
            })
            .collect();
        pass.backward(seeds, &mut run).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The gradient by an output of `len` elements that [`Case::gradients`] starts from.
    pub(crate) fn seeds(len: usize) -> Vec<f32> {
        (0..len).map(output_weight).collect()
    }

    /// Why the node cannot be built.
    pub(crate) fn plan_error(&self) -> String {
        let outputs = self.output_names();
        let targets: Vec<&str> = outputs.iter().map(String::as_str).collect();
        match self.program().plan(&targets, &[]) {
            Ok(_) => panic!("{} was built, expected an error", self.node.op_type),
            Err(error) => error.to_string(),
        }
    }

    /// The node as a program whose inputs are all weights.
    pub(crate) fn program(&self) -> Program {
        let mut node = self.node.clone();
        let mut builder = GraphBuilder::new("case");
        for (number, (array, trained)) in self.inputs.iter().enumerate() {
            let name = format!("input{number}");
            if !trained && is_left_out(array) {
                node.inputs.push(String::new());
                continue;
            }
            node.inputs.push(name.clone());
            builder = match array.data() {
                crate::Data::Floats(values) => builder.floats(&name, array.shape(), values),
                crate::Data::Ints(values) => builder.integers(&name, array.shape(), values),
                crate::Data::Bools(values) => {
                    let bytes: Vec<u8> = values.iter().map(|&value| value.into()).collect();
                    let bool = modelyard_graph::ElementType::Bool;
                    let constant =
                        modelyard_graph::Constant::raw(&name, bool, array.shape(), bytes);
                    builder.initializer(constant)
                }
            };
        }
        let outputs = self.outputs.iter().enumerate();
        node.outputs = outputs
            .map(|(number, named)| if *named { format!("output{number}") } else { String::new() })
            .collect();
        // Not verified: cases state no shapes.
        let model =
            builder.node(node).model().with_opset("", self.opset).with_opset("com.microsoft", 1);
        Program::compile(&model).unwrap_or_else(|error| panic!("{error}"))
    }

    fn output_names(&self) -> Vec<String> {
        let outputs = self.outputs.iter().enumerate().filter(|(_, named)| **named);
        outputs.map(|(number, _)| format!("output{number}")).collect()
    }

    fn trained_names(&self) -> Vec<String> {
        let inputs = self.inputs.iter().enumerate().filter(|(_, (_, trained))| *trained);
        inputs.map(|(number, _)| format!("input{number}")).collect()
    }

    fn evaluate(
        &self,
        program: &Program,
        weights: &crate::program::Weights,
    ) -> Result<Vec<Array>, String> {
        let outputs = self.output_names();
        let targets: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let names = self.trained_names();
        let trained: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = program.plan(&targets, &trained).map_err(|error| error.to_string())?;
        let (mut buffers, workers) = (Buffers::default(), Workers::new(1).unwrap());
        let mut run = run(&mut buffers, &workers, self.mode);
        let pass = program
            .forward(&plan, weights, Vec::new(), &mut run)
            .map_err(|error| with_sources(&error))?;
        Ok(targets.iter().map(|name| pass.value(name).clone()).collect())
    }

    fn difference(&self, program: &Program, number: usize, index: usize) -> f32 {
        const STEP: f32 = 1e-2;
        let at = |offset: f32| {
            let mut weights = program.weights().clone();
            weights.floats_mut(number).unwrap()[index] += offset;
            let outputs =
                self.evaluate(program, &weights).unwrap_or_else(|error| panic!("{error}"));
            outputs
                .iter()
                .filter_map(|output| output.as_floats().ok())
                .flat_map(|output| output.iter().enumerate())
                .map(|(index, &value)| f64::from(value) * f64::from(output_weight(index)))
                .sum::<f64>()
        };
        ((at(STEP) - at(-STEP)) / f64::from(2.0 * STEP)) as f32
    }
}

/// Whether [`Case::without`] put it there.
fn is_left_out(array: &Array) -> bool {
    matches!(array.data(), crate::Data::Floats(values) if values.is_empty())
        && array.shape().dims() == [0]
}

/// Weights of the outputs in the sum that is differentiated: all different, none zero.
fn output_weight(index: usize) -> f32 {
    0.3 + ((index * 7 + 3) % 11) as f32 * 0.17 - if index.is_multiple_of(3) { 1.1 } else { 0.0 }
}

/// A run without bound.
pub(crate) fn run<'a>(buffers: &'a mut Buffers, workers: &'a Workers, mode: Mode) -> Run<'a> {
    Run { buffers, workers, mode, memory_limit_bytes: usize::MAX }
}

/// `len` numbers in -1..1 that follow from a seed, none nearer than 0.05 to zero, so that kinks
/// there do not spoil finite differences.
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len)
        .map(|_| {
            let value = random.f32() * 0.95 + 0.05;
            if random.bool() { value } else { -value }
        })
        .collect()
}

/// `len` numbers that are all at least 0.1 apart, in an order that follows from a seed: for
/// operators that choose the largest.
pub(crate) fn distinct(seed: u64, len: usize) -> Vec<f32> {
    let mut values: Vec<f32> =
        (0..len).map(|index| (index as f32 - len as f32 / 2.0) * 0.1).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut values);
    values
}

/// Pairs of shapes that broadcast, sizes of 1 and missing axes among them.
pub(crate) fn broadcasting() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    prop::collection::vec((1usize..4, 0..4u8), 0..4).prop_map(|axes| {
        let size = |repeated: u8| {
            move |&(size, kind): &(usize, u8)| if kind == repeated { 1 } else { size }
        };
        let one: Vec<usize> = axes.iter().map(size(0)).collect();
        let two: Vec<usize> = axes.iter().map(size(1)).collect();
        let skipped = two.iter().take_while(|&&size| size == 1).count() / 2;
        (one, two[skipped..].to_vec())
    })
}

/// Number of elements of a shape.
pub(crate) fn count(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// An error with what caused it, as the user sees it.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
