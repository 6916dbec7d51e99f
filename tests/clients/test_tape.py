"""What a server records, as anybody with pyarrow reads it."""

import gzip

import numpy as np
import pyarrow.parquet
import requests

from conftest import ROOT
from make_models import DIGITS
from server import Server


def test_a_tape_is_a_folder_of_parquet_files(binary, tmp_path):
    packed = (ROOT / "examples/digits/test-images-idx3-ubyte.gz").read_bytes()
    images = np.frombuffer(gzip.decompress(packed), np.uint8, offset=16)
    images = images.reshape(-1, 784)[:20].astype(np.float32) / 255
    tape = tmp_path / "tape"
    arguments = [DIGITS, "--engine=rten", f"--tape={tape}", "--set=tape.sample=1"]
    answers = []
    with Server(binary, tmp_path, *arguments) as server, requests.Session() as session:
        for image in images:
            answer = session.post(server.url("/predict"), json={"image": image.tolist()})
            answers.append(answer.json()["prediction"])
    # Other files that lie there are none of a reader's business.
    rows = pyarrow.parquet.read_table(tape).to_pylist()
    assert len(rows) == len(images)
    for row, image, answer in zip(rows, images, answers):
        assert (row["model"], row["version"], row["outcome"], row["rows"]) == ("digits", 1, "ok", 1)
        assert row["latency_us"] >= row["compute_us"] and row["time"].tzinfo is not None
        (given,), (taken,) = row["inputs"], row["outputs"]
        assert (given["name"], given["datatype"], given["shape"]) == ("image", "FP32", [1, 784])
        assert np.array_equal(np.frombuffer(given["data"], "<f4"), image)
        assert np.array_equal(np.frombuffer(taken["data"], "<f4"), np.float32(answer))
