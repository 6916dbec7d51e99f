"""Models that `quantize`, `prune`, `merge` and `optimize` make: valid to onnx.checker, and Python's
onnxruntime counts as many digits right as `evaluate` does."""

import gzip
import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"
MODEL = DIGITS / "digits.onnx"
MADE = {
    "static": ["quantize", MODEL, "--data", DIGITS],
    "static, all that repairs": ["quantize", MODEL, "--data", DIGITS, "--correct-bias", "--adaround=50"],
    "dynamic": ["quantize", MODEL, "--mode=dynamic"],
    "int4": ["quantize", MODEL, "--mode=int4"],
    "fp16": ["quantize", MODEL, "--mode=fp16"],
    "fewer channels": ["prune", MODEL, "--flops=0.5", "--data", DIGITS, "--epochs=1"],
    "one of two": ["merge", MODEL, MODEL, "--mode=average"],
    "the best": ["optimize", MODEL, "--data", DIGITS, "--for=size", "--time=20s"],
}


@pytest.fixture(scope="module")
def modelyard(binary, data_dir):
    def run(*arguments):
        command = [binary, *arguments, "--json", "--engine=onnxruntime", f"--data-dir={data_dir}"]
        done = subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return json.loads(done.stdout)

    return run


def read(name, header):
    content = gzip.decompress((DIGITS / f"test-{name}-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=header)


@pytest.fixture(scope="module")
def digits():
    """The 2,000 test digits, and which they are."""
    images = read("images-idx3", 16).reshape(-1, 784).astype(np.float32) / 255
    return images, read("labels-idx1", 8)


@pytest.mark.parametrize("arguments", MADE.values(), ids=MADE.keys())
def test_it_is_valid_and_as_right_in_another_hand(modelyard, digits, tmp_path, arguments):
    target = tmp_path / "made.onnx"
    modelyard(*arguments, "-o", target)
    onnx.checker.check_model(str(target), full_check=True)
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    images, labels = digits
    [value] = session.get_inputs()
    scores = session.run(None, {value.name: images.reshape(len(images), *value.shape[1:])})
    scores = next(array for array in scores if array.dtype == np.float32 and array.ndim == 2)
    accuracy = float((scores.argmax(1) == labels).mean())
    told = modelyard("evaluate", target, "--data", DIGITS)
    # Dynamic ranges are those of a call, and the calls of `evaluate` are smaller.
    apart = 0.002 if "--mode=dynamic" in arguments else 1e-9
    assert accuracy == pytest.approx(told["accuracy"], abs=apart)
    original = modelyard("evaluate", MODEL, "--data", DIGITS)
    assert accuracy > original["accuracy"] - (0.05 if "prune" in arguments else 0.01)
