"""Conversion of SavedModels: basic-pitch, whose SavedModel, TFLite and ONNX files are one network,
and models of Keras exported here with random weights.

Each SavedModel runs in TensorFlow and, converted, in ONNX Runtime, on the same random inputs. The
three files of basic-pitch are converted all, and all answers compared.

    python bench/convert/tensorflow.py --modelyard target/release/modelyard [--only NAME] [--peers]
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# This file has the name of a module that it needs: its folder comes last.
sys.path.append(sys.path.pop(0))

import numpy

import common

APPLICATIONS = [
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "DenseNet121",
    "ResNet50", "ResNet50V2", "Xception", "InceptionV3", "NASNetMobile", "ConvNeXtTiny",
]


def small():
    """Small networks by name."""
    import keras

    layers = keras.layers

    def mlp():
        return keras.Sequential([keras.Input((20,)), layers.Dense(32, activation="relu"), layers.Dense(4, activation="softmax")])

    def cnn():
        return keras.Sequential([
            keras.Input((28, 28, 1)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(16, 3, strides=2, padding="same"),
            layers.BatchNormalization(), layers.LeakyReLU(), layers.Flatten(), layers.Dense(10, activation="softmax"),
        ])

    def rnn():
        return keras.Sequential([
            keras.Input((12, 6)), layers.Bidirectional(layers.LSTM(8, return_sequences=True)), layers.GRU(8), layers.Dense(3),
        ])

    def attention():
        tokens = keras.Input((10,), dtype="int32")
        x = layers.Embedding(50, 16)(tokens)
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
        return keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))

    return {"mlp": mlp, "cnn": cnn, "rnn": rnn, "attention": attention}


def exported(name, build, folder):
    """The SavedModel of a network, made once."""
    import keras

    path = folder / name
    if not (path / "saved_model.pb").exists():
        keras.utils.set_random_seed(0)
        model = build()
        trained(model)
        model.export(path, verbose=False)
        keras.backend.clear_session()
    return path


def trained(model):
    """Statistics of batches as after some training, so that they matter."""
    generator = numpy.random.default_rng(2)
    for weight in model.weights:
        if weight.path.endswith("moving_variance"):
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
        elif weight.path.endswith("moving_mean"):
            weight.assign(generator.normal(0, 0.1, weight.shape))


def models(arguments):
    """Names and how to get the folder, so that what is not asked for is not made."""
    import keras

    folder = arguments.out / "saved_models"
    folder.mkdir(exist_ok=True)
    for found in sorted(common.PACKAGES.rglob("saved_model.pb")):
        name = "/".join(found.relative_to(common.PACKAGES).parts[:1] + found.parts[-2:-1])
        yield name, lambda found=found: found.parent
    for name, build in small().items():
        yield name, lambda name=name, build=build: exported(name, build, folder)
    for name in APPLICATIONS:
        build = lambda name=name: getattr(keras.applications, name)(weights=None)
        yield name, lambda name=name, build=build: exported(name, build, folder)


def random(value, generator):
    sizes = [dim.size for dim in value.tensor_shape.dim]
    shape = [size if size > 0 else (64 if axis else 2) for axis, size in enumerate(sizes)]
    dtype = tf_type(value)
    if numpy.issubdtype(dtype, numpy.integer):
        return generator.integers(0, 50, shape).astype(dtype)
    return generator.uniform(0, 1, shape).astype(dtype)


def tf_type(value):
    import tensorflow as tf

    return tf.dtypes.as_dtype(value.dtype).as_numpy_dtype


def expected(path):
    """Inputs and TensorFlow's answers by name."""
    import tensorflow as tf

    # The newer loader wants to build the optimizer that some models were saved with, and cannot.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        signature = loaded.signature_def["serving_default"]
        generator = numpy.random.default_rng(0)
        inputs = {name: random(value, generator) for name, value in sorted(signature.inputs.items())}
        outputs = {name: value.name for name, value in signature.outputs.items()}
        return inputs, session.run(outputs, {signature.inputs[name].name: array for name, array in inputs.items()})


