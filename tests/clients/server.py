"""A `modelyard serve` process for the length of a test."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

START_TIMEOUT_S = 120


class Server:
    """Starts the server on free ports, waits until it listens, stops it at the end of `with`."""

    def __init__(self, binary, work, *arguments, wait_ready=True):
        self.address_file = Path(work) / "addresses.json"
        self.log = Path(work) / "log.txt"
        self.address_file.unlink(missing_ok=True)
        addresses = [f"--{name}-address=127.0.0.1:0" for name in ("http", "grpc", "metrics")]
        command = [str(binary), "serve", *map(str, arguments), *addresses]
        command += [f"--address-file={self.address_file}", "--exit-with-parent"]
        # What the caller's shell has set for another server is not meant for this one.
        own = {k: v for k, v in os.environ.items() if not k.startswith(("MODELYARD_", "ORT_"))}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=own, cwd=work
            )
        try:
            self._wait(self.address_file.exists, "listens")
            addresses = json.loads(self.address_file.read_text())
            self.http, self.grpc = addresses["http"], addresses["grpc"]
            self.metrics = addresses["metrics"]
            if wait_ready:
                self._wait(self.is_ready, "is ready")
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"did not stop on SIGTERM:\n{self.text()}") from None

    def _wait(self, condition, what):
        end = time.monotonic() + START_TIMEOUT_S
        while not condition():
            code = self.process.poll()
            assert code is None, f"ended with {code} before it {what}:\n{self.text()}"
            assert time.monotonic() < end, f"took too long until it {what}:\n{self.text()}"
            time.sleep(0.02)

    def text(self):
        """What the server has logged."""
        return self.log.read_text(errors="replace")[-8000:]

    def url(self, path):
        return f"http://{self.http}{path}"

    def status(self, path):
        """The status of a GET."""
        return self.call(path)[0]

    def call(self, path, body=None, headers=None, method=None):
        """One request by the standard library: status, header fields, body."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        request = urllib.request.Request(
            self.url(path), data=body, headers=headers or {}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def json(self, path, body=None):
        """The JSON of an answer that must be 200."""
        status, _, text = self.call(path, body)
        assert status == 200, text
        return json.loads(text)

    def is_ready(self):
        return self.status("/v2/health/ready") == 200

    def rss_mb(self):
        """Memory held by the process now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the server is gone")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
