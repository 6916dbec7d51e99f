"""From start to stop, and more load than there is capacity."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import make_models
from server import Server

BODY = {"inputs": [{"name": "seed", "shape": [1], "datatype": "FP32", "data": [0.5]}]}


@pytest.fixture
def repository_of_two(tmp_path):
    make_models.put(tmp_path / "models", "slow", make_models.slow(4))
    make_models.put(tmp_path / "models", "add_sub", make_models.add_sub())
    return tmp_path / "models"


def start(binary, data_dir, work, *more):
    models = f"--repository={work / 'models'}"
    return Server(binary, work, models, f"--data-dir={data_dir}", *more)


def test_sigterm_under_load_fails_no_request(binary, data_dir, repository_of_two, tmp_path):
    """Clients stop when readiness is gone, as load balancers do; all they sent is answered."""
    with start(binary, data_dir, tmp_path, "--set=drain_delay=1500ms") as server:
        ready, failures, answered = threading.Event(), [], []
        ready.set()

        def watch():
            with requests.Session() as session:
                while ready.is_set():
                    try:
                        answer = session.get(server.url("/v2/health/ready"), timeout=5)
                        if answer.status_code != 200:
                            ready.clear()
                    except requests.RequestException:
                        ready.clear()
                    time.sleep(0.1)

        def load_http():
            with requests.Session() as session:
                while ready.is_set():
                    try:
                        answer = session.post(
                            server.url("/v2/models/slow/infer"), json=BODY, timeout=30
                        )
                        answered.append("http")
                        if answer.status_code != 200:
                            failures.append(answer.text)
                    except requests.RequestException as error:
                        failures.append(repr(error))

        def load_grpc():
            tensor = triton_grpc.InferInput("seed", [1], "FP32")
            tensor.set_data_from_numpy(np.ones(1, np.float32))
            with triton_grpc.InferenceServerClient(server.grpc) as client:
                while ready.is_set():
                    try:
                        client.infer("slow", [tensor])
                        answered.append("grpc")
                    except Exception as error:
                        failures.append(repr(error))

        targets = [watch, *[load_http] * 4, *[load_grpc] * 4]
        threads = [threading.Thread(target=target) for target in targets]
        for thread in threads:
            thread.start()
        while min(map(answered.count, ("http", "grpc"))) < 20 and not failures:
            time.sleep(0.05)
        server.terminate()
        for thread in threads:
            thread.join()
        assert server.process.wait(30) == 0, server.text()
        assert not failures, failures[:3]


def test_draining_is_seen_everywhere(binary, data_dir, repository_of_two, tmp_path):
    with start(binary, data_dir, tmp_path, "--set=drain_delay=2s") as server:
        with grpc.insecure_channel(server.grpc) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            server.terminate()
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert server.status("/v2/health/ready") == 503
            assert server.status("/v2/health/live") == 200
            assert server.status("/metrics") == 200
            # Whoever has not noticed yet is still served.
            assert server.status("/v2/models/slow/ready") in (200, 503)
            assert server.call("/v2/models/slow/infer", BODY)[0] == 200
            watch.cancel()
        assert server.process.wait(30) == 0


def test_a_request_under_way_is_finished(binary, data_dir, repository_of_two, tmp_path):
    make_models.put(tmp_path / "models", "slower", make_models.slow(100))
    with start(binary, data_dir, tmp_path) as server:
        answers = []

        def ask():
            answers.append(server.call("/v2/models/slower/infer", BODY)[0])

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.15)
        server.terminate()
        thread.join()
        assert answers == [200]
        assert server.process.wait(30) == 0


def test_what_exceeds_drain_timeout_is_given_up(binary, data_dir, repository_of_two, tmp_path):
    more = ["--set=drain_timeout=1s", "--set=limits.body_timeout=60s"]
    with start(binary, data_dir, tmp_path, *more) as server:
        import socket

        host, port = server.http.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as stalled:
            stalled.sendall(b"POST /v2/models/slow/infer HTTP/1.1\r\nhost: x\r\n")
            stalled.sendall(b"content-length: 100\r\n\r\n{")
            time.sleep(0.3)
            started = time.monotonic()
            server.terminate()
            server.process.wait(20)
            assert time.monotonic() - started < 10


def test_the_address_file_is_complete_json(server):
    addresses = json.loads(server.address_file.read_text())
    assert set(addresses) >= {"http", "grpc", "metrics"}
    assert all(not address.endswith(":0") for address in addresses.values())


def test_it_ends_with_its_parent(binary, data_dir, repository_of_two, tmp_path):
    script = f"""
import os, sys
sys.path.insert(0, {str(os.path.dirname(__file__))!r})
from server import Server
server = Server({str(binary)!r}, {str(tmp_path)!r}, "--repository={repository_of_two}",
                "--data-dir={data_dir}")
