//! What functions need to know of the operators in them: a value there is named by the node, the
//! output's name and its number, not by the number alone.

use super::proto::NodeDef;

/// The number of the first output of this name. Operators with one kind of output count from 0.
pub(super) fn first_output(node: &NodeDef, argument: &str) -> usize {
    let outputs: &[&str] = match node.op.as_str() {
        "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => &[
            "y",
            "batch_mean",
            "batch_variance",
            "reserve_space_1",
            "reserve_space_2",
            "reserve_space_3",
        ],
        "TopK" | "TopKV2" => &["values", "indices"],
        "Unique" | "UniqueV2" => &["y", "idx"],
        "UniqueWithCounts" | "UniqueWithCountsV2" => &["y", "idx", "count"],
        "Switch" | "RefSwitch" => &["output_false", "output_true"],
        "Merge" | "RefMerge" => &["output", "value_index"],
        "MaxPoolWithArgmax" => &["output", "argmax"],
        "NonMaxSuppressionV4" => &["selected_indices", "valid_outputs"],
        "NonMaxSuppressionV5" => &["selected_indices", "selected_scores", "valid_outputs"],
        "CombinedNonMaxSuppression" => {
            &["nmsed_boxes", "nmsed_scores", "nmsed_classes", "valid_detections"]
        }
        "ListDiff" => &["out", "idx"],
        "QuantizeV2" => &["output", "output_min", "output_max"],
        "TensorListPopBack" => &["output_handle", "tensor"],
        "TensorListConcat" | "TensorListConcatV2" => &["tensor", "lengths"],
        "TensorArrayV3" => &["handle", "flow"],
        "SoftmaxCrossEntropyWithLogits" => &["loss", "backprop"],
        "LSTMBlockCell" | "BlockLSTM" | "BlockLSTMV2" => &["i", "cs", "f", "o", "ci", "co", "h"],
        "LookupTableExportV2" => &["keys", "values"],
        "StringSplitV2" => &["indices", "values", "shape"],
        "RaggedRange" => &["rt_nested_splits", "rt_dense_values"],
        "Svd" => &["s", "u", "v"],
        "Qr" => &["q", "r"],
        _ => &[],
    };
    outputs.iter().position(|&output| output == argument).unwrap_or(0)
}

/// Whether an operator gives a handle: of a variable or table, which is the same wherever it is
/// passed to.
pub(super) fn is_handle(op: &str) -> bool {
    matches!(op, "VarHandleOp" | "HashTableV2" | "HashTable" | "MutableHashTableV2")
}
