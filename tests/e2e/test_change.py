"""Changing what runs: only what differs restarts, and what is on the wire goes on."""

import contextlib
import os
import signal
import socket

import pytest

from support import files, servers, topology, wait

# How long a transfer lasts at least, so that the changes come while it runs.
SECONDS = 6


@pytest.fixture(name="change")
def changer(service):
    """change(kind, name, patch): sends a merge patch; the object as it is then."""
    def change(kind, name, patch):
        status, answer = service.call("PATCH", f"/v1/{kind}/{name}", patch)
        assert status == 200, answer
        return answer

    return change


@contextlib.contextmanager
def running(scene, forward, nginx, path):
    """A download that has begun; at the end of the block it still runs, and then comes whole."""
    with files.Download(scene.ours, forward.url("/large"), path, "--limit-rate",
                        files.LARGE // SECONDS) as download:
        wait.until(lambda: forward.status()["bytes_in_total"] > 0, "the transfer has begun")
        yield
        assert download.running, "the transfer was over before the changes were"
        assert download.sha256() == nginx.large.sha256
    assert forward.status()["connections_total"] >= 1


def answer_of(service, address):
    with service.namespace.connect(address) as connection:
        return servers.read_all(connection)


@pytest.mark.usefixtures("tunnel")
def test_a_transfer_goes_on(scene, service, change, nginx, far_host, tmp_path):
    forward = service.forward((far_host, 80))
    present = service.get("tunnels", "home")
    peer = {key: present["peers"][0][key]
            for key in ("name", "public_key", "endpoint", "allowed_ips")}
    with running(scene, forward, nginx, tmp_path / "got"):
        change("forwards", forward.name, {"target": {"port": 81}, "idle_timeout_seconds": 1})
        change("forwards", forward.name, {"connect_timeout_seconds": 3})
        change("tunnels", "home", {"peers": [{**peer, "keepalive_seconds": 7}]})
        more = {**peer, "keepalive_seconds": 7, "allowed_ips": ["10.9.0.0/16", "fd09::/48"]}
        changed = change("tunnels", "home", {"peers": [more]})
        assert changed["generation"] == 3
        assert service.get("forwards", forward.name)["generation"] == 3


def test_unchanged_put_drops_nothing(scene, service, account, tunnel, nginx, far_host, tmp_path):
    forward = service.forward((far_host, 80))
    definition = {"tunnel": "home", "listen": {"address": "127.0.0.1"},
                  "target": {"host": far_host, "port": 80}}
    with running(scene, forward, nginx, tmp_path / "got"):
        for path, document in ((f"/v1/tunnels/{tunnel['name']}", account.tunnel()),
                               (f"/v1/forwards/{forward.name}", definition)):
            status, answer = service.call("PUT", path, document)
            assert (status, answer["generation"]) == (200, 1)


@pytest.mark.usefixtures("tunnel")
def test_target_of_new_connections(service, change, serve, far_host):
    one, other = (serve(lambda connection, name=name: connection.sendall(name))
                  for name in (b"one", b"other"))
    echo = serve(servers.echo)
    forward = service.forward((far_host, echo.port))
    with forward.connect() as lasting:
        lasting.sendall(b"hello")
        assert servers.read_exactly(lasting, 5) == b"hello"
        for server, answer in ((one, b"one"), (other, b"other")):
            change("forwards", forward.name, {"target": {"port": server.port}})
            assert answer_of(service, forward.address) == answer
        lasting.sendall(b"again")
        assert servers.read_exactly(lasting, 5) == b"again"


@pytest.mark.usefixtures("tunnel")
def test_listen_port(scene, service, change, serve, far_host):
    """The new port answers, the old one is free, and what was open stays so."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with scene.ours.listen("127.0.0.1") as unused:
        port = unused.getsockname()[1]
        status, answer = service.call("PATCH", f"/v1/forwards/{forward.name}",
                                      {"listen": {"port": port}})
        assert (status, answer["type"]) == (409, "/problems/address_in_use")
    with forward.connect() as lasting:
        lasting.sendall(b"hello")
        assert servers.read_exactly(lasting, 5) == b"hello"
        changed = change("forwards", forward.name, {"listen": {"port": port}})
        assert changed["status"]["bound"] == {"address": "127.0.0.1", "port": port}
        with pytest.raises(ConnectionRefusedError):
            forward.connect()
        with service.namespace.connect(("127.0.0.1", port)) as connection:
            for talking in (connection, lasting):
                talking.sendall(b"again")
                assert servers.read_exactly(talking, 5) == b"again"


@pytest.mark.usefixtures("tunnel")
def test_disabled_and_enabled(service, change, serve, far_host):
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"
        change("forwards", forward.name, {"enabled": False})
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        forward.connect()
    changed = change("forwards", forward.name, {"enabled": True})
    assert changed["status"]["bound"]["port"] == forward.address[1]
    with forward.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"


@pytest.mark.usefixtures("tunnel")
def test_outer_port(scene, service, change, nginx, far_host, tmp_path):
    """The peer hears of the new port at once, also when it only sends; no connection is lost."""
    forward = service.forward((far_host, 80))
    before = service.get("tunnels", "home")["status"]["bound"]["port"]
    with scene.ours.listen("127.0.0.1") as unused:
        port = unused.getsockname()[1]
    assert port != before
    with running(scene, forward, nginx, tmp_path / "got"):
        changed = change("tunnels", "home", {"listen_port": port})
        assert changed["status"]["bound"]["port"] == port


@pytest.mark.usefixtures("tunnel")
def test_mtu_ends_connections(service, change, serve, far_host):
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"
        change("tunnels", "home", {"mtu": 1300})
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with forward.connect() as connection:
        connection.sendall(b"again")
        assert servers.read_exactly(connection, 5) == b"again"


@pytest.mark.usefixtures("tunnel")
def test_congestion_control(service, change, serve, far_host):
    """Connections that are open go on as they are; new ones have the other control."""
    forward = service.forward((far_host, serve(servers.echo).port))
    data = os.urandom(1 << 18)
    with contextlib.ExitStack() as stack:
        connections = []
        for control in ("cubic", "bbr", "cubic"):
            change("tunnels", "home", {"congestion_control": control})
            assert service.get("tunnels", "home")["congestion_control"] == control
            connections.append(stack.enter_context(forward.connect()))
            for connection in connections:
                connection.sendall(data)
                assert servers.read_exactly(connection, len(data)) == data
    status, answer = service.call("PATCH", "/v1/tunnels/home", {"congestion_control": "reno"})
    assert status == 422
    assert answer["errors"][0]["pointer"] == "/congestion_control"


@pytest.mark.usefixtures("tunnel")
def test_private_key(scene, service, change, serve, far_host):
    """Another key is another account at the peer: new sessions are made with it."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with topology.Account(scene.far[0]) as other:
        change("tunnels", "home", {"private_key": other.keys.private,
                                   "addresses": [f"{other.v4}/32", f"{other.v6}/128"]})
        with forward.connect() as connection:
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"


@pytest.mark.usefixtures("tunnel")
def test_changes_survive_a_restart(service, change, serve, far_host):
    forward = service.forward((far_host, 1))
    change("forwards", forward.name, {"target": {"port": serve(servers.echo).port}})
    change("tunnels", "home", {"mtu": 1380})
    service.kill()
    service.start()
    assert service.get("tunnels", "home")["mtu"] == 1380
    assert service.get("forwards", forward.name)["generation"] == 2
    with forward.connect() as connection:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
        assert servers.read_all(connection) == b"hello"


@pytest.mark.usefixtures("tunnel")
def test_a_new_worker_has_the_changes(service, change, serve, far_host):
    """What a worker was told in pieces, its successor is told at once."""
    forward = service.forward((far_host, 1))
    change("forwards", forward.name, {"target": {"port": serve(servers.echo).port}})
    change("tunnels", "home", {"mtu": 1380})
    for worker in service.workers():
        os.kill(worker, signal.SIGKILL)
    with forward.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"
