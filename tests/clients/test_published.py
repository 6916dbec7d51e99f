"""Both engines against Python onnxruntime on real published models, through the served binary
protocol."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.http as triton

from conftest import ENGINES
from make_models import put
from server import Server

# Where the packages of published.txt keep their models.
FILES = {
    "magika": ("magika", "models/standard_v3_3/model.onnx"),
    "silero_vad": ("silero_vad", "data/silero_vad.onnx"),
    "silero_vad_16k_op15": ("silero_vad", "data/silero_vad_16k_op15.onnx"),
    "silero_vad_ifless": ("silero_vad", "data/silero_vad_op18_ifless.onnx"),
    "silero_vad_half": ("silero_vad", "data/silero_vad_half.onnx"),
    "ocr_det": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx"),
    "ocr_rec": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx"),
    "ocr_cls": ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "basic_pitch": ("basic_pitch", "saved_models/icassp_2022/nmp.onnx"),
}

# Largest difference, relative and absolute: the same kernels, and kernels of another order of
# summation.
TOLERANCE = {"onnxruntime": (1e-5, 1e-6), "rten": (1e-3, 1e-4)}

TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
DATATYPES = {np.float32: "FP32", np.int32: "INT32", np.int64: "INT64"}


def file_of(name):
    package, path = FILES[name]
    return Path(importlib.util.find_spec(package).submodule_search_locations[0]) / path


@pytest.fixture(scope="module", params=ENGINES)
def served(request, binary, data_dir, tmp_path_factory):
    """A server with all of them, by one engine; it serves those that the engine can run."""
    work = tmp_path_factory.mktemp(request.param)
    for name in FILES:
        put(work / "models", name, file_of(name).read_bytes())
    arguments = [f"--repository={work / 'models'}", f"--engine={request.param}"]
    arguments += [f"--data-dir={data_dir}", "--set=strict_readiness=false"]
    with Server(binary, work, *arguments) as server:
        server.engine = request.param
        with triton.InferenceServerClient(server.http) as server.client:
            index = server.client.get_model_repository_index()
            server.refused = {m["name"]: m["reason"] for m in index if m["state"] != "READY"}
            yield server


def inputs_for(name, reference, seed):
    """Inputs like those that the model's own package makes, with batches and lengths varied."""
    random = np.random.default_rng(seed)
    batch = 1 + seed % 3
    shapes = {
        "magika": {"bytes": (batch, 2048)},
        "ocr_det": {"x": (batch, 3, 64 + 32 * seed, 96)},
        "ocr_rec": {"x": (batch, 3, 48, 160 + 32 * seed)},
        "ocr_cls": {"x": (batch, 3, 48, 192)},
        "basic_pitch": {"serving_default_input_2:0": (batch, 43844, 1)},
    }
    window = {"input": (batch, 512 if name == "silero_vad" else 576), "state": (2, batch, 128)}
    shapes = shapes.get(name, {**window, "sr": ()})
    made = {}
    for tensor in reference.get_inputs():
        kind, shape = TYPES[tensor.type], shapes[tensor.name]
        if tensor.name == "sr":
            made[tensor.name] = np.array(16000, kind)
        elif kind == np.float32:
            made[tensor.name] = random.uniform(-1, 1, shape).astype(kind)
        else:
            made[tensor.name] = random.integers(0, 257, shape, kind)
    return made


def infer(client, name, inputs):
    tensors = []
    for key, array in inputs.items():
        tensor = triton.InferInput(key, list(array.shape), DATATYPES[array.dtype.type])
        tensors.append(tensor.set_data_from_numpy(array))
    return client.infer(name, tensors)


@pytest.mark.parametrize("name", FILES)
def test_outputs_are_those_of_python_onnxruntime(served, name):
    if name in served.refused:
        check_refusal(served, name)
        return
    reference = onnxruntime.InferenceSession(file_of(name), providers=["CPUExecutionProvider"])
    relative, absolute = TOLERANCE[served.engine]
    for seed in range(3):
        inputs = inputs_for(name, reference, seed)
        expected = reference.run(None, inputs)
        result = infer(served.client, name, inputs)
        for output, right in zip(reference.get_outputs(), expected):
            actual = result.as_numpy(output.name)
            assert actual.shape == right.shape
            np.testing.assert_allclose(actual, right, rtol=relative, atol=absolute)


def check_refusal(served, name):
    """A refusal names the operators that stop the engine."""
    operators = {node.op_type for node in nodes(onnx.load(file_of(name)).graph)}
    words = set(re.findall(r"\w+", served.refused[name]))
    assert operators & words, served.refused[name]


def nodes(graph):
    """All nodes, those of inner graphs too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


def test_the_engine_runs_most_of_them(served):
    allowed = {"onnxruntime": 0, "rten": 2}[served.engine]
    assert len(served.refused) <= allowed, served.refused
