"""Bytes through a forward: all of them, in order, both ways."""

import os
import threading

import pytest

from support import files, servers, topology

CONNECTIONS = 200


@pytest.fixture(name="web")
def forward_to_nginx(tunnel, service, nginx, far_host):
    """A forward to nginx."""
    return service.forward((far_host, 80))


def test_large_download(scene, web, nginx, tmp_path):
    with files.Download(scene.ours, web.url("/large"), tmp_path / "got") as download:
        assert download.sha256() == nginx.large.sha256


def test_large_upload(scene, web, nginx):
    with files.Upload(scene.ours, nginx.large.path, web.url("/uploaded")) as upload:
        upload.finish()
    assert files.sha256_of(nginx.files / "uploaded") == nginx.large.sha256


def test_both_directions_at_once(scene, web, nginx, tmp_path):
    with files.Download(scene.ours, web.url("/large"), tmp_path / "got") as download, \
            files.Upload(scene.ours, nginx.large.path, web.url("/meanwhile")) as upload:
        assert download.sha256() == nginx.large.sha256
        upload.finish()
    assert files.sha256_of(nginx.files / "meanwhile") == nginx.large.sha256


def test_http_keep_alive(scene, web):
    """Several requests on one connection, idle between them."""
    done = scene.ours.run("curl", "-sS", "--fail", "-w", "%{num_connects}\n",
                          *[web.url("/small")] * 5)
    assert done.stdout == "small\n1\n" + "small\n0\n" * 4


@pytest.mark.usefixtures("tunnel")
def test_many_connections_at_once(service, serve, far_host):
    """Each echoes its own bytes while all of them are open."""
    forward = service.forward((far_host, serve(servers.echo).port))
    barrier = threading.Barrier(CONNECTIONS)
    failures = []

    def talk(number):
        payload = os.urandom(20_000 + 500 * number)
        try:
            with forward.connect(timeout=files.PATIENCE) as connection:
                barrier.wait(files.PATIENCE)
                sender = threading.Thread(target=connection.sendall, args=(payload,), daemon=True)
                sender.start()
                if servers.read_exactly(connection, len(payload)) != payload:
                    failures.append(f"connection {number}: other bytes came back")
                sender.join()
        except (OSError, threading.BrokenBarrierError) as error:
            barrier.abort()
            failures.append(f"connection {number}: {error!r}")

    talkers = [threading.Thread(target=talk, args=(n,), daemon=True) for n in range(CONNECTIONS)]
    for talker in talkers:
        talker.start()
    for talker in talkers:
        talker.join()
    assert not failures
    assert forward.status()["connections_total"] == CONNECTIONS


@pytest.mark.usefixtures("tunnel")
def test_listening_on_ipv6(service, serve, far_host):
    forward = service.forward((far_host, serve(servers.echo).port),
                              listen={"address": "::1", "port": 0})
    with forward.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"


def test_preshared_key(scene, service, serve, far_host):
    with topology.Account(scene.far[0], preshared=True) as account:
        service.create("tunnels", account.tunnel())
        forward = service.forward((far_host, serve(servers.echo).port))
        with forward.connect() as connection:
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"


def test_overlapping_tunnels(scene, service, serve):
    """Two tunnels with the same addresses at both ends reach each its own peer."""
    with topology.Account(scene.far[0]) as one, topology.Account(scene.far[1]) as other:
        definition = other.tunnel("right")
        definition["addresses"] = one.tunnel()["addresses"]
        scene.far[1].peer.allow(other.keys.public, [f"{one.v4}/32", f"{one.v6}/128"])
        service.create("tunnels", one.tunnel("left"))
        service.create("tunnels", definition)
        host = scene.far[0].peer.v4
        forwards = []
        for number, name in enumerate(("left", "right")):
            server = serve(lambda connection, name=name: connection.sendall(name.encode()), number)
            forwards.append((name, service.forward((host, server.port), tunnel=name)))
        for _ in range(20):
            for name, forward in forwards:
                with forward.connect() as connection:
                    assert servers.read_all(connection) == name.encode()
