"""Conversion of TensorFlow Lite models: those of the packages, and int8 networks made here.

Every model runs in TensorFlow's interpreter and, converted, in ONNX Runtime, on the same random
inputs; models that keep state for several steps, their state handed on. Quantized answers are
compared in steps of their type.

    python bench/convert/tflite.py --modelyard target/release/modelyard [--only NAME] [--peers]
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy

import common

STEPS = 5
# Smaller sizes of free dimensions make some models fail.
LENGTHS = {"melspectrogram": 16000}


def interpreter(path):
    import tensorflow as tf

    # The kernels that the schema defines, without the delegate that replaces some.
    kind = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return tf.lite.Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kind)


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
    steps = []
    for _ in range(STEPS):
        inputs = [random(detail, sizes(detail, name), generator) for detail in details]
        for detail, array in zip(details, inputs):
            model.set_tensor(detail["index"], array)
        model.invoke()
        outputs = [model.get_tensor(detail["index"]) for detail in model.get_output_details()]
        steps.append((inputs, outputs))
    return steps


def compared(path, steps):
    """Worst differences over all steps: relative, and in integers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    states = [name for name in names if name.startswith("state.")]
    values = {value.name: start(value) for value in session.get_inputs() if value.name in states}
    plain = [name for name in names if name not in states]
    relative, integers = 0.0, 0
    for inputs, answers in steps:
        found = dict(zip(outputs, session.run(None, {**dict(zip(plain, inputs)), **values})))
        values = {name: found.pop(f"{name}.next") for name in states}
        for one, two in zip(answers, found.values()):
            if numpy.issubdtype(one.dtype, numpy.integer):
                apart = numpy.abs(one.astype(int) - two.astype(int)).max(initial=0)
                integers = max(integers, int(apart))
            else:
                relative = max(relative, common.worst([one], [two]))
    return relative, integers


def start(value):
    """What a state holds at first: zero, which is -128 in the wake words' int8."""
    kinds = {"tensor(int8)": numpy.int8, "tensor(int16)": numpy.int16, "tensor(float)": numpy.float32}
    kind = kinds[value.type]
    fill = ZERO_POINTS.get(value.name, -128 if kind == numpy.int8 else 0)
    return numpy.full([size if isinstance(size, int) else 1 for size in value.shape], fill, kind)


# Zero points of states that are not the least integer.
ZERO_POINTS = {}


def made(folder):
    """Networks of keras.applications with random weights, quantized to int8."""
    import tensorflow as tf

    keras = tf.keras
    kinds = {
        "mobilenet_v2_int8": lambda: keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), alpha=0.35),
        "efficientnet_b0_int8": lambda: keras.applications.EfficientNetB0(weights=None, input_shape=(96, 96, 3)),
    }
    for name, build in kinds.items():
        path = folder / f"{name}.tflite"
        if not path.exists():
            keras.utils.set_random_seed(0)
            path.write_bytes(quantized(build()))
        yield name, path


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
    command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", path, "--output", target, "--opset", "17"]
    seconds, _, code, errors = common.measured(command)
    if code != 0 or not target.exists():
        return f"fails: {errors.splitlines()[-1][:60] if errors else code}"
    try:
        relative, integers = compared(target, steps)
    except Exception as error:
        return f"{seconds:.1f} s, does not run: {str(error).splitlines()[0][:60]}"
    return f"{seconds:.1f} s, {integers} steps" if integers else f"{seconds:.1f} s, {relative:.1e}"


def main():
    arguments = common.arguments(__doc__)
    columns = ["model", "MB", "s", "MB peak", "relative", "steps", "verdict"]
    table = common.Table(*columns, *(["tf2onnx"] if arguments.peers else []))
    agreed = total = 0
    for name, path in models(arguments):
        if arguments.only and arguments.only not in name:
            continue
        total += 1
        target = arguments.out / f"{name.replace('/', '-')}.onnx"
        seconds, memory, code, errors = common.convert(arguments.modelyard, path, target)
        steps = expected(path, name)
        relative = integers = None
        verdict = errors.splitlines()[-1] if code and errors else None
        if not code:
            verdict = common.checked(target)
        if not code and not verdict:
            relative, integers = compared(target, steps)
            deep = 3 if name.endswith("_int8") else 1
            good = relative <= common.TOLERANCE and integers <= deep
            verdict, agreed = ("agrees", agreed + 1) if good else ("differs", agreed)
        row = [name, path.stat().st_size / 1e6, seconds, memory, relative, integers, verdict]
        if arguments.peers:
            row.append(peer(path, arguments.out / f"peer-{name.replace('/', '-')}.onnx", steps))
        table.add(*row)
    table.print(f"{agreed} of {total} agree with TensorFlow Lite's interpreter", arguments.json)


if __name__ == "__main__":
    main()
