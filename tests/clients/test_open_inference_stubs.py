"""Clients generated from the Open Inference Protocol's own documents: the strictest reading of
the messages. They know nothing of Triton's additions."""

from unittest import mock

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.errors import BadRequestError, NotFoundError
from open_inference.openapi.types.inference_request import InferenceRequest

import values

# tritonclient has registered the same message names in the default pool of this process.
with mock.patch.object(
    descriptor_pool, "Default", return_value=descriptor_pool.DescriptorPool()
):
    from open_inference.grpc import protocol, service

# Where the typed contents of a datatype lie, by the specification.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield service.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def rest(server):
    return OpenInferenceClient(base_url=server.url(""))


def typed(datatype, array):
    request = protocol.ModelInferRequest(model_name=f"identity_{datatype.lower()}", id="typed")
    given = request.inputs.add(name="input", datatype=datatype, shape=array.shape)
    getattr(given.contents, CONTENTS[datatype]).extend(array.ravel().tolist())
    return request


def refused(call, status):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == status, caught.value
    return caught.value.details()


def raw_bytes(array):
    if array.dtype == np.object_:
        return b"".join(len(e).to_bytes(4, "little") + e for e in array.ravel())
    return array.tobytes()


@pytest.mark.parametrize("datatype", CONTENTS)
def test_typed_contents_are_read(stub, datatype):
    given = values.of(datatype)
    answer = stub.ModelInfer(typed(datatype, given))
    [output] = answer.outputs
    assert (answer.model_name, answer.id) == (f"identity_{datatype.lower()}", "typed")
    assert (output.name, output.datatype, list(output.shape)) == ("output", datatype, [2, 3])
    assert list(answer.raw_output_contents) == [raw_bytes(given)]


@pytest.mark.parametrize("datatype", values.NUMPY)
def test_raw_contents_are_read(stub, datatype):
    given = values.of(datatype)
    request = protocol.ModelInferRequest(model_name=f"identity_{datatype.lower()}")
    request.inputs.add(name="input", datatype=datatype, shape=given.shape)
    request.raw_input_contents.append(raw_bytes(given))
    assert list(stub.ModelInfer(request).raw_output_contents) == [raw_bytes(given)]


def test_metadata_and_health(stub):
    assert stub.ServerLive(protocol.ServerLiveRequest()).live
    assert stub.ServerReady(protocol.ServerReadyRequest()).ready
    assert stub.ModelReady(protocol.ModelReadyRequest(name="digits")).ready
    assert stub.ServerMetadata(protocol.ServerMetadataRequest()).name == "modelyard"
    metadata = stub.ModelMetadata(protocol.ModelMetadataRequest(name="add_sub"))
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [
        ("a", "FP32", [-1, 4]),
        ("b", "FP32", [-1, 4]),
    ]


def test_values_beyond_their_datatype_are_refused(stub):
    for datatype, value in [("INT8", 128), ("UINT8", 256), ("INT16", -40000), ("UINT16", 65536)]:
        request = typed(datatype, values.of(datatype))
        getattr(request.inputs[0].contents, CONTENTS[datatype])[0] = value
        refused(lambda: stub.ModelInfer(request), grpc.StatusCode.INVALID_ARGUMENT)


def test_contents_that_contradict_themselves_are_refused(stub):
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    both = typed("FP32", values.of("FP32"))
    both.raw_input_contents.append(values.of("FP32").tobytes())
    refused(lambda: stub.ModelInfer(both), invalid)
    wrong_field = typed("FP32", values.of("FP32"))
    wrong_field.inputs[0].contents.Clear()
    wrong_field.inputs[0].contents.int_contents.extend([1] * 6)
    refused(lambda: stub.ModelInfer(wrong_field), invalid)
    short = typed("FP32", values.of("FP32"))
    short.inputs[0].contents.fp32_contents.pop()
    refused(lambda: stub.ModelInfer(short), invalid)
    raw = typed("FP32", values.of("FP32"))
    raw.inputs[0].ClearField("contents")
    for blobs in ([b"\0" * 23], [b"\0" * 25], [b"\0" * 24] * 2):
        del raw.raw_input_contents[:]
        raw.raw_input_contents.extend(blobs)
        refused(lambda: stub.ModelInfer(raw), invalid)
    texts = protocol.ModelInferRequest(model_name="identity_bytes")
    texts.inputs.add(name="input", datatype="BYTES", shape=[1, 1])
    for blob in (b"\xff\xff\xff\xff", b"\x05\0\0\0abc", b"\x01\0\0\0ab", b"\0"):
        del texts.raw_input_contents[:]
        texts.raw_input_contents.append(blob)
        refused(lambda: stub.ModelInfer(texts), invalid)


def test_triton_methods_are_not_mistaken_for_the_base_service(stub):
    details = refused(
        lambda: stub.ModelMetadata(protocol.ModelMetadataRequest(name="nobody")),
        grpc.StatusCode.NOT_FOUND,
    )
    assert "nobody" in details


def test_the_generated_rest_client_finds_everything(rest):
    rest.check_server_liveness()
    rest.check_server_readiness()
    rest.check_model_readiness("digits")
    rest.check_model_version_readiness("digits", "1")
    assert rest.read_server_metadata().name == "modelyard"
    metadata = rest.read_model_metadata("add_sub")
    assert [tensor.name for tensor in metadata.inputs] == ["a", "b"]
    assert rest.read_model_version_metadata("versions", "1").name == "versions"
    with pytest.raises(NotFoundError):
        rest.check_model_readiness("nobody")


def test_the_generated_rest_client_infers(rest):
    def request(nested):
        data = [[1, 2, 3, 4]] if nested else [1, 2, 3, 4]
        tensors = [
            {"name": name, "shape": [1, 4], "datatype": "FP32", "data": data} for name in "ab"
        ]
        return InferenceRequest.parse_obj({"id": "7", "inputs": tensors})

    for nested in (False, True):
        for answer in (
            rest.model_infer("add_sub", request=request(nested)),
            rest.model_version_infer("add_sub", "1", request=request(nested)),
        ):
            assert answer.id == "7"
            [total, difference] = answer.outputs
            assert (total.name, total.shape) == ("sum", [1, 4])
            assert [float(x.__root__ if hasattr(x, "__root__") else x)
                    for x in total.data.__root__] == [2, 4, 6, 8]
            assert difference.name == "difference"
    with pytest.raises(BadRequestError):
        empty = InferenceRequest.parse_obj({"inputs": []})
        rest.model_infer("add_sub", request=empty)
