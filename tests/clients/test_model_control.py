"""Triton's repository API by its own clients: load, unload, index, models given whole."""

import json
import time

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

import make_models
from server import Server

CLIENTS = {"http": triton_http, "grpc": triton_grpc}


@pytest.fixture(params=CLIENTS)
def control(request, binary, data_dir, tmp_path):
    """A server that loads nothing by itself, and a client of one protocol."""
    make_models.put(tmp_path / "models", "add_sub", make_models.add_sub())
    make_models.put(tmp_path / "models", "bad", b"noise")
    arguments = [f"--repository={tmp_path / 'models'}", f"--data-dir={data_dir}"]
    with Server(binary, tmp_path, *arguments, "--model-control-mode=explicit") as server:
        module = CLIENTS[request.param]
        with module.InferenceServerClient(getattr(server, request.param)) as client:
            yield module, client


def index(client):
    """State and reason by name and version."""
    found = client.get_model_repository_index()
    if not isinstance(found, list):
        found = [
            {"name": m.name, "version": m.version, "state": m.state, "reason": m.reason}
            for m in found.models
        ]
    return {(m["name"], m["version"]): (m["state"], m.get("reason", "")) for m in found}


def unloaded(client, name, version):
    """Whether it is unloaded, at the latest when its last request has ended."""
    for _ in range(200):
        found = index(client)[(name, version)]
        if found != ("UNLOADING", ""):
            break
        time.sleep(0.05)
    return found == ("UNAVAILABLE", "unloaded")


def infer(module, client, model="add_sub"):
    row = np.ones((1, 4), np.float32)
    tensors = []
    for name in "ab":
        tensor = module.InferInput(name, [1, 4], "FP32")
        tensor.set_data_from_numpy(row)
        tensors.append(tensor)
    return client.infer(model, tensors).as_numpy("sum").tolist()


def test_load_and_unload(control):
    module, client = control
    assert unloaded(client, "add_sub", "1")
    assert not client.is_model_ready("add_sub")
    client.load_model("add_sub")
    assert client.is_model_ready("add_sub")
    assert index(client)[("add_sub", "1")] == ("READY", "")
    assert infer(module, client) == [[2] * 4]
    client.load_model("add_sub")
    client.unload_model("add_sub", unload_dependents=True)
    assert unloaded(client, "add_sub", "1")
    with pytest.raises(InferenceServerException):
        infer(module, client)
    client.unload_model("add_sub")


def test_what_cannot_be_loaded_says_why(control):
    _, client = control
    with pytest.raises(InferenceServerException, match="no such model"):
        client.load_model("gone")
    with pytest.raises(InferenceServerException, match="failed to load 'bad'"):
        client.load_model("bad")
    state, reason = index(client)[("bad", "1")]
    assert state == "UNAVAILABLE" and reason
    with pytest.raises(InferenceServerException, match="no such model"):
        client.unload_model("gone")
    assert client.is_server_ready()


def test_a_configuration_overrides_what_lies_beside_the_model(control):
    module, client = control
    client.load_model("add_sub", config=json.dumps({"max_batch_size": 3}))
    config = client.get_model_config("add_sub")
    if module is triton_http:
        assert config["max_batch_size"] == 3
    else:
        assert config.config.max_batch_size == 3
    assert infer(module, client) == [[2] * 4]
    client.load_model("add_sub")
    with pytest.raises(InferenceServerException, match="max_batch_size"):
        client.load_model("add_sub", config=json.dumps({"max_bach_size": 3}))


def test_a_model_may_be_given_whole(control):
    module, client = control
    files = {"file:3/model.onnx": make_models.add_sub()}
    client.load_model("given", config=json.dumps({"backend": "onnxruntime"}), files=files)
    assert index(client)[("given", "3")] == ("READY", "")
    assert infer(module, client, "given") == [[2] * 4]
    client.unload_model("given")
    assert unloaded(client, "given", "3")
    with pytest.raises(InferenceServerException, match="config"):
        client.load_model("given", files=files)


@pytest.mark.parametrize("protocol", CLIENTS)
def test_other_modes_refuse_and_name_the_flag(server, protocol):
    with CLIENTS[protocol].InferenceServerClient(getattr(server, protocol)) as client:
        for order in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match="--model-control-mode explicit"):
                order("add_sub")
