"""Writes the model repository that the tests serve. `python make_models.py FOLDER` shows it."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits/digits.onnx"

# Open Inference Protocol datatype: ONNX element type.
DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}

LABELS = ["ant", "bee", "cat", "dog"]


def identity(datatype):
    """`output = input`, any rows of any length."""
    element = DATATYPES[datatype]
    return model(
        [helper.make_node("Identity", ["input"], ["output"])],
        [value("input", element, ["batch", "length"])],
        [value("output", element, ["batch", "length"])],
    )


def add_sub():
    """`sum = a + b`, `difference = a - b`: two inputs, two outputs, rows are independent."""
    names = {name: value(name, TensorProto.FLOAT, ["batch", 4]) for name in
             ("a", "b", "sum", "difference")}
    return model(
        [
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Sub", ["a", "b"], ["difference"]),
        ],
        [names["a"], names["b"]],
        [names["sum"], names["difference"]],
    )


def classifier():
    """`scores = features`, for its labels; as many classes as there are labels."""
    return model(
        [helper.make_node("Identity", ["features"], ["scores"])],
        [value("features", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [value("scores", TensorProto.FLOAT, ["batch", len(LABELS)])],
    )


def slow(layers):
    """Large products for a small request: `layers` x 0.27 GFLOP, nothing to gain by batches."""
    width = 512
    weights = np.random.default_rng(1).standard_normal((width, width), dtype=np.float32)
    weights /= np.float32(np.sqrt(width))
    nodes = [helper.make_node("Mul", ["seed", "weights"], ["layer0"])]
    for layer in range(layers):
        nodes += [
            helper.make_node("MatMul", [f"layer{layer}", "weights"], [f"product{layer}"]),
            helper.make_node("Tanh", [f"product{layer}"], [f"layer{layer + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"layer{layers}"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "one"], ["result"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
    ]
    return model(
        nodes,
        [value("seed", TensorProto.FLOAT, [1])],
        [value("result", TensorProto.FLOAT, [1])],
        constants,
    )


def sequence():
    """A model whose output is a sequence, which no tensor protocol can carry."""
    output = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    return model(
        [helper.make_node("SplitToSequence", ["input"], ["parts"], axis=0)],
        [value("input", TensorProto.FLOAT, ["length"])],
        [output],
    )


def value(name, element, dims):
    return helper.make_tensor_value_info(name, element, dims)


def model(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializer=list(constants))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def write_good(repository):
    """Models that load."""
    for datatype in DATATYPES:
        put(repository, f"identity_{datatype.lower()}", identity(datatype))
    put(repository, "add_sub", add_sub())
    put(repository, "classifier", classifier())
    (repository / "classifier/labels.txt").write_text("".join(f"{name}\n" for name in LABELS))
    put(repository, "digits", DIGITS.read_bytes())
    put(repository, "versions", identity("FP32"), version=1)
    put(repository, "versions", identity("FP32"), version=3)
    (repository / "versions/model.toml").write_text('version_policy = "all"\n')
    put(repository, "slow", slow(40))


def write_bad(repository):
    """Models that must be refused, each alone."""
    put(repository, "bad_sequence", sequence())
    put(repository, "bad_corrupt", DIGITS.read_bytes()[:5000])
    put(repository, "bad_noise", np.random.default_rng(2).bytes(4000))
    put(repository, "bad_empty", b"")


def put(repository, name, content, version=1):
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)


if __name__ == "__main__":
    write_good(Path(sys.argv[1]))
    write_bad(Path(sys.argv[1]))
