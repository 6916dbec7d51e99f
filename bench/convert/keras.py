"""Converts all 40 keras.applications, small ones first, and compares the answers with those of Keras.

Weights are random, and so are the statistics of normalizations, about those of the images that are
asked for: with means of 0 and variances of 1, mistakes would not show, and with any others a deep network
has answers of 1e6 in which Keras' own floats of 32 bits are 60 % off. Peers (--peers): Keras' own export and tf2onnx.
"""

import pathlib
import sys

import common

# This file is not the package of its name.
here = pathlib.Path(__file__).resolve().parent
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != here]

import numpy

MODELS = """
MobileNetV3Small MobileNet MobileNetV2 NASNetMobile MobileNetV3Large EfficientNetB0 EfficientNetV2B0
EfficientNetB1 EfficientNetV2B1 DenseNet121 EfficientNetB2 EfficientNetV2B2 EfficientNetB3 DenseNet169
EfficientNetV2B3 EfficientNetB4 DenseNet201 EfficientNetV2S Xception InceptionV3 ResNet50V2 ResNet50
ConvNeXtTiny EfficientNetB5 EfficientNetB6 ResNet101V2 ResNet101 ConvNeXtSmall EfficientNetV2M InceptionResNetV2
ResNet152V2 ResNet152 EfficientNetB7 ConvNeXtBase NASNetLarge EfficientNetV2L VGG16 VGG19 ConvNeXtLarge
ConvNeXtXLarge
""".split()


def make(name, folder):
    """Saves the model with an input and what Keras answers."""
    import keras

    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    rng = numpy.random.default_rng(1)
    for weight in model.weights:
        shape, kind = tuple(weight.shape), weight.name
        if "variance" in kind:
            weight.assign(rng.uniform(0.6, 1.4, shape))
        elif kind == "gamma":
            weight.assign(rng.uniform(0.7, 1.2, shape))
        elif kind in ("beta", "mean", "bias"):
            weight.assign(rng.normal(0, 0.1, shape))
    size = model.input_shape[1:]
    images = rng.uniform(0, 255, (2, *(side or 224 for side in size))).astype("float32")
    if "MobileNet" in name and "V3" not in name or name.startswith(("ResNet", "Dense", "Inception", "NAS", "VGG", "X")):
        images = images / 127.5 - 1
    normalize(model, images, rng)
    model.save(folder / f"{name}.keras")
    # What the file says counts: saving rounds some numbers (EfficientNet's Rescaling).
    model = keras.saving.load_model(folder / f"{name}.keras", compile=False)
    numpy.savez(folder / f"{name}.npz", images=images, answers=numpy.asarray(model(images, training=False)))


def normalize(model, images, rng):
    """Gives normalizations statistics like those that training leaves, a little off."""
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momentum = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, before in zip(layers, momentum):
        layer.momentum = before
        mean, variance = (numpy.asarray(value) for value in (layer.moving_mean, layer.moving_variance))
        layer.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * numpy.sqrt(variance))
        # Noise has nearly the same mean everywhere, which would cancel: no image of the world is so.
        spread = variance * rng.uniform(0.7, 1.4, mean.shape) + 0.1 * mean**2 + 1e-3
        layer.moving_variance.assign(spread)


def export(name, folder, peer):
    """Converts with a peer."""
    import keras

    model = keras.saving.load_model(folder / f"{name}.keras", compile=False)
    target = str(folder / f"{name}.{peer}.onnx")
    if peer == "keras":
        model(numpy.load(folder / f"{name}.npz")["images"])
        model.export(target, format="onnx", verbose=False)
        return
    import tensorflow
    import tf2onnx

    shape = [None, *(side or 224 for side in model.input_shape[1:])]
    signature = [tensorflow.TensorSpec(shape, tensorflow.float32, name="input")]
    function = tensorflow.function(lambda image: model(image, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, input_signature=signature, opset=18, output_path=target)


def result(path, images, answers):
    """How far the answers are apart, or what is wrong with the file."""
    complaint = common.checked(path)
    if complaint:
        return f"invalid: {complaint}"
    try:
        return common.worst([answers], common.answers(path, [images]))
    except Exception as error:  # whatever it raises is the finding
        return f"fails: {str(error).splitlines()[0][:120]}"


def main():
    options = common.arguments(__doc__)
    columns = ["model", "MB", "seconds", "CPU s", "peak MB", "difference"]
    peers = ["keras", "tf2onnx"] if options.peers else []
    for peer in peers:
        columns += [f"{peer} seconds", f"{peer} CPU s", f"{peer} peak MB", f"{peer} difference"]
    table = common.Table(*columns)
    agree, tried, seconds_all = 0, 0, 0.0
    agree_peers = dict.fromkeys(peers, 0)
    script = pathlib.Path(__file__).resolve()
    names = [name for name in MODELS if not options.only or options.only in name]
    if options.only in MODELS:
        names = [options.only]
    for name in names:
        tried += 1
        source, target = options.out / f"{name}.keras", options.out / f"{name}.onnx"
        *_, code, text = common.measured([sys.executable, script, "make", name, options.out])
        if code:
            table.add(name, None, None, None, None, f"Keras fails: {text}", *[None] * 4 * len(peers))
            continue
        data = numpy.load(options.out / f"{name}.npz")
        images, answers = data["images"], data["answers"]
        seconds, cpu, peak, code, text = common.convert(options.modelyard, source, target)
        found = f"fails: {text}" if code else result(target, images, answers)
        agree += isinstance(found, float) and found <= common.TOLERANCE
        seconds_all += seconds
        row = [name, source.stat().st_size / 1e6, seconds, cpu, peak, found]
        for peer in peers:
            command = [sys.executable, script, peer, name, options.out]
            seconds, cpu, peak, code, text = common.measured(command)
            exported = options.out / f"{name}.{peer}.onnx"
            found = f"fails: {text[-200:]}" if code else result(exported, images, answers)
            agree_peers[peer] += isinstance(found, float) and found <= common.TOLERANCE
            row += [seconds, cpu, peak, found]
            exported.unlink(missing_ok=True)
        table.add(*row)
        for ending in ("keras", "npz", "onnx"):
            (options.out / f"{name}.{ending}").unlink(missing_ok=True)
    summary = f"{agree} of {tried} models agree within {common.TOLERANCE} of the largest answer, in {seconds_all:.0f} s"
    for peer in peers:
        summary += f"; {peer}: {agree_peers[peer]}"
    table.print(summary, options.json)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "make":
        make(sys.argv[2], pathlib.Path(sys.argv[3]))
    elif len(sys.argv) == 4 and sys.argv[1] in ("keras", "tf2onnx"):
        export(sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[1])
    else:
        main()
