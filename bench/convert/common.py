"""What the scripts of this folder share: running converters, checking their results, tables."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import typing

import numpy

# Where the packages of packages.txt are unpacked.
PACKAGES = pathlib.Path(os.environ.get("PACKAGES", pathlib.Path(__file__).parent / ".packages"))

# Largest difference, relative to the largest magnitude of the output.
TOLERANCE = 1e-4


def arguments(description, more=None):
    """The command line of a script: --modelyard, --out, --only, --peers, --json, and what `more` adds
    to the parser."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--modelyard", default="target/release/modelyard", help="the binary")
    parser.add_argument("--out", type=pathlib.Path, help="folder for models [default: temporary]")
    parser.add_argument("--only", help="only models whose name contains this")
    parser.add_argument("--peers", action="store_true", help="measure other converters too")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows to this file")
    if more:
        more(parser)
    found = parser.parse_args()
    found.out = found.out or pathlib.Path(tempfile.mkdtemp(prefix="modelyard-bench-"))
    found.out.mkdir(parents=True, exist_ok=True)
    return found


class Run(typing.NamedTuple):
    """What a command took: seconds on the clock, seconds of processors (which other work on the
    machine does not change), peak memory in MB; its exit code and the last lines of its errors."""

    seconds: float
    cpu: float
    memory: float
    code: int
    errors: str


def measured(command, timeout=1800, env=None):
    """Runs a command to its end, or kills it when its time is over."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **(env or {})},
        )
        deadline, memory = start + timeout, 0.0
        while True:
            memory = max(memory, resident(process.pid))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() > deadline:
                process.kill()
                _, status, usage = os.wait4(process.pid, 0)
                break
            time.sleep(0.002)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read().decode(errors="replace").strip()
    seconds = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    # The system counts what this process had when it forked, too: its number is the command's
    # where it is larger than that.
    if usage.ru_maxrss / 1024 > resident(os.getpid()):
        memory = usage.ru_maxrss / 1024
    return Run(seconds, cpu, memory, process.returncode, "\n".join(text.splitlines()[-5:]))


def resident(pid):
    """Peak memory of a process so far in MB."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def convert(modelyard, source, target, *options):
    """Converts with modelyard, without its own proof: this script checks the result itself."""
    command = [modelyard, "convert", source, "-o", target, "--no-verify", *options]
    return measured(command)


def checked(path):
    """The checker's complaint about an ONNX file, full shape inference included, or None."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # whatever it raises is the finding
        return str(error).strip().splitlines()[0][:200]
    return None


def answers(path, inputs, outputs=None):
    """What ONNX Runtime answers: inputs by name, or in order."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    if not isinstance(inputs, dict):
        inputs = {value.name: array for value, array in zip(session.get_inputs(), inputs)}
    return session.run(outputs, inputs)


def worst(expected, found):
    """Largest difference of all outputs, relative to the largest magnitude of each."""
    if len(expected) != len(found):
        return float("inf")
    differences = []
    for one, two in zip(expected, found):
        one, two = numpy.asarray(one), numpy.asarray(two)
        if one.shape != two.shape:
            return float("inf")
        one, two = one.astype(numpy.float64), two.astype(numpy.float64)
        same = (one == two) | (numpy.isnan(one) & numpy.isnan(two))
        apart = numpy.where(same, 0, numpy.abs(one - two))
        scale = max(numpy.abs(one[numpy.isfinite(one)]).max(initial=0), 1e-3)
        value = apart.max(initial=0) / scale
        differences.append(float("inf") if numpy.isnan(value) else float(value))
    return max(differences, default=0.0)


class Table:
    """Rows as they come, Markdown at the end."""

    def __init__(self, *columns):
        self.columns, self.rows = columns, []

    def add(self, *cells):
        self.rows.append([self.cell(value) for value in cells])
        print("  ".join(self.rows[-1]), file=sys.stderr, flush=True)

    @staticmethod
    def cell(value):
        if value is None:
            return ""
        if isinstance(value, float):
            return f"{value:.1e}" if value and (value < 0.01 or value > 1e5) else f"{value:.2f}"
        return str(value).replace("|", "/").replace("\n", " ")

    def print(self, summary, path=None):
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        print("\n".join(lines), "", summary, sep="\n")
        if path:
            rows = [dict(zip(self.columns, row)) for row in self.rows]
            path.write_text(json.dumps({"rows": rows, "summary": summary}, indent=1))
