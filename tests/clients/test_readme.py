"""The Python of README.md, run as it stands there, on the server that the README starts."""

import os
import re
import subprocess
import sys

from conftest import ROOT
from server import Server


def test_the_python_example_prints_a_seven(binary, data_dir, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks, "README.md has no Python"
    model = ROOT / "examples/digits/digits.onnx"
    with Server(binary, tmp_path, model, f"--data-dir={data_dir}") as server:
        for block in blocks:
            assert "localhost:8000" in block
            program = block.replace("localhost:8000", server.http)
            done = subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env=os.environ,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == "7"
