"""The plain endpoint: a user with curl, requests or a shell script, and real digits."""

import gzip
import json
import subprocess

import numpy as np
import pytest
import requests

from conftest import ROOT
from make_models import DIGITS, LABELS
from server import Server


@pytest.fixture(scope="module")
def digits(binary, data_dir, tmp_path_factory):
    """The README's case: one file, nothing else."""
    work = tmp_path_factory.mktemp("digits")
    with Server(binary, work, DIGITS, f"--data-dir={data_dir}") as running:
        yield running


@pytest.fixture(scope="module")
def test_split():
    def idx(name, offset):
        content = gzip.decompress((ROOT / "examples/digits" / name).read_bytes())
        return np.frombuffer(content, np.uint8, offset=offset)

    images = idx("test-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255
    return images, idx("test-labels-idx1-ubyte.gz", 8)


def test_one_digit(digits, test_split):
    images, labels = test_split
    answer = requests.post(digits.url("/predict"), json={"image": images[0].tolist()})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert len(body["prediction"]) == 10
    assert abs(sum(body["prediction"]) - 1) < 1e-4
    assert body["class"] == int(np.argmax(body["prediction"])) == labels[0]


def test_a_batch_of_digits_is_as_accurate_as_the_readme_says(digits, test_split):
    images, labels = test_split
    right = 0
    with requests.Session() as session:
        for start in range(0, len(images), 500):
            body = {"instances": images[start : start + 500].tolist()}
            answer = session.post(digits.url("/predict/digits"), json=body).json()
            assert np.array(answer["prediction"]).shape == (500, 10)
            right += int(np.sum(np.array(answer["class"]) == labels[start : start + 500]))
    assert right == 1930


def test_curl_needs_no_content_type(digits, test_split, tmp_path):
    body = tmp_path / "digit.json"
    body.write_text(json.dumps({"image": test_split[0][1].tolist()}))
    for extra in ([], ["-H", "Content-Type: application/json"], ["--http2-prior-knowledge"]):
        command = ["curl", "-sS", "--fail", "-d", f"@{body}", *extra, digits.url("/predict")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["class"] == test_split[1][1]


def test_labels_come_along(server):
    body = {"features": [0.0, 1.0, 5.0, 2.0]}
    answer = server.json("/predict/classifier", body)
    assert answer["prediction"] == body["features"]
    assert answer["class"] == 2
    assert LABELS[2] in json.dumps(answer)
    answer = server.json("/predict/classifier", {"features": [body["features"]] * 2})
    assert answer["class"] == [2, 2]


def test_models_with_several_inputs_take_them_by_name(server):
    answer = server.json("/predict/add_sub", {"a": [1, 2, 3, 4], "b": [1, 1, 1, 1]})
    assert [2, 3, 4, 5] in _values(answer) and [0, 1, 2, 3] in _values(answer)


def _values(answer):
    """All lists in an answer, wherever they are."""
    if isinstance(answer, dict):
        return [found for value in answer.values() for found in _values(value)]
    return [answer] if isinstance(answer, list) else []


def test_mistakes_are_explained(digits, server):
    for body, word in [
        ({"image": [1, 2, 3]}, "784"),
        ({"picture": [0.0] * 784}, "image"),
        ({"image": ["a"] * 784}, "FP32"),
        ({}, "image"),
        ([1, 2, 3], ""),
    ]:
        answer = requests.post(digits.url("/predict"), json=body)
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["error"]
    for text in ("", "{", '{"image":', "null", "\x00", '{"image":[1,]}', '{"image":[01]}'):
        answer = requests.post(digits.url("/predict"), data=text)
        assert answer.status_code == 400, (text, answer.text)
        assert answer.json()["error"]
    assert requests.post(digits.url("/predict/nobody"), json={}).status_code == 404
    assert requests.get(digits.url("/predict")).status_code == 405
    # With many models, the one that is meant must be named.
    answer = requests.post(server.url("/predict"), json={"image": [0.0] * 784})
    assert answer.status_code in (400, 404)
    assert "/predict/" in answer.json()["error"]