def compared(target, inputs, outputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    found = session.run(None, {value.name: inputs[value.name] for value in session.get_inputs()})
    return common.worst([outputs[name] for name in names], found)


def peer(path, target, inputs, outputs):
    """tf2onnx in a process of its own: seconds, memory and the difference, or why not."""
    command = [sys.executable, "-P", "-m", "tf2onnx.convert", "--saved-model", path, "--output", target, "--opset", "17"]
    seconds, cpu, memory, code, errors = common.measured(command)
    if code != 0 or not target.exists():
        return f"fails: {errors.splitlines()[-1][:60] if errors else code}"
    try:
        return f"{seconds:.1f} s, {cpu:.1f} CPU s, {memory:.0f} MB, {compared(target, inputs, outputs):.1e}"
    except Exception as error:
        return f"{seconds:.1f} s, {cpu:.1f} CPU s, {memory:.0f} MB, does not run: {str(error).splitlines()[0][:50]}"


def size(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


def twins(arguments):
    """The three files of basic-pitch, converted, and what their own runtimes answer: the largest
    difference of any two."""
    import tensorflow as tf

    found = sorted(common.PACKAGES.rglob("icassp_2022/nmp.onnx"))
    if not found or (arguments.only and arguments.only not in "basic_pitch"):
        return None
    source = found[0].with_suffix("")
    array = numpy.random.default_rng(1).normal(0, 0.1, (1, 43844, 1)).astype(numpy.float32)
    answers = {"ONNX": common.answers(found[0], [array])}
    interpreter = tf.lite.Interpreter(str(source.with_suffix(".tflite")))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], array.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], array)
    interpreter.invoke()
    answers["TFLite"] = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    for ending in ("", ".tflite", ".onnx"):
        target = arguments.out / f"twin{ending or '.pb'}.onnx"
        *_, code, errors = common.convert(arguments.modelyard, source.with_suffix(ending) if ending else source, target)
        if code:
            return f"basic-pitch{ending}: {errors.splitlines()[-1] if errors else code}"
        answers[f"converted{ending or ' SavedModel'}"] = common.answers(target, [array])
    # The three outputs come in another order each: by their names in one, by nothing in another.
    reference = answers.pop("ONNX")
    worst = 0.0
    for found in answers.values():
        for one in reference:
            worst = max(worst, min(common.worst([one], [two]) for two in found))
    return f"the {len(answers) + 1} answers of basic-pitch's files are within {worst:.1e}"


def main():
    arguments = common.arguments(__doc__)
    columns = ["model", "MB", "s", "CPU s", "MB peak", "relative", "verdict"]
    table = common.Table(*columns, *(["tf2onnx"] if arguments.peers else []))
    agreed = total = 0
    for name, get in models(arguments):
        if arguments.only and arguments.only not in name:
            continue
        total += 1
        path, target = get(), arguments.out / f"{name.replace('/', '-')}.onnx"
        seconds, cpu, memory, code, errors = common.convert(arguments.modelyard, path, target)
        inputs, outputs = expected(path)
        relative, verdict = None, errors.splitlines()[-1] if code and errors else None
        if not code:
            verdict = common.checked(target)
        if not code and not verdict:
            relative = compared(target, inputs, outputs)
            good = relative <= common.TOLERANCE
            verdict, agreed = ("agrees", agreed + 1) if good else ("differs", agreed)
        row = [name, size(path), seconds, cpu, memory, relative, verdict]
        if arguments.peers:
            row.append(peer(path, arguments.out / f"peer-{name.replace('/', '-')}.onnx", inputs, outputs))
        table.add(*row)
    summary = f"{agreed} of {total} agree with TensorFlow"
    pair = twins(arguments)
    table.print(f"{summary}; {pair}" if pair else summary, arguments.json)


if __name__ == "__main__":
    main()
