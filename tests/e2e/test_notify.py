"""A service manager is told that we are ready, alive, and ending (sd_notify)."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

from support import manytun, servers


class Manager:
    """Where sd_notify's datagrams go; what came is in .told."""

    def __init__(self, name):
        self.told = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name)
        self._socket.settimeout(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def expect(self, line):
        """Waits for a line; the datagram that has it."""
        while True:
            datagram = self._socket.recv(4096).decode().splitlines()
            self.told += datagram
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
