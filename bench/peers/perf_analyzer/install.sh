#!/usr/bin/env bash
# perf_analyzer lies in an old wheel of NVIDIA's Python client; it needs a CUDA library and one of
# Debian's to start, though it uses neither.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf tmp lib
mkdir -p tmp lib
chmod 755 tmp
(
    cd tmp
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --platform manylinux1_x86_64 --platform manylinux2014_x86_64 \
        tritonclient==2.41.0 nvidia-cuda-runtime-cu12==12.9.79
    for wheel in *.whl; do python3 -m zipfile -e "$wheel" unpacked; done
    apt-get download -qq libb64-0d 2>/dev/null || {
        apt-get update -qq
        apt-get download -qq libb64-0d
    }
    dpkg -x libb64-0d*.deb unpacked
) 2> >(grep -v 'unsandboxed as root' >&2)
cp "$(find tmp/unpacked -path '*/bin/perf_analyzer')" .
cp tmp/unpacked/nvidia/cuda_runtime/lib/libcudart.so.12 tmp/unpacked/usr/lib/*/libb64.so.0d lib/
chmod +x perf_analyzer
rm -rf tmp
