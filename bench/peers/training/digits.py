"""The digits of `examples/digits` as arrays, for every peer the same."""

import gzip
import struct
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "digits"


def read_idx(name):
    """IDX: a big-endian header (type, rank, dimensions), then the bytes."""
    data = gzip.decompress((FOLDER / name).read_bytes())
    rank = data[3]
    dims = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(dims)


def read_split(name):
    """Images `[n, 784]` from 0 to 1 and their labels `[n]`, of `train` or `test`."""
    images = read_idx(f"{name}-images-idx3-ubyte.gz")
    labels = read_idx(f"{name}-labels-idx1-ubyte.gz")
    images = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
    return images, labels.astype(np.int64)
