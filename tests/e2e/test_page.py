"""The status page in Chromium (tests/web/browser), each file with a service as it needs it."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import pytest

from support import manytun, servers, wait

WEB = manytun.ROOT / "tests" / "web"
DEPENDENCIES = manytun.ROOT / ".deps" / "node" / "node_modules" / "playwright-core"


def missing_requirement():
    """Why the page cannot be tested here, or None."""
    for program in ("node", "chromium"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None if DEPENDENCIES.is_dir() else "scripts/setup --tests has not been run"


@pytest.fixture(autouse=True, scope="module")
def browser():
    reason = missing_requirement()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def shots():
    """Where screenshots go; docs/screenshots is refreshed by naming it."""
    default = manytun.ROOT / "build" / "results" / "page"
    folder = pathlib.Path(os.environ.get("MANYTUN_SHOTS", default)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def run_browser(scene, shots):
    """run_browser(service, name): the tests of tests/web/browser/<name>.test.js pass; their output."""
    def run(service, name):
        host, port = service.address
        environment = {**os.environ, "MANYTUN_URL": f"http://{host}:{port}",
                       "MANYTUN_TOKEN": service.token, "MANYTUN_SHOTS": str(shots)}
        done = scene.ours.run("node", "--test", WEB / "browser" / f"{name}.test.js", timeout=200,
                              check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_modules():
    """What is computed, without a browser."""
    done = subprocess.run(["node", "--test", WEB / "unit"], capture_output=True, text=True,
                          timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_empty(service, run_browser):
    """Signing in, and the first objects."""
    run_browser(service, "empty")


def test_open(make_service, run_browser):
    """Without authentication."""
    run_browser(make_service("--auth", "none"), "open")


def test_declared(make_service, account, far_host, tmp_path, run_browser):
    """What a file defines is read-only."""
    document = tmp_path / "manytun.json"
    document.write_text(json.dumps({
        "tunnels": [account.tunnel()],
        "forwards": [{"name": "web", "tunnel": "home", "target": {"host": far_host, "port": 80}}]}))
    service = make_service("--config", document)
    service.forward((far_host, 81), name="own")
    run_browser(service, "declared")


class Talker(threading.Thread):
    """Sends over a connection to an echo server and reads it back, until it is left."""

    def __init__(self, connection):
        super().__init__()
        self._connection = connection
        self._end = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join()

    def run(self):
        size = 1000
        try:
            while not self._end.wait(0.05):
                self._connection.sendall(b"x" * size)
                servers.read_exactly(self._connection, size)
                size = size * 2 if size < 64_000 else 1000
        except OSError:
            pass  # the page has deleted the forward


def test_working(service, tunnel, serve, far_host, run_browser):
    """A tunnel that carries traffic, and every action on it."""
    web = service.forward((far_host, serve(servers.echo).port), name="web")
    for name, port in (("database", 5432), ("metrics", 9090), ("spare", 9)):
        service.forward((far_host, port), name=name)
    with web.connect() as connection, Talker(connection):
        with web.connect() as other:
            other.sendall(b"x" * 1000)
            servers.read_exactly(other, 1000)
        wait.until(lambda: web.status()["connections_active"] == 1, "one connection is left")
        run_browser(service, "working")


def test_broken(make_service, account, far_host, run_browser):
    """What could not be bound after a restart is told first, with what to do about it."""
    service = make_service()
    service.create("tunnels", {**account.tunnel(), "listen_port": 51999})
    service.create("tunnels", account.tunnel("office"))
    service.forward((far_host, 80), name="web")
    service.forward((far_host, 5432), tunnel="office", name="database",
                    listen={"address": "127.0.0.1", "port": 5432})
    service.forward((far_host, 22), tunnel="office", name="ssh")
    service.stop()
    with service.namespace.entered():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with udp, tcp:
        udp.bind(("0.0.0.0", 51999))
        tcp.bind(("127.0.0.1", 5432))
        tcp.listen()
        service.start()
        run_browser(service, "broken")


def test_many(service, account, run_browser, capsys):
    """5,000 forwards over 200 tunnels."""
    peer = account.tunnel()["peers"][0]
    config = {
        "tunnels": [{"name": f"site-{i:03}", "private_key": account.keys.private,
                     "addresses": ["10.9.0.2/32"], "peers": [peer]} for i in range(200)],
        "forwards": [{"name": f"forward-{i:04}", "tunnel": f"site-{i % 200:03}",
                      "target": {"host": "10.9.0.1", "port": 1 + i},
                      "enabled": i % 10 != 9} for i in range(5000)],
    }
    status, answer = service.call("PUT", "/v1/config", config)
    assert status == 200, answer
    output = run_browser(service, "many")
    with capsys.disabled():
        print("", *re.findall(r"^# (.* ms)$", output, re.MULTILINE), sep="\n    ")
