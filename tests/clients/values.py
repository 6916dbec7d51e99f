"""Values of every datatype, with its extremes."""

import ml_dtypes
import numpy as np

NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}

# FP16 and BF16 have no JSON form.
IN_JSON = [name for name in NUMPY if name not in ("FP16", "BF16")]


def of(datatype):
    """A tensor of two rows."""
    kind = NUMPY[datatype]
    if datatype == "BYTES":
        rows = [[b"", b"plain", "h\u00e9llo \u4e16\u754c \U0001f600".encode()], [b'"\\\n\t', b"x" * 1000, b"0"]]
        return np.array(rows, dtype=np.object_)
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype.startswith(("INT", "UINT")):
        limits = np.iinfo(kind)
        return np.array([[limits.min, 0, 1], [limits.max, limits.max - 1, 100]], dtype=kind)
    limits = ml_dtypes.finfo(kind)
    rows = [[float(limits.min), 0.0, -0.0], [float(limits.max), 1 / 3, float(limits.smallest_normal)]]
    return np.array(rows, dtype=np.float64).astype(kind)


def assert_same(actual, expected):
    """The same values bit by bit, and the same shape."""
    assert actual.shape == expected.shape
    if expected.dtype == np.object_:
        assert actual.tolist() == expected.tolist()
    else:
        assert actual.dtype == expected.dtype
        assert actual.tobytes() == expected.tobytes()
