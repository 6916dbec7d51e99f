"""What the tables of PyTorch's two kinds of programs share: answers compared, `torch.onnx.export` beside
them, rows that may fail."""

import logging
import sys
import warnings

import numpy
import torch

import common

MEASURES = ["MB", "s", "CPU s", "peak MB", "difference"]
PEER = ["torch.onnx s", "torch.onnx CPU s", "torch.onnx peak MB", "torch.onnx difference"]


def arguments(description):
    """The command line; what PyTorch says on the way is not printed."""
    options = common.arguments(description)
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    return options


def tensors(answer):
    leaves = torch.utils._pytree.tree_leaves(answer)
    return [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]


def compared(path, trials):
    """The checker's complaint, or how far the answers of a converted model are off: `trials` are pairs
    of inputs and of what should be answered."""
    complaint = common.checked(path)
    if complaint:
        return complaint
    results = []
    for inputs, expected in trials:
        try:
            found = common.answers(path, [value.numpy() for value in inputs.values()])
        except Exception as error:
            return str(error).splitlines()[0][:120]
        results.append(common.worst(expected, [numpy.asarray(value) for value in found]))
    return max(results)


def peer(script, arguments, target, trials):
    """The cells of the exporter, which runs in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    seconds, cpu, memory, code, errors = common.measured(command)
    if code:
        return [seconds, cpu, memory, errors.splitlines()[-1][:120] if errors else f"exit code {code}"]
    return [seconds, cpu, memory, compared(target, trials)]


def agrees(result):
    return isinstance(result, float) and result <= common.TOLERANCE


def table(options, first, rows):
    """A table of rows: `first` are its columns before the measures, `rows` names and what makes the
    cells of each. Gives it and, by name, whether ours and the exporter's answers agree."""
    found = common.Table(*first, *MEASURES, *(PEER if options.peers else []))
    width, agreed = len(first) + len(MEASURES), {}
    for name, make in rows:
        if options.only and options.only not in name:
            continue
        agreed[name] = (False, False)
        try:
            cells = make()
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            found.add(name, *[None] * (width - 2), problem)
            continue
        agreed[name] = (agrees(cells[width - 1]), len(cells) > width and agrees(cells[-1]))
        found.add(*cells)
    return found, agreed


def share(agreed, side=0):
    """`3 of 4`."""
    return f"{sum(pair[side] for pair in agreed)} of {len(agreed)}"
