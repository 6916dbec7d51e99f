"""What all tests share: the binary, its engine, a repository, a server."""

import os
import subprocess
from pathlib import Path

import pytest

import make_models
from server import Server

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOLS = TARGET / "clients/tools"
ENGINES = ("onnxruntime", "rten")


@pytest.fixture(scope="session")
def binary():
    path = Path(os.environ.get("MODELYARD", TARGET / "release/modelyard")).resolve()
    assert path.is_file(), f"{path} is missing: cargo build --release, or set MODELYARD"
    return path


@pytest.fixture(scope="session")
def data_dir(binary):
    """A data folder with ONNX Runtime, installed the way users do it."""
    folder = TARGET / "clients/data"
    command = [str(binary), "engine", "install", "onnxruntime"]
    done = subprocess.run(
        [*command, f"--data-dir={folder}"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    make_models.write_good(folder)
    return folder


@pytest.fixture(scope="session")
def server(binary, data_dir, repository, tmp_path_factory):
    """The server that most tests talk to: every model loads, by ONNX Runtime."""
    work = tmp_path_factory.mktemp("server")
    with Server(
        binary,
        work,
        f"--repository={repository}",
        "--engine=onnxruntime",
        f"--data-dir={data_dir}",
    ) as running:
        yield running
