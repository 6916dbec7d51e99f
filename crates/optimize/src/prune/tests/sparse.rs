//! Masks of single weights.

use super::super::sparse::{Masks, NofM, Scope, Sparsity};
use super::*;

fn model(first: &[f32], second: &[f32]) -> Model {
    let mut net = Network::new("x", &batch_of(&[4]));
    net.add(Constant::floats("a", &[4, 2], first));
    net.add(Constant::floats("b", &[3, 2], second));
    net.op("MatMul", &["x", "a"], "h");
    net.node(Node::new("Gemm", &["h", "b"], &["y"]).with("transB", 1i64));
    net.giving(&[("y", &batch_of(&[3]))])
}

const FIRST: [f32; 8] = [0.1, -8.0, -0.2, 7.0, 0.3, -6.0, 0.4, 5.0];
const SECOND: [f32; 6] = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0];

fn masked(sparsity: &Sparsity) -> (Vec<f32>, Vec<f32>) {
    let mut model = model(&FIRST, &SECOND);
    Masks::new(&model, sparsity, &[]).unwrap().apply(&mut model);
    let number =
        |name: &str| crate::floats::floats(model.graph.initializer(name).unwrap()).unwrap();
    (number("a"), number("b"))
}

#[test]
fn the_smallest_go_of_all_or_of_each() {
    let (a, b) = masked(&Sparsity::Share(0.5, Scope::Global));
    assert_eq!(a, [0.0, -8.0, 0.0, 7.0, 0.0, -6.0, 0.0, 5.0]);
    assert_eq!(b, [0.0, 0.0, 0.0, -4.0, 5.0, -6.0]);
    let (a, b) = masked(&Sparsity::Share(0.5, Scope::Layer));
    assert_eq!(a, [0.0, -8.0, 0.0, 7.0, 0.0, -6.0, 0.0, 5.0]);
    assert_eq!(b, [0.0, 0.0, 0.0, -4.0, 5.0, -6.0]);
    let (a, b) = masked(&Sparsity::Share(0.25, Scope::Layer));
    assert_eq!(a, [0.0, -8.0, 0.0, 7.0, 0.3, -6.0, 0.4, 5.0]);
    assert_eq!(b[..2], [0.0, 0.0]);
}

#[test]
fn two_of_four_inputs_stay_of_each_output() {
    // `a` takes its input along rows: of each column two numbers stay. `b` has only two inputs, fewer than
    // four.
    let (a, b) = masked(&Sparsity::Pattern(NofM { n: 2, m: 4 }));
    assert_eq!(a, [0.0, -8.0, 0.0, 7.0, 0.3, 0.0, 0.4, 0.0]);
    assert_eq!(b, SECOND);
    let (a, b) = masked(&Sparsity::Pattern(NofM { n: 1, m: 2 }));
    assert_eq!(a, [0.0, -8.0, -0.2, 0.0, 0.0, -6.0, 0.4, 0.0]);
    assert_eq!(b, [0.0, -2.0, 0.0, -4.0, 0.0, -6.0]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |sparsity: Sparsity, values: &[f32]| {
        Masks::new(&model(values, &SECOND), &sparsity, &[]).unwrap_err().to_string()
    };
    for share in [0.0, 1.0, f64::NAN] {
        let error = refused(Sparsity::Share(share, Scope::Global), &FIRST);
        assert!(error.contains("expected a sparsity above 0 and below 1"), "{error}");
    }
    for (n, m) in [(0, 4), (4, 4), (5, 4)] {
        let error = refused(Sparsity::Pattern(NofM { n, m }), &FIRST);
        assert!(error.contains("such as 2:4"), "{error}");
    }
    let mut values = FIRST;
    values[3] = f32::INFINITY;
    let error = refused(Sparsity::Share(0.5, Scope::Global), &values);
    assert!(error.contains("NaN or infinity: a"), "{error}");
}
