"""SIGTERM: nobody new is let in, who is there may finish, within a time."""

import signal

import pytest

from support import files, servers, wait


@pytest.fixture(name="draining")
def service_that_drains(make_service, account):
    service = make_service("--drain-seconds", "60")
    service.create("tunnels", account.tunnel())
    return service


def refused(forward):
    try:
        forward.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def readiness(service):
    return service.request("GET", "/readyz", unix=True).status


def test_connections_finish(scene, draining, nginx, serve, far_host, tmp_path):
    """A download and an echo go on to their ends; then, and not before, the service ends."""
    web = draining.forward((far_host, 80))
    echo = draining.forward((far_host, serve(servers.echo).port))
    with echo.connect() as connection, \
            files.Download(scene.ours, web.url("/large"), tmp_path / "got", "--limit-rate", "50M"
                           ) as download:
        connection.sendall(b"before")
        assert servers.read_exactly(connection, 6) == b"before"
        wait.until(lambda: web.status()["bytes_in_total"] > 0, "the download has begun")
        draining.signal(signal.SIGTERM)
        wait.until(lambda: refused(echo), "nobody is accepted")
        assert refused(web)
        # The API can be read, and says what is going on.
        assert readiness(draining) == 503
        status, answer = draining.call("GET", "/v1/status")
        assert status == 200 and answer["draining"]
        status, answer = draining.call("DELETE", f"/v1/forwards/{echo.name}")
        assert (status, answer["type"]) == (503, "/problems/draining")
        assert download.sha256() == nginx.large.sha256
        connection.sendall(b"after")
        assert servers.read_exactly(connection, 5) == b"after"
        assert readiness(draining) == 503
    assert draining.wait() == 0
    assert "no connection is left" in draining.log


def test_backlog_is_served(draining, serve, far_host):
    """Who had connected before the signal is not cut, also if nobody had accepted yet."""
    echo = draining.forward((far_host, serve(servers.echo).port))
    worker = draining.workers()
    connections = [echo.connect() for _ in range(20)]
    assert worker
    draining.signal(signal.SIGTERM)
    for connection in connections:
        with connection:
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"
    assert draining.wait() == 0


def test_second_signal_ends_at_once(draining, serve, far_host):
    echo = draining.forward((far_host, serve(servers.echo).port))
    with echo.connect() as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        draining.signal(signal.SIGTERM)
        wait.until(lambda: readiness(draining) == 503, "it drains")
        draining.signal(signal.SIGINT)
        assert draining.wait() == 0


def test_time_is_limited(make_service, account, serve, far_host):
    """A connection that does not end does not keep the service from ending."""
    service = make_service("--drain-seconds", "1")
    service.create("tunnels", account.tunnel())
    echo = service.forward((far_host, serve(servers.echo).port))
    with echo.connect() as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert "1 connections are cut" in service.log


def test_nothing_to_drain(draining):
    """Without connections the time does not matter."""
    assert draining.stop() == 0
