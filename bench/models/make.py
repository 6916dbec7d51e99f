"""Models for measurements, with random weights: only their shape matters for speed.

    python make.py [mobilenet|resnet|wide|minilm]...      (all of them by default)

Needs the packages onnx and numpy. Writes NAME.onnx beside this file unless it is there already.
Batch normalization is folded into the convolutions, as every exporter does.
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """A graph under construction."""

    def __init__(self):
        self.random = np.random.default_rng(1)
        self.nodes, self.weights, self.count = [], [], 0

    def constant(self, value):
        self.count += 1
        name = f"w{self.count}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, *shape, fan_in):
        scale = np.sqrt(2.0 / fan_in)
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def op(self, kind, *inputs, **attributes):
        self.count += 1
        name = f"x{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x, cin, cout, kernel, stride=1, groups=1):
        fan_in = cin // groups * kernel * kernel
        weight = self.weight(cout, cin // groups, kernel, kernel, fan_in=fan_in)
        bias = self.constant(np.zeros(cout, np.float32))
        pads = [kernel // 2] * 4
        return self.op("Conv", x, weight, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2,
                       pads=pads, group=groups)

    def dense(self, x, cin, cout):
        weight = self.weight(cin, cout, fan_in=cin)
        return self.op("Gemm", x, weight, self.constant(np.zeros(cout, np.float32)))

    def linear(self, x, cin, cout):
        weight = self.weight(cin, cout, fan_in=2 * cin)
        return self.op("Add", self.op("MatMul", x, weight), self.constant(np.zeros(cout, np.float32)))

    def model(self, name, inputs, output, dims):
        last = self.op("Identity", output)
        self.nodes[-1].output[0] = "output"
        del last
        values = [helper.make_tensor_value_info(n, t, d) for n, t, d in inputs]
        result = helper.make_tensor_value_info("output", TensorProto.FLOAT, dims)
        graph = helper.make_graph(self.nodes, name, values, [result], self.weights)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8, producer_name="bench")
        onnx.checker.check_model(model)
        return model


IMAGE = [("input", TensorProto.FLOAT, ["batch", 3, 224, 224])]


def head(net, x, channels):
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    return net.dense(x, channels, 1000)


def mobilenet():
    """MobileNetV2 1.0 (Sandler et al. 2018, table 2): 3.5 million weights."""
    net = Net()
    low, high = net.constant(np.float32(0)), net.constant(np.float32(6))
    relu6 = lambda x: net.op("Clip", x, low, high)
    x, channels = relu6(net.conv("input", 3, 32, 3, 2)), 32
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
              (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, cout, repeat, first_stride in blocks:
        for index in range(repeat):
            stride, hidden, y = first_stride if index == 0 else 1, channels * expand, x
            if expand > 1:
                y = relu6(net.conv(y, channels, hidden, 1))
            y = relu6(net.conv(y, hidden, hidden, 3, stride, groups=hidden))
            y = net.conv(y, hidden, cout, 1)
            x = net.op("Add", x, y) if stride == 1 and channels == cout else y
            channels = cout
    x = relu6(net.conv(x, channels, 1280, 1))
    return net.model("mobilenet", IMAGE, head(net, x, 1280), ["batch", 1000])


def resnet():
    """ResNet-50 v1.5 (He et al. 2015, table 1): 25.5 million weights."""
    net = Net()
    x = net.op("Relu", net.conv("input", 3, 64, 7, 2))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width, repeat, first_stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for index in range(repeat):
            stride, cout = first_stride if index == 0 else 1, width * 4
            y = net.op("Relu", net.conv(x, channels, width, 1))
            y = net.op("Relu", net.conv(y, width, width, 3, stride))
            y = net.conv(y, width, cout, 1)
            if index == 0:
                x = net.conv(x, channels, cout, 1, stride)
            x = net.op("Relu", net.op("Add", x, y))
            channels = cout
    return net.model("resnet", IMAGE, head(net, x, 2048), ["batch", 1000])


def wide():
    """784-4096-4096-10: a row alone streams 80 MB of weights, a batch shares them."""
    net = Net()
    x = net.op("Relu", net.dense("input", 784, 4096))
    x = net.op("Relu", net.dense(x, 4096, 4096))
    x = net.op("Softmax", net.dense(x, 4096, 10), axis=-1)
    return net.model("wide", [("input", TensorProto.FLOAT, ["batch", 784])], x, ["batch", 10])


def minilm():
    """An encoder like MiniLM-L6 (384 wide, 12 heads, 6 layers) with a small vocabulary."""
    net, hidden, heads = Net(), 384, 12
    size = hidden // heads
    norm = lambda x: net.op("LayerNormalization", x, net.constant(np.ones(hidden, np.float32)),
                            net.constant(np.zeros(hidden, np.float32)), axis=-1)
    split = net.constant(np.array([0, 0, heads, size], np.int64))
    join = net.constant(np.array([0, 0, hidden], np.int64))
    scale = net.constant(np.float32(size**-0.5))
    half, one = net.constant(np.float32(0.5)), net.constant(np.float32(1))
    root = net.constant(np.float32(2**0.5))
    x = norm(net.op("Gather", net.weight(2000, hidden, fan_in=2), "input_ids"))
    for _ in range(6):
        parts = [net.op("Reshape", net.linear(x, hidden, hidden), split) for _ in range(3)]
        q = net.op("Transpose", parts[0], perm=[0, 2, 1, 3])
        k = net.op("Transpose", parts[1], perm=[0, 2, 3, 1])
        v = net.op("Transpose", parts[2], perm=[0, 2, 1, 3])
        weights = net.op("Softmax", net.op("Mul", net.op("MatMul", q, k), scale), axis=-1)
        y = net.op("Transpose", net.op("MatMul", weights, v), perm=[0, 2, 1, 3])
        x = norm(net.op("Add", x, net.linear(net.op("Reshape", y, join), hidden, hidden)))
        y = net.linear(x, hidden, 4 * hidden)
        gelu = net.op("Mul", net.op("Mul", y, half),
                      net.op("Add", net.op("Erf", net.op("Div", y, root)), one))
        x = norm(net.op("Add", x, net.linear(gelu, 4 * hidden, hidden)))
    x = net.op("ReduceMean", x, axes=[1], keepdims=0)
    inputs = [("input_ids", TensorProto.INT64, ["batch", "tokens"])]
    return net.model("minilm", inputs, x, ["batch", hidden])


MODELS = {make.__name__: make for make in (mobilenet, resnet, wide, minilm)}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        path = pathlib.Path(__file__).with_name(f"{name}.onnx")
        if not path.exists():
            partial = path.with_suffix(".tmp")
            onnx.save(MODELS[name](), partial)
            partial.rename(path)
        print(path)
