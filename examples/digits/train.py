"""Trains 784-128-ReLU-10-softmax on the digits beside this file and writes `digits.onnx`.

    python3 train.py

NumPy alone is enough; it takes a few seconds. He initialization, cross-entropy with L2, SGD with
momentum, a learning rate that falls along a half cosine, everything fixed beforehand: the test split is read
once, at the end, to state the accuracy.
"""

import gzip
import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LABELS = [str(digit) for digit in range(10)]
HIDDEN = 128
EPOCHS = 30
BATCH = 64
LEARNING_RATE = 0.05
MOMENTUM = 0.9
L2 = 1e-3
SEED = 1


# --- data: IDX is a big-endian header (type, rank, dimensions), then the bytes


def read_idx(name):
    data = gzip.decompress((HERE / name).read_bytes())
    rank = data[3]
    dims = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(dims)


def read_split(name):
    """Images as rows of 784 numbers in 0..1, and labels."""
    images = read_idx(f"{name}-images-idx3-ubyte.gz")
    labels = read_idx(f"{name}-labels-idx1-ubyte.gz")
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255), labels


# --- the model and its gradient


def init(random, sizes):
    """He: weights with variance 2 / fan-in, as ReLU halves the variance; biases zero."""
    weights = [random.normal(0, np.sqrt(2 / a), (a, b)) for a, b in zip(sizes, sizes[1:])]
    biases = [np.zeros(b) for b in sizes[1:]]
    return [p.astype(np.float32) for pair in zip(weights, biases) for p in pair]


def forward(params, x):
    w1, b1, w2, b2 = params
    hidden = np.maximum(x @ w1 + b1, 0)
    logits = hidden @ w2 + b2
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, exp / exp.sum(axis=1, keepdims=True)


def gradient(params, x, labels):
    """Of mean cross-entropy + L2 / 2 * the weights' squares (not the biases')."""
    w1, _, w2, _ = params
    hidden, probabilities = forward(params, x)
    d_logits = (probabilities - np.eye(10, dtype=np.float32)[labels]) / len(x)
    d_hidden = (d_logits @ w2.T) * (hidden > 0)
    return [
        x.T @ d_hidden + L2 * w1,
        d_hidden.sum(axis=0),
        hidden.T @ d_logits + L2 * w2,
        d_logits.sum(axis=0),
    ]


def train(images, labels):
    """Stochastic gradient descent with Nesterov's momentum. (Adam would divide by the tiny
    gradients of rarely inked pixels and leave subnormal weights, on which processors are slow.)"""
    random = np.random.default_rng(SEED)
    params = init(random, [images.shape[1], HIDDEN, len(LABELS)])
    params[0][~images.any(axis=0)] = 0  # pixels never inked in training shall say nothing
    velocity = [np.zeros_like(p) for p in params]
    steps = EPOCHS * -(-len(images) // BATCH)
    step = 0
    for _ in range(EPOCHS):
        order = random.permutation(len(images))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            rate = LEARNING_RATE * (1 + np.cos(np.pi * step / steps)) / 2
            step += 1
            for p, g, v in zip(params, gradient(params, images[batch], labels[batch]), velocity):
                v *= MOMENTUM
                v -= np.float32(rate) * g
                p += MOMENTUM * v - np.float32(rate) * g
    return params


def accuracy(params, images, labels):
    return float((forward(params, images)[1].argmax(axis=1) == labels).mean())


# --- ONNX by hand: the few protobuf fields of onnx.proto3 that a small graph needs


def field(number, value):
    """One protobuf field: an int as varint, text, bytes and nested messages with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def node(op, name, inputs, outputs):  # NodeProto: input 1, output 2, name 3, op_type 4
    return b"".join(
        [field(1, i) for i in inputs] + [field(2, o) for o in outputs] + [field(3, name), field(4, op)]
    )


def tensor(name, values):  # TensorProto: dims 1, data_type 2 (1 = FLOAT), name 8, raw_data 9
    dims = b"".join(field(1, int(dim)) for dim in values.shape)
    return dims + field(2, 1) + field(8, name) + field(9, values.astype("<f4").tobytes())


def value_info(name, size, doc):  # ValueInfoProto of FLOAT [batch, size]
    dims = field(1, field(2, "batch")) + field(1, field(1, size))
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims))) + field(3, doc)


def onnx(params, metadata):
    names = ["hidden.weight", "hidden.bias", "classes.weight", "classes.bias"]
    nodes = [
        node("Gemm", "hidden", ["image", *names[:2]], ["hidden_sum"]),
        node("Relu", "relu", ["hidden_sum"], ["hidden_out"]),
        node("Gemm", "classes", ["hidden_out", *names[2:]], ["logits"]),
        node("Softmax", "softmax", ["logits"], ["probabilities"]),
    ]
    image_doc = "28x28 grey pixels row by row, 0 (background) to 1 (ink)"
    graph = b"".join(  # GraphProto: node 1, name 2, initializer 5, input 11, output 12
        [field(1, n) for n in nodes]
        + [field(2, "digits")]
        + [field(5, tensor(name, values)) for name, values in zip(names, params)]
        + [field(11, value_info("image", 784, image_doc))]
        + [field(12, value_info("probabilities", 10, "one probability a digit, 0 to 9"))]
    )
    # ModelProto: ir_version 1, producer 2, doc 6, graph 7, opset 8, metadata 14
    model = field(1, 8) + field(2, "modelyard examples/digits/train.py")
    model += field(6, "Handwritten digits: 784-128-ReLU-10-softmax") + field(7, graph)
    model += field(8, field(2, 17))
    return model + b"".join(field(14, field(1, k) + field(2, v)) for k, v in metadata.items())


def main():
    params = train(*read_split("train"))
    train_accuracy = accuracy(params, *read_split("train"))
    test_accuracy = accuracy(params, *read_split("test"))
    print(f"accuracy: {train_accuracy:.4f} on 8,000 training digits, {test_accuracy:.4f} on 2,000 others")
    metadata = {"labels": json.dumps(LABELS), "test_accuracy": f"{test_accuracy:.4f}"}
    (HERE / "digits.onnx").write_bytes(onnx(params, metadata))


if __name__ == "__main__":
    main()
