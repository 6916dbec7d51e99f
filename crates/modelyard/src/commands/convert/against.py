"""Answers of a model's own framework: `against.py TASK`, where TASK is JSON.

`format` and `path` say what to load; `folder` has `in0.npz` ... with arrays `in0`, `in1` ... in the
order of the names in `inputs`; answers go into `out0.npz` ... as `out0`, `out1` ... in the order of
`outputs`. `fixed` has values of inputs by name, as texts (TorchScript).
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


def torch_script(path, inputs, outputs, fixed):
    import torch

    def answer(arrays):
        # Loaded anew: what a call leaves in the module is not there in the next one.
        module = torch.jit.load(path, map_location="cpu").eval()
        given = {name: torch.from_numpy(array.copy()) for name, array in zip(inputs, arrays)}
        parameters = module.forward.schema.arguments[1:]
        states = {name[len("state.") :]: given.pop(name) for name in inputs if name.startswith("state.")}

        def call():
            copies = {name: tensor.clone() for name, tensor in given.items()}
            arguments = {each.name: script_argument(each.name, each.type, copies, fixed) for each in parameters}
            return module(**{name: value for name, value in arguments.items() if value is not MISSING})

        with torch.no_grad():
            # Numbers that calls leave behind are those after the first ones.
            for _ in range(3 if states else 0):
                call()
            for name, tensor in states.items():
                owner, attribute = script_owner(module, name)
                setattr(owner, attribute, tensor.clone())
            found = [leaf for leaf in script_leaves(torch, call())]
        for name in outputs:
            if name.startswith("state.") and name.endswith(".next"):
                owner, attribute = script_owner(module, name[len("state.") : -len(".next")])
                found.append(getattr(owner, attribute))
        return [numpy.asarray(torch.as_tensor(leaf).detach()) for leaf in found]

    return answer


MISSING = object()


def script_argument(name, kind, given, fixed):
    """The argument of this name: fixed, given, or made of what is given as `name.0`, `name.key`."""
    text = str(kind.getElementType() if kind.kind() == "OptionalType" else kind)
    if name in fixed:
        readers = {"int": int, "float": float, "str": str, "bool": lambda text: text in ("true", "True", "1")}
        none = fixed[name] in ("None", "none") and text != "str"
        return None if none else readers[text](fixed[name])
    if name in given:
        return given[name]
    parts = list(dict.fromkeys(key[len(name) + 1 :].split(".")[0] for key in given if key.startswith(name + ".")))
    if not parts:
        return MISSING if kind.kind() != "OptionalType" else None
    inner = kind.getElementType() if kind.kind() == "OptionalType" else kind
    if inner.kind() == "DictType":
        return {part: given[f"{name}.{part}"] for part in parts}
    kinds = inner.elements() if inner.kind() == "TupleType" else [inner.getElementType()] * len(parts)
    items = [script_argument(f"{name}.{at}", each, given, fixed) for at, each in enumerate(kinds)]
    return tuple(items) if inner.kind() == "TupleType" else items


def script_owner(module, path):
    *owners, attribute = path.split(".")
    for name in owners:
        module = getattr(module, name)
    return module, attribute


def script_leaves(torch, value):
    """Tensors and numbers of a result, in the order in which they become outputs."""
    if isinstance(value, (torch.Tensor, bool, int, float)):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from script_leaves(torch, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from script_leaves(torch, item)


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
        fixed = [task["fixed"]] if load is torch_script else []
        answer = load(task["path"], task["inputs"], task["outputs"], *fixed)
    except ImportError as error:
        sys.exit(f"this Python lacks the framework ({error}); name one that has it with --python")
    for index in range(task["sets"]):
        with numpy.load(os.path.join(task["folder"], f"in{index}.npz")) as file:
            arrays = [file[f"in{at}"] for at in range(len(task["inputs"]))]
        found = [numpy.asarray(array) for array in answer(arrays)]
        named = {f"out{at}": array for at, array in enumerate(found)}
        numpy.savez(os.path.join(task["folder"], f"out{index}.npz"), **named)


main()
