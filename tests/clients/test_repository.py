"""A repository with bad models: each is refused alone, and says why."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

import make_models
from server import Server

BAD = ("bad_sequence", "bad_corrupt", "bad_noise", "bad_empty")


@pytest.fixture(scope="module")
def mixed(binary, data_dir, tmp_path_factory):
    work = tmp_path_factory.mktemp("mixed")
    make_models.put(work / "models", "add_sub", make_models.add_sub())
    make_models.write_bad(work / "models")
    arguments = [f"--repository={work / 'models'}", f"--data-dir={data_dir}"]
    with Server(binary, work, *arguments, wait_ready=False) as server:
        with triton.InferenceServerClient(server.http) as client:
            wait_loaded(server, client)
            yield server


def wait_loaded(server, client):
    def loaded():
        states = {m["state"] for m in client.get_model_repository_index()}
        return states <= {"READY", "UNAVAILABLE"}

    server._wait(loaded, "has tried every model")


def test_bad_models_leave_the_others_serving(mixed):
    with triton.InferenceServerClient(mixed.http) as client:
        index = {m["name"]: m for m in client.get_model_repository_index()}
        assert index["add_sub"]["state"] == "READY"
        for name in BAD:
            assert index[name]["state"] == "UNAVAILABLE"
            assert index[name]["reason"], name
            assert not client.is_model_ready(name)
        row = np.ones((1, 4), np.float32)
        tensors = []
        for name in "ab":
            tensors.append(triton.InferInput(name, [1, 4], "FP32").set_data_from_numpy(row))
        assert client.infer("add_sub", tensors).as_numpy("sum").tolist() == [[2] * 4]
        with pytest.raises(InferenceServerException) as caught:
            client.infer("bad_corrupt", tensors)
        assert caught.value.status() in ("400", "404", "503")


def test_the_reasons_help(mixed):
    with triton.InferenceServerClient(mixed.http) as client:
        reasons = {m["name"]: m.get("reason", "") for m in client.get_model_repository_index()}
    assert "sequence" in reasons["bad_sequence"].lower()
    assert "parts" in reasons["bad_sequence"]


def test_readiness_is_strict_unless_told_otherwise(mixed, binary, data_dir, tmp_path):
    with triton.InferenceServerClient(mixed.http) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
    with triton_grpc.InferenceServerClient(mixed.grpc) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
    make_models.put(tmp_path / "models", "add_sub", make_models.add_sub())
    make_models.put(tmp_path / "models", "bad", b"noise")
    arguments = [f"--repository={tmp_path / 'models'}", f"--data-dir={data_dir}"]
    with Server(binary, tmp_path, *arguments, "--set=strict_readiness=false") as server:
        assert server.is_ready()


def test_validate_finds_the_same_without_serving(mixed, binary, data_dir):
    repository = mixed.address_file.parent / "models"
    command = [binary, "validate", f"--repository={repository}", f"--data-dir={data_dir}"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode != 0
    for name in BAD:
        assert name in done.stdout + done.stderr


def test_every_datatype_that_rten_takes_is_served_and_others_are_refused(
    binary, repository, tmp_path
):
    import values

    arguments = [f"--repository={repository}", "--engine=rten", "--set=strict_readiness=false"]
    with Server(binary, tmp_path, *arguments) as server:
        with triton.InferenceServerClient(server.http) as client:
            index = {(m["name"], m["version"]): m for m in client.get_model_repository_index()}
            served = 0
            for datatype in values.NUMPY:
                name = f"identity_{datatype.lower()}"
                if index[(name, "1")]["state"] != "READY":
                    assert index[(name, "1")]["reason"]
                    continue
                served += 1
                for given in (values.of(datatype), values.of(datatype)[:, 1:]):
                    check_identity(client, name, datatype, given)
            assert served >= 5, index
            assert index[("digits", "1")]["state"] == "READY"


def check_identity(client, name, datatype, given):
    """The same values, or a refusal of values that the engine cannot hold; never others.

    rten computes FP64 in 32 bits, which rounds."""
    tensor = triton.InferInput("input", list(given.shape), datatype)
    tensor.set_data_from_numpy(given)
    try:
        actual = client.infer(name, [tensor]).as_numpy("output")
    except InferenceServerException as error:
        assert error.status() == "400", error
        assert "input" in error.message()
        return
    if datatype == "FP64":
        given = given.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(actual, given)


def test_external_data_outside_the_model_folder_is_refused(binary, data_dir, tmp_path):
    import onnx
    from onnx import external_data_helper

    (tmp_path / "secret").write_bytes(b"\0" * 64)
    for name, location in [("up", "../../../secret"), ("absolute", str(tmp_path / "secret"))]:
        model = onnx.load_from_string(make_models.slow(1))
        [weights] = [t for t in model.graph.initializer if t.name == "weights"]
        external_data_helper.set_external_data(weights, location)
        weights.ClearField("raw_data")
        make_models.put(tmp_path / "models", name, model.SerializeToString())
    link = tmp_path / "models/link/1"
    link.mkdir(parents=True)
    model = onnx.load_from_string(make_models.slow(1))
    [weights] = [t for t in model.graph.initializer if t.name == "weights"]
    external_data_helper.set_external_data(weights, "link.bin")
    weights.ClearField("raw_data")
    (link / "model.onnx").write_bytes(model.SerializeToString())
    os.symlink(tmp_path / "secret", link / "link.bin")
    make_models.put(tmp_path / "models", "add_sub", make_models.add_sub())
    arguments = [f"--repository={tmp_path / 'models'}", f"--data-dir={data_dir}"]
    with Server(binary, tmp_path, *arguments, "--set=strict_readiness=false") as server:
        with triton.InferenceServerClient(server.http) as client:
            index = {m["name"]: m for m in client.get_model_repository_index()}
        for name in ("up", "absolute", "link"):
            assert index[name]["state"] == "UNAVAILABLE"
            assert "secret" in index[name]["reason"] or "link.bin" in index[name]["reason"]
        assert index["add_sub"]["state"] == "READY"


def test_a_model_by_file_needs_no_repository(binary, data_dir, repository, tmp_path):
    shutil.copy(repository / "add_sub/1/model.onnx", tmp_path / "pair.onnx")
    models = [f"first={make_models.DIGITS}", tmp_path / "pair.onnx"]
    with Server(binary, tmp_path, *models, f"--data-dir={data_dir}") as server:
        index = server.json("/v2/repository/index", {})
        assert {m["name"] for m in index} == {"first", "pair"}
