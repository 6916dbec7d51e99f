"""Three servers share a registry in PostgreSQL and an S3 server (moto), each in a network namespace of its
own. Each is cut off in turn during a canary, while clients beside it go on asking. See bench/README.md.

    sudo python3 bench/reliability/partition.py --modelyard target/release/modelyard \\
        --moto target/registry-servers/venv/bin/moto_server
"""

import argparse
import contextlib
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

HUB = "10.77.0.1"
REPLICAS = ["a", "b", "c"]
POSTGRES_PORT, S3_PORT = 5577, 5578
# How long a server is cut off: longer than anything waits for an answer.
CUT_SECONDS = 12
GOAL_SECONDS = 10.0


def sh(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Network:
    """A bridge, and a namespace for each server."""

    def __enter__(self):
        self.__exit__()
        sh("ip", "link", "add", "my-br", "type", "bridge")
        sh("ip", "addr", "add", f"{HUB}/24", "dev", "my-br")
        sh("ip", "link", "set", "my-br", "up")
        for index, name in enumerate(REPLICAS):
            sh("ip", "netns", "add", f"my-{name}")
            sh("ip", "link", "add", f"my-{name}0", "type", "veth", "peer", "name", f"my-{name}1")
            sh("ip", "link", "set", f"my-{name}1", "netns", f"my-{name}")
            sh("ip", "link", "set", f"my-{name}0", "master", "my-br", "up")
            inside = ["ip", "-n", f"my-{name}"]
            sh(*inside, "addr", "add", f"10.77.0.{11 + index}/24", "dev", f"my-{name}1")
            sh(*inside, "link", "set", f"my-{name}1", "up")
            sh(*inside, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        for name in REPLICAS:
            subprocess.run(["ip", "netns", "del", f"my-{name}"], capture_output=True)
            subprocess.run(["ip", "link", "del", f"my-{name}0"], capture_output=True)
        subprocess.run(["ip", "link", "del", "my-br"], capture_output=True)

    def cut(self, name):
        # Its end stays up: packets vanish, and nobody is told.
        sh("ip", "link", "set", f"my-{name}0", "nomaster")

    def heal(self, name):
        sh("ip", "link", "set", f"my-{name}0", "master", "my-br")


@contextlib.contextmanager
def stores(folder, moto):
    """PostgreSQL and an S3 server on the hub's address."""
    data = folder / "postgres"
    bin = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1]).parent
    as_postgres = ["runuser", "-u", "postgres", "--"]
    folder.chmod(0o755)
    data.mkdir()
    shutil.chown(data, "postgres")
    sh(*as_postgres, bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", cwd="/")
    with open(data / "pg_hba.conf", "a") as hba:
        hba.write("host all all 10.77.0.0/24 trust\n")
    options = f"-p {POSTGRES_PORT} -k {data} -h {HUB}"
    start = ["-D", data, "-w", "-l", data / "log", "-o", options, "start"]
    subprocess.run([*as_postgres, bin / "pg_ctl", *start], check=True, cwd="/", stdout=subprocess.DEVNULL)
    s3 = subprocess.Popen(
        [moto, "-H", HUB, "-p", str(S3_PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                bucket = urllib.request.Request(f"http://{HUB}:{S3_PORT}/registry", method="PUT")
                urllib.request.urlopen(bucket, timeout=5)
                break
            time.sleep(0.2)
        yield
    finally:
        s3.kill()
        stop = ["-D", data, "-m", "immediate", "stop"]
        subprocess.run([*as_postgres, bin / "pg_ctl", *stop], cwd="/", stdout=subprocess.DEVNULL)


# Runs in a server's namespace: asks without end, and writes a line for each second.
CLIENT = """
import http.client, json, sys, time
body, out = open(sys.argv[1]).read(), open(sys.argv[2], "w", buffering=1)
second, ok, failed, versions = int(time.time()), 0, 0, set()
connection = None
while True:
    try:
        connection = connection or http.client.HTTPConnection("127.0.0.1", 8000, timeout=5)
        connection.request("POST", "/v2/models/m/infer", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == 200:
            ok += 1
            versions.add(int(json.loads(text)["model_version"]))
        else:
            failed += 1
    except OSError:
        connection, failed = None, failed + 1
    if int(time.time()) != second:
        print(json.dumps({"at": second, "ok": ok, "failed": failed, "versions": sorted(versions)}), file=out)
        second, ok, failed, versions = int(time.time()), 0, 0, set()
    time.sleep(0.01)
"""


class Bench:
    def __init__(self, folder, modelyard, network):
        self.folder, self.modelyard, self.network = folder, modelyard, network
        self.environment = {
            **os.environ,
            "MODELYARD_REGISTRY": f"postgres://postgres@{HUB}:{POSTGRES_PORT}/postgres",
            "MODELYARD_REGISTRY_CONTENTS": "s3://registry/bench",
            "AWS_ENDPOINT": f"http://{HUB}:{S3_PORT}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self.processes = []

    def registry(self, *arguments):
        command = [self.modelyard, "registry", *arguments, "--json"]
        return json.loads(sh(*command, env=self.environment))

    def start(self, name):
        command = ["ip", "netns", "exec", f"my-{name}", self.modelyard, "serve"]
        command += ["--from-registry", "m:stable", "--data-dir", str(self.folder / f"data-{name}")]
        log = open(self.folder / f"{name}.log", "w")
        self.processes.append(subprocess.Popen(command, env=self.environment, stderr=log))
        self.until(lambda: self.versions(name) is not None, 60)
        client = ["ip", "netns", "exec", f"my-{name}", sys.executable, "-c", CLIENT]
        client += [str(self.folder / "body.json"), str(self.folder / f"{name}.jsonl")]
        self.processes.append(subprocess.Popen(client))

    def versions(self, name):
        """What a server serves, asked inside its namespace."""
        command = ["ip", "netns", "exec", f"my-{name}", "curl", "-s", "-m", "3"]
        asked = subprocess.run([*command, "http://127.0.0.1:8000/v2/models/m"], capture_output=True, text=True)
        with contextlib.suppress(ValueError):
            return json.loads(asked.stdout).get("versions")
        return None

    def until(self, holds, seconds):
        begun = time.monotonic()
        while not holds():
            if time.monotonic() - begun > seconds:
                raise TimeoutError(f"not within {seconds} s")
            time.sleep(0.1)
        return time.monotonic() - begun

    def lines(self, name):
        with open(self.folder / f"{name}.jsonl") as lines:
            return [json.loads(line) for line in lines]

    def others(self, name):
        return [other for other in REPLICAS if other != name]

    def all_serve(self, versions, names=REPLICAS):
        return all(self.versions(name) == versions for name in names)


def publish(bench, example):
    """Two versions: the same network, another file."""
    one = example.read_bytes()
    (bench.folder / "m.onnx").write_bytes(one)
    bench.registry("push", f"m={bench.folder / 'm.onnx'}", "--alias", "stable")
    # A producer name of its own: field 2 of the model, which readers pass over.
    (bench.folder / "m.onnx").write_bytes(one + b"\x12\x01b")
    bench.registry("push", f"m={bench.folder / 'm.onnx'}", "--alias", "canary")


def round_of(bench, name):
    """Cuts one server off during a canary; the others end it; the server comes back."""
    bench.registry("rollout", "start", "m:2", "--plan", "50%:100000000,100%")
    bench.until(lambda: bench.all_serve(["1", "2"]), 30)
    bench.network.cut(name)
    time.sleep(CUT_SECONDS / 2)
    bench.registry("rollout", "abort", "m")
    others = bench.until(lambda: bench.all_serve(["1"], bench.others(name)), 30)
    still = bench.versions(name)
    time.sleep(CUT_SECONDS / 2)
    bench.network.heal(name)
    back = bench.until(lambda: bench.versions(name) == ["1"], 60)
    return {"cut_off": name, "others_s": others, "served_while_cut_off": still, "back_s": back}


def promotion(bench, name):
    """The others judge and promote while one server is cut off."""
    bench.registry("rollout", "start", "m:2", "--plan", "50%:500:8s,100%")
    bench.until(lambda: bench.all_serve(["1", "2"]), 30)
    bench.network.cut(name)
    bench.until(lambda: bench.all_serve(["2"], bench.others(name)), 120)
    still = bench.versions(name)
    bench.network.heal(name)
    back = bench.until(lambda: bench.versions(name) == ["2"], 60)
    events = bench.registry("log", "m")["events"]
    promoted = [event for event in events if (event["action"], event["now"]) == ("rollout", "promoted")]
    return {"cut_off": name, "served_while_cut_off": still, "back_s": back, "promotions": len(promoted)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modelyard", default="target/release/modelyard")
    parser.add_argument("--moto", default="target/registry-servers/venv/bin/moto_server")
    parser.add_argument("--output", default="bench/results/partition.json")
    arguments = parser.parse_args()
    example = pathlib.Path("examples/digits/digits.onnx").absolute()
    modelyard, moto = (os.path.abspath(path) for path in (arguments.modelyard, arguments.moto))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="modelyard-partition-"))
    image = {"name": "image", "datatype": "FP32", "shape": [1, 784], "data": [0.5] * 784}
    (folder / "body.json").write_text(json.dumps({"inputs": [image]}))
    with Network() as network, stores(folder, moto):
        bench = Bench(folder, modelyard, network)
        try:
            publish(bench, example)
            for name in REPLICAS:
                bench.start(name)
            rounds = [round_of(bench, name) for name in REPLICAS]
            promoted = promotion(bench, REPLICAS[0])
            time.sleep(2)
            seconds = {name: bench.lines(name) for name in REPLICAS}
        finally:
            for process in bench.processes:
                process.kill()
    asked = {
        name: {
            "answered": sum(line["ok"] for line in lines),
            "failed": sum(line["failed"] for line in lines),
            "seconds_without_an_answer": sum(line["ok"] == 0 for line in lines),
        }
        for name, lines in seconds.items()
    }
    result = {"rounds": rounds, "promotion": promoted, "clients": asked}
    pathlib.Path(arguments.output).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    slowest = max(one["back_s"] for one in [*rounds, promoted])
    good = (
        slowest <= GOAL_SECONDS
        and promoted["promotions"] == 1
        and all(one["failed"] == 0 and one["seconds_without_an_answer"] == 0 for one in asked.values())
    )
    print(f"converged within {slowest:.1f} s (goal {GOAL_SECONDS:.0f}); {'reached' if good else 'NOT reached'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
