"""NVIDIA's HTTP client: JSON and the binary tensor extension, in every combination."""

import asyncio
import itertools

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

import values
from make_models import LABELS


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.http, concurrency=16) as client:
        yield client


def tensor(name, array, datatype, binary=True):
    given = triton.InferInput(name, list(array.shape), datatype)
    return given.set_data_from_numpy(array, binary_data=binary)


def add_sub_inputs(binary=True):
    a = np.arange(8, dtype=np.float32).reshape(2, 4)
    return a, [tensor("a", a, "FP32", binary), tensor("b", a * 10, "FP32", binary)]


def refused(call, status, *words):
    """The call fails with this status, and its text has these words."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    assert caught.value.status() == str(status), caught.value
    for word in words:
        assert str(word) in caught.value.message(), caught.value
    return caught.value.message()


def test_the_server_describes_itself(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "modelyard"
    assert metadata["version"]
    wanted = {"binary_tensor_data", "classification", "model_configuration", "statistics"}
    wanted |= {"model_repository", "model_repository(unload_dependents)"}
    assert wanted <= set(metadata["extensions"])


def test_a_model_describes_itself(client):
    assert client.is_model_ready("add_sub")
    assert client.is_model_ready("add_sub", "1")
    assert not client.is_model_ready("add_sub", "2")
    assert not client.is_model_ready("nobody")
    metadata = client.get_model_metadata("add_sub")
    assert metadata["name"] == "add_sub"
    assert metadata["versions"] == ["1"]
    assert "onnx" in metadata["platform"]
    assert metadata["inputs"] == [
        {"name": name, "datatype": "FP32", "shape": [-1, 4]} for name in ("a", "b")
    ]
    assert [output["name"] for output in metadata["outputs"]] == ["sum", "difference"]


def test_the_configuration_has_what_clients_read(client):
    config = client.get_model_config("add_sub")
    assert config["name"] == "add_sub"
    assert config["max_batch_size"] > 1
    assert [(i["name"], i["data_type"]) for i in config["input"]] == [
        ("a", "TYPE_FP32"),
        ("b", "TYPE_FP32"),
    ]
    # With a batch dimension, the configuration leaves it out of `dims`.
    assert [list(map(int, o["dims"])) for o in config["output"]] == [[4], [4]]


def test_the_index_lists_every_model(client):
    index = client.get_model_repository_index()
    listed = {(model["name"], model.get("version")): model["state"] for model in index}
    assert listed[("digits", "1")] == "READY"
    assert listed[("versions", "1")] == listed[("versions", "3")] == "READY"
    assert set(listed.values()) == {"READY"}


def test_statistics_count_what_was_served(client):
    def counted():
        [model] = client.get_inference_statistics("classifier")["model_stats"]
        success = model["inference_stats"]["success"]
        return model["inference_count"], success["count"], success["ns"]

    before = counted()
    three_rows = np.zeros((3, 4), np.float32)
    client.infer("classifier", [tensor("features", three_rows, "FP32")])
    after = counted()
    assert after[0] - before[0] == 3, "inferences are rows"
    assert after[1] - before[1] == 1, "successes are requests"
    assert after[2] > before[2]
    everything = client.get_inference_statistics()["model_stats"]
    assert {"classifier", "digits", "slow"} <= {model["name"] for model in everything}


@pytest.mark.parametrize("datatype", values.NUMPY)
def test_every_datatype_comes_back_in_binary(client, datatype):
    given = values.of(datatype)
    name = f"identity_{datatype.lower()}"
    result = client.infer(name, [tensor("input", given, datatype)])
    values.assert_same(result.as_numpy("output"), given)
    assert result.get_output("output")["datatype"] == datatype


@pytest.mark.parametrize("datatype", values.IN_JSON)
@pytest.mark.parametrize("binary_in, binary_out", itertools.product([True, False], repeat=2))
def test_json_and_binary_mix(client, datatype, binary_in, binary_out):
    given = values.of(datatype)
    if datatype == "BYTES":
        # tritonclient itself cannot put bytes beyond UTF-8 into JSON.
        given = np.array([[b"plain", "h\u00e9llo \U0001f600".encode()]], dtype=np.object_)
    wanted = [triton.InferRequestedOutput("output", binary_data=binary_out)]
    given_input = tensor("input", given, datatype, binary_in)
    result = client.infer(f"identity_{datatype.lower()}", [given_input], outputs=wanted)
    actual = result.as_numpy("output")
    if datatype == "BYTES" and not binary_out:
        actual = np.array([[text.encode() for text in row] for row in actual], dtype=np.object_)
    values.assert_same(actual, given)
    in_json = "data" in result.get_output("output")
    assert in_json != binary_out, "an output comes in the form it was asked for"


def test_inputs_and_outputs_mix_within_one_request(client):
    a = np.arange(4, dtype=np.float32).reshape(1, 4)
    inputs = [tensor("b", a, "FP32", True), tensor("a", a * 3, "FP32", False)]
    outputs = [
        triton.InferRequestedOutput("difference", binary_data=True),
        triton.InferRequestedOutput("sum", binary_data=False),
    ]
    result = client.infer("add_sub", inputs, outputs=outputs)
    values.assert_same(result.as_numpy("difference"), a * 2)
    values.assert_same(result.as_numpy("sum"), a * 4)


def test_only_the_outputs_asked_for_come_back(client):
    _, inputs = add_sub_inputs()
    wanted = [triton.InferRequestedOutput("difference")]
    result = client.infer("add_sub", inputs, outputs=wanted)
    names = [output["name"] for output in result.get_response()["outputs"]]
    assert names == ["difference"]


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answered", [None, "gzip", "deflate"])
@pytest.mark.parametrize("in_binary", [True, False])
def test_bodies_are_compressed_both_ways(client, sent, answered, in_binary):
    given = np.arange(3000, dtype=np.int64).reshape(3, 1000)
    result = client.infer(
        "identity_int64",
        [tensor("input", given, "INT64", in_binary)],
        outputs=[triton.InferRequestedOutput("output", binary_data=in_binary)],
        request_compression_algorithm=sent,
        response_compression_algorithm=answered,
    )
    values.assert_same(result.as_numpy("output"), given)


@pytest.mark.parametrize("in_binary", [True, False])
def test_classification_names_the_highest(client, in_binary):
    scores = np.array([[0.1, 4, 2, 3], [9, 8, 7, 1]], np.float32)
    wanted = [triton.InferRequestedOutput("scores", binary_data=in_binary, class_count=2)]
    result = client.infer("classifier", [tensor("features", scores, "FP32")], outputs=wanted)
    found = result.as_numpy("scores")
    assert found.shape == (2, 2)
    classes = [[split_class(entry) for entry in row] for row in found]
    assert classes == [
        [(4.0, 1, LABELS[1]), (3.0, 3, LABELS[3])],
        [(9.0, 0, LABELS[0]), (8.0, 1, LABELS[1])],
    ]


def split_class(entry):
    """`value:index:label`."""
    text = entry.decode() if isinstance(entry, bytes) else entry
    score, index, label = text.split(":")
    return float(score), int(index), label


def test_the_request_id_comes_back(client):
    _, inputs = add_sub_inputs()
    result = client.infer("add_sub", inputs, request_id="r-\u00e4-17")
    assert result.get_response()["id"] == "r-\u00e4-17"
    assert result.get_response()["model_name"] == "add_sub"
    assert result.get_response()["model_version"] == "1"


def test_a_version_is_chosen_by_the_path(client):
    row = np.ones((1, 2), np.float32)
    for asked, served in [("", "3"), ("1", "1"), ("3", "3")]:
        result = client.infer("versions", [tensor("input", row, "FP32")], model_version=asked)
        assert result.get_response()["model_version"] == served


def test_parameters_and_priority_are_accepted(client):
    _, inputs = add_sub_inputs()
    client.infer("add_sub", inputs, priority=1, timeout=10_000_000, parameters={"mine": "x"})


def test_mistakes_are_explained(client):
    row = np.ones((1, 4), np.float32)
    both = [tensor("a", row, "FP32"), tensor("b", row, "FP32")]
    infer = client.infer
    refused(lambda: infer("nobody", both), 404, "nobody")
    refused(lambda: infer("add_sub", both, model_version="7"), 404, "add_sub", "7")
    refused(lambda: infer("add_sub", both, model_version="x"), 400, "x")
    refused(lambda: client.get_model_metadata("nobody"), 404, "nobody")
    refused(lambda: client.get_model_config("nobody"), 404, "nobody")
    refused(lambda: client.get_inference_statistics("nobody"), 404, "nobody")
    refused(lambda: infer("add_sub", both[:1]), 400, "b")
    refused(lambda: infer("add_sub", [*both, tensor("c", row, "FP32")]), 400, "c")
    refused(lambda: infer("add_sub", [both[0], both[0]]), 400, "a")
    wrong_type = [both[0], tensor("b", row.astype(np.float64), "FP64")]
    refused(lambda: infer("add_sub", wrong_type), 400, "b", "FP32", "FP64")
    wrong_width = [both[0], tensor("b", np.ones((1, 5), np.float32), "FP32")]
    refused(lambda: infer("add_sub", wrong_width), 400, "b", "5", "4")
    wrong_rank = [both[0], tensor("b", np.ones(4, np.float32), "FP32")]
    refused(lambda: infer("add_sub", wrong_rank), 400, "b")
    uneven = [both[0], tensor("b", np.ones((2, 4), np.float32), "FP32")]
    refused(lambda: infer("add_sub", uneven), 400)
    unknown = [triton.InferRequestedOutput("product")]
    refused(lambda: infer("add_sub", both, outputs=unknown), 400, "product")
    values.assert_same(infer("add_sub", both).as_numpy("sum"), row * 2)


@pytest.mark.parametrize("in_binary", [True, False])
def test_a_shape_that_disagrees_with_the_data_is_refused(client, in_binary):
    given = tensor("input", np.ones((2, 3), np.float32), "FP32", in_binary)
    for shape in ([2, 4], [1, 3], [3, 3], [6, 2], [-1, 3]):
        given.set_shape(shape)
        refused(lambda: client.infer("identity_fp32", [given]), 400)
    for shape, status in ([2**40, 1], 413), ([2**40, 2**40], 400):
        given.set_shape(shape)
        refused(lambda: client.infer("identity_fp32", [given]), status)


def test_what_is_not_offered_says_so(client):
    for call in (
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
    ):
        with pytest.raises(InferenceServerException) as caught:
            call()
        assert caught.value.status() == "501", caught.value


def test_models_are_loaded_on_request_in_another_mode_only(client):
    refused(lambda: client.load_model("digits"), 400, "--model-control-mode explicit")
    refused(lambda: client.unload_model("digits"), 400, "--model-control-mode explicit")
    assert client.is_model_ready("digits")


def test_many_requests_at_once_get_their_own_answers(client):
    rows = [np.full((1 + i % 3, 4), i, np.float32) for i in range(300)]
    pending = [
        client.async_infer("add_sub", [tensor("a", row, "FP32"), tensor("b", row, "FP32")])
        for row in rows
    ]
    for row, request in zip(rows, pending):
        values.assert_same(request.get_result().as_numpy("sum"), row * 2)


def test_the_asyncio_client_works_too(server):
    async def run():
        async with triton_aio.InferenceServerClient(server.http) as client:
            assert await client.is_server_ready()
            rows = [np.full((1, 4), i, np.float32) for i in range(50)]
            results = await asyncio.gather(*(
                client.infer("classifier", [tensor("features", row, "FP32")]) for row in rows
            ))
            for row, result in zip(rows, results):
                values.assert_same(result.as_numpy("scores"), row)

    asyncio.run(run())
