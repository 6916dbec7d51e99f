#!/usr/bin/env bash
# Its ONNX Runtime reports its use unless told not to.
cd "$(dirname "$0")" && ORT_DISABLE_TELEMETRY=1 exec node app.js
