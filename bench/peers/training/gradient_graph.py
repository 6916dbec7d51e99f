"""Training as one ONNX graph: the other design that Modelyard could have had, kept to be measured.

One run of the graph is one step: it picks the batch, runs the model, its gradient by hand-written
rules in ONNX operators, and Adam. ONNX Runtime executes it. All that changes from step to step
(parameters, Adam's moments, the number of the step) is state: an input and an output of the same
shape, each in two buffers that swap roles, so that nothing is copied and Python only says "run".
"""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import recipe
from digits import read_split

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7


class Graph:
    """A graph under construction; values are their names."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def op(self, kind, *inputs, outputs=1, **attributes):
        names = [f"{kind}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value, dtype=np.float32):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values):
        return self.constant(values, np.int64)

    def input(self, name, array):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        return name

    def output(self, value, name, array):
        """Gives a value its name as an output, wherever it is used."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if other == value else other for other in names]
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.outputs.append(helper.make_tensor_value_info(name, kind, array.shape))

    def needed(self):
        """The nodes that an output depends on: nobody wants the gradient of the images."""
        wanted, nodes = {output.name for output in self.outputs}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                nodes.append(node)
        return nodes[::-1]

    def model(self):
        graph = helper.make_graph(self.needed(), "step", self.inputs, self.outputs, self.constants)
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.checker.check_model(model)
        return model


# --- layers: each gives its output and a rule that turns the output's gradient into the input's,
# --- noting the gradients of its parameters on the way


def dense(g, x, weight, bias, gradients):
    def backward(dy):
        gradients[weight] = g.op("Gemm", x, dy, transA=1)
        gradients[bias] = g.op("ReduceSum", dy, g.ints(0), keepdims=0)
        return g.op("Gemm", dy, weight, transB=1)

    return g.op("Gemm", x, weight, bias), backward


def relu(g, x):
    y = g.op("Relu", x)

    def backward(dy):
        passed = g.op("Cast", g.op("Greater", y, g.constant(0)), to=TensorProto.FLOAT)
        return g.op("Mul", dy, passed)

    return y, backward


def convolution(g, x, weight, bias, gradients, sizes):
    """3x3, same padding, `sizes` being channels in, channels out and side of the image.

    The gradient of the weights could be one Conv, of the images by the gradients of the outputs,
    with examples in the place of channels; but its kernel is as large as an image, and no engine is
    tuned for that. As one Gemm over patches the whole step is a fifth faster."""
    channels, filters, side = sizes

    def weight_gradient(swapped):
        padding = g.ints(0, 0, 1, 1, 0, 0, 1, 1)
        padded = g.op("Pad", g.op("Transpose", x, perm=[1, 0, 2, 3]), padding)
        patches = [
            g.op("Slice", padded, g.ints(i, j), g.ints(i + side, j + side), g.ints(2, 3))
            for i in range(3)
            for j in range(3)
        ]
        patches = g.op("Reshape", g.op("Concat", *patches, axis=0), g.ints(9 * channels, -1))
        found = g.op("Gemm", g.op("Reshape", swapped, g.ints(filters, -1)), patches, transB=1)
        found = g.op("Reshape", found, g.ints(filters, 3, 3, channels))
        return g.op("Transpose", found, perm=[0, 3, 1, 2])

    def backward(dy):
        gradients[weight] = weight_gradient(g.op("Transpose", dy, perm=[1, 0, 2, 3]))
        gradients[bias] = g.op("ReduceSum", dy, g.ints(0, 2, 3), keepdims=0)
        return g.op("ConvTranspose", dy, weight, kernel_shape=[3, 3], pads=[1] * 4)

    return g.op("Conv", x, weight, bias, kernel_shape=[3, 3], pads=[1] * 4), backward


def max_pool(g, x):
    """ONNX Runtime takes eight times longer where places are wanted too; without them, a gradient
    would go to every pixel of a window that is as large as the largest."""
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    y, places = g.op("MaxPool", x, outputs=2, **window)
    return y, lambda dy: g.op("MaxUnpool", dy, places, **window)


def flatten(g, x, shape):
    return g.op("Flatten", x), lambda dy: g.op("Reshape", dy, g.ints(-1, *shape))


# --- the two models, and what a step adds to them


def he(random, shape, fan_in):
    return random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)


