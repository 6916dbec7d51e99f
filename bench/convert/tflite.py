"""Conversion of TensorFlow Lite models: those of the packages, and int8 networks made here.

Every model runs in TensorFlow's interpreter and, converted, in ONNX Runtime, on the same random
inputs, for several steps; models that keep state hand it on, and it is compared like an answer.
Quantized answers are compared in steps of their type: at most two apart. Of whole quantized networks
each operator is compared by itself, on what the interpreter's kernels took: a step apart at most. How
far the answers of the network are apart then is no matter of the conversion: the column `own` says how
far those of the interpreter's own kernels (reference, optimized, delegate) are from each other.

    python bench/convert/tflite.py --modelyard target/release/modelyard [--only NAME] [--peers]
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Scripts beside this one have the names of modules that it needs: its folder comes last.
sys.path.append(sys.path.pop(0))

import numpy

import common
import tflite_operators

STEPS = 5
# Steps between answers of a few operators, and between those of one.
FEW, ONE = 2, 1
# Smaller sizes of free dimensions make some models fail.
LENGTHS = {"melspectrogram": 16000}


def interpreter(path, kind="BUILTIN_WITHOUT_DEFAULT_DELEGATES"):
    """Without being told otherwise, without the delegate that replaces some kernels."""
    import tensorflow as tf

    kind = getattr(tf.lite.experimental.OpResolverType, kind)
    return tf.lite.Interpreter(
        str(path),
        num_threads=1,
        experimental_op_resolver_type=kind,
        experimental_preserve_all_tensors=True,
    )


def assigned(path):
    """Variables of the main graph: the tensor that each is assigned, by name."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    handles, found = {}, {}
    for op in model.subgraphs[0].operators:
        code = model.operatorCodes[op.opcodeIndex]
        code = max(code.builtinCode, code.deprecatedBuiltinCode)
        if code == schema.BuiltinOperator.VAR_HANDLE:
            handles[op.outputs[0]] = op.builtinOptions.sharedName.decode()
        elif code == schema.BuiltinOperator.ASSIGN_VARIABLE:
            found[handles[op.inputs[0]]] = int(op.inputs[1])
    return found


def sizes(detail, name):
    """The shape to try an input with."""
    signature = detail["shape_signature"]
    length = next((size for part, size in LENGTHS.items() if part in name), 12)
    free = [axis for axis, size in enumerate(signature) if size < 0]
    shape = list(detail["shape"])
    for axis in free:
        shape[axis] = length if axis > 0 else 1
    return shape


def random(detail, shape, generator):
    dtype = detail["dtype"]
    if dtype == numpy.bool_:
        return generator.integers(0, 2, shape).astype(bool)
    if numpy.issubdtype(dtype, numpy.integer):
        low, high = (-128, 128) if dtype == numpy.int8 else (0, 256)
        return generator.integers(low, high, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)


def expected(path, name):
    """Inputs and answers of the interpreter, step by step, and whether they are integers."""
    model = interpreter(path)
    details = model.get_input_details()
    generator = numpy.random.default_rng(0)
    for detail in details:
        shape = sizes(detail, name)
        if list(detail["shape"]) != shape:
            model.resize_tensor_input(detail["index"], shape)
    model.allocate_tensors()
    steps, variables = [], assigned(path)
    for _ in range(STEPS):
        inputs = [random(detail, sizes(detail, name), generator) for detail in details]
        for detail, array in zip(details, inputs):
            model.set_tensor(detail["index"], array)
        model.invoke()
        outputs = [model.get_tensor(detail["index"]) for detail in model.get_output_details()]
        states = {name: model.get_tensor(tensor) for name, tensor in variables.items()}
        steps.append((inputs, outputs, states))
    return steps


def compared(path, steps):
    """Worst differences over all steps: relative, in integers, and the share of integers of state
    that differ."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    starts = json.loads(session.get_modelmeta().custom_metadata_map.get("modelyard.state", "{}"))
    values = {value.name: start(value, starts) for value in session.get_inputs() if value.name in starts}
    plain = [name for name in names if name not in starts]
    relative, integers, share = 0.0, 0, 0.0
    for inputs, answers, states in steps:
        found = dict(zip(outputs, session.run(None, {**dict(zip(plain, inputs)), **values})))
        values = {name: found.pop(f"{name}.next") for name in starts}
        pairs = list(zip(answers, found.values()))
        pairs += [(states[name.removeprefix("state.")], value) for name, value in values.items()]
        for one, two in pairs:
            if numpy.issubdtype(one.dtype, numpy.integer):
                apart = numpy.abs(one.astype(int) - two.astype(int))
                integers = max(integers, int(apart.max(initial=0)))
                share = max(share, float((apart > 0).mean()))
            else:
                relative = max(relative, common.worst([one], [two]))
        # From the same state in every step: what differs does not add up.
        values = {name: states[name.removeprefix("state.")] for name in starts}
    return relative, integers, share


def each(path, target, steps):
    """How far operators of a quantized network are apart one by one, and how far its answers are from
    each other with the interpreter's own kernels: (text, largest difference of an operator, own)."""
    answers = [[outputs for _, outputs, _ in steps]]
    for kind in ("BUILTIN_REF", "AUTO"):
        model = interpreter(path, kind)
        model.allocate_tensors()
        answers.append([])
        for inputs, _, _ in steps:
            for detail, array in zip(model.get_input_details(), inputs):
                model.set_tensor(detail["index"], array)
            model.invoke()
            answers[-1].append([model.get_tensor(detail["index"]) for detail in model.get_output_details()])
        if kind == "BUILTIN_REF":
            count, elements, differing, largest = tflite_operators.compared(target, model, inputs)
    text = f"{differing / elements:.2%} of {elements} elements of {count} by {largest}"
    pairs = [(one, two) for at, one in enumerate(answers) for two in answers[at + 1 :]]
    return text, largest, max(apart(one, two) for one, two in pairs)


