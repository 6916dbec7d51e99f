"""What all peers share: their arguments, how epochs are timed, and what they print.

A peer trains one of two models on the digits with Adam (learning rate 0.001) and cross-entropy:

* `mlp`: 784-128-10 with ReLU
* `cnn`: convolution of 16 3x3 filters, same padding, ReLU; max pooling 2x2; the same with 32
  filters; dense 10

It prints one line of JSON, the figures below. Only the training loop is timed: shuffling, batches,
steps; not reading the data, not building or compiling, not evaluating.
"""

import argparse
import json
import statistics
import time

LEARNING_RATE = 0.001
HIDDEN = 128
FILTERS = (16, 32)
SIDE = 28
CLASSES = 10


def arguments(description, **choices):
    """The arguments of every peer, and such as only this one has: a name with its choices, of
    which the first is the default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    for name, values in choices.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, choices=values, default=values[0], type=type(values[0]))
    return parser.parse_args()


class Stopwatch:
    """Takes the time of each epoch, by the clock and of all threads of this process."""

    def __init__(self):
        self.seconds = []
        self.cpu_seconds = []

    def __enter__(self):
        self.begin = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        clock, cpu = self.begin
        self.seconds.append(time.perf_counter() - clock)
        self.cpu_seconds.append(time.process_time() - cpu)

    def print_figures(self, options, examples, test_accuracy):
        """Prints the figures. The first epoch does not count where there are others: it compiles,
        and touches memory for the first time."""

        def rate(epochs):
            return examples / statistics.median(epochs[1:] or epochs)

        figures = {
            "examples_per_second": round(rate(self.seconds), 1),
            "examples_per_cpu_second": round(rate(self.cpu_seconds), 1),
            "test_accuracy": round(float(test_accuracy), 4),
            "threads": options.threads,
            "seconds": round(sum(self.seconds), 3),
        }
        print(json.dumps(figures))
