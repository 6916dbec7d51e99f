"""Hostile and clumsy clients on raw sockets. After each, the server answers others as before and
has not grown."""

import gzip
import json
import socket
import struct
import threading
import time
import zlib

import grpc
import pytest

from server import Server

GROWTH_MB = 300

GOOD = {
    "inputs": [
        {"name": name, "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]} for name in "ab"
    ]
}
PATH = "/v2/models/add_sub/infer"


@pytest.fixture(scope="module")
def exposed(binary, data_dir, repository, tmp_path_factory):
    """A server whose timeouts are short enough to wait for."""
    work = tmp_path_factory.mktemp("exposed")
    settings = {
        "limits.header_timeout": "1s",
        "limits.body_timeout": "1s",
        "limits.idle_timeout": "3s",
        "limits.write_timeout": "2s",
        "strict_readiness": "false",
    }
    arguments = [f"--repository={repository}", f"--data-dir={data_dir}"]
    arguments += [f"--set={key}={value}" for key, value in settings.items()]
    with Server(binary, work, *arguments) as server:
        server.json(PATH, GOOD)
        server.baseline_mb = server.rss_mb()
        yield server


@pytest.fixture(autouse=True)
def unharmed(exposed):
    yield
    assert exposed.process.poll() is None, exposed.text()
    assert exposed.json(PATH, GOOD)["outputs"][0]["data"] == [2, 4, 6, 8]
    assert exposed.rss_mb() < exposed.baseline_mb + GROWTH_MB


class Raw:
    """A TCP connection without manners."""

    def __init__(self, server, timeout=15, port="http"):
        host, port = getattr(server, port).rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece if isinstance(piece, bytes) else piece.encode())
        return self

    def answer(self):
        """One answer: status, header fields in lower case, body."""
        if not hasattr(self, "file"):
            self.file = self.socket.makefile("rb")
        line = self.file.readline()
        if not line:
            return None
        fields = {}
        while (field := self.file.readline().strip()):
            name, value = field.decode("latin-1").split(":", 1)
            fields[name.lower()] = value.strip()
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
        else:
            body = self.file.read(int(fields.get("content-length", 0)))
        return int(line.split()[1]), fields, body

    def closed(self):
        """Whether the server closes the connection within the socket's timeout."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def reset(self):
        """Ends with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def head(path=PATH, method="POST", version="1.1", **fields):
    lines = [f"{method} {path} HTTP/{version}", "host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines) + "\r\n\r\n"


def post(exposed, body, path=PATH, **fields):
    """One well-framed POST: its status and what the error says."""
    body = body if isinstance(body, bytes) else body.encode()
    with Raw(exposed, timeout=60) as raw:
        try:
            raw.send(head(path, content_length=len(body), **fields), body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before the body was read: the answer is there already.
        status, fields, text = raw.answer()
    return status, (json.loads(text).get("error") if status >= 400 else None)


def tensor(shape, data, datatype="FP32"):
    shape = json.dumps(shape) if isinstance(shape, list) else shape
    given = f'{{"name":"input","shape":{shape},"datatype":"{datatype}","data":{data}}}'
    return f'{{"inputs":[{given}]}}'


# Slow, half and broken connections.


def test_a_slow_head_is_cut_off(exposed):
    with Raw(exposed) as raw:
        raw.send("POST / HTTP/1.1\r\n")
        started = time.monotonic()
        stop = threading.Event()

        def drip():
            while not stop.wait(0.2):
                try:
                    raw.send("x-drip: 1\r\n")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        assert raw.closed()
        stop.set()
        thread.join()
        assert time.monotonic() - started < 10


def test_silent_connections_are_closed(exposed):
    with Raw(exposed) as silent, Raw(exposed) as idle:
        idle.send(head("/v2", "GET"))
        assert idle.answer()[0] == 200
        assert silent.closed() and idle.closed()


@pytest.mark.parametrize("sent", ["nothing", "half a preface", "a preface", "half a request"])
@pytest.mark.parametrize("port", ["http", "grpc"])
def test_silent_http_2_connections_are_closed(exposed, port, sent):
    headers = request_headers("/inference.GRPCInferenceService/ModelInfer")
    content = {
        "nothing": b"",
        "half a preface": PREFACE[:12],
        "a preface": PREFACE,
        "half a request": PREFACE + frame(1, 4, 1, headers) + frame(0, 0, 1, b"\0\0\0\0\x09abc"),
    }[sent]
    with Raw(exposed, port=port) as silent:
        assert silent.send(content).closed()


def test_a_slow_body_is_cut_off_while_others_are_served(exposed):
    with Raw(exposed) as raw:
        raw.send(head(content_length=1_000_000), "{")
        started = time.monotonic()
        stop = threading.Event()

        def drip():
            while not stop.wait(0.2):
                try:
                    raw.send(" ")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        for _ in range(20):
            exposed.json(PATH, GOOD)
        assert raw.closed()
        stop.set()
        thread.join()
        assert time.monotonic() - started < 10


def test_hundreds_of_stalled_connections_do_not_stop_service(exposed):
    stalled = [Raw(exposed).send(head(content_length=100), "{") for _ in range(400)]
    started = time.monotonic()
    exposed.json(PATH, GOOD)
    assert time.monotonic() - started < 5
    for raw in stalled:
        raw.socket.close()


def test_a_half_closed_connection_gets_its_answer(exposed):
    body = json.dumps(GOOD)
    with Raw(exposed) as raw:
        raw.send(head(content_length=len(body)), body)
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.answer()[0] == 200
        assert raw.closed()


def test_connections_reset_at_any_point(exposed):
    body = json.dumps(GOOD)
    whole = (head(content_length=len(body)) + body).encode()
    for length in range(0, len(whole) + 1, 7):
        Raw(exposed).send(whole[:length]).reset()


def test_callers_who_do_not_read_are_dropped(exposed):
    """Answers that nobody takes do not pile up."""
    row = json.dumps([0.123456789] * 200_000)
    body = tensor([1, 200_000], row)
    request = head("/v2/models/identity_fp32/infer", content_length=len(body)) + body
    raws = [Raw(exposed) for _ in range(20)]
    for raw in raws:
        raw.socket.settimeout(0.5)
        try:
            raw.send(request)
        except TimeoutError:
            pass
    exposed.json(PATH, GOOD)
    for raw in raws:
        raw.reset()


# Bodies that lie.


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compression_bomb_is_refused(exposed, coding):
    zeros = b"\0" * (1 << 20)
    packer = zlib.compressobj(6, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    bomb = b"".join([*(packer.compress(zeros) for _ in range(256)), packer.flush()])
    status, error = post(exposed, bomb, content_encoding=coding)
    assert status in (400, 413), error


def test_broken_compression_is_refused(exposed):
    good = gzip.compress(json.dumps(GOOD).encode())
    damaged = good[:20] + bytes([good[20] ^ 0xFF]) + good[21:]
    for body in (b"", b"\x1f\x8b", good[:-9], damaged, b"plain"):
        assert post(exposed, body, content_encoding="gzip")[0] == 400
    assert post(exposed, good, content_encoding="zebra")[0] == 415
    assert post(exposed, good, content_encoding="gzip")[0] == 200


@pytest.mark.parametrize(
    "length", ["-1", "1e3", "", "999999999", "18446744073709551616", "0x10", "1", "nan", "1, 2"]
)
def test_a_lying_inference_header_length_is_refused(exposed, length):
    body = json.dumps(GOOD)
    assert post(exposed, body, Inference_Header_Content_Length=length)[0] == 400


def binary_request(size, blob):
    given = {"name": "input", "shape": [1, 4], "datatype": "FP32"}
    given["parameters"] = {"binary_data_size": size}
    text = json.dumps({"inputs": [given]})
    path = "/v2/models/identity_fp32/infer"
    return dict(body=text.encode() + blob, path=path, Inference_Header_Content_Length=len(text))


def test_binary_sizes_that_lie_are_refused(exposed):
    assert post(exposed, **binary_request(16, b"\0" * 16))[0] == 200
    for size, blob in [
        (16, b"\0" * 15),
        (16, b"\0" * 17),
        (12, b"\0" * 12),
        (-16, b"\0" * 16),
        (2**63, b"\0" * 16),
        (2**70, b"\0" * 16),
        ("16", b"\0" * 16),
        (1.5, b"\0" * 16),
        (0, b""),
    ]:
        assert post(exposed, **binary_request(size, blob))[0] == 400, size


def test_a_raw_body_of_the_wrong_size_is_refused(exposed):
    for size, status in [(784 * 4, 200), (784 * 4 - 1, 400), (784 * 4 + 4, 400), (0, 400)]:
        fields = {"Inference_Header_Content_Length": 0}
        answer = post_status(exposed, b"\0" * size, "/v2/models/digits/infer", **fields)
        assert answer == status, size


def post_status(exposed, body, path, **fields):
    with Raw(exposed) as raw:
        raw.send(head(path, content_length=len(body), **fields), body)
        return raw.answer()[0]


def test_a_body_over_the_limit_is_refused_before_it_is_sent(exposed):
    for length in (1 << 40, (64 << 20) + 1):
        with Raw(exposed) as raw:
            raw.send(head(content_length=length))
            assert raw.answer()[0] == 413


def test_an_endless_chunked_body_is_refused(exposed):
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    with Raw(exposed) as raw:
        raw.send(head(transfer_encoding="chunked"))
        try:
            for _ in range(200):
                raw.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            assert raw.answer()[0] == 413
        except ConnectionResetError:
            pass  # The answer was overtaken by the reset that stopped the flood.


def test_contradictory_framing_is_refused(exposed):
    for fields in (
        "content-length: 5\r\ncontent-length: 6",
        "content-length: -1",
        "content-length: +5",
        "content-length: 99999999999999999999",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: zebra",
    ):
        with Raw(exposed) as raw:
            raw.send(f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\nhello")
            answer = raw.answer()
            assert answer is None or answer[0] in (400, 413, 501), (fields, answer)
            assert raw.closed()


def test_what_follows_a_short_content_length_is_no_request_of_others(exposed):
    body = json.dumps(GOOD)
    with Raw(exposed) as raw:
        raw.send(head(content_length=10), body)
        assert raw.answer()[0] == 400
        assert raw.closed()


# JSON.


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"inputs":[', '{"parameters":{"a":'])
def test_ten_thousand_levels_of_json_are_refused(exposed, opening):
    for path in (PATH, "/predict/digits", "/v2/repository/index"):
        status, error = post(exposed, opening * 10_000, path)
        assert status == 400, error


def test_nested_data_is_refused_beyond_its_rank(exposed):
    body = tensor([1, 1], "[" * 10_000 + "1" + "]" * 10_000)
    assert post(exposed, body, "/v2/models/identity_fp32/infer")[0] == 400


@pytest.mark.parametrize(
    "shape",
    [
        [1 << 40, 1 << 40],
        [(1 << 63) - 1, 2],
        [1 << 32, 1 << 32],
        [0, 1 << 62],
        [-1, 4],
        [1 << 64, 1],
        [1],
        [1] * 5000,
        "[1.5,4]",
        '["1",4]',
        "[1e400,4]",
        "null",
        "{}",
    ],
)
def test_shapes_beyond_reason_are_refused_at_once(exposed, shape):
    path = "/v2/models/identity_fp32/infer"
    assert post(exposed, tensor(shape, "[1,2,3,4]"), path)[0] in (400, 413)


@pytest.mark.parametrize("model", ["identity_int64", "identity_uint8", "identity_bool"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1.5", "1e300", "-129e30", "null", '"1"'])
def test_what_is_no_integer_is_refused_in_integer_tensors(exposed, model, value):
    datatype = model.split("_")[1].upper()
    body = tensor([1, 1], f"[{value}]", datatype)
    assert post(exposed, body, f"/v2/models/{model}/infer")[0] == 400


def test_integers_beyond_their_datatype_are_refused(exposed):
    for datatype, value in [
        ("UINT8", 256), ("UINT8", -1), ("INT8", 128), ("INT16", -32769), ("INT32", 1 << 31),
        ("INT64", 1 << 63), ("UINT64", 1 << 64), ("UINT64", -1),
    ]:  # fmt: skip
        body = tensor([1, 1], f"[{value}]", datatype)
        assert post(exposed, body, f"/v2/models/identity_{datatype.lower()}/infer")[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[{"name":"\xff\xfe"}]}',
        b'\xef\xbb\xbf{"inputs":[]}\xc3\x28',
        b'{"inputs":[{"name":"input","shape":[1,1],"datatype":"BYTES","data":["\xff"]}]}',
        b'{"inputs":[{"name":"input","shape":[1,1],"datatype":"BYTES","data":["\\ud800"]}]}',
        b"\0\0\0\0",
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"inputs":{}}',
        b'{"inputs":[1]}',
        b'{"inputs":[]}trailing',
    ],
)
def test_what_is_no_json_is_refused(exposed, body):
    assert post(exposed, body, "/v2/models/identity_bytes/infer")[0] == 400


def test_many_small_things_do_not_add_up(exposed):
    inputs = ",".join('{"name":"x","shape":[],"datatype":"FP32","data":[]}' for _ in range(200_000))
    assert post(exposed, f'{{"inputs":[{inputs}]}}')[0] == 400
    keys = ",".join(f'"k{i}":{i}' for i in range(200_000))
    assert post(exposed, f'{{"parameters":{{{keys}}},"inputs":[]}}')[0] == 400


# HTTP.


def test_pipelined_requests_are_answered_in_order(exposed):
    bodies = []
    for number in range(50):
        request = {"id": str(number), **GOOD}
        bodies.append(json.dumps(request))
    with Raw(exposed) as raw:
        raw.send("".join(head(content_length=len(body)) + body for body in bodies))
        ids = [json.loads(raw.answer()[2])["id"] for _ in bodies]
        assert ids == [str(number) for number in range(50)]


def test_http_1_0_is_answered_and_closed(exposed):
    body = json.dumps(GOOD)
    with Raw(exposed) as raw:
        raw.send(head(version="1.0", content_length=len(body)), body)
        status, fields, text = raw.answer()
        assert status == 200 and "chunked" not in fields.get("transfer-encoding", "")
        assert json.loads(text)["model_name"] == "add_sub"
        assert raw.closed()


def test_expect_100_continue_is_honoured(exposed):
    body = json.dumps(GOOD)
    with Raw(exposed) as raw:
        raw.send(head(content_length=len(body), expect="100-continue"))
        assert raw.answer()[0] == 100
        raw.send(body)
        assert raw.answer()[0] == 200
    with Raw(exposed) as raw:
        raw.send(head(content_length=1 << 40, expect="100-continue"))
        assert raw.answer()[0] == 413


@pytest.mark.parametrize("size", [1, 3, 64, 100_000])
def test_chunked_bodies_are_read(exposed, size):
    body = json.dumps(GOOD)
    with Raw(exposed) as raw:
        raw.send(head(transfer_encoding="chunked"))
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            raw.send(f"{len(piece):x};note=1\r\n{piece}\r\n")
        raw.send("0\r\nx-trailer: 1\r\n\r\n")
        assert raw.answer()[0] == 200


def test_broken_chunks_are_refused(exposed):
    for chunks in ("zz\r\n", "5\r\nabcdefgh\r\n", "ffffffffffffffffff\r\n", "-1\r\n", "5\r\nab"):
        with Raw(exposed) as raw:
            raw.send(head(transfer_encoding="chunked"), chunks)
            answer = raw.answer()
            assert answer is None or answer[0] in (400, 408, 413), (chunks, answer)
            assert raw.closed()


@pytest.mark.parametrize(
    "request_head",
    [
        "GARBAGE\r\n\r\n",
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /" + "a" * 100_000 + " HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /v2 HTTP/1.1\r\nhost: x\r\n" + "a: b\r\n" * 5000 + "\r\n",
        "GET /v2 HTTP/1.1\r\nhost: x\r\na: " + "b" * 100_000 + "\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_heads_beyond_reason_are_refused(exposed, request_head):
    with Raw(exposed) as raw:
        try:
            raw.send(request_head.encode("latin-1"))
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = raw.answer()
        except ConnectionResetError:
            answer = None
        assert answer is None or 400 <= answer[0] < 500 or answer[0] == 505, answer
        assert raw.closed()


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/%ff%fe/infer",
        "/v2/models/../../etc/passwd/infer",
        "/v2/models/add_sub/versions/99999999999999999999/infer",
        "/v2/models/add_sub/versions/-1/infer",
        "/v2/models//infer",
        "/%00",
        "/v2/models/" + "a" * 4000 + "/infer",
    ],
)
def test_paths_beyond_reason_are_refused(exposed, path):
    status, error = post(exposed, json.dumps(GOOD), path)
    assert status in (400, 404), error


def test_unknown_methods_are_refused(exposed):
    for method, path in [("DELETE", "/v2"), ("PUT", PATH), ("GET", PATH), ("POST", "/v2"), ("X", "/v2")]:
        with Raw(exposed) as raw:
            raw.send(head(path, method, content_length=0))
            assert raw.answer()[0] in (400, 405, 501)


# gRPC.


def test_garbage_on_the_grpc_port(exposed):
    for garbage in (
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\0" * 1000,
        PREFACE[:24],
        PREFACE + b"\xff" * 100,
        PREFACE + b"\xff\xff\xff\x00\x00\0\0\0\x01" + b"x" * 1000,
        PREFACE + b"\0\0\x08\x07\0\0\0\0\0" + b"\0" * 8,
    ):
        send_and_drain(exposed.grpc, garbage)
    assert call_grpc(exposed, "ServerLive", b"")[0] == grpc.StatusCode.OK


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"


def frame(kind, flags, stream, payload):
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def request_headers(path):
    """POST, http, path, authority in HPACK without compression."""
    return b"\x83\x86\x04" + bytes([len(path)]) + path.encode() + b"\x01\x01x"


@pytest.mark.parametrize("port", ["http", "grpc"])
def test_a_flood_of_reset_streams(exposed, port):
    headers = request_headers("/inference.GRPCInferenceService/ModelInfer")
    flood = b"".join(
        frame(1, 4, stream, headers) + frame(3, 0, stream, b"\0\0\0\x08")
        for stream in range(1, 40_000, 2)
    )
    send_and_drain(getattr(exposed, port), PREFACE + flood)


@pytest.mark.parametrize("port", ["http", "grpc"])
def test_a_head_without_end(exposed, port):
    piece = b"\0\x04name" + b"\x7f\x81\x1f" + b"v" * 4096
    continuations = b"".join(frame(9, 0, 1, piece) for _ in range(5000))
    opening = frame(1, 0, 1, request_headers("/v2"))
    send_and_drain(getattr(exposed, port), PREFACE + opening + continuations)


@pytest.mark.parametrize("port", ["http", "grpc"])
def test_floods_of_settings_and_pings(exposed, port):
    floods = frame(4, 0, 0, b"") * 20_000 + frame(6, 0, 0, b"\0" * 8) * 20_000
    send_and_drain(getattr(exposed, port), PREFACE + floods)


def send_and_drain(address, content):
    """Sends what the server takes of it, reads what it answers, until one of both ends."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        try:
            raw.sendall(content)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(1 << 20):
                pass
        except OSError:
            pass  # The server has had enough.


def call_grpc(exposed, method, message, **options):
    """One call with the bytes of a message as they are."""
    with grpc.insecure_channel(exposed.grpc) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        try:
            return grpc.StatusCode.OK, call(message, timeout=60, **options)
        except grpc.RpcError as error:
            return error.code(), error.details()


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\xff\xff\xff",
        b"\x0a\xff\xff\xff\xff\x0f",  # A name of 4 GiB.
        b"\x0a\x02\xff\xfe",  # A name that is not UTF-8.
        b"\x0b" * 100_000,  # Groups within groups.
        b"\x2a\x05\x22\x03\x0b\x0b\x0b",
    ],
)
def test_messages_that_are_no_protobuf_are_refused(exposed, message):
    status, details = call_grpc(exposed, "ModelInfer", message)
    assert status in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL), details


def test_a_compressed_message_does_not_explode(exposed):
    # A name of 80 MB of zeros, which gzip makes 80 kB of.
    message = b"\x0a" + varint(80_000_000) + b"\0" * 80_000_000
    status, details = call_grpc(
        exposed, "ModelInfer", message, compression=grpc.Compression.Gzip
    )
    too_large = (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert status in (*too_large, grpc.StatusCode.INVALID_ARGUMENT), details


def varint(number):
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def test_cancelled_and_abandoned_calls(exposed):
    for _ in range(30):
        with grpc.insecure_channel(exposed.grpc) as channel:
            call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
            stream = call(iter([b"\x0a\x06nobody"] * 100))
            next(stream)
            stream.cancel()
