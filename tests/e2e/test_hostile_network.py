"""The outer network loses, makes up and repeats datagrams; what is carried stays whole."""

import contextlib
import random
import socket

import pytest

from support import files, servers

LOSS = 20  # per thousand, in each direction
JUNK = 20_000  # datagrams


@contextlib.contextmanager
def loss(namespace):
    """Drops datagrams at random, in and out of a namespace, meanwhile."""
    chains = "".join(
        f"chain {hook} {{ type filter hook {hook} priority 0;"
        f" udp {port} 51820 numgen random mod 1000 < {LOSS} drop; }}\n"
        for hook, port in (("input", "dport"), ("output", "sport")))
    namespace.run("nft", f"table inet loss {{\n{chains}}}")
    try:
        yield
    finally:
        namespace.run("nft", "delete", "table", "inet", "loss")


@pytest.mark.usefixtures("tunnel")
def test_loss(scene, service, nginx, far_host, tmp_path):
    """Every byte arrives, both ways, however many datagrams do not."""
    web = service.forward((far_host, 80))
    with loss(scene.far[0].namespace), \
            files.Download(scene.ours, web.url("/medium"), tmp_path / "got") as download, \
            files.Upload(scene.ours, nginx.medium.path, web.url("/lossy")) as upload:
        assert download.sha256() == nginx.medium.sha256
        upload.finish()
    assert files.sha256_of(nginx.files / "lossy") == nginx.medium.sha256


def junk(generator):
    """A datagram that resembles one of WireGuard more or less."""
    kind = generator.randrange(6)
    size = generator.choice((0, 1, 3, 4, 16, 31, 32, 64, 92, 147, 148, 149,
                             generator.randrange(1400)))
    return (bytes((kind, 0, 0, 0)) + generator.randbytes(1400))[:size]


@pytest.mark.usefixtures("tunnel")
def test_junk(scene, service, account, nginx, serve, far_host, tmp_path):
    """Datagrams of anybody's making neither end a worker nor a transfer."""
    web = service.forward((far_host, 80))
    echo = service.forward((far_host, serve(servers.echo).port))
    with echo.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"
    workers = service.workers()
    target = scene.far[0].peer.endpoint(account.keys.public)
    generator = random.Random(7)
    with scene.far[0].namespace.entered():
        outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with outside, files.Download(scene.ours, web.url("/medium"), tmp_path / "got") as download:
        for _ in range(JUNK):
            outside.sendto(junk(generator), target)
        assert download.sha256() == nginx.medium.sha256
    with echo.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"
    assert service.workers() == workers
