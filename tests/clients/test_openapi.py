"""schemathesis plays with the server by its own OpenAPI document."""

import subprocess
import sys
from pathlib import Path

# 501 is how a server says that it does not offer a part of the protocol.
CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 501]
"""

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
]


def test_the_document_is_openapi_3_1(server):
    document = server.json("/openapi.json")
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    for path in ("/v2/models/{model}/infer", "/predict", "/v2/repository/index", "/metrics"):
        assert path in paths, sorted(paths)


def test_every_answer_is_one_that_the_document_names(server, tmp_path):
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={config}",
        "run",
        server.url("/openapi.json"),
        f"--checks={','.join(CHECKS)}",
        "--phases=examples,coverage,fuzzing",
        "--max-examples=25",
        "--seed=1",
        "--generation-deterministic",
        "--suppress-health-check=all",
        "--request-timeout=30",
        "--warnings=off",
        "--no-color",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
    )
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    assert server.is_ready()


def test_there_is_a_readable_page(server):
    [page] = [
        answer
        for path in ("/docs", "/openapi", "/")
        if (answer := server.call(path))[0] == 200 and "html" in answer[1].get("content-type", "")
    ][:1]
    assert b"openapi.json" in page[2]
