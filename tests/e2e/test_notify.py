"""A service manager is told that we are ready, alive, and ending (sd_notify)."""

import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import manytun, servers, wait


class Manager:
    """Where sd_notify's datagrams go. They are read as they come: ten fill the socket."""

    def __init__(self, name):
        self._told = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name)
        self._name = name
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._name)
        self._reader.join()
        self._socket.close()

    def _read(self):
        while datagram := self._socket.recv(4096):
            self._told.put(datagram.decode().splitlines())

    def expect(self, line):
        """Waits for a line; the datagram that has it."""
        end = time.monotonic() + 10
        while True:
            datagram = self._told.get(timeout=max(0, end - time.monotonic()))
            if line in datagram:
                return datagram


def test_told(make_service, account, serve, far_host, tmp_path, monkeypatch):
    name = str(tmp_path / "notify")
    with Manager(name) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        service = make_service("--drain-seconds", "7")
        ready = manager.expect("READY=1")
        assert any(line.startswith("STATUS=version ") for line in ready)
        manager.expect("WATCHDOG=1")
        manager.expect("WATCHDOG=1")
        for worker in service.workers():
            with open(f"/proc/{worker}/environ", "rb") as environment:
                assert b"NOTIFY_SOCKET" not in environment.read()
        service.create("tunnels", account.tunnel())
        echo = service.forward((far_host, serve(servers.echo).port))
        with echo.connect() as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            service.signal(signal.SIGTERM)
            assert "EXTEND_TIMEOUT_USEC=12000000" in manager.expect("STOPPING=1")
            manager.expect("WATCHDOG=1")
        assert service.wait() == 0


@pytest.fixture(name="program")
def program_on_disk(tmp_path, monkeypatch):
    """A copy of the program, which can be replaced."""
    path = tmp_path / "bin" / "manytun"
    path.parent.mkdir()
    shutil.copy2(manytun.BINARY, path)
    monkeypatch.setattr(manytun, "BINARY", path)
    return path


def test_upgrade(program, make_service, account, serve, far_host, tmp_path, monkeypatch):
    """SIGUSR2: what is on the disk takes over, the manager knows, and it can be done again."""
    name = str(tmp_path / "notify")
    with Manager(name) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        service = make_service()
        manager.expect("READY=1")
        service.create("tunnels", account.tunnel())
        echo = service.forward((far_host, serve(servers.echo).port))
        with echo.connect() as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            for _ in range(2):
                newer = program.with_name("newer")
                shutil.copy2(program, newer)
                os.replace(newer, program)
                former = service.pid
                service.upgrade()
                assert service.pid != former
                assert os.readlink(f"/proc/{service.pid}/exe") == str(program)
                assert f"MAINPID={service.pid}" in manager.expect("READY=1")
                manager.expect("WATCHDOG=1")
                connection.sendall(b"y")
                assert connection.recv(1) == b"y"
        with open(f"/proc/{service.pid}/cmdline", "rb") as arguments:
            assert arguments.read().split(b"\0").count(b"--takeover") == 1
        assert service.stop() == 0
        manager.expect("STOPPING=1")


def test_upgrade_fails(program, service, tunnel):
    """A program on the disk that does not work costs nothing, and the next one takes over."""
    working = program.with_name("working")
    shutil.copy2(program, working)
    for content, told in ((b"#!/bin/sh\nexit 3\n", "ended with status 3; this one goes on"),
                          (b"no program", "cannot be started: Exec format error")):
        broken = program.with_name("broken")
        broken.write_bytes(content)
        broken.chmod(0o755)
        os.replace(broken, program)
        service.signal(signal.SIGUSR2)
        wait.until(lambda told=told: told in service.log, "it is told")
    assert service.get("tunnels", tunnel["name"])
    os.replace(working, program)
    service.upgrade()
    assert service.get("tunnels", tunnel["name"])


def test_unit_is_valid(tmp_path):
    """systemd understands every line of the unit that is shipped."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = manytun.ROOT / "packaging" / "systemd" / "manytun.service"
    text = unit.read_text().replace("/usr/bin/manytun", str(manytun.BINARY))
    copy = tmp_path / "manytun.service"
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)],
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    about_us = [line for line in done.stderr.splitlines() if "manytun" in line]
    assert not about_us, done.stderr
