#!/usr/bin/env bash
cd "$(dirname "$0")" && ORT_DISABLE_TELEMETRY=1 exec target/release/furnace-peer
