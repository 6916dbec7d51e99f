"""Export of ONNX models: written for TensorFlow Lite and for TensorFlow, and run there.

The models are those of keras.applications (random weights, converted first), the .tflite files of the
packages (converted first, so that quantized ones go there and back), graphs that a runtime once
stumbled on, and any .onnx files given with --models. What ONNX Runtime answers to random inputs is compared with what the interpreter of the
target does, with its default delegates.

    python bench/convert/export.py --modelyard target/release/modelyard [--only NAME] [--models FOLDER]
"""

import os
import pathlib
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Scripts beside this one have the names of modules that it needs: its folder comes last.
sys.path.append(sys.path.pop(0))

import numpy

import common

APPLICATIONS = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "Xception",
]
TARGETS = ["tflite", "savedmodel"]
# Rounding of 8-bit layers may fall to the other side, and adds up.
QUANTIZED = 0.1
# Sizes to try open dimensions of inputs with, other than the first.
FREE = 16


def sources(options):
    """Names of models and functions that give their files."""
    for path in sorted(options.models.glob("**/*.onnx")) if options.models else []:
        yield path.stem, lambda path=path: path
    yield "padded_residual", lambda: padded_residual(options)
    for path in sorted(common.PACKAGES.glob("**/*.tflite")):
        yield path.stem, lambda path=path: converted(options, path)
    for name in APPLICATIONS:
        yield name, lambda name=name: application(options, name)


def padded_residual(options):
    """Channels that are padded beside a convolution with a bias: TensorFlow 2.21 crashes on it where
    the border is a Pad, in its optimizer for oneDNN."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = numpy.random.default_rng(7)
    weights = {
        "w": generator.standard_normal((16, 8, 1, 1)).astype(numpy.float32),
        "b": generator.standard_normal(16).astype(numpy.float32),
        "channels": numpy.array([0, 0, 0, 0, 0, 8, 0, 0]),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w", "b"], ["c"]),
        helper.make_node("Pad", ["t", "channels"], ["p"]),
        helper.make_node("Add", ["p", "c"], ["s"]),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("Transpose", ["r"], ["y"], perm=[0, 2, 3, 1]),
    ]
    value = lambda name, channels: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 8, channels])
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "padded_residual", [value("x", 8)], [value("y", 16)], constants)
    path = options.out / "padded_residual.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def converted(options, source):
    target = options.out / f"{source.stem}.onnx"
    *_, code, said = common.convert(options.modelyard, source, target)
    if code:
        raise RuntimeError(f"not converted: {said}")
    return target


def application(options, name):
    """The model as keras.py makes it: as it comes, all its answers would be nearly the same."""
    maker = pathlib.Path(__file__).parent / "keras.py"
    *_, code, said = common.measured([sys.executable, maker, "make", name, options.out])
    if code:
        raise RuntimeError(f"not made: {said}")
    return converted(options, options.out / f"{name}.keras")


def questions(path):
    """Inputs by name, and ONNX Runtime's answers by name."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    # What listens to sound takes no fewer samples than a window has.
    for free in (FREE, 100 * FREE):
        generator = numpy.random.default_rng(7)
        inputs = {}
        for value in session.get_inputs():
            sizes = [2 if axis == 0 else free for axis in range(len(value.shape))]
            shape = [size if isinstance(size, int) else other for size, other in zip(value.shape, sizes)]
            inputs[value.name] = drawn(value.type, shape, generator)
        try:
            return inputs, dict(zip(names, session.run(names, inputs)))
        except Exception as error:
            failed = error
    raise failed


def drawn(kind, shape, generator):
    if "float" in kind:
        return generator.standard_normal(shape).astype(numpy.float32)
    if "bool" in kind:
        return generator.integers(0, 2, shape).astype(bool)
    dtype = numpy.dtype(kind.removeprefix("tensor(").removesuffix(")"))
    low, high = {"int8": (-128, 128), "uint8": (0, 256)}.get(dtype.name, (0, 2))
    return generator.integers(low, high, shape).astype(dtype)


def answers(target, path, inputs):
    """What the target's own runtime answers, by name."""
    import tensorflow as tf

    if target == "tflite":
        runner = tf.lite.Interpreter(str(path), num_threads=1).get_signature_runner("serving_default")
        return runner(**inputs)
    module = tf.saved_model.load(str(path))
    found = module.signatures["serving_default"](**{name: tf.constant(x) for name, x in inputs.items()})
    return {name: value.numpy() for name, value in found.items()}


def is_quantized(path):
    import onnx

    nodes = onnx.load(str(path), load_external_data=False).graph.node
    return any(node.op_type == "QuantizeLinear" for node in nodes)


def row(options, target, path):
    """Seconds, seconds of processors, peak memory, worst difference, and what went wrong."""
    result = options.out / f"{path.stem}.{target}"
    # Packages have models of the same name.
    if result.is_dir():
        shutil.rmtree(result)
    command = [options.modelyard, "export", path, "--to", target, "-o", result, "--no-verify"]
    seconds, cpu, memory, code, said = common.measured(command)
    if code:
        return seconds, cpu, memory, None, said.splitlines()[-1] if said else f"exit code {code}"
    try:
        inputs, expected = questions(path)
        found = answers(target, result, inputs)
    except Exception as error:  # whatever it raises is the finding
        return seconds, cpu, memory, None, str(error).strip().splitlines()[0][:200]
    missing = [name for name in expected if name not in found]
    if missing:
        return seconds, cpu, memory, None, f"no output {missing[0]}"
    worst = common.worst(list(expected.values()), [found[name] for name in expected])
    limit = QUANTIZED if is_quantized(path) else common.TOLERANCE
    return seconds, cpu, memory, worst, "" if worst <= limit else "too far"


def main():
    options = common.arguments(
        __doc__.splitlines()[0],
        lambda parser: parser.add_argument("--models", type=pathlib.Path, help="folder of .onnx files"),
    )
    table = common.Table("model", "target", "seconds", "CPU s", "peak MB", "worst", "problem")
    agreed = {target: 0 for target in TARGETS}
    tried = 0
    for name, source in sources(options):
        if options.only and options.only not in name:
            continue
        try:
            path = source()
        except Exception as error:  # not a finding about the export
            print(f"{name}: left out: {str(error).splitlines()[-1]}", file=sys.stderr)
            continue
        tried += 1
        for target in TARGETS:
            seconds, cpu, memory, worst, problem = row(options, target, path)
            agreed[target] += problem == ""
            table.add(name, target, seconds, cpu, memory, worst, problem)
    counts = ", ".join(f"{target} {count}" for target, count in agreed.items())
    table.print(f"Of {tried} models agree with ONNX Runtime: {counts}.", options.json)


if __name__ == "__main__":
    main()