print(server.process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    pid = int(done.stdout)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the server outlived its parent")


def test_an_occupied_port_is_an_error_not_a_wait(binary, data_dir, repository_of_two, server):
    command = [binary, "serve", f"--repository={repository_of_two}", f"--data-dir={data_dir}",
               f"--http-address={server.http}", "--grpc-address=127.0.0.1:0",
               "--metrics-address=127.0.0.1:0"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode not in (0, 101)
    assert server.http in done.stderr + done.stdout


def test_overload_keeps_goodput_and_refuses_at_once(binary, data_dir, tmp_path, capsys):
    """Ten times what the server can do: it goes on at nearly its best, and says no quickly.

    Every caller keeps its connection. One of three tries has to meet the bounds: the machine may
    run other things meanwhile."""
    make_models.put(tmp_path / "models", "slow", make_models.slow(40))
    more = ["--set=model.queue.max_requests=8"]
    with start(binary, data_dir, tmp_path, *more) as server:
        warm_up(server)
        for _ in range(3):
            peak = asyncio.run(closed_loop(server, callers=4, seconds=4))
            served, refused = asyncio.run(open_loop(server, rate=10 * peak, seconds=4))
            goodput, refused = served / 4, sorted(refused)
            assert len(refused) > 4 * served
            median, p99 = refused[len(refused) // 2], refused[int(len(refused) * 0.99)]
            with capsys.disabled():
                print(
                    f"\noverload: {peak:.1f}/s at best, {goodput:.1f}/s at 10x "
                    f"({goodput / peak:.2f}); {len(refused)} refused, in {median * 1e3:.1f} ms "
                    f"(p99 {p99 * 1e3:.1f} ms)"
                )
            if goodput >= 0.9 * peak and median < 0.02 and p99 < 0.2:
                return
    raise AssertionError("three times too little was served, or refusals took too long")


def test_refused_callers_with_large_bodies_keep_their_connections(binary, data_dir, tmp_path):
    """The server refuses before it has read the body, and the next request still gets through."""
    make_models.put(tmp_path / "models", "slow", make_models.slow(40))
    body = json.dumps({**BODY, "padding": "x" * 600_000})
    statuses, failures = [], []
    with start(binary, data_dir, tmp_path, "--set=model.queue.max_requests=2") as server:
        host, port = server.http.rsplit(":", 1)

        def call():
            connection = http.client.HTTPConnection(host, int(port), timeout=30)
            end = time.monotonic() + 4
            while time.monotonic() < end:
                try:
                    connection.request("POST", "/v2/models/slow/infer", body)
                    answer = connection.getresponse()
                    answer.read()
                    statuses.append(answer.status)
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                    connection.close()

        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, (len(failures), failures[:3])
    assert set(statuses) == {200, 429}


def warm_up(server):
    for _ in range(5):
        server.json("/v2/models/slow/infer", BODY)


class Connections:
    """Connections that are kept, as many as there are requests at once."""

    def __init__(self, server):
        self.host, self.port = server.http.rsplit(":", 1)
        self.idle = []

    async def request(self):
        """One request: status and time."""
        body = json.dumps(BODY)
        started = time.monotonic()
        if self.idle:
            reader, writer = self.idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self.host, int(self.port))
        text = "POST /v2/models/slow/infer HTTP/1.1\r\nhost: x\r\n"
        writer.write(f"{text}content-length: {len(body)}\r\n\r\n{body}".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.split("content-length: ")[1].split()[0]))
        took = time.monotonic() - started
        if "connection: close" in head:
            writer.close()
        else:
            self.idle.append((reader, writer))
        return int(head.split()[1]), took

    def close(self):
        for _, writer in self.idle:
            writer.close()


async def closed_loop(server, callers, seconds):
    """Answers a second when each caller waits for its answer."""
    connections = Connections(server)
    end = time.monotonic() + seconds

    async def call():
        count = 0
        while time.monotonic() < end:
            status, _ = await connections.request()
            assert status == 200
            count += 1
        return count

    started = time.monotonic()
    counts = await asyncio.gather(*(call() for _ in range(callers)))
    took = time.monotonic() - started
    connections.close()
    return sum(counts) / took


async def open_loop(server, rate, seconds):
    """Requests at a rate, whatever becomes of them: how many were served within the time, and
    how long each refused one took."""
    served, refused, others = [], [], []
    connections = Connections(server)
    end = time.monotonic() + seconds

    async def call():
        status, took = await connections.request()
        if status == 200:
            served.append(time.monotonic())
        elif status in (429, 503):
            refused.append(took)
        else:
            others.append(status)

    tasks, due = [], time.monotonic()
    while due < end:
        await asyncio.sleep(max(0, due - time.monotonic()))
        tasks.append(asyncio.create_task(call()))
        due += 1 / rate
    await asyncio.gather(*tasks)
    connections.close()
    assert not others, others
    return sum(moment <= end for moment in served), refused
