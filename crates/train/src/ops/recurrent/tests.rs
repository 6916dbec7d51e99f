//! The cells against direct formulas and finite differences, in all directions and layouts.

use modelyard_graph::AttributeValue;
use modelyard_tensor::Shape;
use proptest::prelude::*;

use crate::array::Array;
use crate::testing::{Case, numbers};

const STEPS: usize = 3;
const BATCH: usize = 2;
const INPUT: usize = 3;
const HIDDEN: usize = 2;

/// A layer to test.
#[derive(Clone, Copy, Debug)]
struct Layer {
    name: &'static str,
    gates: usize,
    linear_before_reset: bool,
    direction: &'static str,
    batch_first: bool,
    seed: u64,
}

impl Layer {
    fn directions(&self) -> usize {
        if self.direction == "bidirectional" { 2 } else { 1 }
    }

    fn outputs(&self) -> usize {
        if self.name == "LSTM" { 3 } else { 2 }
    }

    /// Shapes of X, W, R, B, initial_h and initial_c.
    fn shapes(&self) -> Vec<Vec<usize>> {
        let (directions, rows) = (self.directions(), self.gates * HIDDEN);
        let state = match self.batch_first {
            false => vec![directions, BATCH, HIDDEN],
            true => vec![BATCH, directions, HIDDEN],
        };
        let x = if self.batch_first { [BATCH, STEPS, INPUT] } else { [STEPS, BATCH, INPUT] };
        let mut shapes = vec![
            x.to_vec(),
            vec![directions, rows, INPUT],
            vec![directions, rows, HIDDEN],
            vec![directions, 2 * rows],
            state.clone(),
        ];
        if self.name == "LSTM" {
            shapes.push(state);
        }
        shapes
    }

    fn values(&self) -> Vec<Vec<f32>> {
        let values = |(number, shape): (usize, Vec<usize>)| {
            numbers(self.seed ^ number as u64, shape.iter().product())
        };
        self.shapes().into_iter().enumerate().map(values).collect()
    }

    fn case(&self) -> Case {
        let mut case = Case::new(self.name)
            .with("direction", self.direction)
            .with("hidden_size", HIDDEN as i64)
            .with("layout", i64::from(self.batch_first))
            .with("linear_before_reset", i64::from(self.linear_before_reset))
            .outputs(self.outputs());
        for (number, (shape, values)) in self.shapes().iter().zip(self.values()).enumerate() {
            if number == 4 {
                case = case.without();
            }
            case = case.trained(shape, values);
        }
        case
    }

    /// Y, Y_h and Y_c by the formulas of ONNX, one number at a time.
    fn expected(&self) -> Vec<Vec<f32>> {
        let values = self.values();
        let directions = self.directions();
        let state_len = directions * BATCH * HIDDEN;
        let mut outputs =
            vec![vec![0.0; STEPS * state_len], vec![0.0; state_len], vec![0.0; state_len]];
        for direction in 0..directions {
            let reversed = self.direction == "reverse" || direction == 1;
            for row in 0..BATCH {
                let state = |k: usize| match self.batch_first {
                    false => (direction * BATCH + row) * HIDDEN + k,
                    true => (row * directions + direction) * HIDDEN + k,
                };
                let initial = |number: usize| {
                    (0..HIDDEN).map(|k| values.get(number).map_or(0.0, |v| v[state(k)])).collect()
                };
                let (mut h, mut c): (Vec<f32>, Vec<f32>) = (initial(4), initial(5));
                for at in 0..STEPS {
                    let step = if reversed { STEPS - 1 - at } else { at };
                    let start = match self.batch_first {
                        false => step * BATCH + row,
                        true => row * STEPS + step,
                    } * INPUT;
                    let x = &values[0][start..start + INPUT];
                    (h, c) = self.cell(&values, direction, x, (&h, &c));
                    for k in 0..HIDDEN {
                        let place = match self.batch_first {
                            false => (step * directions + direction) * BATCH + row,
                            true => (row * STEPS + step) * directions + direction,
                        };
                        outputs[0][place * HIDDEN + k] = h[k];
                    }
                }
                for k in 0..HIDDEN {
                    outputs[1][state(k)] = h[k];
                    outputs[2][state(k)] = c[k];
                }
            }
        }
        outputs.truncate(self.outputs());
        outputs
    }