def apart(one, two):
    """Steps between the answers of two runs."""
    flat = [(a, b) for first, second in zip(one, two) for a, b in zip(first, second)]
    return max(int(numpy.abs(a.astype(int) - b.astype(int)).max(initial=0)) for a, b in flat)


def start(value, starts):
    """What a state holds at first."""
    kinds = {"tensor(int8)": numpy.int8, "tensor(int16)": numpy.int16, "tensor(float)": numpy.float32}
    shape = [size if isinstance(size, int) else 1 for size in value.shape]
    filled = numpy.broadcast_to(numpy.asarray(starts[value.name]).reshape(-1), numpy.prod(shape))
    return filled.reshape(shape).astype(kinds[value.type])


def made(folder):
    """Networks of keras.applications with random weights, quantized to int8."""
    import tensorflow as tf

    keras = tf.keras
    # Random weights make all classes alike, where softmax leaves nothing to compare.
    plain = {"classes": 64, "classifier_activation": None}
    kinds = {
        "mobilenet_v2_int8": lambda: keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), alpha=0.35, **plain),
        "efficientnet_b0_int8": lambda: keras.applications.EfficientNetB0(weights=None, input_shape=(96, 96, 3), **plain),
    }
    for name, build in kinds.items():
        path = folder / f"{name}.tflite"
        if not path.exists():
            keras.utils.set_random_seed(0)
            path.write_bytes(quantized(enlivened(build())))
        yield name, path


def enlivened(model):
    """Normalization with random numbers: those that it starts with let signals die out."""
    generator = numpy.random.default_rng(2)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            gamma, beta, mean, variance = layer.get_weights()
            low, high = numpy.full((2, gamma.size), [[0.8], [1.6]])
            weights = [generator.uniform(low, high), generator.normal(0, 0.3, gamma.size)]
            weights += [generator.normal(0, 0.1, gamma.size), generator.uniform(0.2, 1.0, gamma.size)]
            layer.set_weights([value.astype("float32") for value in weights])
    return model


def quantized(model):
    import tensorflow as tf

    shape = (1, *model.input_shape[1:])
    generator = numpy.random.default_rng(1)

    def samples():
        for _ in range(8):
            yield [generator.uniform(0, 255 if "efficientnet" in model.name else 1, shape).astype("float32")]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def models(arguments):
    found = sorted(common.PACKAGES.rglob("*.tflite"))
    for path in found:
        yield f"{path.relative_to(common.PACKAGES).parts[0]}/{path.stem}", path
    folder = arguments.out / "made"
    folder.mkdir(exist_ok=True)
    yield from made(folder)


def peer(path, target, steps):
    """tf2onnx in a process of its own: seconds and the difference, or why not."""
    command = [sys.executable, "-P", "-m", "tf2onnx.convert", "--tflite", path, "--output", target, "--opset", "17"]
    seconds, cpu, memory, code, errors = common.measured(command)
    if code != 0 or not target.exists():
        return f"fails: {errors.splitlines()[-1][:60] if errors else code}"
    cost = f"{seconds:.1f} s, {cpu:.1f} CPU s, {memory:.0f} MB"
    try:
        relative, integers, _ = compared(target, steps)
    except Exception as error:
        return f"{cost}, does not run: {str(error).splitlines()[0][:60]}"
    return f"{cost}, {integers} steps" if integers else f"{cost}, {relative:.1e}"


def main():
    arguments = common.arguments(__doc__)
    columns = ["model", "MB", "s", "CPU s", "MB peak", "relative", "steps", "share", "operators apart", "own", "verdict"]
    table = common.Table(*columns, *(["tf2onnx"] if arguments.peers else []))
    agreed = total = 0
    for name, path in models(arguments):
        if arguments.only and arguments.only not in name:
            continue
        total += 1
        target = arguments.out / f"{name.replace('/', '-')}.onnx"
        seconds, cpu, memory, code, errors = common.convert(arguments.modelyard, path, target)
        steps = expected(path, name)
        relative = integers = share = operators = own = None
        verdict = errors.splitlines()[-1] if code and errors else None
        if not code:
            verdict = common.checked(target)
        if not code and not verdict:
            relative, integers, share = compared(target, steps)
            largest = integers
            limit = FEW
            if name.endswith("_int8"):
                operators, largest, own = each(path, target, steps)
                limit = ONE
            good = relative <= common.TOLERANCE and largest <= limit
            verdict, agreed = ("agrees", agreed + 1) if good else ("differs", agreed)
        row = [name, path.stat().st_size / 1e6, seconds, cpu, memory, relative, integers, share, operators, own, verdict]
        if arguments.peers:
            row.append(peer(path, arguments.out / f"peer-{name.replace('/', '-')}.onnx", steps))
        table.add(*row)
    table.print(f"{agreed} of {total} agree with TensorFlow Lite's interpreter", arguments.json)


if __name__ == "__main__":
    main()
