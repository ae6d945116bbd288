"""`manytun run`, the one-shot forwarder that takes onetun's command line and environment."""

import os
import re
import signal
import subprocess

import pytest

from support import manytun, servers, wait, wgpeer

CONFIGURATION, USAGE = 1, 2  # exit codes


class OneShot:
    """One process; its arguments and environment are the test's."""

    def __init__(self, namespace, log, arguments, environment=None, argv0=None):
        self.log_path = log
        with open(log, "wb") as file:
            self._process = namespace.start(
                [*(argv0 or [manytun.BINARY, "run"]), *arguments], stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, env={**os.environ, **(environment or {})})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    @property
    def pid(self):
        return self._process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for(self, text):
        """Waits until it has logged that text."""
        def logged():
            assert self._process.poll() is None or text in self.log, self.log
            return text in self.log

        wait.until(logged, f"{text!r} is logged")

    def stop(self):
        """Its exit code after SIGTERM."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=20)


@pytest.fixture(name="key_file")
def private_key_file(account, tmp_path):
    path = tmp_path / "private.key"
    path.touch(mode=0o600)
    path.write_text(account.keys.private + "\n")
    return path


@pytest.fixture(name="options")
def command_line(scene, account, key_file):
    """Everything but the forward."""
    far = scene.far[0]
    return {"private-key-file": str(key_file), "endpoint-public-key": far.peer.keys.public,
            "endpoint-addr": f"{far.link.far4}:{far.peer.port}", "source-peer-ip": account.v4}


def flags(options):
    return [word for name, value in options.items() for word in (f"--{name}", value)]


@pytest.fixture(name="start")
def starter(scene, tmp_path):
    """start(arguments, …): a OneShot in our namespace, ended with the test."""
    made = []

    def start(arguments, **more):
        made.append(OneShot(scene.ours, tmp_path / f"run{len(made)}.log", arguments, **more))
        return made[-1]

    yield start
    for one_shot in made:
        with one_shot:
            assert "Sanitizer" not in one_shot.log, one_shot.log


def echoes(scene, port, host="127.0.0.1"):
    with scene.ours.connect((host, port)) as connection:
        connection.sendall(b"hello")
        return servers.read_exactly(connection, 5) == b"hello"


def test_carries_curl(scene, start, options, account, nginx, far_host):
    far = scene.far[0]
    one_shot = start([f"127.0.0.1:8080:{far_host}:80:TCP", *flags(options)])
    one_shot.wait_for(f"Tunneling TCP [127.0.0.1:8080]->[{far_host}:80] "
                      f"(via [{far.link.far4}:{far.peer.port}] as peer {account.v4})")
    assert scene.ours.run("curl", "-sS", "http://127.0.0.1:8080/small").stdout == "small\n"
    assert nginx.large.sha256 == scene.ours.run(
        "sh", "-c", "curl -sS http://127.0.0.1:8080/large | sha256sum").stdout.split()[0]
    assert account.keys.private not in one_shot.log
    assert one_shot.stop() == 0


def test_forms_of_a_forward(scene, start, options, serve, far_host):
    """With and without the source's host, several, IPv6, and the older two positionals."""
    peer = scene.far[0].peer
    port = serve(servers.echo).port
    start([f"8081:{far_host}:{port}", f"[::1]:8082:{far_host}:{port}:TCP",
           f"localhost:8083:{far_host}:{port}", *flags(options)]).wait_for(":8083]")
    assert echoes(scene, 8081)
    assert echoes(scene, 8082, "::1")
    assert echoes(scene, 8083)
    start(["127.0.0.1:8084", f"{far_host}:{port}", *flags(options)]).wait_for(":8084]")
    assert echoes(scene, 8084)
    assert peer.v4 == far_host


def test_ipv6_destination(scene, start, options, account, serve):
    peer = scene.far[0].peer
    port = serve(servers.echo).port
    start([f"8085:[{peer.v6}]:{port}", *flags({**options, "source-peer-ip": account.v6})]) \
        .wait_for(":8085]")
    assert echoes(scene, 8085)


def test_environment(scene, start, options, account, serve, far_host):
    """All of it from the environment, merged with the command line's forwards."""
    port = serve(servers.echo).port
    environment = {"ONETUN_" + name.replace("-", "_").upper(): value
                   for name, value in options.items() if name != "private-key-file"}
    environment |= {"ONETUN_PRIVATE_KEY": account.keys.private, "ONETUN_KEEP_ALIVE": "10",
                    "ONETUN_MTU": "1400", "ONETUN_LOG": "debug",
                    "ONETUN_PORT_FORWARD_1": f"8086:{far_host}:{port}",
                    "ONETUN_PORT_FORWARD_2": f"127.0.0.1:8087:{far_host}:{port}:TCP",
                    "ONETUN_PORT_FORWARD_4": f"8088:{far_host}:{port}"}
    one_shot = start([f"8089:{far_host}:{port}"], environment=environment)
    for number in (8086, 8087, 8089):
        one_shot.wait_for(f":{number}]")
        assert echoes(scene, number)
    with pytest.raises(ConnectionRefusedError):  # after the first gap
        scene.ours.connect(("127.0.0.1", 8088))


def test_called_onetun(scene, start, options, serve, far_host, tmp_path):
    """Through a link of that name it behaves as `run`."""
    link = tmp_path / "onetun"
    link.symlink_to(manytun.BINARY)
    port = serve(servers.echo).port
    start([f"8090:{far_host}:{port}", *flags(options)], argv0=[link]).wait_for(":8090]")
    assert echoes(scene, 8090)


