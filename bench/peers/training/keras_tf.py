"""Training with Keras on TensorFlow: `fit` with arrays."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import layers

import recipe
from digits import read_split


def build(model):
    if model == "mlp":
        return keras.Sequential([
            layers.Input((recipe.SIDE**2,)),
            layers.Dense(recipe.HIDDEN, activation="relu"),
            layers.Dense(recipe.CLASSES, activation="softmax"),
        ])
    first, second = recipe.FILTERS
    return keras.Sequential([
        layers.Input((recipe.SIDE, recipe.SIDE, 1)),
        layers.Conv2D(first, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(second, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(recipe.CLASSES, activation="softmax"),
    ])


def read(split, model):
    images, labels = read_split(split)
    if model == "cnn":
        images = images.reshape(-1, recipe.SIDE, recipe.SIDE, 1)
    return images, labels


class Epochs(keras.callbacks.Callback):
    """Times the epochs of `fit`."""

    def __init__(self, stopwatch):
        super().__init__()
        self.stopwatch = stopwatch

    def on_epoch_begin(self, epoch, logs=None):
        self.stopwatch.__enter__()

    def on_epoch_end(self, epoch, logs=None):
        self.stopwatch.__exit__()


def main():
    options = recipe.arguments(
        __doc__,
        jit=("auto", "on", "off"),
        steps_per_execution=(1, 10, 25, 50, 125, 250),
    )
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    keras.utils.set_random_seed(options.seed)
    model = build(options.model)
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.LEARNING_RATE),
        loss="sparse_categorical_crossentropy",
        jit_compile={"auto": "auto", "on": True, "off": False}[options.jit],
        steps_per_execution=options.steps_per_execution,
    )
    images, labels = read("train", options.model)
    stopwatch = recipe.Stopwatch()
    model.fit(
        images,
        labels,
        batch_size=options.batch,
        epochs=options.epochs,
        callbacks=[Epochs(stopwatch)],
        verbose=0,
    )
    images, labels = read("test", options.model)
    accuracy = (model.predict(images, verbose=0).argmax(1) == labels).mean()
    stopwatch.print_figures(options, len(read_split("train")[1]), accuracy)


if __name__ == "__main__":
    main()
