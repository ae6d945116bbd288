"""The end of one direction is the end of that direction only (RFC 9293, section 3.6)."""

import hashlib
import os
import socket
import threading

import pytest

from support import files, servers

pytestmark = pytest.mark.usefixtures("tunnel")

ANSWER = 5_000_000


def test_client_ends_first(service, serve, far_host):
    """It has ended its request and still receives the whole answer."""
    answer = os.urandom(ANSWER)
    requests = []

    def respond(connection):
        requests.append(servers.read_all(connection))
        connection.sendall(answer)

    forward = service.forward((far_host, serve(respond).port))
    request = os.urandom(100_000)
    with forward.connect(timeout=files.PATIENCE) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == answer
    assert requests == [request]


def test_server_ends_first(service, serve, far_host):
    """It has ended its side and still receives all that the client sends."""
    received = []
    done = threading.Event()

    def take(connection):
        connection.sendall(b"go on")
        connection.shutdown(socket.SHUT_WR)
        received.append(hashlib.sha256(servers.read_all(connection)).hexdigest())
        done.set()

    forward = service.forward((far_host, serve(take).port))
    payload = os.urandom(ANSWER)
    with forward.connect(timeout=files.PATIENCE) as connection:
        assert servers.read_all(connection) == b"go on"
        connection.sendall(payload)
    assert done.wait(files.PATIENCE)
    assert received == [hashlib.sha256(payload).hexdigest()]


def test_end_without_data(service, serve, far_host):
    """A connection that carries nothing ends at both sides."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b""
