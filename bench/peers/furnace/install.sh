#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
# `run.sh` looks for the program here, wherever the caller's own builds go.
env -u CARGO_BUILD_BUILD_DIR cargo build --release --locked --quiet --target-dir target
