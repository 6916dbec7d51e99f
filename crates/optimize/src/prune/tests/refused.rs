//! What is not pruned, and what is said of it.

use super::*;
use crate::OptimizeError;

fn perceptron() -> Network {
    let mut net = Network::new("x", &batch_of(&[6]));
    net.gemm("x", "a", (6, 16));
    net.op("Relu", &["a"], "a.r");
    net
}

fn small() -> Model {
    let mut net = perceptron();
    net.gemm("a.r", "y", (16, 3));
    ready(&net.giving(&[("y", &batch_of(&[3]))])).unwrap()
}

fn refusal(model: &Model, options: &Options) -> String {
    structured(model, options).unwrap_err().to_string()
}

#[test]
fn a_target_that_cannot_be_met_names_the_most() {
    let options = Options { target: Target::Parameters(0.95), ..Options::default() };
    let error = refusal(&small(), &options);
    // Of 16 channels 8 stay at least: 6 * 8 + 8 + 8 * 3 + 3 of 6 * 16 + 16 + 16 * 3 + 3 numbers.
    let most = 100.0 * (1.0 - 83.0 / 163.0);
    assert!(error.contains("95.0 % of the parameters cannot be removed"), "{error}");
    assert!(error.contains(&format!("{most:.1} % is the most")), "{error}");
}

#[test]
fn shares_out_of_range_are_refused() {
    for share in [0.0, 1.0, -0.5, f64::NAN] {
        let options = Options { target: Target::Channels(share), ..Options::default() };
        assert!(refusal(&small(), &options).contains("expected a share above 0 and below 1"));
    }
}

#[test]
fn channels_stay_a_multiple_and_no_fewer_than_the_least() {
    let kept = |options: Options| structured(&small(), &options).unwrap().report.groups[0].kept;
    let share = |share| Options { target: Target::Channels(share), ..Options::default() };
    assert_eq!(kept(share(0.4)), 16);
    assert_eq!(kept(share(0.5)), 8);
    assert_eq!(kept(Options { multiple: Some(4), ..share(0.4) }), 12);
    assert_eq!(kept(Options { multiple: Some(1), minimum: 5, ..share(0.9) }), 5);
    assert_eq!(kept(Options { multiple: Some(1), ..share(0.99) }), 1);
}

#[test]
fn a_quantized_model_is_recognized() {
    let mut net = perceptron();
    net.add(Constant::floats("scale", &[], &[0.1]));
    net.op("QuantizeLinear", &["a.r", "scale"], "q");
    net.op("DequantizeLinear", &["q", "scale"], "d");
    net.gemm("d", "y", (16, 3));
    let model = net.giving(&[("y", &batch_of(&[3]))]);
    assert!(refusal(&model, &Options::default()).contains("the model is quantized"));
    assert!(ready(&model).unwrap_err().to_string().contains("the model is quantized"));
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let mut model = small();
    let weight =
        model.graph.initializers.iter_mut().find(|constant| constant.name == "a.w").unwrap();
    let mut values = numbers(96, 1);
    values[5] = f32::NAN;
    *weight = Constant::floats("a.w", &[16, 6], &values);
    let error = refusal(&model, &Options::default());
    assert!(error.contains("NaN or infinity: a.w"), "{error}");
}

#[test]
fn operators_that_nobody_knows_and_graphs_inside_nodes_are_left_alone() {
    let mut net = perceptron();
    net.gemm("a.r", "b", (16, 8));
    net.node(Node::new("Whatever", &["b"], &["w"]).in_domain("com.example"));
    net.gemm("a.r", "y", (16, 3));
    let builder = net.builder.output("y", DataType::Fp32, &batch_of(&[3]));
    let mut model = builder.output("w", DataType::Fp32, &batch_of(&[8])).model();
    model.opsets.insert("com.example".into(), 1);
    let model = model.check().unwrap();
    let pruned = structured(&model, &Options::default()).unwrap();
    let refused = pruned.report.refused.iter().find(|refused| refused.weights == ["b.w"]).unwrap();
    assert!(
        refused.reason.contains("output 'w'") || refused.reason.contains("Whatever"),
        "{refused:?}"
    );
    assert_eq!(pruned.report.groups.len(), 1);

    // A branch that takes the neurons from around.
    let mut net = perceptron();
    let branch = |operator: &str| {
        let node = Node::new(operator, &["a.r"], &["taken"]);
        GraphBuilder::new("branch")
            .node(node)
            .output("taken", DataType::Fp32, &batch_of(&[16]))
            .build()
    };
    net.builder = std::mem::take(&mut net.builder).input("which", DataType::Bool, &[]);
    let node = Node::new("If", &["which"], &["i"]);
    net.node(node.with("then_branch", branch("Abs")).with("else_branch", branch("Neg")));
    net.gemm("i", "y", (16, 3));
    let model = net.giving(&[("y", &batch_of(&[3]))]);
    let error = structured(&model, &Options::default()).unwrap_err();
    assert!(matches!(error, OptimizeError::Nothing(_)));
    assert!(error.to_string().contains("holds graphs, which are left as they are"), "{error}");
}

