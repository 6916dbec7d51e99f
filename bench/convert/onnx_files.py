"""ONNX files of published packages, in other forms: each must stay what it is.

    pip install onnx onnxruntime numpy
    python bench/convert/onnx_files.py --modelyard target/release/modelyard [--peers]

Each file is written in older and newer operator sets, with its weights beside it and back inside, in
16 bits, with all shapes inferred. ONNX Runtime must answer as it does for the file itself. With
--peers, `onnx.version_converter` does the same in a process of its own.
"""

import sys

import numpy
import onnx

import common

PEER = """
import sys, onnx, onnx.version_converter
onnx.save(onnx.version_converter.convert_version(onnx.load(sys.argv[1]), int(sys.argv[2])), sys.argv[3])
"""

# Forms, and how far answers may be: weights of 11 or 8 bits are other weights.
FORMS = {
    "opset 13": (["--opset", "13"], common.TOLERANCE),
    "opset 17": (["--opset", "17"], common.TOLERANCE),
    "opset 21": (["--opset", "21"], common.TOLERANCE),
    "opset 23": (["--opset", "23"], common.TOLERANCE),
    "external": (["--external-data"], common.TOLERANCE),
    "inline, shapes": (["--inline", "--infer-shapes"], common.TOLERANCE),
    "fp16": (["--weights", "fp16"], 2e-2),
    "bf16": (["--weights", "bf16"], 2e-1),
}

# Sizes of open dimensions, by a part of the path: the first is the batch.
SIZES = {
    "det_infer": [1, 96, 128],
    "rec_infer": [1, 48, 160],
    "cls_infer": [2, 48, 192],
    "silero_vad_16k_sequence": [3],
    "silero_vad_half": [1, 576],
    "silero_vad_16k_op15": [1, 576],
    "silero_vad": [1, 512],
    "nmp": [2],
    "magika": [3],
    "minilm": [2, 9],
}
ELEMENTS = {1: numpy.float32, 6: numpy.int32, 7: numpy.int64}


def inputs(path):
    """Arrays for the inputs of a file."""
    random = numpy.random.default_rng(0)
    sizes = next(sizes for part, sizes in SIZES.items() if part in str(path))
    arrays = {}
    for value in onnx.load(path, load_external_data=False).graph.input:
        kind = value.type.tensor_type
        opened = iter(sizes)
        shape = [dim.dim_value if dim.dim_value > 0 else next(opened) for dim in kind.shape.dim]
        element = ELEMENTS[kind.elem_type]
        if value.name == "sr":
            arrays[value.name] = numpy.array(16000, element)
        elif value.name in ("attention_mask", "token_type_ids"):
            arrays[value.name] = numpy.full(shape, value.name == "attention_mask", element)
        elif element == numpy.float32:
            arrays[value.name] = random.normal(0, 0.5, shape).astype(element)
        else:
            arrays[value.name] = random.integers(0, 200, shape).astype(element)
    return arrays


def compared(target, arrays, expected, allowed):
    """The checker's complaint, ONNX Runtime's, or how far the answers are off."""
    complaint = common.checked(target)
    if complaint:
        return complaint, False
    try:
        difference = common.worst(expected, common.answers(target, arrays))
    except Exception as error:
        return str(error).strip().splitlines()[0][:160], False
    return difference, difference <= allowed


def row(path, form, arguments):
    options, allowed = FORMS[form]
    arrays = inputs(path)
    expected = common.answers(path, arrays)
    target = arguments.out / "target.onnx"
    run = common.convert(arguments.modelyard, path, target, *options)
    if form == "external" and run.code == 0:
        # Back again from two files to one.
        whole = arguments.out / "whole.onnx"
        run = common.convert(arguments.modelyard, target, whole)
        target = whole
    failed = (run.errors.splitlines() or ["fails"])[-1][:240]
    found, agrees = (failed, False) if run.code else compared(target, arrays, expected, allowed)
    name = f"{path.parts[len(common.PACKAGES.parts)]}/{path.stem}"
    cells = [name, form, path.stat().st_size / 1e6, run.seconds, run.cpu, run.memory, found]
    if arguments.peers:
        cells += peer(path, form, (arrays, expected, allowed), arguments)
    for written in arguments.out.iterdir():
        written.unlink()
    return cells, agrees


def peer(path, form, question, arguments):
    if not form.startswith("opset"):
        return [None] * 4
    target = arguments.out / "peer.onnx"
    command = [sys.executable, "-c", PEER, path, form.split()[1], target]
    run = common.measured(command)
    found = (run.errors.splitlines() or ["fails"])[-1][:120]
    if run.code == 0:
        found, _ = compared(target, *question)
    return [run.seconds, run.cpu, run.memory, found]


def main():
    arguments = common.arguments(__doc__)
    columns = ["model", "form", "MB", "s", "CPU s", "peak MB", "difference"]
    if arguments.peers:
        columns += ["onnx s", "CPU s", "peak MB", "difference"]
    table, agreed = common.Table(*columns), 0
    for path in sorted(common.PACKAGES.rglob("*.onnx")):
        for form in FORMS:
            if arguments.only and arguments.only not in f"{path} {form}":
                continue
            cells, agrees = row(path, form, arguments)
            agreed += agrees
            table.add(*cells)
    table.print(f"{agreed} of {len(table.rows)} agree.", arguments.json)


main()
