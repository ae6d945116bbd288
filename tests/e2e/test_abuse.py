"""Clients that are slow, huge, malformed, many, or gone.

Beside each of them a good client is answered within its deadline, a transfer goes on and comes
whole, and in the end the descriptors and the memory are what they were.
"""

import contextlib
import json
import resource
import select
import socket
import struct
import threading
import time

import pytest

from support import files, manytun, wait

# What a good client is given by the abused service, in seconds.
GOOD_CLIENT_DEADLINE = 5
# What may stay with the allocator after an attack.
MEMORY_SLACK = 24 << 20
# A sanitised build keeps what is freed.
SANITIZED = b"__asan_init" in manytun.BINARY.read_bytes()
MANY = 3000
CHUNK = bytes(1 << 16)


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Enough of them for thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(name="service")
def watched_service(scene, service, account, nginx, far_host, tmp_path):
    """A service with a transfer through it; what the abuse must not have left is checked after."""
    service.create("tunnels", account.tunnel())
    web = service.forward((far_host, 80), name="web")
    be_good(service)
    open_before = manytun.descriptors(service.pid)
    memory_before = manytun.resident_bytes(service.pid)
    workers = service.workers()
    with transfers(scene, web.url("/medium"), tmp_path / "got", nginx.medium.sha256):
        yield service
        be_good(service)
    assert service.workers() == workers
    wait.until(lambda: manytun.descriptors(service.pid) <= open_before, "the descriptors are back")
    grown = manytun.resident_bytes(service.pid) - memory_before
    assert SANITIZED or grown < MEMORY_SLACK, f"{grown} bytes more"


