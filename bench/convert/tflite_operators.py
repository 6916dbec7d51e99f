"""Quantized operators one by one: what each of a converted model gives for the integers that
TensorFlow Lite's kernels took there, beside what the kernels gave.

In a whole network roundings add up, and nothing says how far they may; of one operator it is known:
two ways to round the same number are a step apart.
"""

import numpy
import onnx
import onnxruntime

# What the converter calls the integers of a tensor.
ENDING = "/QuantizeLinear"


def compared(path, model, inputs):
    """Operators compared, elements compared, how many of them differ, and by how much at most.
    `model` is an interpreter that ran these inputs and kept its tensors."""
    found = onnx.load(path)
    kinds = {value.name: value.data_type for value in found.graph.initializer}
    quantizers = [node for node in found.graph.node if node.op_type == "QuantizeLinear"]
    cuts = {node.output[0]: kinds[node.input[2]] for node in quantizers if node.output[0].endswith(ENDING)}
    first = dict(zip((value.name for value in found.graph.input), inputs))
    del found.graph.output[:]
    found.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in cuts.items())
    given = recorded(model, dict(zip(cuts, session(found).run(list(cuts), first))))
    # Who takes the integers of an operator takes in their place what the kernel gave.
    for node in found.graph.node:
        for index, name in enumerate(node.input):
            if name in given:
                node.input[index] = f"{name}.given"
    taken = {name for node in found.graph.node for name in node.input}
    feeds = first | {f"{name}.given": value for name, value in given.items()}
    for name, kind in cuts.items():
        if f"{name}.given" in taken:
            found.graph.input.append(onnx.helper.make_tensor_value_info(f"{name}.given", kind, None))
    answers = session(found).run(list(given), {name: value for name, value in feeds.items() if name in taken})
    apart = [numpy.abs(one.astype(int) - two.astype(int)) for one, two in zip(answers, given.values())]
    differing = sum(int((one > 0).sum()) for one in apart)
    return len(apart), sum(one.size for one in apart), differing, max((int(one.max(initial=0)) for one in apart), default=0)


def session(model):
    """Operators as they are written; else they would be joined into kernels of integers."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def recorded(model, answers):
    """What the interpreter's kernels gave, under the names of the converted model and with its order
    of dimensions: that of two in which it is closer to what the model itself answers."""
    found = {}
    for detail in model.get_tensor_details():
        name = detail["name"] + ENDING
        if name not in answers or name in found:
            continue
        value, answer = model.get_tensor(detail["index"]), answers[name].astype(int)
        orders = [value, value.transpose(0, 3, 1, 2)] if value.ndim == 4 else [value]
        orders = [order for order in orders if order.shape == answer.shape]
        if orders:
            best = min(orders, key=lambda order: numpy.abs(order.astype(int) - answer).sum())
            found[name] = numpy.ascontiguousarray(best)
    return found
