#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
CARGO_BUILD_BUILD_DIR="${CARGO_BUILD_BUILD_DIR:+$CARGO_BUILD_BUILD_DIR/furnace-peer}" cargo build --release --quiet --target-dir target
