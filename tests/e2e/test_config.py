"""The whole desired state: from a declarative file, and through the API."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

from support import files, manytun, servers, wait

# How long a transfer lasts at least, so that the changes come while it runs.
SECONDS = 8


def forward(name, target, **more):
    host, port = target
    return {"name": name, "tunnel": "home", "target": {"host": host, "port": port}, **more}


def replace(path, document):
    """As editors do: another file takes the name."""
    text = document if isinstance(document, str) else json.dumps(document)
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text)
    partial.rename(path)


def condition(service):
    """The reason why the configuration file is not applied, or None."""
    status, answer = service.call("GET", "/v1/status")
    assert status == 200, answer
    return next((problem["reason"] for problem in answer["problems"]
                 if problem["kind"] == "config"), None)


def names(service):
    status, answer = service.call("GET", "/v1/config")
    assert status == 200, answer
    return [item["name"] for item in answer["forwards"]]


def says(text):
    """A handler of a server: sends the text, and that is all."""
    return lambda connection: connection.sendall(text)


def answer_of(service, name):
    """What the server behind a forward says."""
    bound = service.get("forwards", name)["status"]["bound"]
    with service.namespace.connect((bound["address"], bound["port"])) as connection:
        return servers.read_all(connection)


@pytest.fixture(name="folder")
def configuration_folder(tmp_path):
    path = tmp_path / "config"
    path.mkdir()
    return path


@contextlib.contextmanager
def transfer(scene, service, nginx, path):
    """A download through the forward "web" that goes on all the while."""
    bound = service.get("forwards", "web")["status"]["bound"]
    url = f"http://{bound['address']}:{bound['port']}/large"
    with files.Download(scene.ours, url, path, "--limit-rate",
                        files.LARGE // SECONDS) as download:
        wait.until(lambda: service.get("forwards", "web")["status"]["bytes_in_total"] > 0,
                   "the transfer has begun")
        yield
        assert download.running, "the transfer was over before the changes were"
        assert download.sha256() == nginx.large.sha256


def test_a_file_is_edited_while_traffic_flows(scene, make_service, account, nginx, far_host,
                                              folder, tmp_path):
    web = forward("web", (far_host, 80))
    path = folder / "all.json"
    document = {"tunnels": [account.tunnel()], "forwards": [web, forward("b", (far_host, 81))]}
    replace(path, document)
    service = make_service("--config", path)
    assert service.get("forwards", "web")["source"] == "file"
    status, answer = service.call("PATCH", "/v1/forwards/web", {"enabled": False})
    assert (status, answer["type"]) == (409, "/problems/managed_by_file")
    status, answer = service.call("DELETE", "/v1/tunnels/home?cascade=true")
    assert (status, answer["type"]) == (409, "/problems/managed_by_file")
    workers = service.workers()
    with transfer(scene, service, nginx, tmp_path / "got"):
        replace(path, {**document, "forwards": [web, forward("c", (far_host, 81))]})
        wait.until(lambda: names(service) == ["c", "web"], "the edit is applied")
        replace(path, "{")
        wait.until(lambda: condition(service) == "Invalid", "the edit is refused")
        assert names(service) == ["c", "web"]
        replace(path, document)
        wait.until(lambda: names(service) == ["b", "web"], "the file is right again")
        assert condition(service) is None
    assert service.get("forwards", "web")["generation"] == 1
    assert service.workers() == workers
    assert f"{path}:1:2: " in service.log


def test_a_config_map(make_service, account, far_host, serve, folder):
    """Kubernetes exchanges the link ..data; the files are links into it."""
    def version(number, names_of_forwards):
        there = folder / f"..v{number}"
        there.mkdir()
        (there / "forwards.json").write_text(json.dumps({"forwards": [
            forward(name, (far_host, server.port)) for name in names_of_forwards]}))
        (there / "tunnels.json").write_text(json.dumps({"tunnels": [account.tunnel()]}))
        (folder / "..data_tmp").symlink_to(there.name)
        os.rename(folder / "..data_tmp", folder / "..data")

    server = serve(says(b"hello"))
    version(1, ["a", "b"])
    for name in ("forwards.json", "tunnels.json"):
        (folder / name).symlink_to(f"..data/{name}")
    service = make_service("--config", folder)
    assert answer_of(service, "a") == b"hello"
    version(2, ["b", "c"])
    wait.until(lambda: names(service) == ["b", "c"], "the new version is applied")
    assert answer_of(service, "c") == b"hello"
    # After a restart it is the same, and the ports are the same.
    port = service.get("forwards", "b")["status"]["bound"]["port"]
    service.stop()
    service.start()
    assert names(service) == ["b", "c"]
    assert service.get("forwards", "b")["status"]["bound"]["port"] == port
    assert service.get("forwards", "b")["generation"] == 1


def test_a_takeover_keeps_what_is_applied(make_service, account, far_host, serve, folder):
    """Also when the file is wrong at that moment; when it is right again, that is seen."""
    server = serve(says(b"hello"))
    path = folder / "all.json"
    document = {"tunnels": [account.tunnel()], "forwards": [forward("a", (far_host, server.port))]}
    replace(path, document)
    service = make_service("--config", folder)
    before = service.get("forwards", "a")
    replace(path, "{")
    wait.until(lambda: condition(service) == "Invalid", "the edit is refused")
    old = service.pid
    service.take_over()
    assert service.pid != old
    after = service.get("forwards", "a")
    assert (after["generation"], after["status"]["bound"]) == \
        (before["generation"], before["status"]["bound"])
    assert answer_of(service, "a") == b"hello"
    assert condition(service) == "Invalid"
    replace(path, {**document, "forwards": [forward("b", (far_host, server.port))]})
    wait.until(lambda: names(service) == ["b"], "the file is right again")
    assert condition(service) is None
    assert answer_of(service, "b") == b"hello"


def test_hangup_reads_it_again(make_service, account, folder):
    """What is in a folder that is not watched; the service, told so, does not end."""
    peer = account.tunnel()["peers"][0]
    elsewhere = folder / "keys"
    elsewhere.mkdir()

    def write(mtu):
        (elsewhere / "home.conf").write_text(
            f"[Interface]\nPrivateKey = {account.keys.private}\nAddress = {account.v4}/32\n"
            f"MTU = {mtu}\n[Peer]\nPublicKey = {peer['public_key']}\n"
            f"Endpoint = {peer['endpoint']}\nAllowedIPs = 10.9.0.0/24\n")

    write(1400)
    replace(folder / "all.json",
            {"tunnels": [{"name": "home", "wg_quick_file": "keys/home.conf"}]})
    service = make_service("--config", folder)
    assert service.get("tunnels", "home")["mtu"] == 1400
    write(1300)
    service.signal(signal.SIGHUP)
    wait.until(lambda: service.get("tunnels", "home")["mtu"] == 1300, "it was read again")
    assert service.get("tunnels", "home")["generation"] == 2


def test_without_the_file_its_objects_go(scene, make_service, account, folder, tmp_path):
    replace(folder / "all.json", {"tunnels": [account.tunnel()]})
    service = make_service("--config", folder)
    service.stop()
    again = manytun.Service(scene.ours, tmp_path, data=service.data).start()
    status, answer = again.call("GET", "/v1/config")
    assert again.stop() == 0
    assert (status, answer) == (200, {"tunnels": [], "forwards": []})


WRONG = """{
  "tunnels": [{"name": "Home", "private_key": "x", "addresses": ["10.9.0.2/32"]}],
  "forwards": [{"name": "web", "tunnel": "home", "target": {"host": "10.9.0.1", "port": 0}}]
}"""


def test_wrong_at_the_start(scene, folder, tmp_path):
    path = folder / "all.json"
    path.write_text(WRONG)
    done = scene.ours.run(manytun.BINARY, "serve", "--data", tmp_path / "data", "--config", folder,
                          check=False)
    assert done.returncode == 1
    for pointer in ("/tunnels/0/name", "/tunnels/0/private_key", "/forwards/0/target/port"):
        assert f"{path}: {pointer}: " in done.stderr


def validate(path):
    return subprocess.run([manytun.BINARY, "validate", path], check=False, capture_output=True,
                          text=True, timeout=60)


def test_validate(folder, account):
    path = folder / "all.json"
    path.write_text(WRONG)
    done = validate(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "/tunnels/0/name", "/tunnels/0/private_key", "/forwards/0/target/port"]
    path.write_text('{\n  "tunnels": [],,\n}')
    done = validate(path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"{path}:2:17: ")
    replace(path, {"tunnels": [account.tunnel()], "forwards": [forward("a", ("10.9.0.1", 80))]})
    done = validate(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{folder}: valid: 1 tunnels and 1 forwards in 1 documents\n"
    assert validate(folder / "none").returncode == 1


@pytest.mark.usefixtures("tunnel")
def test_ports_are_exchanged(service, serve, far_host):
    """Through the API, in one step, with clients on both."""
    target = {name: (far_host, serve(says(name.encode())).port) for name in ("a", "b")}
    port = {}
    for name in target:
        service.create("forwards", forward(name, target[name]))
        port[name] = service.get("forwards", name)["status"]["bound"]["port"]
    for swapped in (True, False, True):
        document = {"forwards": [
            forward(name, target[name],
                    listen={"address": "127.0.0.1", "port": port[other if swapped else name]})
            for name, other in (("a", "b"), ("b", "a"))]}
        status, answer = service.call("PUT", "/v1/config", document)
        assert status == 200, answer
        wait.until(lambda: answer_of(service, "a") == b"a" and answer_of(service, "b") == b"b",
                   "both ports lead to the new targets")
        assert service.get("forwards", "a")["status"]["bound"]["port"] == \
            port["b" if swapped else "a"]
