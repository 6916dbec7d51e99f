"""NVIDIA's perf_analyzer takes the server for Triton and finishes."""

import os
import re
import subprocess

import pytest

from conftest import TOOLS


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model", ["digits", "add_sub"])
def test_perf_analyzer_completes(server, protocol, model, tmp_path):
    tool = TOOLS / "perf_analyzer"
    assert tool.is_file(), f"{tool} is missing: `tests/clients/run` installs it"
    report = tmp_path / "report.csv"
    command = [
        tool, "-m", model, "-i", protocol, "-u", getattr(server, protocol),
        "--concurrency-range", "1:9:8", "-s", "50", "-r", "10", "-p", "500", "-f", report,
    ]  # fmt: skip
    # One run at 8 callers more: shared connections and its own asynchronous mode.
    environment = {**os.environ, "LD_LIBRARY_PATH": str(TOOLS)}
    done = subprocess.run(
        list(map(str, command)), env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    rates = re.findall(r"Throughput: ([\d.]+) infer/sec", done.stdout)
    assert len(rates) >= 2 and all(float(rate) > 10 for rate in rates), done.stdout
    # It asks for the server's own statistics, too, and prints them when they make sense.
    assert "Inference count" in done.stdout, done.stdout
