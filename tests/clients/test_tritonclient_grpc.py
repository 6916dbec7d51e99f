"""NVIDIA's gRPC client, with streams, deadlines and compression."""

import queue
import threading

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.utils import InferenceServerException

import values
from make_models import LABELS
from test_tritonclient_http import split_class


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.grpc) as client:
        yield client


def tensor(name, array, datatype):
    given = triton.InferInput(name, list(array.shape), datatype)
    return given.set_data_from_numpy(array)


def add_sub_inputs(row):
    return [tensor("a", row, "FP32"), tensor("b", row, "FP32")]


def refused(call, status, *words):
    """The call fails with this status, and its text has these words."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    assert caught.value.status() == f"StatusCode.{status}", caught.value
    for word in words:
        assert str(word) in caught.value.message(), caught.value


def test_the_server_describes_itself(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata.name == "modelyard"
    assert {"classification", "model_configuration", "model_repository", "statistics"} <= set(metadata.extensions)


def test_a_model_describes_itself(client):
    assert client.is_model_ready("add_sub")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("add_sub", "2")
    metadata = client.get_model_metadata("add_sub", as_json=True)
    assert metadata["versions"] == ["1"]
    assert [i["name"] for i in metadata["inputs"]] == ["a", "b"]
    assert metadata["inputs"][0]["shape"] == ["-1", "4"]


def test_both_protocols_describe_a_model_alike(client, server):
    for model in ("add_sub", "digits", "identity_bytes", "slow"):
        by_grpc = client.get_model_metadata(model)
        by_http = server.json(f"/v2/models/{model}")
        for direction in ("inputs", "outputs"):
            ours = [(t.name, t.datatype, list(t.shape)) for t in getattr(by_grpc, direction)]
            theirs = [(t["name"], t["datatype"], t["shape"]) for t in by_http[direction]]
            assert ours == theirs
        config = client.get_model_config(model, as_json=True)["config"]
        over_http = server.json(f"/v2/models/{model}/config")
        assert config["name"] == over_http["name"]
        assert config.get("max_batch_size", 0) == over_http["max_batch_size"]
        assert config["input"][0]["data_type"] == over_http["input"][0]["data_type"]


def test_the_index_lists_every_model(client):
    index = client.get_model_repository_index()
    listed = {(model.name, model.version): model.state for model in index.models}
    assert listed[("digits", "1")] == listed[("versions", "3")] == "READY"


def test_statistics_count_what_was_served(client):
    def counted():
        [model] = client.get_inference_statistics("classifier").model_stats
        return model.inference_count, model.inference_stats.success.count

    before = counted()
    client.infer("classifier", [tensor("features", np.zeros((3, 4), np.float32), "FP32")])
    after = counted()
    assert (after[0] - before[0], after[1] - before[1]) == (3, 1)
    assert len(client.get_inference_statistics().model_stats) > 10


@pytest.mark.parametrize("datatype", values.NUMPY)
def test_every_datatype_comes_back(client, datatype):
    given = values.of(datatype)
    result = client.infer(f"identity_{datatype.lower()}", [tensor("input", given, datatype)])
    values.assert_same(result.as_numpy("output"), given)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_messages_are_compressed(client, algorithm):
    given = np.arange(30000, dtype=np.int64).reshape(3, 10000)
    inputs = [tensor("input", given, "INT64")]
    result = client.infer("identity_int64", inputs, compression_algorithm=algorithm)
    values.assert_same(result.as_numpy("output"), given)


def test_outputs_versions_ids_and_classes(client):
    row = np.ones((1, 4), np.float32)
    wanted = [triton.InferRequestedOutput("difference")]
    result = client.infer("add_sub", add_sub_inputs(row), outputs=wanted, request_id="r-17")
    assert [output.name for output in result.get_response().outputs] == ["difference"]
    assert result.get_response().id == "r-17"
    result = client.infer("versions", [tensor("input", row, "FP32")], model_version="1")
    assert result.get_response().model_version == "1"
    wanted = [triton.InferRequestedOutput("scores", class_count=2)]
    scores = np.array([[0.5, 4, 2, 3]], np.float32)
    result = client.infer("classifier", [tensor("features", scores, "FP32")], outputs=wanted)
    classes = [split_class(entry) for entry in result.as_numpy("scores")[0]]
    assert classes == [(4.0, 1, LABELS[1]), (3.0, 3, LABELS[3])]


def test_mistakes_are_explained(client):
    row = np.ones((1, 4), np.float32)
    both = add_sub_inputs(row)
    infer = client.infer
    refused(lambda: infer("nobody", both), "NOT_FOUND", "nobody")
    refused(lambda: infer("add_sub", both, model_version="7"), "NOT_FOUND", "add_sub", "7")
    refused(lambda: client.get_model_metadata("nobody"), "NOT_FOUND", "nobody")
    refused(lambda: client.get_model_config("nobody"), "NOT_FOUND", "nobody")
    refused(lambda: client.get_inference_statistics("nobody"), "NOT_FOUND", "nobody")
    refused(lambda: infer("add_sub", both[:1]), "INVALID_ARGUMENT", "b")
    refused(lambda: infer("add_sub", [*both, tensor("c", row, "FP32")]), "INVALID_ARGUMENT", "c")
    wrong_type = [both[0], tensor("b", row.astype(np.float64), "FP64")]
    refused(lambda: infer("add_sub", wrong_type), "INVALID_ARGUMENT", "b", "FP32", "FP64")
    wrong_width = [both[0], tensor("b", np.ones((1, 5), np.float32), "FP32")]
    refused(lambda: infer("add_sub", wrong_width), "INVALID_ARGUMENT", "b")
    unknown = [triton.InferRequestedOutput("product")]
    refused(lambda: infer("add_sub", both, outputs=unknown), "INVALID_ARGUMENT", "product")
    lying = tensor("input", np.ones((2, 3), np.float32), "FP32")
    for shape, status in [
        ([2, 4], "INVALID_ARGUMENT"),
        ([1, 3], "INVALID_ARGUMENT"),
        ([-1, 3], "INVALID_ARGUMENT"),
        ([2**40, 1], "OUT_OF_RANGE"),
        ([2**40, 2**40], "INVALID_ARGUMENT"),
    ]:
        lying.set_shape(shape)
        refused(lambda: infer("identity_fp32", [lying]), status)
    values.assert_same(infer("add_sub", both).as_numpy("sum"), row * 2)


def test_a_deadline_ends_the_call(client):
    inputs = [tensor("seed", np.ones(1, np.float32), "FP32")]
    refused(lambda: client.infer("slow", inputs, client_timeout=0.001), "DEADLINE_EXCEEDED")
    assert client.infer("slow", inputs, client_timeout=60).as_numpy("result").shape == (1,)


def test_many_requests_at_once_get_their_own_answers(client):
    answers = queue.Queue()
    rows = [np.full((1, 4), i, np.float32) for i in range(300)]
    for number, row in enumerate(rows):
        def done(result, error, number=number):
            answers.put((number, result, error))

        client.async_infer("add_sub", add_sub_inputs(row), done)
    for _ in rows:
        number, result, error = answers.get(timeout=30)
        assert error is None
        values.assert_same(result.as_numpy("sum"), rows[number] * 2)


def test_a_stream_answers_every_request_in_order_and_outlives_errors(server):
    answers = queue.Queue()
    count = 200
    with triton.InferenceServerClient(server.grpc) as client:
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for number in range(count):
            model = "nobody" if number % 10 == 3 else "add_sub"
            row = np.full((1, 4), number, np.float32)
            client.async_stream_infer(model, add_sub_inputs(row), request_id=str(number))
        for number in range(count):
            result, error = answers.get(timeout=30)
            if number % 10 == 3:
                assert "nobody" in error.message()
            else:
                assert error is None, error
                assert result.get_response().id == str(number)
                expected = np.full((1, 4), 2 * number, np.float32)
                values.assert_same(result.as_numpy("sum"), expected)
        client.stop_stream()


def test_streams_run_side_by_side(server):
    failures = []

    def one(seed):
        answers = queue.Queue()
        with triton.InferenceServerClient(server.grpc) as client:
            client.start_stream(callback=lambda result, error: answers.put((result, error)))
            for number in range(50):
                row = np.full((1, 4), seed + number, np.float32)
                client.async_stream_infer("classifier", [tensor("features", row, "FP32")])
            for number in range(50):
                result, error = answers.get(timeout=30)
                if error or result.as_numpy("scores")[0, 0] != seed + number:
                    failures.append((seed, number, error))

    threads = [threading.Thread(target=one, args=(seed * 1000,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_is_not_offered_says_so(client):
    for call in (
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
    ):
        refused(call, "UNIMPLEMENTED")


def test_models_are_loaded_on_request_in_another_mode_only(client):
    refused(lambda: client.load_model("digits"), "INVALID_ARGUMENT", "--model-control-mode explicit")
    refused(lambda: client.unload_model("digits"), "INVALID_ARGUMENT", "--model-control-mode explicit")
    assert client.is_model_ready("digits")


def test_the_health_service_agrees(server):
    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        for service in ("", "inference.GRPCInferenceService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == serving
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(watch).status == serving
        watch.cancel()


def test_reflection_shows_the_services(server):
    with grpc.insecure_channel(server.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services
        file = database.FindFileContainingSymbol("inference.GRPCInferenceService")
        [service] = [s for s in file.service if s.name == "GRPCInferenceService"]
        methods = {method.name for method in service.method}
        assert {"ModelInfer", "ModelStreamInfer", "RepositoryIndex"} <= methods