def parameters(model, random):
    """Initial values by name."""
    pixels, hidden, classes = recipe.SIDE**2, recipe.HIDDEN, recipe.CLASSES
    first, second = recipe.FILTERS
    wide = second * (recipe.SIDE // 4) ** 2
    shapes = {
        "mlp": {"w1": (pixels, hidden), "w2": (hidden, classes)},
        "cnn": {"w1": (first, 1, 3, 3), "w2": (second, first, 3, 3), "w3": (wide, classes)},
    }[model]
    values = {}
    for name, shape in shapes.items():
        fan_in = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        values[name] = he(random, shape, fan_in)
        outputs = shape[-1] if len(shape) == 2 else shape[0]
        values[name.replace("w", "b")] = np.zeros(outputs, np.float32)
    return values


def forward(g, model, x, gradients):
    """Logits, and the rules in the order of the layers."""
    (first, second), side = recipe.FILTERS, recipe.SIDE
    if model == "mlp":
        layers = [
            lambda x: dense(g, x, "w1", "b1", gradients),
            lambda x: relu(g, x),
            lambda x: dense(g, x, "w2", "b2", gradients),
        ]
    else:
        layers = [
            lambda x: (g.op("Reshape", x, g.ints(-1, 1, side, side)), None),
            lambda x: convolution(g, x, "w1", "b1", gradients, (1, first, side)),
            lambda x: relu(g, x),
            lambda x: max_pool(g, x),
            lambda x: convolution(g, x, "w2", "b2", gradients, (first, second, side // 2)),
            lambda x: relu(g, x),
            lambda x: max_pool(g, x),
            lambda x: flatten(g, x, (second, side // 4, side // 4)),
            lambda x: dense(g, x, "w3", "b3", gradients),
        ]
    rules = []
    for layer in layers:
        x, rule = layer(x)
        rules.append(rule)
    return x, rules


def cross_entropy(g, logits, labels, batch):
    """The mean loss and its gradient by the logits."""
    hot = g.op("OneHot", labels, g.constant(recipe.CLASSES, np.int64), g.constant([0, 1]))
    logs = g.op("LogSoftmax", logits, axis=1)
    loss = g.op("ReduceSum", g.op("Mul", logs, hot), keepdims=0)
    loss = g.op("Mul", loss, g.constant(-1 / batch))
    wrong = g.op("Sub", g.op("Exp", logs), hot)
    return loss, g.op("Mul", wrong, g.constant(1 / batch))


def adam(g, weight, mean, square, gradient, rate):
    """The next weight, mean and square."""
    old, new = g.op("Mul", mean, g.constant(BETA1)), g.op("Mul", gradient, g.constant(1 - BETA1))
    next_mean = g.op("Add", old, new)
    new = g.op("Mul", g.op("Mul", gradient, gradient), g.constant(1 - BETA2))
    next_square = g.op("Add", g.op("Mul", square, g.constant(BETA2)), new)
    root = g.op("Add", g.op("Sqrt", next_square), g.constant(EPSILON))
    change = g.op("Mul", g.op("Div", next_mean, root), rate)
    return g.op("Sub", weight, change), next_mean, next_square


def bias_corrected_rate(g, step):
    def rest(beta):
        return g.op("Sub", g.constant(1), g.op("Pow", g.constant(beta), step))

    root = g.op("Sqrt", rest(BETA2))
    return g.op("Mul", g.constant(recipe.LEARNING_RATE), g.op("Div", root, rest(BETA1)))


def training_step(options, state, images, labels, order):
    """The graph of a step. `state` goes in, and comes out with `.next` after each name."""
    g = Graph()
    for name, value in {**state, "images": images, "labels": labels, "order": order}.items():
        g.input(name, value)
    start = g.op("Mul", "step", g.ints(options.batch))
    start = g.op("Mod", start, g.ints(len(order) // options.batch * options.batch))
    picked = g.op("Slice", "order", start, g.op("Add", start, g.ints(options.batch)), g.ints(0))
    x, y = g.op("Gather", "images", picked), g.op("Gather", "labels", picked)

    gradients = {}
    logits, rules = forward(g, options.model, x, gradients)
    loss, gradient = cross_entropy(g, logits, y, options.batch)
    for rule in filter(None, reversed(rules)):
        gradient = rule(gradient)

    step = g.op("Add", "step", g.ints(1))
    rate = bias_corrected_rate(g, g.op("Cast", step, to=TensorProto.FLOAT))
    following = {"step": step}
    for name in gradients:
        names = [name, f"{name}.mean", f"{name}.square"]
        following.update(zip(names, adam(g, *names, gradients[name], rate)))
    for name, value in following.items():
        g.output(value, f"{name}.next", state[name])
    g.output(loss, "loss", np.zeros((), np.float32))
    return g.model()


def session(model, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    return ort.InferenceSession(model.SerializeToString(), options, providers=providers)


def bindings(run, state, given):
    """Two bindings of the state: what is input in one is output in the other."""
    buffers = [{n: ort.OrtValue.ortvalue_from_numpy(v) for n, v in state.items()} for _ in range(2)]
    found = []
    for now, following in (buffers, buffers[::-1]):
        binding = run.io_binding()
        for name, value in {**given, **now}.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in following.items():
            binding.bind_ortvalue_output(f"{name}.next", value)
        binding.bind_output("loss", "cpu")
        found.append(binding)
    return found, buffers


def accuracy(options, weights):
    """On the test split, by the same layers."""
    images, labels = read_split("test")
    g = Graph()
    for name, value in {"images": images, **weights}.items():
        g.input(name, value)
    logits, _ = forward(g, options.model, "images", {})
    g.output(logits, "logits", np.zeros((len(images), recipe.CLASSES), np.float32))
    (logits,) = session(g.model(), options.threads).run(None, {"images": images, **weights})
    return (logits.argmax(1) == labels).mean()


def main():
    options = recipe.arguments(__doc__)
    random = np.random.default_rng(options.seed)
    images, labels = read_split("train")
    order = np.arange(len(images))
    state = {"step": np.zeros(1, np.int64)}
    for name, value in parameters(options.model, random).items():
        state.update({name: value, f"{name}.mean": value * 0, f"{name}.square": value * 0})

    run = session(training_step(options, state, images, labels, order), options.threads)
    given = {"images": images, "labels": labels, "order": order}
    given = {name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in given.items()}
    (even, odd), buffers = bindings(run, state, given)
    stopwatch = recipe.Stopwatch()
    for _ in range(options.epochs):
        with stopwatch:
            given["order"].update_inplace(random.permutation(len(images)))
            for _ in range(len(images) // options.batch):
                run.run_with_iobinding(even)
                even, odd = odd, even

    steps = options.epochs * (len(images) // options.batch)
    names = parameters(options.model, random)
    weights = {name: buffers[steps % 2][name].numpy() for name in names}
    stopwatch.print_figures(options, len(images), accuracy(options, weights))


if __name__ == "__main__":
    main()