#[test]
fn a_computed_shape_keeps_its_channels() {
    let mut net = Network::new("x", &batch_of(&[3, 4, 4]));
    net.conv("x", "c", ([8, 3, 3], 1, 1));
    net.op("Relu", &["c"], "r");
    net.builder =
        std::mem::take(&mut net.builder).input("shape", DataType::Int64, &[Dim::Fixed(2)]);
    net.op("Reshape", &["r", "shape"], "flat");
    net.gemm("flat", "y", (128, 3));
    let model = net.giving(&[("y", &batch_of(&[3]))]);
    let error = structured(&model, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("not known") || error.contains("is computed"), "{error}");
}

#[test]
fn what_is_excluded_stays() {
    let mut net = perceptron();
    net.gemm("a.r", "b", (16, 16));
    net.op("Relu", &["b"], "b.r");
    net.gemm("b.r", "y", (16, 3));
    let model = ready(&net.giving(&[("y", &batch_of(&[3]))])).unwrap();
    let options = Options { exclude: vec!["b.*".into()], ..Options::default() };
    let report = structured(&model, &options).unwrap().report;
    assert_eq!(report.groups.len(), 1);
    assert!(report.refused.iter().any(|refused| refused.reason == "'b.w' is excluded"));
}

#[test]
fn importance_says_which_channels_go() {
    // Row r of the weight is r times one vector: the first rows go, whatever measures them; unless the loss
    // does not depend on the last ones.
    let mut model = small();
    let weight =
        model.graph.initializers.iter_mut().find(|constant| constant.name == "a.w").unwrap();
    let values: Vec<f32> = (0..96).map(|index| (index / 6 + 1) as f32 * 0.1).collect();
    *weight = Constant::floats("a.w", &[16, 6], &values);
    let first = |importance: Importance| {
        let options = Options { importance, ..Options::default() };
        let pruned = structured(&model, &options).unwrap().model;
        crate::floats::floats(pruned.graph.initializer("a.w").unwrap()).unwrap()[0]
    };
    for importance in [Importance::L1, Importance::L2, Importance::BatchNorm] {
        assert!((first(importance) - 0.9).abs() < 1e-6);
    }
    let sums = (0..96).map(|index| if index / 6 < 8 { 1.0 } else { 0.0 }).collect();
    let sums = [("a.w".to_owned(), sums)].into_iter().collect();
    assert!((first(Importance::Taylor(sums)) - 0.1).abs() < 1e-6);
}

#[test]
fn taylor_sums_are_weights_times_gradients() {
    use modelyard_train::data::{Batch, Targets};
    use modelyard_train::trainer::LossKind;

    // y = w x, loss = mean of (y - t)²: dL/dw = 2 x (y - t) for one number.
    let mut net = Network::new("x", &batch_of(&[1]));
    net.add(Constant::floats("w", &[1, 1], &[3.0]));
    net.op("MatMul", &["x", "w"], "y");
    let model = net.giving(&[("y", &batch_of(&[1]))]);
    let mut taylor = Taylor::new(&model, &["w".into()], LossKind::MeanSquaredError).unwrap();
    let workers = modelyard_train::Workers::new(1).unwrap();
    for x in [2.0, -1.0] {
        let inputs = vec![("x".into(), Array::floats([1, 1], vec![x]))];
        let targets = Targets::Values(Array::floats([1, 1], vec![1.0]));
        taylor.observe(&Batch { inputs, targets }, &workers, usize::MAX).unwrap();
    }
    // |3 · 2 · 2 (6 - 1)| + |3 · 2 · -1 (-3 - 1)|
    let sum = taylor.sums()["w"][0];
    assert!((sum - 84.0).abs() < 1e-4, "{sum}");
}
