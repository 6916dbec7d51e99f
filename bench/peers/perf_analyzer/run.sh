#!/usr/bin/env bash
cd "$(dirname "$0")" && LD_LIBRARY_PATH=lib exec ./perf_analyzer "$@"