def test_survives_a_dead_worker(scene, start, options, serve, far_host):
    port = serve(servers.echo).port
    one_shot = start([f"8091:{far_host}:{port}", *flags(options)])
    one_shot.wait_for(":8091]")
    assert echoes(scene, 8091)
    for worker in manytun.children(one_shot.pid):
        os.kill(worker, signal.SIGKILL)

    def again():
        try:
            return echoes(scene, 8091)
        except (ConnectionResetError, ConnectionAbortedError, TimeoutError):
            return False

    wait.until(again, "data flows again")


def fails(scene, arguments, code, *words, lines=1):
    """It exits with that code, after so many lines of complaint that contain these words."""
    done = scene.ours.run(manytun.BINARY, "run", *arguments, check=False, timeout=20)
    assert done.returncode == code, done.stderr
    complaints = [line for line in done.stderr.splitlines() if " info " not in line]
    assert len(complaints) == lines, done.stderr
    assert all(line.startswith("manytun: ") for line in complaints), done.stderr
    for word in words:
        assert re.search(word, done.stderr, re.IGNORECASE), done.stderr


def test_configuration_errors(scene, options, tmp_path, far_host):
    """One line for each, exit code 1."""
    target = f"8092:{far_host}:80"
    missing = tmp_path / "missing.key"
    fails(scene, [target, *flags({**options, "private-key-file": str(missing)})], CONFIGURATION,
          re.escape(str(missing)), "no such file")
    broken = tmp_path / "broken.key"
    broken.touch(mode=0o600)
    broken.write_text("this is no key\n")
    fails(scene, [target, *flags({**options, "private-key-file": str(broken)})], CONFIGURATION,
          re.escape(str(broken)), "key")
    for malformed in ("nonsense", "8092:10.9.0.1", "8092:10.9.0.1:80:SCTP", "8092:10.9.0.1:0",
                      "8092:10.9.0.1:80:TCP:x", "99999:10.9.0.1:80", "::1:8092:10.9.0.1:80",
                      "8092:10.9.0.1:80x", ""):
        fails(scene, [malformed, *flags(options)], CONFIGURATION, re.escape(malformed))
    fails(scene, [target, *flags({**options, "endpoint-addr": "192.0.2.1"})], CONFIGURATION,
          "192.0.2.1")
    fails(scene, [target, *flags({**options, "source-peer-ip": "10.9.0"})], CONFIGURATION,
          "10.9.0")
    fails(scene, [target, *flags({**options, "endpoint-public-key": "x"})], CONFIGURATION, "key")


def test_all_configuration_errors_at_once(scene, options, far_host):
    fails(scene, [f"8092:{far_host}:80", "nonsense",
                  *flags({**options, "endpoint-public-key": "x", "source-peer-ip": "y"})],
          CONFIGURATION, "nonsense", "public", "source", lines=3)


def test_taken_port(scene, options, far_host):
    with scene.ours.listen("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        fails(scene, [f"{port}:{far_host}:80", *flags(options)], CONFIGURATION, str(port),
              "in use")


def test_port_that_needs_a_right(scene, options, far_host):
    """Which one, is said."""
    done = scene.ours.run("setpriv", "--bounding-set", "-net_bind_service", manytun.BINARY, "run",
                          f"80:{far_host}:80", *flags(options), check=False, timeout=20)
    assert done.returncode == CONFIGURATION, done.stderr
    assert "127.0.0.1:80 cannot be bound: Permission denied; ports below 1024 need " \
           "CAP_NET_BIND_SERVICE" in done.stderr


def test_usage_errors(scene, options, far_host):
    for arguments in (["--no-such-option"], [f"8092:{far_host}:80", "--mtu"]):
        done = scene.ours.run(manytun.BINARY, "run", *arguments, *flags(options), check=False)
        assert done.returncode == USAGE, done.stderr
        assert done.stderr


def test_key_that_others_may_read(scene, start, options, key_file, nginx, far_host):
    """It works, with a warning."""
    key_file.chmod(0o644)
    one_shot = start([f"8093:{far_host}:80", *flags(options)])
    one_shot.wait_for(":8093]")
    assert str(key_file) in one_shot.log
    assert scene.ours.run("curl", "-sS", "http://127.0.0.1:8093/small").stdout == "small\n"
    assert nginx.large


def test_keygen():
    """Makes a pair of keys that wg agrees with."""
    done = subprocess.run([manytun.BINARY, "keygen"], capture_output=True, text=True, check=True)
    made = re.fullmatch(r"PrivateKey = (\S{44})\nPublicKey = (\S{44})\n", done.stdout)
    assert made, done.stdout
    assert wgpeer.public_key(made.group(1)) == made.group(2)


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["run", "--help"],
                                       ["--version"]])
def test_help_and_version(arguments):
    done = subprocess.run([manytun.BINARY, *arguments], capture_output=True, text=True, check=True)
    assert "manytun" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("code, arguments", [
    (USAGE, []), (USAGE, ["no-such-command"]), (USAGE, ["serve", "--no-such-option"]),
    (USAGE, ["serve", "--workers"]), (USAGE, ["serve", "--workers", "many"]),
    (USAGE, ["serve", "--listen", "nowhere"]),
    (CONFIGURATION, ["serve", "--auth", "none", "--listen", "0.0.0.0:0"])])
def test_errors_of_commands(code, arguments, tmp_path):
    environment = {**os.environ, "MANYTUN_DATA": str(tmp_path / "data")}
    done = subprocess.run([manytun.BINARY, *arguments], env=environment, capture_output=True,
                          text=True, check=False, timeout=20)
    assert done.returncode == code, done.stderr
    assert done.stderr
