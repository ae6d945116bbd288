"""The API over TLS: what is spoken, what is not, and another certificate without a restart."""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess

import pytest

from support import manytun, wait

HOST = "127.0.0.1"


class Certificate:
    """A self-signed certificate and its key, in files that the service is told."""

    def __init__(self, directory):
        directory.mkdir()
        self.cert = directory / "cert.pem"
        self.key = directory / "key.pem"
        self.renew()

    def renew(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.key,
                        "-out", self.cert, "-days", "2", "-subj", "/CN=manytun",
                        "-addext", f"subjectAltName=IP:{HOST}"],
                       check=True, capture_output=True, timeout=30)

    @property
    def options(self):
        return "--tls-cert", self.cert, "--tls-key", self.key

    def connect(self, service):
        """A TLS connection to the service, which must show this certificate."""
        context = ssl.create_default_context(cafile=self.cert)
        plain = service.namespace.connect(service.address, timeout=30)
        return context.wrap_socket(plain, server_hostname=HOST)


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return Certificate(tmp_path / "tls")


def head(service, line, more=""):
    return (f"{line} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {service.token}\r\n"
            f"{more}\r\n").encode()


def read_answer(stream):
    """(status, body) of the next answer on a connection that stays open."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, stream.read(length)


def test_speaks_tls_and_nothing_else(make_service, certificate):
    service = make_service(*certificate.options, "--health-listen", f"{HOST}:8686")
    with certificate.connect(service) as connection, connection.makefile("rb") as stream:
        assert connection.version() in ("TLSv1.2", "TLSv1.3")
        connection.sendall(head(service, "GET /v1/info"))
        status, body = read_answer(stream)
        assert status == 200 and json.loads(body)["role"] == "admin"
    url = f"https://{HOST}:{manytun.API_PORT}/openapi.yaml"
    said = service.namespace.run("curl", "-sS", "--cacert", str(certificate.cert), "-H",
                                 f"Authorization: Bearer {service.token}", url)
    assert said.stdout.startswith("openapi: 3.0.3")
    # A stranger's certificate is not believed, and plain HTTP is not answered.
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(
            service.namespace.connect(service.address, timeout=30), server_hostname=HOST)
    with service.namespace.connect(service.address, timeout=30) as plain:
        plain.sendall(head(service, "GET /livez"))
        assert b"HTTP/1.1" not in plain.recv(1000)
    # Probes, and the owner on this host, need no TLS.
    with service.namespace.connect((HOST, 8686), timeout=30) as plain:
        plain.sendall(head(service, "GET /livez"))
        assert b" 200 " in plain.recv(1000)
    assert service.request("GET", "/livez", unix=True).status == 200


def test_nothing_waits_in_a_buffer(make_service, certificate):
    """What TLS has read already is handled, though the socket has nothing more to read."""
    service = make_service(*certificate.options)
    with certificate.connect(service) as connection, connection.makefile("rb") as stream:
        connection.sendall(head(service, "GET /livez") * 20)  # one record
        for _ in range(20):
            assert read_answer(stream)[0] == 200
        document = b'{"name":"' + b"x" * (900 << 10) + b'"}'
        connection.sendall(head(service, "POST /v1/tunnels", "Content-Type: application/json\r\n"
                                f"Content-Length: {len(document)}\r\n") + document)
        assert read_answer(stream)[0] == 422
        request = head(service, "GET /livez")
        for at in range(0, len(request), 7):
            connection.sendall(request[at:at + 7])
        assert read_answer(stream)[0] == 200
        connection.sendall(head(service, "GET /openapi.yaml"))
        status, body = read_answer(stream)
        assert status == 200 and len(body) > 20000


def test_another_certificate_without_a_restart(make_service, certificate):
    service = make_service(*certificate.options)
    with certificate.connect(service) as before, before.makefile("rb") as stream:
        certificate.renew()
        with pytest.raises(ssl.SSLCertVerificationError):
            certificate.connect(service)
        os.kill(service.pid, signal.SIGHUP)
        wait.until(lambda: "the certificate was read again" in service.log, "it was read")
        certificate.connect(service).close()
        before.sendall(head(service, "GET /livez"))
        assert read_answer(stream)[0] == 200
    # What cannot be read changes nothing.
    kept = certificate.key.read_bytes()
    certificate.key.write_text("nonsense")
    os.kill(service.pid, signal.SIGHUP)
    wait.until(lambda: "the certificate in use stays" in service.log, "it was refused")
    certificate.connect(service).close()
    assert kept.strip().splitlines()[1].decode() not in service.log


def test_a_newer_program_speaks_it_too(make_service, certificate):
    service = make_service(*certificate.options)
    service.take_over()
    with certificate.connect(service) as connection, connection.makefile("rb") as stream:
        connection.sendall(head(service, "GET /livez"))
        assert read_answer(stream)[0] == 200


def test_no_start_with_a_wrong_pair(certificate, tmp_path):
    other = Certificate(tmp_path / "other")

    def serve(*options):
        return subprocess.run([manytun.BINARY, "serve", "--data", tmp_path / "data", *options],
                              capture_output=True, text=True, timeout=30, check=False)

    for cert, key, reason in ((certificate.cert, other.key, "is not the key of the first"),
                              (certificate.key, certificate.key, f"TLS: {certificate.key}"),
                              (certificate.cert, certificate.cert, f"TLS: {certificate.cert}"),
                              (certificate.cert, tmp_path / "none", "No such file"),
                              (tmp_path, certificate.key, "Is a directory")):
        done = serve("--tls-cert", cert, "--tls-key", key)
        assert done.returncode == 1 and reason in done.stderr, done.stderr
    done = serve("--tls-cert", certificate.cert)
    assert done.returncode == 2 and "go together" in done.stderr


def read_until(stream, text):
    """All lines up to one that has this text in it."""
    lines = []
    while not lines or text not in lines[-1]:
        line = stream.readline()
        assert line, f"the stream ended before {text}"
        lines.append(line)
    return lines


def test_event_stream(make_service, certificate):
    """Events come at once over TLS, too, whole and in order; whoever leaves leaves nothing open."""
    service = make_service(*certificate.options)
    names = [f"token{number:02}" for number in range(30)]
    before = manytun.descriptors(service.pid)
    with contextlib.ExitStack() as opened:
        streams = []
        for _ in range(3):
            connection = opened.enter_context(certificate.connect(service))
            connection.settimeout(10)
            connection.sendall(head(service, "GET /v1/events", "Accept: text/event-stream\r\n"))
            streams.append(opened.enter_context(connection.makefile("rb")))
            read_until(streams[-1], b"snapshot")
        with service.client() as owner:
            for name in names:
                answer = owner.call("POST", "/v1/tokens", {"name": name, "role": "read"})
                assert answer.status == 201
        for stream in streams:
            text = b"".join(read_until(stream, names[-1].encode()))
            places = [text.index(b'"' + name.encode() + b'"') for name in names]
            assert places == sorted(places)
        while_open = manytun.descriptors(service.pid)
    # The connection that saw the service start may be among those before.
    left = min(before, while_open - len(streams))
    wait.until(lambda: manytun.descriptors(service.pid) <= left, "the connections are closed")
