#!/usr/bin/env python3
"""Writes the ONNX backend node tests for crates/engine/tests/conformance.rs.

usage: generate.py ALL.gz [SUBSET.gz]

Needs the PyPI package onnx==1.23.*, whose wheel no longer ships the cases but makes them.
A file is gzip over records; each is three byte strings with a little-endian u32 length before:
the name, the model, and the data: a model without nodes whose initializers input_0, input_1, ...,
output_0, ... are the test's tensors. A test with sequences or optional values has empty data.

Every test comes twice: as it is, and under NAME@baked with all inputs but the first as
initializers, which is how real models have them. SUBSET gets the small ones.
"""

import gzip
import struct
import sys
import warnings

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

# What a record of the subset may take at most. Leaves all but a few dozen of the tests.
SUBSET_BYTES = 50_000


def main():
    warnings.simplefilter("ignore")
    cases = sorted(collect_testcases(None), key=lambda case: case.name)
    everything = [record for case in cases for record in records(case)]
    write(sys.argv[1], everything)
    if len(sys.argv) > 2:
        write(sys.argv[2], [r for r in everything if sum(map(len, r)) <= SUBSET_BYTES])
    print(f"{len(cases)} cases")


def records(case):
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs, outputs = case.data_sets[0]
    data = tensors(inputs, outputs)
    yield case.name, deterministic(model), deterministic(data) if data else b""
    given = {tensor.name: tensor for tensor in data.graph.initializer} if data else {}
    if len(inputs) < 2 or not data or len(model.graph.input) != len(inputs):
        return
    for index, value in list(enumerate(model.graph.input))[1:]:
        constant = onnx.TensorProto()
        constant.CopyFrom(given.pop(f"input_{index}"))
        constant.name = value.name
        model.graph.initializer.append(constant)
    del model.graph.input[1:]
    rest = onnx.ModelProto()
    rest.CopyFrom(data)
    del rest.graph.initializer[:]
    rest.graph.initializer.extend(given.values())
    yield case.name + "@baked", deterministic(model), deterministic(rest)


def tensors(inputs, outputs):
    """All tensors of a test as one model; None if some are not tensors."""
    initializers = []
    for role, values in (("input", inputs), ("output", outputs)):
        for index, value in enumerate(values):
            if value is None or isinstance(value, list):
                return None
            if isinstance(value, onnx.TensorProto):
                tensor = onnx.TensorProto()
                tensor.CopyFrom(value)
            else:
                tensor = numpy_helper.from_array(np.asarray(value))
            tensor.name = f"{role}_{index}"
            initializers.append(tensor)
    graph = helper.make_graph([], "data", [], [], initializers)
    return helper.make_model(graph, ir_version=10)


def deterministic(message):
    return message.SerializeToString(deterministic=True)


def write(path, records):
    with open(path, "wb") as file:
        # No time in the header: the same cases are the same bytes.
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as stream:
            for name, model, data in records:
                for part in (name.encode(), model, data):
                    stream.write(struct.pack("<I", len(part)) + part)


main()
