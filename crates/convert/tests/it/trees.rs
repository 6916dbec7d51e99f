//! Trees of XGBoost and LightGBM. `fixtures/trees.py` made them.
//!
//! The embedded engine does not know `ai.onnx.ml`. Without an ONNX Runtime to ask
//! (`MODELYARD_TEST_ONNXRUNTIME`), the node of the trees is walked here, by the words of its
//! specification, and the engine runs what follows it.

use modelyard_convert::{ConvertError, Limits, Options, convert, open};
use modelyard_graph::{Node, Value, ValueType};
use modelyard_tensor::{Shape, Tensor};

use crate::support::{Expected, compare_all, evaluate, fixtures, run};

/// All that can be compared of a fixture, and its samples.
fn check(name: &str) -> Vec<String> {
    let path = fixtures().join("trees").join(name);
    let options = Options::default();
    let source = open(&path, &options, &Limits::default()).unwrap();
    let conversion = convert(source.as_ref(), &options).unwrap();
    let expected = Expected::read(&path.with_extension("safetensors"));
    let inputs = expected.inputs(&conversion);
    compare_all("the reference evaluator", &expected, &conversion, evaluate(&*source, &inputs));
    compare_all("the converted model", &expected, &conversion, run_trees(&conversion, &inputs));
    for sample in source.samples() {
        let found = run_trees(&conversion, &sample);
        for (one, two) in evaluate(&*source, &sample).iter().zip(&found) {
            let agreement =
                modelyard_convert::verify::compare(one, two, &conversion.tolerance, None);
            assert_eq!(agreement.mismatch, None, "a sample of {name}");
        }
    }
    conversion.notes
}

fn run_trees(conversion: &modelyard_convert::Conversion, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut model = conversion.model.clone();
    let is_trees = |node: &Node| node.op_type == "TreeEnsembleRegressor";
    let at = model.graph.nodes.iter().position(is_trees);
    let (None, Some(at)) = (std::env::var_os("MODELYARD_TEST_ONNXRUNTIME"), at) else {
        return run(conversion, inputs).unwrap();
    };
    // What the trees say becomes the input of the rest.
    let node = model.graph.nodes.remove(at);
    let scores = walk(&node, &inputs[0]);
    let (element_type, _) = model.graph.inputs[0].value_type.as_tensor().unwrap();
    let value_type = ValueType::Tensor { element_type, dims: None };
    model.graph.inputs = vec![Value { name: node.outputs[0].clone(), value_type }];
    model.opsets.remove("ai.onnx.ml");
    let rest = modelyard_convert::Conversion::new(model.check().unwrap(), Vec::new());
    run(&rest, &[scores]).unwrap()
}

/// `TreeEnsembleRegressor`: the leaves that a row falls into, summed up for each target.
fn walk(node: &Node, input: &Tensor) -> Tensor {
    let [rows, features] = input.shape().dims() else { panic!("an input of rank 2") };
    let values = input.values::<f32>().unwrap();
    let targets = node.int("n_targets").unwrap() as usize;
    let ints = |name| node.ints(name).unwrap();
    let (trees, ids) = (ints("nodes_treeids"), ints("nodes_nodeids"));
    let (yes, no) = (ints("nodes_truenodeids"), ints("nodes_falsenodeids"));
    let Some(modelyard_graph::AttributeValue::Strings(modes)) = node.attribute("nodes_modes")
    else {
        panic!("no modes");
    };
    let find = |tree, id| (0..trees.len()).find(|&at| trees[at] == tree && ids[at] == id).unwrap();
    let mut sums = Vec::new();
    for row in values.chunks(*features).take(*rows) {
        let base = node.floats("base_values").map_or(vec![0.0; targets], <[f32]>::to_vec);
        let mut row_sums = base;
        let mut tree = 0;
        while trees.contains(&tree) {
            // The first node of a tree is its root.
            let mut at = trees.iter().position(|other| *other == tree).unwrap();
            while modes[at] != "LEAF" {
                let value = row[ints("nodes_featureids")[at] as usize];
                let threshold = node.floats("nodes_values").unwrap()[at];
                let tracks =
                    node.ints("nodes_missing_value_tracks_true").is_some_and(|it| it[at] == 1);
                let below = match &modes[at][..] {
                    b"BRANCH_LT" => value < threshold,
                    b"BRANCH_LEQ" => value <= threshold,
                    other => panic!("mode {other:?}"),
                };
                let is_yes = if value.is_nan() { tracks } else { below };
                at = find(tree, if is_yes { yes[at] } else { no[at] });
            }
            for (index, id) in ints("target_nodeids").iter().enumerate() {
                if ints("target_treeids")[index] == tree && *id == ids[at] {
                    let target = ints("target_ids")[index] as usize;
                    row_sums[target] += node.floats("target_weights").unwrap()[index];
                }
            }
            tree += 1;
        }
        sums.extend(row_sums);
    }
    Tensor::from_vec(Shape::new(&[*rows, targets]), sums).unwrap()
}

