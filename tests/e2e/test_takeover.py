"""A newer program takes over: listeners, sessions and open connections go on."""

import multiprocessing
import os
import signal
import socket
import struct
import threading
import time

import pytest

from support import files, manytun, servers, wait

CONNECTIONS = 50


@pytest.fixture(name="echoing")
def echo_forward(tunnel, service, serve, far_host):
    return service.forward((far_host, serve(servers.echo).port))


def echoes(connection, text=b"hello"):
    connection.sendall(text)
    return servers.read_exactly(connection, len(text)) == text


def workers_of(log):
    """The process ids of all workers that were started."""
    return [int(line.rsplit(" ", 1)[1]) for line in log.splitlines()
            if "running as process" in line]


class Clients(threading.Thread):
    """Connects again and again until it is stopped; each connection must be served."""

    def __init__(self, forward):
        super().__init__(daemon=True)
        self._forward = forward
        self._stopped = threading.Event()
        self.served = 0
        self.failures = []

    def run(self):
        while not self._stopped.is_set():
            try:
                with self._forward.connect(timeout=30) as connection:
                    assert echoes(connection)
                self.served += 1
            except (OSError, AssertionError) as failure:
                self.failures.append(failure)

    def stop(self):
        self._stopped.set()
        self.join()


def test_connections_go_on(scene, service, echoing, nginx, far_host, tmp_path):
    """A download, fifty echoes and a stream of new clients do not notice."""
    web = service.forward((far_host, 80))
    old = service.pid
    connections = [echoing.connect() for _ in range(CONNECTIONS)]
    for connection in connections:
        assert echoes(connection)
    clients = Clients(echoing)
    clients.start()
    with files.Download(scene.ours, web.url("/large"), tmp_path / "got", "--limit-rate", "40M"
                        ) as download:
        wait.until(lambda: web.status()["bytes_in_total"] > 0, "the download has begun")
        service.take_over()
        assert service.pid != old
        before = clients.served
        wait.until(lambda: clients.served > before + 10, "new clients are served by the new one")
        for connection in connections:
            assert echoes(connection)
        assert download.running or download.sha256()
        assert download.sha256() == nginx.large.sha256
    clients.stop()
    assert not clients.failures
    for connection in connections:
        with connection:
            assert echoes(connection)


def test_definitions_stay(service, echoing, account):
    """The same objects at the same ports; the API at its own port; and everything can be changed."""
    before = service.get("forwards", echoing.name)
    with echoing.connect() as connection:
        assert echoes(connection)
    wait.until(lambda: echoing.status()["bytes_in_total"] == 5, "it was counted")
    service.take_over()
    after = service.get("forwards", echoing.name)
    assert (after["status"]["connections_total"], after["status"]["bytes_in_total"]) == (1, 5)
    assert after["status"]["bound"] == before["status"]["bound"]
    assert after["generation"] == before["generation"]
    with echoing.connect() as connection:
        assert echoes(connection)
    echoing.delete()
    with pytest.raises(ConnectionRefusedError):
        echoing.connect()
    assert account.keys.private not in service.log


def test_api_moves(service, echoing):
    """The newer program may listen elsewhere, and more."""
    service.take_over("--listen", "127.0.0.1:8585", "--listen", "127.0.0.1:8586")
    assert service.get("forwards", echoing.name)
    service.address = ("127.0.0.1", 8586)
    assert service.get("forwards", echoing.name)


def test_many_forwards(service, echoing, far_host):
    many = [service.forward((far_host, 80)) for _ in range(100)]
    service.take_over()
    for forward in many:
        bound = forward.status()["bound"]
        assert (bound["address"], bound["port"]) == forward.address
    with echoing.connect() as connection:
        assert echoes(connection)


def test_old_workers_end_with_their_connections(service, echoing):
    old = service.workers()
    with echoing.connect() as connection:
        assert echoes(connection)
        service.take_over()
        wait.until(lambda: service.call("GET", "/v1/status")[1]["retired_workers"] == 1,
                   "the idle worker has ended")
        assert sum(map(manytun.alive, old)) == 1
        assert echoes(connection)
    wait.until(lambda: not any(map(manytun.alive, old)), "the old workers have ended")
    wait.until(lambda: service.call("GET", "/v1/status")[1]["retired_workers"] == 0,
               "and are not counted")


def test_totals_and_events_go_on(service, echoing):
    with echoing.connect() as connection:
        assert echoes(connection, b"x" * 1000)
        service.take_over()
        status = echoing.status()
        assert status["bytes_in_total"] == 1000
        assert status["connections_total"] == 1
        with echoing.connect() as another:
            assert echoes(another)
        wait.until(lambda: echoing.status()["connections_total"] == 2, "it counts on")
    status, events = service.call("GET", "/v1/events?since=0")
    assert status == 200
    types = [event["type"] for event in events["items"]]
    assert types.count("service.started") == 2
    assert "worker.died" not in types


