#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
# Its post-install step wants a CUDA package from elsewhere; the CPU library is in the package.
ONNXRUNTIME_NODE_INSTALL=skip npm ci --silent --no-audit --no-fund
