"""Metrics as Prometheus reads them."""

import os
import re
import shutil
import subprocess
import urllib.request
import uuid

import numpy as np
import pytest
import tritonclient.http as triton

from conftest import TOOLS


def infer(server, rows=1, model="classifier"):
    with triton.InferenceServerClient(server.http) as client:
        given = triton.InferInput("features", [rows, 4], "FP32")
        client.infer(model, [given.set_data_from_numpy(np.zeros((rows, 4), np.float32))])


def scrape(server):
    """Samples by name and labels."""
    text = server.call("/metrics")[2].decode()
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    return samples


def sample(samples, name, **labels):
    """The sum over all samples of a name that have these labels."""
    found = 0
    for key, value in samples.items():
        base, _, rest = key.partition("{")
        pairs = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', rest))
        if base == name and labels.items() <= pairs.items():
            found += value
    return found


def test_promtool_finds_fault_with_nothing_but_the_names_that_triton_chose(server):
    infer(server)
    tool = shutil.which("promtool") or TOOLS / "promtool"
    if not os.path.exists(tool) and not os.environ.get("CI"):
        pytest.skip("promtool (Debian package prometheus) is missing")

    def complaints(text):
        command = [str(tool), "check", "metrics"]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    text = server.call("/metrics")[2].decode()
    # 3 is for names that could be better, 1 for a page that is wrong.
    status, said = complaints(text)
    assert status in (0, 3), said
    assert all(line.startswith("nv_") for line in said.splitlines()), said
    ours = [line for line in text.splitlines() if not re.match(r"(# \w+ )?nv_", line)]
    assert complaints("\n".join(ours) + "\n") == (0, "")


def test_both_ports_answer(server):
    infer(server)
    for address in (server.http, server.metrics):
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            assert answer.headers["content-type"].startswith("text/plain")
            assert b"nv_inference_request_success" in answer.read()


def test_counters_follow_the_traffic(server):
    labels = {"model": "classifier", "version": "1"}
    infer(server)
    before = scrape(server)
    for _ in range(5):
        infer(server, rows=3)
    after = scrape(server)

    def grown(name, **more):
        return sample(after, name, **labels, **more) - sample(before, name, **labels, **more)

    assert grown("nv_inference_request_success") == 5
    assert grown("nv_inference_count") == 15
    assert grown("nv_inference_exec_count") >= 1
    assert grown("nv_inference_request_duration_us") > 0
    assert sample(after, "nv_inference_pending_request_count", **labels) == 0


@pytest.mark.parametrize("stage", ["parse", "queue", "compute", "encode"])
def test_there_is_a_histogram_of_every_stage(server, stage):
    labels = {"model": "classifier", "version": "1", "stage": stage}
    name = "modelyard_inference_stage_duration_seconds"
    infer(server)
    before = scrape(server)
    for _ in range(3):
        infer(server)
    after = scrape(server)

    def grown(suffix, **more):
        new, old = (sample(s, name + suffix, **labels, **more) for s in (after, before))
        return new - old

    assert grown("_count") == grown("_bucket", le="+Inf") == 3
    assert 0 <= grown("_sum") < 10


def test_failures_are_counted_by_reason(server):
    before = scrape(server)
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}
    assert server.call("/v2/models/classifier/infer", body)[0] == 400
    after = scrape(server)
    name, labels = "nv_inference_request_failure", {"model": "classifier", "reason": "OTHER"}
    assert sample(after, name, **labels) == sample(before, name, **labels) + 1


def test_what_clients_invent_does_not_grow_the_metrics(server):
    before = len(scrape(server))
    for _ in range(50):
        server.call(f"/v2/models/{uuid.uuid4()}/infer", {"inputs": []})
        server.call(f"/v2/models/classifier/versions/{uuid.uuid4().int % 2**40}/infer", {})
        server.call(f"/{uuid.uuid4()}")
    assert len(scrape(server)) <= before + 10