def test_totals_have_what_old_workers_count(service, echoing):
    """Of connections that go on in the workers of former programs, and after these have ended."""
    def expect(count, when):
        wait.until(lambda: echoing.status()["bytes_in_total"] == count, f"{count} {when}")
        status = echoing.status()
        assert (status["connections_total"], status["bytes_out_total"]) == (2, count)

    with echoing.connect() as first:
        assert echoes(first, b"x" * 1000)
        service.take_over()
        with echoing.connect() as second:
            assert echoes(first, b"x" * 100)
            assert echoes(second, b"x" * 10)
            expect(1110, "through the first and the second")
            service.take_over()
            assert echoes(first, b"x" * 5000)
            assert echoes(second, b"x" * 300)
            expect(6410, "through former programs alone")
        expect(6410, "without the second connection")
    wait.until(lambda: service.call("GET", "/v1/status")[1]["retired_workers"] == 0, "none is left")
    expect(6410, "without a former program")
    service.stop()
    service.start()
    expect(6410, "after a restart")


@pytest.mark.parametrize("takeovers", [1, 2])
def test_changes_reach_old_connections(service, echoing, serve, far_host, takeovers):
    """What ends the connections of a forward or of a tunnel ends those of older programs, too."""
    deleted, disabled = [service.forward((far_host, serve(servers.echo).port)) for _ in range(2)]
    with (echoing.connect() as stays, deleted.connect() as first, disabled.connect() as second):
        for connection in (stays, first, second):
            assert echoes(connection)
        for _ in range(takeovers):
            service.take_over()
        deleted.delete()
        with pytest.raises(ConnectionResetError):
            first.recv(1)
        assert echoes(second)
        status, _ = service.call("PATCH", f"/v1/forwards/{disabled.name}", {"enabled": False})
        assert status == 200
        with pytest.raises(ConnectionResetError):
            second.recv(1)
        assert echoes(stays)
        assert service.call("PATCH", "/v1/tunnels/home", {"mtu": 1300})[0] == 200
        with pytest.raises(ConnectionResetError):
            stays.recv(1)
    wait.until(lambda: service.call("GET", "/v1/status")[1]["retired_workers"] == 0,
               "the old workers have ended")


def test_twice(service, echoing):
    """Connections of the first program go on through the second to the third."""
    with echoing.connect() as first:
        assert echoes(first)
        service.take_over()
        with echoing.connect() as second:
            assert echoes(second)
            service.take_over()
            with echoing.connect() as third:
                for connection in (first, second, third, second, first):
                    assert echoes(connection)
    service.stop()
    wait.until(lambda: not any(map(manytun.alive, workers_of(service.log))),
               "no worker of any program is left")


def test_time_of_old_connections_is_limited(make_service, account, serve, far_host):
    service = make_service("--retire-seconds", "1")
    service.create("tunnels", account.tunnel())
    forward = service.forward((far_host, serve(servers.echo).port))
    with forward.connect() as connection:
        assert echoes(connection)
        old = service.workers()
        service.take_over()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        wait.until(lambda: not any(map(manytun.alive, old)), "the old workers have ended")
    with forward.connect() as connection:
        assert echoes(connection)


def test_stop_cuts_old_connections(service, echoing):
    """Nothing is left behind when the newer program is told to end."""
    with echoing.connect() as connection:
        assert echoes(connection)
        old = service.workers()
        service.take_over()
        service.stop()
        wait.until(lambda: not any(map(manytun.alive, old)), "the old workers have ended")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


