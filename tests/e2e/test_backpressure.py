"""A client that stops reading holds up itself, and nothing and nobody else."""

import hashlib
import os
import socket
import threading
import time

import pytest

from support import files, manytun, servers

pytestmark = pytest.mark.usefixtures("tunnel")

STALL = 5  # seconds
STALLED = 64_000_000  # bytes that wait meanwhile
# What the worker may grow by: windows and buffers of a connection, not what it carries.
GROWTH = 8 << 20


def test_stalled_reader(scene, service, serve, nginx, far_host, tmp_path):
    """It gets every byte afterwards, and transfers beside it are carried out meanwhile."""
    block = os.urandom(1_000_000)
    expected = hashlib.sha256(block * (STALLED // len(block))).hexdigest()

    def pour(connection):
        for _ in range(STALLED // len(block)):
            connection.sendall(block)

    poured = service.forward((far_host, serve(pour).port))
    web = service.forward((far_host, 80))
    with poured.connect(receive_buffer=65536, timeout=files.PATIENCE) as stalled:
        begun = time.monotonic()
        assert stalled.recv(1)
        with files.Download(scene.ours, web.url("/medium"), tmp_path / "got") as download:
            assert download.sha256() == nginx.medium.sha256
        time.sleep(max(0.0, STALL - (time.monotonic() - begun)))
        received = poured.status()["bytes_in_total"]
        assert received < STALLED / 2, "what nobody reads was taken from the far side"
        assert stalled.recv(1)
        rest = servers.read_all(stalled)
    assert len(rest) == STALLED - 2
    assert hashlib.sha256(block[:2] + rest).hexdigest() == expected


@pytest.mark.plain_build
def test_memory_of_stalled_reader(service, serve, far_host):
    """The worker does not keep what the client has not read."""
    block = bytes(1_000_000)

    def pour(connection):
        for _ in range(STALLED // len(block)):
            connection.sendall(block)

    def resident():
        return sum(map(manytun.resident_bytes, service.workers()))

    forward = service.forward((far_host, serve(pour).port))
    with forward.connect() as first:
        servers.read_exactly(first, STALLED)
    before = resident()
    with forward.connect(receive_buffer=65536) as stalled:
        assert stalled.recv(1)
        time.sleep(STALL)
        assert resident() < before + GROWTH


def test_stalled_server(service, serve, far_host):
    """The mirror case: what the far side does not read stays with the client."""
    go_on = threading.Event()
    digests = []

    def sink(connection):
        assert go_on.wait(files.PATIENCE)
        digests.append(hashlib.sha256(servers.read_all(connection)).hexdigest())

    payload = os.urandom(STALLED)
    forward = service.forward((far_host, serve(sink).port))
    with forward.connect(timeout=files.PATIENCE) as connection:
        sender = threading.Thread(target=connection.sendall, args=(payload,), daemon=True)
        sender.start()
        sender.join(STALL)
        assert sender.is_alive(), "more was taken than anybody reads"
        go_on.set()
        sender.join()
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b""
    assert digests == [hashlib.sha256(payload).hexdigest()]
