"""What survives: a worker's death, a restart of the service, its death."""

import os
import signal
import threading

import pytest

from support import files, manytun, servers, topology, wait

RECOVERY = 10  # seconds in which new connections carry data again


@pytest.fixture
def echoing(tunnel, service, serve, far_host):
    """A forward to an echo server."""
    return service.forward((far_host, serve(servers.echo).port))


def echoes(forward):
    """Whether a new connection carries data there and back. Being refused is an error."""
    with forward.connect(timeout=1) as connection:
        try:
            connection.sendall(b"hello")
            return connection.recv(5) == b"hello"
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            return False


def test_totals_survive_a_restart(service, tunnel, serve, far_host):
    """What was counted is counted on, though the connections, the workers and the ports are new."""
    forward = service.forward((far_host, serve(servers.echo).port), tunnel=tunnel["name"])

    def use(size):
        with forward.connect() as connection:
            connection.sendall(b"x" * size)
            assert len(servers.read_exactly(connection, size)) == size

    def totals():
        status = forward.status()
        return tuple(status[name] for name in ("connections_total", "bytes_in_total",
                                               "bytes_out_total", "connections_active"))

    def peer_totals():
        status = service.get("tunnels", "home")["status"]["peers"][0]
        return tuple(status[name] for name in ("handshakes_total", "rx_bytes_total",
                                               "tx_bytes_total"))

    use(1000)
    wait.until(lambda: totals() == (1, 1000, 1000, 0), "the first connection is counted")
    carried = wait.until(lambda: service.get("tunnels", "home")["status"]["rx_bytes_total"],
                         "the tunnel's bytes are counted")
    peer = wait.until(lambda: peer_totals()[1] > 1000 and peer_totals(), "the peer's are, too")
    assert peer[0] == 1
    assert service.stop() == 0
    service.start()
    assert totals() == (1, 1000, 1000, 0)
    assert all(now >= before for now, before in zip(peer_totals(), peer))
    assert service.get("tunnels", "home")["status"]["rx_bytes_total"] >= carried
    use(500)
    wait.until(lambda: totals() == (2, 1500, 1500, 0), "the second one is counted on top")
    code, answer = service.call("GET", "/v1/status")
    assert code == 200 and answer["bytes_in_total"] == 1500


def test_worker_is_killed_under_traffic(scene, service, echoing, nginx, far_host, tmp_path):
    """The API answers throughout, nobody is refused, and soon data flows again."""
    web = service.forward((far_host, 80))
    victims = service.workers()
    assert victims
    api_failures = []
    api_stop = threading.Event()

    def ask():
        while not api_stop.is_set():
            status, _ = service.call("GET", "/v1/forwards")
            if status != 200:
                api_failures.append(status)

    asking = threading.Thread(target=ask, daemon=True)
    with files.Download(scene.ours, web.url("/large"), tmp_path / "cut") as download:
        wait.until(lambda: web.status()["bytes_in_total"] > 0, "the download has begun")
        asking.start()
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        try:
            wait.until(lambda: echoes(echoing), "a new connection carries data", RECOVERY)
        finally:
            api_stop.set()
            asking.join()
        # Its connection went with the worker; curl may or may not have had all of it.
        wait.until(lambda: not download.running, "the cut download ends")
    assert not api_failures
    assert not set(victims) & set(service.workers())
    with files.Download(scene.ours, web.url("/medium"), tmp_path / "again") as download:
        assert download.sha256() == nginx.medium.sha256


def test_one_of_two_workers_dies(scene, make_service, serve):
    """The tunnels of the other one do not notice."""
    service = make_service("--workers", "2")
    with topology.Account(scene.far[0]) as one, topology.Account(scene.far[1]) as other:
        service.create("tunnels", one.tunnel("one"))
        service.create("tunnels", other.tunnel("other"))
        host = scene.far[0].peer.v4
        connections = [
            service.forward((host, serve(servers.echo, far).port), tunnel=name).connect()
            for far, name in enumerate(("one", "other"))]
        for connection in connections:
            connection.sendall(b"before")
            assert servers.read_exactly(connection, 6) == b"before"
        os.kill(service.workers()[0], signal.SIGKILL)
        survivors = 0
        for connection in connections:
            with connection:
                try:
                    connection.sendall(b"after")
                    survivors += connection.recv(5) == b"after"
                except ConnectionError:
                    pass
        assert survivors == 1


def test_stop_and_start(service, account, echoing, serve, far_host):
    """Everything listens again, with the names and the ports that it had."""
    named = service.forward((far_host, serve(servers.echo).port), name="named",
                            connect_timeout_seconds=7, idle_timeout_seconds=300)
    before = [service.get("forwards", forward.name) for forward in (echoing, named)]
    before_tunnel = service.get("tunnels", "home")
    assert service.stop() == 0
    service.start()
    for forward, old in zip((echoing, named), before):
        assert echoes(forward)
        new = service.get("forwards", forward.name)
        for document in (old, new):
            bound = document.pop("status")["bound"]
            assert bound == {"address": forward.address[0], "port": forward.address[1]}
        assert new == old
    after = service.get("tunnels", "home")
    for document in (before_tunnel, after):
        document.pop("status", None)
    assert after == before_tunnel
    assert account.keys.private not in str(after)


def test_kill_after_created(service, echoing):
    """201 means stored: no orderly end is needed."""
    service.kill()
    service.start()
    assert echoes(echoing)


def test_deleted_stays_deleted(service, echoing):
    echoing.delete()
    service.kill()
    service.start()
    status, _ = service.call("GET", f"/v1/forwards/{echoing.name}")
    assert status == 404
    with pytest.raises(ConnectionRefusedError):
        echoing.connect()


def test_port_is_taken_at_restart(scene, service, tunnel, serve, far_host):
    """The service starts, says what is wrong, and listens once the port is free."""
    with scene.ours.listen("127.0.0.1") as free:
        port = free.getsockname()[1]
    forward = service.forward((far_host, serve(servers.echo).port), tunnel=tunnel["name"],
                              listen={"address": "127.0.0.1", "port": port})
    assert service.stop() == 0
    with scene.ours.listen(*forward.address):
        service.start()
        ready = forward.status()["conditions"][0]
        assert (ready["type"], ready["status"], ready["reason"]) \
            == ("Ready", "False", "AddressInUse")

    def listens():
        try:
            return echoes(forward)
        except ConnectionRefusedError:
            return False

    wait.until(listens, "the forward listens", timeout=60)


def test_second_instance_is_refused(scene, service, echoing):
    """Two services on one data directory would fight over it."""
    done = scene.ours.run(manytun.BINARY, "serve", "--data", service.data,
                          "--listen", "127.0.0.1:0", check=False, timeout=10)
    assert done.returncode == 1
    assert echoes(echoing)