class Newer:
    """A newer program that speaks the protocol as far as the test wants (server/handoff.h)."""

    HELLO, REFUSED, ITEM, ALL, TAKE, DONE = 1, 2, 3, 4, 5, 6
    BRIDGE = 5  # the kind of an item
    BRIDGE_HELLO, BRIDGE_PORTS = 1, 3  # frames (engine/bridge.h)

    def __init__(self, service):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(10)
        self._socket.connect(str(service.data / "takeover.sock"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, kind, body=b""):
        self._socket.send(struct.pack("=IIHH", len(body), 0, kind, 0) + body)

    def receive(self):
        """(type, body, descriptors), or None at the end."""
        frame, fds, _, _ = socket.recv_fds(self._socket, 65536, 4)
        if not frame:
            return None
        _, _, kind, _ = struct.unpack("=IIHH", frame[:12])
        return kind, frame[12:], fds

    def receive_until(self, wanted):
        """Drops what comes up to a message of this type."""
        kind = None
        while kind != wanted:
            kind, _, fds = self.receive()
            for fd in fds:
                os.close(fd)


def be_newer(service, so_far, told, may_die):
    """Takes over up to this message, as a process of its own that then dies."""
    newer = Newer(service)
    newer.send(Newer.HELLO, struct.pack("=I", 1))
    newer.receive_until(Newer.ALL)
    newer.send(Newer.TAKE)
    kind, bridges = None, []
    while so_far == Newer.DONE and kind != Newer.DONE:
        kind, body, fds = newer.receive()
        if kind == Newer.ITEM and body[0] == Newer.BRIDGE:
            bridges += [socket.socket(fileno=fd) for fd in fds]
    for bridge in bridges:  # what is only said once was said to who dies
        bridge.setblocking(True)
        assert bridge.recv(65536)[0] == Newer.BRIDGE_HELLO
        assert bridge.recv(65536)[0] == Newer.BRIDGE_PORTS
    told.set()
    may_die.wait()
    os._exit(1)  # pylint: disable=protected-access


class Dying:
    """Such a process. It has come that far when it is entered, and is dead when it is left."""

    def __init__(self, service, so_far):
        fork = multiprocessing.get_context("fork")
        self._may_die = fork.Event()
        self._told = fork.Event()
        self._process = fork.Process(target=be_newer,
                                     args=(service, so_far, self._told, self._may_die))

    def __enter__(self):
        self._process.start()
        assert self._told.wait(10)
        return self

    def __exit__(self, *_):
        self._may_die.set()
        self._process.join()


def wait_until_back(service, seen=""):
    """It goes on as the same process."""
    wait.until(lambda: "is ready" in service.log[len(seen):], "it has begun anew")
    wait.until(service.is_ready, "and is ready")


@pytest.mark.parametrize("so_far", [Newer.TAKE, Newer.DONE])
def test_newer_program_dies_with_everything(service, echoing, nginx, far_host, so_far):
    """Where there was no way back once: the older one takes it all back, and no connection is lost."""
    web = service.forward((far_host, 80))
    pid, workers = service.pid, service.workers()
    with echoing.connect() as connection:
        assert echoes(connection)
        seen = service.log
        with Dying(service, so_far):
            pass
        wait_until_back(service, seen)
        assert service.pid == pid
        assert echoes(connection)
        with echoing.connect() as another:
            assert echoes(another)
        assert service.get("forwards", echoing.name)["status"]["connections_total"] == 2
        assert service.call("PATCH", f"/v1/forwards/{web.name}", {"idle_timeout_seconds": 77}
                            )[0] == 200
        service.take_over()
        assert echoes(connection)
    wait.until(lambda: not any(map(manytun.alive, workers)), "the first workers have ended")
    assert service.get("forwards", web.name)["idle_timeout_seconds"] == 77


def test_another_version_is_refused(service, echoing):
    with Newer(service) as newer:
        newer.send(Newer.HELLO, struct.pack("=I", 999))
        kind, reason, _ = newer.receive()
        assert kind == Newer.REFUSED
        assert b"hands over in another way" in reason
        assert newer.receive() is None
    with echoing.connect() as connection:
        assert echoes(connection)


@pytest.mark.parametrize("frame", [b"", b"x", struct.pack("=IIHH", 1 << 30, 0, 1, 0),
                                   struct.pack("=IIHH", 0, 0, 5, 0)])
def test_nonsense_is_hung_up_on(service, echoing, frame):
    with Newer(service) as newer:
        newer._socket.send(frame or b"\0")  # pylint: disable=protected-access
        assert newer.receive() is None
    with echoing.connect() as connection:
        assert echoes(connection)
    service.take_over()


def test_newer_program_dies(service, echoing):
    """Before it takes over: then the older one goes on as if nothing had happened."""
    with echoing.connect() as connection:
        assert echoes(connection)
        with Newer(service) as newer:
            newer.send(Newer.HELLO, struct.pack("=I", 1))
            newer.receive_until(Newer.ALL)
            # Meanwhile nothing can be changed, and traffic goes on.
            status, answer = service.call("DELETE", f"/v1/forwards/{echoing.name}")
            assert (status, answer["type"]) == (503, "/problems/draining")
            assert echoes(connection)
            with echoing.connect() as another:
                assert echoes(another)
        wait.until(lambda: service.call("PATCH", f"/v1/forwards/{echoing.name}",
                                        {"idle_timeout_seconds": 77})[0] == 200,
                   "it can be changed again")
        assert echoes(connection)
    service.take_over()
    assert service.get("forwards", echoing.name)["idle_timeout_seconds"] == 77


@pytest.mark.parametrize("wrong", [("--master-key-file", "/nonexistent"),
                                   ("--listen", "192.0.2.1:8585"),
                                   ("--tls-cert", "/nonexistent", "--tls-key", "/nonexistent")])
def test_newer_program_cannot_start(scene, service, echoing, wrong):
    """It says so and ends, and the older one goes on."""
    done = scene.ours.run(manytun.BINARY, "serve", "--data", service.data, "--takeover", *wrong,
                          check=False, timeout=30)
    assert done.returncode == 1
    with echoing.connect() as connection:
        assert echoes(connection)
    wait.until(lambda: service.call("PATCH", f"/v1/forwards/{echoing.name}",
                                    {"idle_timeout_seconds": 78})[0] == 200,
               "it can be changed")


def test_former_program_is_told_to_end(service, echoing):
    """Also while it still answers whom it has: what the newer one has stays as it is."""
    former = service.pid

    def tell_again_and_again():
        wait.until(lambda: "a newer program takes over" in service.log, "there is no way back")
        try:
            while manytun.alive(former):
                os.kill(former, signal.SIGTERM)
                time.sleep(0.005)
        except ProcessLookupError:
            pass

    with echoing.connect() as connection:
        assert echoes(connection)
        teller = threading.Thread(target=tell_again_and_again, daemon=True)
        teller.start()
        service.take_over()
        teller.join()
        assert echoes(connection)
        with echoing.connect() as another:
            assert echoes(another)
    assert service.get("forwards", echoing.name)


def has_everything(log, workers):
    """The newer program has started a worker, which comes after all listeners have arrived."""
    return len(workers_of(log)) > len(workers)


def has_no_way_back(log, _):
    return "a newer program takes over" in log


@pytest.mark.parametrize("come_so_far", [has_everything, has_no_way_back])
def test_former_program_dies(service, echoing, come_so_far):
    """While it hands over: the newer one goes on as after a crash, with the same listeners."""
    workers = service.workers()
    with echoing.connect() as connection:
        assert echoes(connection)
        for worker in workers:  # so that they do not retire
            os.kill(worker, signal.SIGSTOP)
        former = service.start_takeover()
        wait.until(lambda: come_so_far(service.log, workers), "the takeover has come so far")
        former.kill()
        former.wait()
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        wait.until(service.is_ready, "the newer one is ready")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    wait.until(lambda: not any(map(manytun.alive, workers)), "the older workers have ended")
    assert "goes on without it" in service.log
    with echoing.connect() as connection:
        assert echoes(connection)
    service.take_over()


def stop_amid_takeover(service):
    """
    A former program that is stopped when it has given everything, and was not told to hand over yet.
    Between these lies a millisecond, so it is stopped without a pause, and again if that was too late.
    """
    for _ in range(20):
        seen = len(service.log)
        former = service.start_takeover()
        deadline = time.monotonic() + 10
        while not has_everything(service.log[seen:], ()):
            assert time.monotonic() < deadline, service.log
        former.send_signal(signal.SIGSTOP)
        wait.until(lambda pid=former.pid: manytun.is_stopped(pid), "it stands still")
        if "a newer program takes over" not in service.log[seen:]:
            return former
        former.send_signal(signal.SIGCONT)
        assert former.wait() == 0
        wait.until(service.is_ready, "the newer one is ready")
    raise AssertionError("it was too late each time")


@pytest.mark.slow
def test_former_program_hangs(service, echoing):
    """It was told to hand over and does not: that the newer one comes through is not up to it."""
    former = stop_amid_takeover(service)
    wait.until(service.is_ready, "the newer one is ready", timeout=30)
    assert former.wait() == -signal.SIGKILL
    with echoing.connect() as connection:
        assert echoes(connection)


def test_newer_program_hangs(service, echoing):
    """It has everything and does not say that it is ready: the older one ends when it is told to."""
    with Newer(service) as newer:
        newer.send(Newer.HELLO, struct.pack("=I", 1))
        newer.receive_until(Newer.ALL)
        newer.send(Newer.TAKE)
        newer.receive_until(Newer.DONE)
        assert service.pid and manytun.alive(service.pid)
        assert service.stop() == 0
    service.start()
    assert service.get("forwards", echoing.name)


def test_nobody_to_take_over_from(scene, tmp_path):
    done = scene.ours.run(manytun.BINARY, "serve", "--data", tmp_path, "--takeover", check=False,
                          timeout=30)
    assert done.returncode == 1


def test_newer_worker_dies(service, echoing):
    """Old connections went through it; new ones work, and nothing of the old is left."""
    with echoing.connect() as connection:
        assert echoes(connection)
        old = service.workers()
        service.take_over()
        assert echoes(connection)
        for worker in service.workers():
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    wait.until(lambda: not any(map(manytun.alive, old)), "the old workers have ended")
    with echoing.connect() as connection:
        assert echoes(connection)
