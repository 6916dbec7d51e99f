"""Answers of a model's own framework: `against.py TASK`, where TASK is JSON.

`format` and `path` say what to load; `folder` has `in0.npz` ... with arrays `in0`, `in1` ... in the
order of the names in `inputs`; answers go into `out0.npz` ... as `out0`, `out1` ... in the order of
`outputs`.
"""

import json
import os
import sys

import numpy


def keras(path, inputs, outputs):
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)

    def answer(arrays):
        given = arrays[0] if len(arrays) == 1 else arrays
        names = [tensor.name.split(":")[0].split("/")[0] for tensor in model.inputs]
        if len(arrays) > 1 and set(names) == set(inputs):
            given = [arrays[inputs.index(name)] for name in names]
        found = model(given, training=False)
        found = found if isinstance(found, (list, tuple)) else [found]
        return [keras.ops.convert_to_numpy(array) for array in found]

    return answer


def saved_model(path, inputs, outputs):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    function = loaded.signatures["serving_default"]

    def answer(arrays):
        found = function(**{name: tf.constant(array) for name, array in zip(inputs, arrays)})
        return [found[name].numpy() for name in outputs]

    return answer


def graph_def(path, inputs, outputs):
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        graph.ParseFromString(file.read())
    tensor = lambda name: name if ":" in name else name + ":0"

    def wrapped():
        tf.compat.v1.import_graph_def(graph, name="")

    function = tf.compat.v1.wrap_function(wrapped, [])
    pruned = function.prune(
        [function.graph.as_graph_element(tensor(name)) for name in inputs],
        [function.graph.as_graph_element(tensor(name)) for name in outputs],
    )
    return lambda arrays: [found.numpy() for found in pruned(*map(tf.constant, arrays))]


def tflite(path, inputs, outputs):
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(
        path, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF
    )

    def answer(arrays):
        signatures = interpreter.get_signature_list()
        if len(signatures) == 1 and not any(name.startswith("state.") for name in inputs):
            runner = interpreter.get_signature_runner()
            if set(runner.get_input_details()) == set(inputs):
                found = runner(**dict(zip(inputs, arrays)))
                return [found[name] for name in outputs]
        details = interpreter.get_input_details()
        given = [array for name, array in zip(inputs, arrays) if not name.startswith("state.")]
        for detail, array in zip(details, given):
            interpreter.resize_tensor_input(detail["index"], array.shape)
        interpreter.allocate_tensors()
        interpreter.reset_all_variables()
        for detail, array in zip(details, given):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]

    return answer


def torch_program(path, inputs, outputs):
    import torch

    module = torch.export.load(path).module()
    return torch_answer(torch, module)


def torch_script(path, inputs, outputs):
    import torch

    return torch_answer(torch, torch.jit.load(path, map_location="cpu").eval())


def torch_answer(torch, module):
    from torch.utils._pytree import tree_flatten

    def answer(arrays):
        with torch.no_grad():
            found = module(*[torch.from_numpy(array.copy()) for array in arrays])
        leaves, _ = tree_flatten(found)
        return [leaf.detach().numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]

    return answer


def mxnet(path, inputs, outputs):
    import glob
    import mxnet as mx

    prefix = path[: -len("-symbol.json")]
    weights = sorted(glob.glob(prefix + "*.params"))[-1]
    block = mx.gluon.SymbolBlock.imports(path, inputs, weights)

    def answer(arrays):
        found = block(*[mx.nd.array(array, dtype=array.dtype) for array in arrays])
        found = found if isinstance(found, (list, tuple)) else [found]
        return [array.asnumpy() for array in found]

    return answer


def onnx(path, inputs, outputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda arrays: session.run(outputs, dict(zip(inputs, arrays)))


FORMATS = {
    "KerasArchive": keras,
    "KerasHdf5": keras,
    "SavedModel": saved_model,
    "GraphDef": graph_def,
    "TfLite": tflite,
    "ExportedProgram": torch_program,
    "TorchScript": torch_script,
    "MxNet": mxnet,
    "Onnx": onnx,
}


def main():
    task = json.loads(sys.argv[1])
    load = FORMATS.get(task["format"])
    if load is None:
        sys.exit(f"no framework is known that runs {task['format']} by itself; use --reference")
    try:
        answer = load(task["path"], task["inputs"], task["outputs"])
    except ImportError as error:
        sys.exit(f"this Python lacks the framework ({error}); name one that has it with --python")
    for index in range(task["sets"]):
        with numpy.load(os.path.join(task["folder"], f"in{index}.npz")) as file:
            arrays = [file[f"in{at}"] for at in range(len(task["inputs"]))]
        found = [numpy.asarray(array) for array in answer(arrays)]
        named = {f"out{at}": array for at, array in enumerate(found)}
        numpy.savez(os.path.join(task["folder"], f"out{index}.npz"), **named)


main()
