#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check "fastapi==0.115.12" "uvicorn[standard]==0.34.3" numpy==2.2.6 onnxruntime==1.28.0
