"""Quantization beside onnxruntime.quantization: size, speed and agreement of the results in the same
engine, time and memory of making them."""

import os
import pathlib
import sys
import time

import numpy
import onnxruntime

import common
import models

ROUNDS = 15


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def run(one, inputs):
    """The first output for all examples, in batches as they come."""
    names = {value.name for value in one.get_inputs()}
    count = len(next(iter(inputs.values())))
    rows = []
    for start in range(0, count, 8):
        batch = {name: array[start : start + 8] for name, array in inputs.items() if name in names}
        rows.append(one.run(None, batch)[0])
    return numpy.concatenate([row.reshape(len(row), -1) for row in rows])


def times(sessions, inputs):
    """Median seconds of one call with one example, of each session, in turn with the others."""
    single = {name: array[:1] for name, array in inputs.items()}
    found = [[] for _ in sessions]
    for one in sessions:
        one.run(None, single)
    for _ in range(ROUNDS):
        for number, one in enumerate(sessions):
            calls = 0
            start = time.perf_counter()
            while time.perf_counter() - start < 0.05:
                one.run(None, single)
                calls += 1
            found[number].append((time.perf_counter() - start) / calls)
    return [float(numpy.median(times)) for times in found]


def alike(truth, found):
    """Share of the same highest score, mean cosine, signal to noise in decibels."""
    top = float((truth.argmax(1) == found.argmax(1)).mean())
    lengths = numpy.linalg.norm(truth, axis=1) * numpy.linalg.norm(found, axis=1)
    cosine = float(((truth * found).sum(1) / numpy.maximum(lengths, 1e-12)).mean())
    noise = numpy.square(truth - found).sum()
    return top, cosine, float(10 * numpy.log10(numpy.square(truth).sum() / max(noise, 1e-30)))


def ways(modelyard, model, examples, is_dynamic, folder):
    """Name, command and result of each way to quantize."""
    peer = pathlib.Path(__file__).parent / "peer.py"
    ours = [modelyard, "quantize", model, "--data", examples, "--task", "unlabelled", "--engine", "onnxruntime"]
    ours += ["--onnxruntime-lib", library(), "--batch", "8"]
    found = []
    if is_dynamic:
        found.append(("ours, dynamic", [modelyard, "quantize", model, "--mode", "dynamic"]))
        found.append(("ours, static, smooth, biases", [*ours, "--smooth", "--correct-bias"]))
        found.append(("onnxruntime, dynamic", [sys.executable, peer, "dynamic", model]))
    found.append(("ours, static", ours))
    found.append(("ours, static, mse", [*ours, "--calibrator", "mse"]))
    for kind in ("minmax", "entropy", "percentile"):
        found.append((f"onnxruntime, static, {kind}", [sys.executable, peer, kind, model]))
    for number, (name, command) in enumerate(found):
        out = folder / f"{number}.onnx"
        if name.startswith("ours"):
            yield name, [*command, "-o", out], out
        else:
            yield name, [*command, out, examples], out


def library():
    return next((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


def main():
    args = common.arguments(__doc__)
    os.environ["MODELYARD"] = args.modelyard
    table = common.Table(
        "model", "way", "MB", "size", "latency", "same top", "cosine", "SQNR dB", "s", "CPU s", "peak MB", "checker"
    )
    for name, make, is_dynamic in models.MODELS:
        if args.only and args.only.lower() not in name.lower():
            continue
        folder = args.out / name.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        model, examples = make(folder)
        calibration = folder / "calibration.npz"
        numpy.savez(calibration, **examples(models.CALIBRATION, 1))
        inputs = examples(models.EVALUATION, 2)
        original = session(model)
        truth = run(original, inputs)
        size = model.stat().st_size
        table.add(name, "original", size / 1e6, 1.0, 1.0, None, None, None, None, None, None, None)
        for way, command, out in ways(args.modelyard, model, calibration, is_dynamic, folder):
            took = common.measured(command)
            if took.code:
                table.add(name, way, None, None, None, f"fails: {took.errors[-200:]}", *[None] * 6)
                continue
            try:
                made = session(out)
            except Exception as error:  # whatever it raises is the finding
                failed = str(error).splitlines()[0][:160]
                table.add(name, way, None, None, None, f"does not load: {failed}", *[None] * 6)
                continue
            base, own = times([original, made], inputs)
            top, cosine, noise = alike(truth, run(made, inputs))
            table.add(
                name,
                way,
                out.stat().st_size / 1e6,
                out.stat().st_size / size,
                own / base,
                100 * top,
                f"{cosine:.5f}",
                noise,
                took.seconds,
                took.cpu,
                took.memory,
                common.checked(out) or "passes",
            )
    table.print("size and latency are ratios to the original; one thread, one example", args.json)


main()
