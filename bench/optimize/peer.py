"""One quantization by onnxruntime.quantization, as a process of its own, so that its time and memory can
be measured: peer.py KIND MODEL OUT [EXAMPLES.npz] with KIND one of minmax, entropy, percentile, dynamic."""

import sys
import tempfile

import numpy
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
BATCH = 8


class Examples(CalibrationDataReader):
    """Batches of the arrays of an archive."""

    def __init__(self, path):
        arrays = dict(numpy.load(path))
        count = len(next(iter(arrays.values())))
        self.batches = iter(
            [{name: array[start : start + BATCH] for name, array in arrays.items()} for start in range(0, count, BATCH)]
        )

    def get_next(self):
        return next(self.batches, None)


def main():
    kind, model, out = sys.argv[1:4]
    with tempfile.NamedTemporaryFile(suffix=".onnx") as prepared:
        # Symbolic shape inference fails on some published models; the rest of it is what matters.
        quant_pre_process(model, prepared.name, skip_symbolic_shape=True)
        if kind == "dynamic":
            quantize_dynamic(prepared.name, out, per_channel=True, weight_type=QuantType.QInt8)
            return
        quantize_static(
            prepared.name,
            out,
            Examples(sys.argv[4]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[kind],
        )


main()
