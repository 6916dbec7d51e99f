"""Makes the models of this folder: the same small digit classifier trained by Keras and by PyTorch.

    python make.py keras     # tensorflow-cpu==2.21.0, keras==3.15.1: digits.keras, digits.tflite
    python make.py torch     # torch==2.15.0: digits.pt2

Each takes 784 pixels from 0 to 1 and gives ten probabilities. `digits.tflite` is quantized to int8
with floats outside, as TensorFlow Lite's converter does it with examples to calibrate on.
"""

import gzip
import pathlib
import sys

import numpy

HERE = pathlib.Path(__file__).parent
DATA = HERE.parent / "digits"


def idx(name, header):
    with gzip.open(DATA / name) as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=header)


def data(part):
    images = idx(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(numpy.float32) / 255
    return images, idx(f"{part}-labels-idx1-ubyte.gz", 8).astype(numpy.int64)


def keras():
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input((784,), name="image")
    x = layers.Reshape((28, 28, 1), name="pixels")(image)
    for number, filters in enumerate((8, 16), 1):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels = data("train")
    model.fit(images, labels, batch_size=32, epochs=6, verbose=0)
    print("keras:", model.evaluate(*data("test"), verbose=0))
    # Without the optimizer's state.
    keras.Model(model.inputs, model.outputs).save(HERE / "digits.keras")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in images[:200])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    (HERE / "digits.tflite").write_bytes(converter.convert())


def torch():
    import torch
    from torch import nn

    torch.manual_seed(1)

    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
            self.norm1 = nn.BatchNorm2d(8)
            self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
            self.norm2 = nn.BatchNorm2d(16)
            self.head = nn.Linear(16 * 7 * 7, 10)

        def forward(self, image):
            x = image.reshape(-1, 1, 28, 28)
            x = nn.functional.max_pool2d(self.norm1(self.conv1(x)).relu(), 2)
            x = nn.functional.max_pool2d(self.norm2(self.conv2(x)).relu(), 2)
            return self.head(x.flatten(1)).softmax(-1)

    model = Digits()
    images, labels = map(torch.from_numpy, data("train"))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(6):
        for rows in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            nn.functional.nll_loss(model(images[rows]).log(), labels[rows]).backward()
            optimizer.step()
    model.eval()
    test, expected = map(torch.from_numpy, data("test"))
    print("torch:", (model(test).argmax(1) == expected).float().mean().item())
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(model, (images[:2].clone(),), dynamic_shapes={"image": {0: batch}})
    torch.export.save(program, HERE / "digits.pt2")


{"keras": keras, "torch": torch}[sys.argv[1]]()
