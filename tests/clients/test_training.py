"""Models that `train`, `finetune` and `distill` write, judged by onnx.checker and by Python's
onnxruntime: valid, with the answers of our engine and the scores that training itself reported."""

import gzip
import json
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest

from conftest import ROOT

TOLERANCE = 1e-5
DIGITS = ROOT / "examples/digits"
HEAD = "dense(3, softmax)"


def run(binary, work, *arguments):
    """Runs a command with --json and gives what it prints."""
    command = [str(binary), *map(str, arguments)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return json.loads(done.stdout)


def pictures(random, count):
    """A bright square in a corner, in noise: which of three corners?"""
    x = random.random((count, 1, 10, 10), np.float32) * 0.6
    y = random.integers(0, 3, count)
    for picture, corner in zip(x, y):
        top, left = divmod(int(corner), 2)
        picture[0, 6 * top : 6 * top + 4, 6 * left : 6 * left + 4] += 0.4
    return x, y


def signals(random, count):
    """Waves of three lengths in two channels."""
    y = random.integers(0, 3, count)
    time = np.arange(16)[None, None] + random.random((count, 2, 1)) * 9
    return np.sin(time * (0.4 + 0.5 * y[:, None, None])).astype(np.float32), y


def sentences(random, count):
    """Which of the words 1, 2, 3 comes last?"""
    x = random.integers(1, 12, (count, 7))
    x[:, random.integers(0, 7)] = random.integers(1, 4, count)
    last = [next((word for word in row[::-1] if word < 4), 1) for row in x]
    return x, np.array(last) - 1


def values(random, count):
    """Two numbers of three, which are of very different sizes."""
    x = random.normal([5000, 0.02, -3], [300, 0.001, 1], (count, 3)).astype(np.float32)
    a, b, c = (x - [5000, 0.02, -3]).T / [[300], [0.001], [1]]
    y = np.stack([a - c**2, b * c], 1)
    return x, y.astype(np.float32)


NETWORKS = {
    "mlp": (pictures, f"flatten, dense(32, relu), layernorm, dropout(0.1), {HEAD}"),
    "cnn": (
        pictures,
        "conv2d(6, 3, relu, padding=same), batchnorm, maxpool2d, "
        "residual(conv2d(6, 3, padding=same), batchnorm, activation=relu), dropout(0.2), "
        f"globalavgpool, {HEAD}",
    ),
    "activations": (
        pictures,
        "conv2d(4, 3, gelu, stride=2), avgpool2d, flatten, dense(12, silu), dense(12, elu), "
        f"dense(12, hardswish), dense(12, softplus), dense(12, leaky_relu), {HEAD}",
    ),
    "conv1d": (signals, f"conv1d(6, 3, tanh, dilation=2), maxpool1d, globalmaxpool, {HEAD}"),
    "lstm": (sentences, f"embedding(12, 8), lstm(10, sequences=true), lstm(8), {HEAD}"),
    "gru": (sentences, f"embedding(12, 8), gru(8, bidirectional=true), {HEAD}"),
    "regression": (values, "dense(16, tanh), dense(2)"),
    "logits": (pictures, "flatten, dense(3)"),
}
# What each of the others is made from, and how.
DERIVED = {
    "further": ("cnn", ["finetune", "cnn.onnx"]),
    "new_head": ("cnn", ["finetune", "cnn.onnx", "--replace-head", "--train", "batchnorm1.*"]),
    "distilled": ("mlp", ["distill", "--teacher", "cnn.onnx", f"--layers=flatten, {HEAD}"]),
}
NAMES = [*NETWORKS, *DERIVED]


@pytest.fixture(scope="module")
def trained(binary, tmp_path_factory):
    """All networks trained: the folder, and the report of each."""
    work, reports = tmp_path_factory.mktemp("training"), {}
    random = np.random.default_rng(1)
    for name, (data, layers) in NETWORKS.items():
        (x, y), (x_test, y_test) = data(random, 300), data(random, 90)
        np.savez(work / f"{name}.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
        normalize = ["--normalize=standard"] if data is values else []
        command = ["train", f"--layers={layers}", *normalize]
        reports[name] = train(binary, work, name, name, command)
    for name, (data, command) in DERIVED.items():
        reports[name] = train(binary, work, name, data, command)
    return work, reports


def train(binary, work, name, data, command):
    settings = [f"--data={data}.npz", "--epochs=40", "--learning-rate=0.01", "--json"]
    return run(binary, work, *command, *settings, f"--output={name}.onnx")


def digits():
    """The digits that are set apart to test by."""

    def idx(name, offset):
        content = gzip.decompress((DIGITS / name).read_bytes())
        return np.frombuffer(content, np.uint8, offset=offset)

    images = idx("test-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255
    return images, idx("test-labels-idx1-ubyte.gz", 8)


def answers(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    kind = np.int64 if spec.type == "tensor(int64)" else np.float32
    return session.run(None, {spec.name: x.astype(kind)})[0]


def score(outputs, targets, are_logits):
    """Loss and accuracy, with nothing but numpy."""
    outputs = outputs.astype(np.float64)
    if targets.ndim == 2:
        return np.mean((outputs - targets) ** 2), None
    if are_logits:
        outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        outputs /= outputs.sum(1, keepdims=True)
    chosen = outputs[np.arange(len(targets)), targets]
    return -np.mean(np.log(chosen)), np.mean(outputs.argmax(1) == targets)


def data_of(name):
    return DERIVED[name][0] if name in DERIVED else name


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_valid_onnx(trained, name):
    path = trained[0] / f"{name}.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert {entry.domain for entry in model.opset_import} == {""}
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["training"]["test"] == trained[1][name]["test"]
    if name != "regression":
        assert metadata["labels"] == ["0", "1", "2"]


@pytest.mark.parametrize("name", NAMES)
def test_onnxruntime_has_the_scores_that_training_reported(trained, binary, name):
    work, reports = trained
    data = np.load(work / f"{data_of(name)}.npz")
    outputs = answers(work / f"{name}.onnx", data["x_test"])
    loss, accuracy = score(outputs, data["y_test"], name == "logits")
    told = reports[name]["test"]
    assert abs(told["loss"] - loss) < TOLERANCE
    command = ["evaluate", f"{name}.onnx", f"--data={data_of(name)}.npz"]
    measured = run(binary, work, *command, "--engine=rten", "--json")
    if accuracy is None:
        assert told["accuracy"] is None
        assert abs(measured["mse"] - loss) < TOLERANCE
        assert all(output["r2"] > 0.5 for output in measured["outputs"])
    else:
        assert told["accuracy"] == pytest.approx(accuracy, abs=TOLERANCE)
        assert measured["accuracy"] == pytest.approx(accuracy, abs=TOLERANCE)
        assert accuracy > 0.6
    if accuracy is not None and name != "logits":
        assert abs(measured["cross_entropy"] - loss) < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_our_engine_answers_as_onnxruntime_does(trained, binary, name):
    work = trained[0]
    random = np.random.default_rng(7)
    source = NETWORKS[data_of(name)][0]
    for count in (1, 5):
        x = source(random, count)[0]
        np.save(work / "x.npy", x if x.dtype == np.int64 else x.astype(np.float32))
        arguments = ["--input=x.npy", "--output=y.npy", "--engine=rten", "--json"]
        run(binary, work, "predict", f"{name}.onnx", *arguments)
        ours, theirs = np.load(work / "y.npy"), answers(work / f"{name}.onnx", x)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def test_only_what_was_to_be_trained_has_changed(trained):
    def weights(name):
        graph = onnx.load(trained[0] / f"{name}.onnx").graph
        return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}

    base, tuned = weights("cnn"), weights("new_head")
    shared = [name for name in base if name in tuned]
    changed = {name for name in shared if base[name].tobytes() != tuned[name].tobytes()}
    assert changed == {f"batchnorm1.{part}" for part in ("scale", "bias", "mean", "variance")}
    assert {name for name in tuned if name not in base} == {"head.weight", "head.bias"}


def test_the_digits_as_the_readme_trains_them(binary, tmp_path):
    layers = "--layers=dense(128, relu), dense(10, softmax)"
    told = run(binary, tmp_path, "train", layers, f"--data={DIGITS}", "--l2=1e-4", "--json")
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    images, labels = digits()
    loss, accuracy = score(answers(tmp_path / "model.onnx", images), labels, False)
    assert abs(told["test"]["loss"] - loss) < TOLERANCE
    assert told["test"]["accuracy"] == pytest.approx(accuracy, abs=TOLERANCE)
    assert accuracy > 0.93