@contextlib.contextmanager
def transfers(scene, url, path, sha256):
    """One transfer after the other meanwhile; each comes whole."""
    stop = threading.Event()
    got = []

    def run():
        while not stop.is_set():
            with files.Download(scene.ours, url, path, "--limit-rate",
                                files.LARGE // 20) as download:
                got.append(download.sha256())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert got and set(got) == {sha256}


def be_good(service):
    """A client that comes, asks and reads: it is answered in time."""
    begun = time.monotonic()
    status, answer = service.call("GET", "/v1/forwards")
    took = time.monotonic() - begun
    assert status == 200 and [item["name"] for item in answer["items"]] == ["web"]
    assert took < GOOD_CLIENT_DEADLINE, f"{took:.1f} s"


def addresses(count):
    return [f"127.{1 + number // 250}.0.{1 + number % 250}" for number in range(count)]


class Crowd:
    """Connections to the API, from any loopback addresses. Use as a context manager."""

    def __init__(self, service):
        self._service = service
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.sockets:
            connection.close()

    def add(self, count, sources=("127.0.0.1",)):
        """So many more, that may or may not be accepted yet."""
        with self._service.namespace.entered():
            for number in range(count):
                connection = socket.socket()
                self.sockets.append(connection)
                connection.setblocking(False)
                connection.bind((sources[number % len(sources)], 0))
                connection.connect_ex(self._service.address)

    def send(self, data):
        """Sends to all that take it."""
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.send(data)

    def open(self):
        """How many the service has not ended."""
        return sum(not is_ended(connection) for connection in self.sockets)


def is_ended(connection):
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("sources", [["127.0.0.1"], addresses(1000)], ids=["one", "many"])
def test_idle_connections(service, sources):
    """Thousands that are opened and left, with half a request or with none."""
    with Crowd(service) as crowd:
        for number in range(MANY // 300):
            crowd.add(300, sources)
            crowd.send(b"GET /livez HTTP/1.1\r\nHost: local" if number % 2 else b"")
            be_good(service)
        assert service.request("GET", "/livez", unix=True).status == 200
        wait.until(lambda: crowd.open() <= 300, "most of them were ended")


def test_connections_come_and_go(service):
    for sources in (["127.0.0.1"], addresses(1000)):
        for _ in range(10):
            with Crowd(service) as crowd:
                crowd.add(300, sources)
            be_good(service)


def headers(service, *more):
    lines = ["Host: localhost", f"Authorization: Bearer {service.token}", *more]
    return "".join(f"{line}\r\n" for line in lines).encode()


POST = b"POST /v1/forwards HTTP/1.1\r\nContent-Type: application/json\r\n"

# How a request begins ("%a" becomes the headers of the admin), and what comes of it now and then.
SLOW = [
    (b"G", b"E"),
    (b"GET /v1/forwards HTTP/1.1\r\n", b"X: y\r\n"),
    (POST + b"%aContent-Length: 1000\r\n\r\n", b" "),
    (POST + b"%aTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
]


def test_slow_requests(service):
    """Hundreds that send a byte now and then, in the head or in the body."""
    for begin, piece in SLOW:
        with Crowd(service) as crowd:
            crowd.add(400, addresses(40))
            crowd.send(begin.replace(b"%a", headers(service)))
            for _ in range(10):
                crowd.send(piece)
                be_good(service)


def test_slow_readers(service):
    """Hundreds that ask for much and read nothing."""
    request = b"GET /openapi.yaml HTTP/1.1\r\n" + headers(service) + b"\r\n"
    with Crowd(service) as crowd:
        crowd.add(400, addresses(40))
        for connection in crowd.sockets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(20):
            crowd.send(request * 20)
            be_good(service)


STREAMS = 64  # that are served at one time


def test_deaf_subscribers(service):
    """Hundreds that ask for the stream of events and never read: some are served, none is waited
    for, and the service ends with them."""
    request = b"GET /v1/events HTTP/1.1\r\n" + headers(service) + b"\r\n"
    with Crowd(service) as crowd:
        crowd.add(200, addresses(40))
        for connection in crowd.sockets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        crowd.send(request)
        wait.until(lambda: all(map(has_said_something, crowd.sockets)), "all have an answer")
        answers = [connection.recv(12, socket.MSG_PEEK) for connection in crowd.sockets]
        assert answers.count(b"HTTP/1.1 200") == STREAMS
        assert answers.count(b"HTTP/1.1 503") == len(answers) - STREAMS
        with service.client() as client:
            for number in range(500):
                changed = client.call("PATCH", "/v1/forwards/web",
                                      {"idle_timeout_seconds": 1 + number})
                assert changed.status == 200
        be_good(service)


def has_said_something(connection):
    return bool(select.select([connection], [], [], 0)[0])


def test_stop_with_subscribers(make_service):
    """Streams have no end of their own, and do not keep the service from its."""
    service = make_service()
    request = b"GET /v1/events HTTP/1.1\r\n" + headers(service) + b"\r\n"
    with Crowd(service) as crowd:
        crowd.add(STREAMS)
        crowd.send(request)
        wait.until(lambda: all(map(has_said_something, crowd.sockets)), "all have an answer")
        assert service.stop() == 0


def talk(service, data, timeout=GOOD_CLIENT_DEADLINE):
    """Sends bytes, and gives all that comes until the service ends or has been silent for long."""
    with service.namespace.connect(service.address, timeout=timeout) as connection:
        with contextlib.suppress(OSError):  # it may have cut us already; then ENOTCONN, too
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while chunk := connection.recv(1 << 16):
                received += chunk
        return received


def status_lines(received):
    return [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]


def stream(service, head, pieces):
    """Sends pieces until the service ends it: (bytes that it took, its first status line)."""
    taken, received = 0, b""
    with service.namespace.connect(service.address, timeout=GOOD_CLIENT_DEADLINE) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head)
            for piece in pieces:
                if select.select([connection], [], [], 0)[0]:
                    chunk = connection.recv(1 << 16)
                    received += chunk
                    if not chunk:
                        break
                connection.sendall(piece)
                taken += len(piece)
    return taken, (status_lines(received) or [b""])[0]


GIB = 1 << 30


def test_huge_body(service):
    """1 GiB, announced or not: refused before it has come, and never in memory."""
    plain = (CHUNK for _ in range(GIB // len(CHUNK)))
    taken, status = stream(service, POST + headers(service, f"Content-Length: {GIB}", ""), plain)
    assert taken < GIB // 8 and status in (b"", b"HTTP/1.1 413 Content Too Large",
                                           b"HTTP/1.1 413 Payload Too Large"), (taken, status)
    chunk = f"{len(CHUNK):x}\r\n".encode() + CHUNK + b"\r\n"
    chunks = (chunk for _ in range(GIB // len(CHUNK)))
    taken, status = stream(service, POST + headers(service, "Transfer-Encoding: chunked", ""),
                           chunks)
    assert taken < GIB // 8 and b" 20" not in status, (taken, status)
    assert SANITIZED or manytun.resident_bytes(service.pid) < GIB // 8


ENDLESS = [
    (b"", b"x" * 6000),
    (b"GET /", b"x" * 6000),
    (b"GET /livez?", b"x" * 6000),
    (b"GET /livez HTTP/1.1\r\nX: ", b"x" * 6000),
    (b"GET /livez HTTP/1.1\r\n", b"X: y\r\n" * 1000),
    (b"", b"\r\n" * 3000),
]


def test_endless_head(service):
    """It is cut off."""
    for begin, piece in ENDLESS:
        taken, status = stream(service, begin, (piece for _ in range(GIB // len(piece))))
        assert taken < GIB // 64, (begin, taken)
        assert b" 20" not in status and b" 50" not in status, (begin, status)


SMUGGLED = b"DELETE /v1/forwards/web HTTP/1.1\r\n"

# What each part of a raw request is; "%a" becomes the headers of the admin.
MALFORMED = {
    "both lengths": POST + b"%aContent-Length: 5\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED + b"%a\r\n",
    "two lengths": POST + b"%aContent-Length: 0\r\n"
                   b"Content-Length: 100\r\n\r\n" + SMUGGLED + b"%a\r\n",
    "length list": POST + b"%aContent-Length: 2, 2\r\n\r\n{}"
                   + SMUGGLED + b"%a\r\n",
    "negative length": POST + b"%aContent-Length: -1\r\n\r\n"
                       + SMUGGLED + b"%a\r\n",
    "signed length": POST + b"%aContent-Length: +2\r\n\r\n{}"
                     + SMUGGLED + b"%a\r\n",
    "length of words": POST + b"%aContent-Length: abc\r\n\r\n" + SMUGGLED + b"%a\r\n",
    "length too large": POST + b"%aContent-Length: 99999999999999999999\r\n\r\n",
    "unknown coding": POST + b"%aTransfer-Encoding: xchunked\r\n"
                      b"\r\n0\r\n\r\n" + SMUGGLED + b"%a\r\n",
    "coding twice": POST + b"%aTransfer-Encoding: chunked\r\n"
                    b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED + b"%a\r\n",
    "bad chunk": POST + b"%aTransfer-Encoding: chunked\r\n\r\n"
                 b"zz\r\n{}\r\n0\r\n\r\n",
    "huge chunk": POST + b"%aTransfer-Encoding: chunked\r\n\r\n"
                  b"ffffffffffffffffff\r\n{}",
    "body of a GET": b"GET /v1/forwards HTTP/1.1\r\n%aContent-Length: 2\r\n\r\n{}" + SMUGGLED
                     + b"%a\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n%a\r\n",
    "two tokens": b"GET /livez HTTP/1.1\r\nAuthorization: Bearer x\r\n%a\r\n",
    "folded header": b"GET /livez HTTP/1.1\r\nX: a\r\n b\r\n%aIf-Match: \"1\"\r\n"
                     b"If-Match: \"2\"\r\n\r\n",
    "0.9": b"GET /livez\r\n\r\n",
    "1.2": b"GET /livez HTTP/1.2\r\n%a\r\n",
    "2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "9.9": b"GET /livez HTTP/9.9\r\n%a\r\n",
    "no version": b"GET /livez HTTP/\r\n%a\r\n",
    "no method": b" /livez HTTP/1.1\r\n%a\r\n",
    "unknown method": b"BREW /livez HTTP/1.1\r\n%a\r\n",
    "bytes in the method": b"G\x00\xffT /livez HTTP/1.1\r\n%a\r\n",
    "connect": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n%a\r\n",
    "trace": b"TRACE /livez HTTP/1.1\r\n%a\r\n",
    "options": b"OPTIONS * HTTP/1.1\r\n%a\r\n",
    "absolute": b"GET http://attacker.example/v1/forwards HTTP/1.1\r\n%a\r\n",
    "no slash": b"GET livez HTTP/1.1\r\n%a\r\n",
    "NUL in the path": b"GET /v1/forwards/web\x00b HTTP/1.1\r\n%a\r\n",
    "NUL after the path": b"DELETE /v1/forwards/web\x00 HTTP/1.1\r\n%a\r\n",
    "NUL in the query": b"GET /v1/forwards?limit=1\x002 HTTP/1.1\r\n%a\r\n",
    "NUL in the method": b"GET\x00X /v1/forwards/web HTTP/1.1\r\n%a\r\n",
    "NUL in the version": b"GET /v1/forwards/web HTTP/1.1\x00\r\n%a\r\n",
    "NUL in a header": b"GET /v1/forwards/none HTTP/1.1\r\nX: a\x00b\r\n%a\r\n",
    "traversal": b"GET /v1/../../etc/passwd HTTP/1.1\r\n%a\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,
    "binary": bytes(range(256)) * 40,
    "newlines": b"\n" * 10000,
    "nothing but spaces": b" " * 50000,
}


def test_malformed(service):
    """Refused or cut; no success, no error of ours, and nothing after it is taken for a request."""
    for name, template in MALFORMED.items():
        received = talk(service, template.replace(b"%a", headers(service)))
        statuses = [line.split()[1] for line in status_lines(received)]
        assert received.count(b"X-Request-Id") <= 1, (name, statuses)
        assert all(status.startswith(b"4") or status in (b"501", b"505") for status in statuses), \
            (name, statuses)


def test_ranges(service):
    """Ranges are not known, and so ignored: the answer is whole."""
    for value in ("bytes=0-0", "bytes=0-," * 1000, "bytes=5-1,0-", "lines=1-2"):
        answer = service.request("GET", "/openapi.yaml", headers={
            "Authorization": f"Bearer {service.token}", "Range": value})
        assert answer.status == 200
        assert len(answer.body) == int(answer.headers["Content-Length"])


def test_pipelining(service):
    """Requests that do not wait for answers: all are answered, in order."""
    count = 500
    paths = ["/livez" if number % 2 else "/v1/forwards/web" for number in range(count)]
    data = b"".join(f"GET {path} HTTP/1.1\r\n".encode() + headers(service) + b"\r\n"
                    for path in paths)
    with service.namespace.connect(service.address) as connection:
        reader = connection.makefile("rb")
        sent = 0
        answered = []
        while len(answered) < count:
            while sent < len(data) and sent < (len(answered) + 20) * 150:
                sent += connection.send(data[sent:sent + 3000])
            answered.append(read_answer(reader))
    assert [("name" in answer) for answer in answered] \
        == [path.endswith("web") for path in paths]


def read_answer(reader):
    """The JSON of one answer."""
    assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
    length = None
    while (line := reader.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return json.loads(reader.read(length))


def test_resets_at_every_stage(service):
    """The connection is reset after so many bytes: what is there is whole, or not there."""
    for number, share in enumerate(range(0, 101, 4)):
        document = json.dumps({"name": f"r{number}", "tunnel": "home",
                               "listen": {"address": "127.0.0.1", "port": 0},
                               "target": {"host": "10.9.0.1", "port": 9}}).encode()
        request = POST + headers(service, f"Content-Length: {len(document)}", "") + document
        with service.namespace.connect(service.address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request[:len(request) * share // 100])
    with service.client() as client:
        made = client.list("forwards")
        assert made.keys() <= {"web", f"r{number}"}, made.keys()
        for name in made.keys() - {"web"}:
            assert client.call("DELETE", f"/v1/forwards/{name}").status == 204
