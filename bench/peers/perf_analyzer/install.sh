#!/usr/bin/env bash
# perf_analyzer lies in an old manylinux1 wheel; it needs libb64 from Debian and the CUDA runtime.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p tmp lib
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --platform manylinux1_x86_64 -d tmp tritonclient==2.41.0
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  -d tmp nvidia-cuda-runtime-cu12==12.6.77
(cd tmp && apt-get download --quiet libb64-0d >/dev/null && dpkg -x libb64-0d*.deb deb)
unzip -ojq tmp/tritonclient-*.whl '*/bin/perf_analyzer' -d .
unzip -ojq tmp/nvidia_cuda_runtime_cu12-*.whl '*/libcudart.so*' -d lib
cp -L tmp/deb/usr/lib/*/libb64.so.0d lib/
chmod +x perf_analyzer
rm -rf tmp