#[test]
fn xgboost_boosters_and_objectives() {
    for name in [
        "squared.json",
        "squared_ubj.ubj",
        "reg_logistic.ubj",
        "logistic.json",
        "logitraw.ubj",
        "hinge.ubj",
        "softprob.ubj",
        "dart.ubj",
        "poisson.ubj",
        "gamma.ubj",
        "tweedie.ubj",
        "cox.ubj",
        "aft.ubj",
        "pseudohubererror.ubj",
        "squaredlogerror.ubj",
        "absoluteerror.ubj",
        "quantile.ubj",
        "pairwise.ubj",
        "ndcg.ubj",
        "linear.json",
        "targets.ubj",
        "trees_per_target.ubj",
        "labels.ubj",
    ] {
        eprintln!("{name}");
        check(&format!("xgb_{name}"));
    }
}

#[test]
fn xgboost_categories() {
    let notes = check("xgb_categories.json");
    assert!(notes[0].contains("given as codes"), "{notes:?}");
}

#[test]
fn lightgbm_objectives() {
    for name in [
        "regression",
        "sqrt",
        "poisson",
        "gamma",
        "binary",
        "multiclass",
        "multiclassova",
        "cross_entropy",
        "cross_entropy_lambda",
        "lambdarank",
        "dart",
    ] {
        check(&format!("lgb_{name}.txt"));
    }
}

#[test]
fn lightgbm_kinds_of_missing_and_categories() {
    for name in ["no_missing", "zero_missing", "categories"] {
        check(&format!("lgb_{name}.txt"));
    }
}

#[test]
fn lightgbm_forests_answer_with_the_mean() {
    check("lgb_forest.txt");
    check("lgb_forest_regression.txt");
}

#[test]
fn names_and_classes_are_in_the_metadata() {
    let path = fixtures().join("trees/lgb_multiclass.txt");
    let source = open(&path, &Options::default(), &Limits::default()).unwrap();
    let metadata = convert(source.as_ref(), &Options::default()).unwrap().model.metadata;
    assert_eq!(metadata["modelyard.classes"], "3");
    assert_eq!(metadata["modelyard.features"], r#"["Column_0","Column_1","Column_2","Column_3"]"#);
}

/// A fixture with some of its text changed, opened.
fn changed(name: &str, from: &str, to: &str) -> Result<(), ConvertError> {
    let text = std::fs::read_to_string(fixtures().join("trees").join(name)).unwrap();
    assert!(text.contains(from), "nothing to change");
    opened(text.replacen(from, to, 1).as_bytes())
}

/// What opening and converting these bytes says.
fn opened(bytes: &[u8]) -> Result<(), ConvertError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let options = Options::default();
    let source = open(file.path(), &options, &Limits::default())?;
    convert(source.as_ref(), &options).map(|_| ())
}

#[test]
fn what_is_not_covered_is_named() {
    let says = |result: Result<(), ConvertError>, part: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let path = fixtures().join("trees/lgb_linear_tree.txt");
    says(opened(&std::fs::read(path).unwrap()), "linear_tree=false");
    says(changed("xgb_squared.json", "reg:squarederror", "reg:unheard"), "objective 'reg:unheard'");
    says(changed("lgb_regression.txt", "objective=regression", "objective=new"), "objective 'new'");
    // A pickled scikit-learn model, which is never run.
    says(opened(b"\x80\x04\x95\x24\0\0\0\0\0\0\0\x8c\x08sklearn."), "pickle");
}

#[test]
fn damage_is_named() {
    let says = |result: Result<(), ConvertError>, part: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let left = "\"left_children\":[1,";
    says(changed("xgb_squared.json", left, "\"left_children\":[0,"), "reached on two ways");
    says(changed("xgb_squared.json", left, "\"left_children\":[99,"), "expected a node 99");
    says(changed("xgb_squared.json", "\"base_score\":\"", "\"base_score\":\"x"), "base_score");
    says(changed("lgb_regression.txt", "end of trees", "end"), "end of trees");
    says(changed("lgb_regression.txt", "left_child=", "left_child=0 "), "reached on two ways");
    says(changed("lgb_regression.txt", "split_feature=", "split_feature=9 "), "feature 9 of 4");
    says(changed("lgb_regression.txt", "leaf_value=", "leaf_value=x "), "found 'x'");
}

mod nonsense {
    use super::*;
    use proptest::prelude::*;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(fixtures().join("trees").join(name)).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn changed_and_cut_files_are_survived(
            name in prop_oneof![
                Just("xgb_softprob.ubj"), Just("xgb_categories.json"), Just("lgb_categories.txt"),
            ],
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = fixture(name);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let _ = opened(&bytes);
        }
    }
}
