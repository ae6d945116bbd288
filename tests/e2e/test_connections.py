"""How single connections begin and end, and that nothing of them stays behind."""

import concurrent.futures
import socket
import time

import pytest

from support import files, manytun, servers, wait

pytestmark = pytest.mark.usefixtures("tunnel")

SHORT_CONNECTIONS = 2000
AT_ONCE = 50


def idle(forward):
    return forward.status()["connections_active"] == 0


def test_refused_by_the_far_side(scene, service, far_host):
    """A dial that is refused resets the client, even before it has sent anything."""
    with scene.far[0].namespace.listen() as unused:
        port = unused.getsockname()[1]
    forward = service.forward((far_host, port))
    # It may be as quick as connect().
    with pytest.raises(ConnectionResetError), forward.connect() as connection:
        connection.recv(1)
    wait.until(lambda: idle(forward), "no connection is left")


def test_connect_timeout(service):
    """A dial that nobody answers ends after the time that was asked for."""
    silent = ("10.9.0.254", 80)  # routed to the peer, which has no such address
    quick = service.forward(silent, connect_timeout_seconds=1)
    patient = service.forward(silent, connect_timeout_seconds=60)
    with patient.connect() as waiting, quick.connect() as connection:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        waiting.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.recv(1)


def test_no_route_in_tunnel(service):
    """A destination that no peer is responsible for."""
    forward = service.forward(("203.0.113.1", 80), connect_timeout_seconds=2)
    with pytest.raises(ConnectionResetError), forward.connect() as connection:
        connection.recv(1)


def test_idle_timeout_only_if_asked(service, serve, far_host):
    """One second of silence ends the connection that asked for it, and only that one."""
    target = (far_host, serve(servers.echo).port)
    strict = service.forward(target, idle_timeout_seconds=1)
    lenient = service.forward(target)
    with strict.connect() as ending, lenient.connect() as lasting:
        for connection in (ending, lasting):
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"
        try:
            assert ending.recv(1) == b""
        except ConnectionResetError:
            pass
        lasting.sendall(b"still")
        assert servers.read_exactly(lasting, 5) == b"still"


def test_client_vanishes(scene, service, serve, far_host):
    """A reset by the client reaches the server."""
    server = serve(servers.echo)
    forward = service.forward((far_host, server.port))
    connection = forward.connect()
    connection.sendall(b"hello")
    assert servers.read_exactly(connection, 5) == b"hello"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    wait.until(lambda: server.connections == 0, "the server's connection is gone")
    wait.until(lambda: idle(forward), "no connection is left")


def test_server_resets(service, serve, far_host):
    """A reset by the server reaches the client as one."""
    def reset(connection):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    forward = service.forward((far_host, serve(reset).port))
    with forward.connect() as connection:
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_many_short_connections(service, serve, far_host):
    """Nothing is left of them: no connection, no descriptor."""
    forward = service.forward((far_host, serve(servers.echo).port))

    def talk(number):
        payload = number.to_bytes(4, "big") * 100
        with forward.connect() as connection:
            connection.sendall(payload)
            connection.shutdown(socket.SHUT_WR)
            return servers.read_all(connection) == payload

    def descriptors():
        return sum(map(manytun.descriptors, service.workers()))

    assert talk(0)
    wait.until(lambda: idle(forward), "no connection is left")
    before = descriptors()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        assert all(pool.map(talk, range(SHORT_CONNECTIONS)))
    wait.until(lambda: idle(forward), "no connection is left")
    assert forward.status()["connections_total"] == SHORT_CONNECTIONS + 1
    wait.until(lambda: descriptors() <= before, "no descriptor is left")


def test_delete_closes_connections(service, serve, far_host):
    """Both ends of a live connection see the end of its forward."""
    server = serve(servers.echo)
    forward = service.forward((far_host, server.port))
    other = service.forward((far_host, server.port))
    with forward.connect() as ending, other.connect() as lasting:
        for connection in (ending, lasting):
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"
        forward.delete()
        try:
            assert ending.recv(1) == b""
        except ConnectionResetError:
            pass
        wait.until(lambda: server.connections == 1, "the server's connection is gone")
        lasting.sendall(b"still")
        assert servers.read_exactly(lasting, 5) == b"still"
    with pytest.raises(ConnectionRefusedError):
        forward.connect()


def test_delete_and_create_the_same_port(service, serve, far_host):
    """The port is free as soon as the deletion was answered, whatever was going on."""
    target = (far_host, serve(servers.echo).port)
    forward = service.forward(target)
    for _ in range(10):
        address, port = forward.address
        with forward.connect() as connection:
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"
            forward.delete()
            forward = service.forward(target, listen={"address": address, "port": port})
        assert forward.address == (address, port)


def test_delete_tunnel(service, serve, far_host):
    """A tunnel in use is a conflict, unless its forwards shall go with it."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"
        status, problem = service.call("DELETE", "/v1/tunnels/home")
        assert status == 409, problem
        connection.sendall(b"still")
        assert servers.read_exactly(connection, 5) == b"still"
        status, problem = service.call("DELETE", "/v1/tunnels/home?cascade=true")
        assert status == 204, problem
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
    for path in ("tunnels/home", f"forwards/{forward.name}"):
        assert service.call("GET", f"/v1/{path}")[0] == 404


def test_paused_connection_survives(service, serve, far_host):
    """Silence of some seconds changes nothing."""
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect(timeout=files.PATIENCE) as connection:
        for _ in range(3):
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"
            time.sleep(2)  # the silence is the scenario