    fn cell(
        &self,
        values: &[Vec<f32>],
        direction: usize,
        x: &[f32],
        (h, c): (&[f32], &[f32]),
    ) -> (Vec<f32>, Vec<f32>) {
        let rows = self.gates * HIDDEN;
        let by = |number: usize, columns: usize, row: usize, with: &[f32]| -> f32 {
            let start = (direction * rows + row) * columns;
            let matrix = &values[number][start..start + columns];
            matrix.iter().zip(with).map(|(one, two)| one * two).sum()
        };
        let bias = |which: usize, row: usize| values[3][(direction * 2 + which) * rows + row];
        let w = |gate: usize, k: usize| {
            let row = gate * HIDDEN + k;
            by(1, INPUT, row, x) + bias(0, row)
        };
        let r = |gate: usize, k: usize, h: &[f32]| {
            let row = gate * HIDDEN + k;
            by(2, HIDDEN, row, h) + bias(1, row)
        };
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let both = |gate: usize, k: usize| w(gate, k) + r(gate, k, h);
        let (mut new_h, mut new_c) = (vec![0.0; HIDDEN], vec![0.0; HIDDEN]);
        let reset: Vec<f32> = (0..HIDDEN)
            .map(|k| if self.name == "GRU" { sigmoid(both(1, k)) } else { 0.0 })
            .collect();
        let reset_h: Vec<f32> = reset.iter().zip(h).map(|(r, h)| r * h).collect();
        for k in 0..HIDDEN {
            match self.name {
                "LSTM" => {
                    let (i, o, f) = (sigmoid(both(0, k)), sigmoid(both(1, k)), sigmoid(both(2, k)));
                    new_c[k] = f * c[k] + i * both(3, k).tanh();
                    new_h[k] = o * new_c[k].tanh();
                }
                "GRU" => {
                    let z = sigmoid(both(0, k));
                    let seen = match self.linear_before_reset {
                        true => reset[k] * r(2, k, h),
                        false => r(2, k, &reset_h),
                    };
                    new_h[k] = (1.0 - z) * (w(2, k) + seen).tanh() + z * h[k];
                }
                _ => new_h[k] = both(0, k).tanh(),
            }
        }
        (new_h, new_c)
    }
}

fn layer() -> impl Strategy<Value = Layer> {
    let cell = prop_oneof![
        Just(("LSTM", 4, false)),
        Just(("GRU", 3, false)),
        Just(("GRU", 3, true)),
        Just(("RNN", 1, false)),
    ];
    let direction = prop_oneof![Just("forward"), Just("reverse"), Just("bidirectional")];
    (cell, direction, any::<bool>(), any::<u64>()).prop_map(
        |((name, gates, linear_before_reset), direction, batch_first, seed)| Layer {
            name,
            gates,
            linear_before_reset,
            direction,
            batch_first,
            seed,
        },
    )
}

const LSTM: Layer = Layer {
    name: "LSTM",
    gates: 4,
    linear_before_reset: false,
    direction: "forward",
    batch_first: false,
    seed: 1,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn gradient(layer in layer()) {
        layer.case().check();
    }

    #[test]
    fn values_follow_the_formulas(layer in layer()) {
        for (found, expected) in layer.case().run().iter().zip(layer.expected()) {
            let found = found.as_floats().unwrap();
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                prop_assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
            }
        }
    }
}

#[test]
fn every_output_can_be_left_out() {
    for outputs in [&[true][..], &[false, true], &[false, false, true]] {
        LSTM.case().named_outputs(outputs).check();
    }
}

