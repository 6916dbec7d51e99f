#!/usr/bin/env bash
# Three environments, for PyTorch, Keras, and ONNX Runtime with onnx: 3.1 GB. The lists are complete;
# what they leave out of torch's dependencies is CUDA, for which torch_stubs.py makes stand-ins.
set -euo pipefail
cd "$(dirname "$0")"
for peer in pytorch keras_tf gradient_graph; do
    python3 -m venv ".venv/$peer"
    ".venv/$peer/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        --requirement "requirements-$peer.txt"
done
python3 torch_stubs.py .venv/pytorch/lib/python3*/site-packages .venv/stubs
