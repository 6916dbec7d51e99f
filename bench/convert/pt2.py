"""torch.export programs: 27 torchvision families, 27 Hugging Face architectures.

    python bench/convert/pt2.py --modelyard target/release/modelyard [--out DIR] [--only NAME] [--peers]

Each model has random weights; those of Hugging Face a small configuration. It is exported with a free
batch, saved as `.pt2`, converted, checked, and its answers for a batch of another size than that of
the export compared with PyTorch's. With --peers, `torch.onnx.export(dynamo=True)` of the same program
runs beside it in a process of its own: its time and memory include that of importing torch, without
which it cannot run, and the time of the export to ONNX alone is given too.
"""

import logging
import sys
import warnings

import numpy
import torch

import common
import pt2_models

PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import torch
if sys.argv[3] == "huggingface":
    # The classes of what its models return: without them the file cannot be read.
    import transformers.modeling_outputs
program = torch.export.load(sys.argv[1])
start = time.perf_counter()
torch.onnx.export(program, f=sys.argv[2], dynamo=True, verbose=False, external_data=False)
print(time.perf_counter() - start)
"""


def tensors(answer):
    leaves = torch.utils._pytree.tree_leaves(answer)
    return [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]


def compared(path, inputs, expected):
    """The checker's complaint, or how far the answers of a converted model are off."""
    complaint = common.checked(path)
    if complaint:
        return complaint
    try:
        found = common.answers(path, [value.numpy() for value in inputs.values()])
    except Exception as error:
        return str(error).splitlines()[0][:120]
    return common.worst(expected, [numpy.asarray(value) for value in found])


def peer(path, target, inputs, expected):
    origin = "torchvision" if path.name.startswith("torchvision") else "huggingface"
    command = [sys.executable, "-c", PEER, path, target, origin]
    seconds, cpu, memory, code, errors = common.measured(command)
    if code:
        return [seconds, cpu, memory, errors.splitlines()[-1][:120] if errors else f"exit code {code}"]
    return [seconds, cpu, memory, compared(target, inputs, expected)]


def row(name, make, options):
    model = make()
    program, is_free = model.export()
    path = options.out / f"{name.replace('/', '_')}.pt2"
    torch.export.save(program, path)
    inputs = model.inputs
    if is_free:
        inputs = {key: torch.cat([value, value[:1]]) for key, value in inputs.items()}
    expected = tensors(model.answer(inputs))
    del program, model
    target = path.with_suffix(".onnx")
    seconds, cpu, memory, code, errors = common.convert(options.modelyard, path, target)
    result = compared(target, inputs, expected) if code == 0 else errors.splitlines()[-1][:160]
    cells = [name, "free" if is_free else "fixed", path.stat().st_size / 1e6, seconds, cpu, memory, result]
    if options.peers:
        cells += peer(path, path.with_suffix(".peer.onnx"), inputs, expected)
    for written in options.out.glob(f"{path.stem}.*"):
        written.unlink()
    return cells


def agrees(result):
    return isinstance(result, float) and result <= common.TOLERANCE


def main():
    options = common.arguments(__doc__.splitlines()[0])
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    columns = ["model", "batch", "MB", "s", "CPU s", "peak MB", "difference"]
    if options.peers:
        columns += ["torch.onnx s", "torch.onnx CPU s", "torch.onnx peak MB", "torch.onnx difference"]
    table = common.Table(*columns)
    counts = {True: [0, 0, 0], False: [0, 0, 0]}
    for name, make in pt2_models.models().items():
        if options.only and options.only not in name:
            continue
        in_table = not name.startswith("beyond/")
        count = counts[in_table]
        count[0] += 1
        try:
            cells = row(name, make, options)
        except Exception as error:
            table.add(name, "", None, None, None, None, f"{type(error).__name__}: {error}"[:160])
            continue
        count[1] += agrees(cells[6])
        count[2] += options.peers and agrees(cells[10])
        table.add(*cells)
    (total, good, others), (more, more_good, _) = counts[True], counts[False]
    summary = f"{good} of {total} agree to {common.TOLERANCE:g}; beyond the table {more_good} of {more}"
    if options.peers:
        summary += f"; torch.onnx: {others} of {total}"
    table.print(summary, options.json)


if __name__ == "__main__":
    main()