#[test]
fn without_bias_and_states_they_are_zero() {
    let zeros = |dims: &[usize]| Array::floats(Shape::new(dims), vec![0.0; dims.iter().product()]);
    let (shapes, values) = (LSTM.shapes(), LSTM.values());
    let mut short = Case::new("LSTM").with("hidden_size", HIDDEN as i64).outputs(3);
    for number in 0..3 {
        short = short.trained(&shapes[number], values[number].clone());
    }
    short.check();
    let mut long = Case::new("LSTM").with("hidden_size", HIDDEN as i64).outputs(3);
    for number in 0..3 {
        long = long.trained(&shapes[number], values[number].clone());
    }
    long = long.fixed(zeros(&shapes[3]));
    long = long.fixed(Array::ints([2], vec![STEPS as i64; 2]));
    assert_eq!(short.run(), long.fixed(zeros(&shapes[4])).fixed(zeros(&shapes[5])).run());
}

#[test]
fn a_batch_of_several_lanes_is_as_its_sequences_one_by_one() {
    let rows = 37;
    let x = numbers(3, 2 * rows * INPUT);
    let case = |x: Vec<f32>, rows: usize| {
        let case = Case::new("RNN").with("layout", 1).with("direction", "bidirectional");
        case.trained(&[rows, 2, INPUT], x)
            .trained(&[2, HIDDEN, INPUT], numbers(4, 2 * HIDDEN * INPUT))
            .trained(&[2, HIDDEN, HIDDEN], numbers(5, 2 * HIDDEN * HIDDEN))
            .tolerance(2e-2)
    };
    let whole = case(x.clone(), rows).run()[0].as_floats().unwrap().to_vec();
    let single = x.chunks(2 * INPUT).zip(whole.chunks(4 * HIDDEN));
    for (x, whole) in single {
        let found = case(x.to_vec(), 1).run();
        for (found, expected) in found[0].as_floats().unwrap().iter().zip(whole) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
    }
    case(x, rows).check();
}

#[test]
fn relu_is_covered_in_plain_layers() {
    let names = AttributeValue::Strings(vec!["Relu".into()]);
    Case::new("RNN")
        .with("activations", names)
        .outputs(2)
        .trained(&[2, 2, 2], numbers(1, 8))
        .trained(&[1, 2, 2], vec![1.0, 0.5, -0.5, -1.0])
        .trained(&[1, 2, 2], vec![0.3, -0.5, 0.7, 0.2])
        .trained(&[1, 4], vec![2.0, -3.0, 0.5, 0.5])
        .check();
}

#[test]
fn what_is_not_covered_is_named() {
    let refused = |case: Case, text: &str| {
        let error = case.try_run().unwrap_err();
        assert!(error.contains(text), "{error}");
    };
    let peepholes = LSTM.case().trained(&[1, 6], numbers(1, 6));
    refused(peepholes, "input P (peepholes) is not covered");
    refused(LSTM.case().with("clip", 1.0), "attribute clip is not covered");
    refused(LSTM.case().with("input_forget", 1), "attribute input_forget is not covered");
    let names = ["HardSigmoid", "Tanh", "Tanh"].map(|name| name.into()).to_vec();
    let case = LSTM.case().with("activations", AttributeValue::Strings(names));
    refused(case, "activations are HardSigmoid, Tanh, Tanh, training covers Sigmoid, Tanh, Tanh");
    let (shapes, values) = (LSTM.shapes(), LSTM.values());
    let mut case = Case::new("LSTM");
    for number in 0..4 {
        case = case.trained(&shapes[number], values[number].clone());
    }
    let case = case.fixed(Array::ints([2], vec![3, 2]));
    refused(case, "sequence_lens are [3, 2], training covers only whole sequences of 3 steps");
    let case = Case::new("GRU")
        .trained(&shapes[0], values[0].clone())
        .trained(&shapes[1], values[1].clone())
        .trained(&shapes[2], values[2].clone());
    refused(case, "do not fit a layer of 1 directions and 3 gates");
}
