"""Who may call the service, and through which door."""

import base64
import http.client
import json
import os
import subprocess

import pytest

from support import manytun

HEALTH = ("127.0.0.1", 8686)


def ask(service, address, path):
    """The status of a GET without a token."""
    connection = manytun.NamespaceConnection(service.namespace, address)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_health_listener_needs_no_token(make_service):
    service = make_service("--health-listen", "%s:%d" % HEALTH)
    for path in ("/livez", "/readyz", "/metrics"):
        assert ask(service, HEALTH, path) == http.client.OK
        assert ask(service, service.address, path) == http.client.UNAUTHORIZED
    assert ask(service, HEALTH, "/v1/status") == http.client.NOT_FOUND


def test_token_is_replaced_without_a_restart(service):
    """The old one counts until it is deleted, the new one at once; the record says who did it."""
    def status(token):
        headers = {"Authorization": f"Bearer {token}"}
        return service.request("GET", "/v1/tokens", None, headers).status

    old = service.token
    new = service.create("tokens", {"name": "next", "role": "admin"})["token"]
    assert (status(old), status(new)) == (http.client.OK, http.client.OK)
    headers = {"Authorization": f"Bearer {new}"}
    assert service.request("DELETE", "/v1/tokens/admin", None, headers).status \
        == http.client.NO_CONTENT
    assert (status(old), status(new)) == (http.client.UNAUTHORIZED, http.client.OK)
    answer = service.request("GET", "/v1/events", None, {**headers, "Accept": "application/json"})
    records = [(event["type"], event["name"], event["actor"])
               for event in json.loads(answer.body)["items"] if event["type"].startswith("token.")]
    assert records == [("token.created", "next", "token:admin"),
                       ("token.deleted", "admin", "token:next")]
    assert service.stop() == 0
    service.start()
    assert (status(old), status(new)) == (http.client.UNAUTHORIZED, http.client.OK)
    assert "holds a token that is not valid any more" in service.log
    assert old not in service.log and new not in service.log


def start_fails(service, part):
    """The service says why it does not start; nothing is changed by that."""
    with pytest.raises(RuntimeError, match="the service ended with 1"):
        service.start()
    assert part in service.log


def test_no_start_without_the_master_key(service, account):
    service.create("tunnels", account.tunnel())
    assert service.stop() == 0
    key = service.data / "master.key"
    kept = service.data / "kept"
    key.rename(kept)
    start_fails(service, "is gone, and without it")
    assert not key.exists()
    key.write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    start_fails(service, "is not the one")
    kept.rename(key)
    service.start()
    assert service.get("tunnels", "home")["name"] == "home"


def test_master_key_from_elsewhere(make_service, account, tmp_path, monkeypatch):
    """A file that an option, the environment or systemd names; none is made beside the data."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    named = credentials / "manytun.master-key"
    named.write_bytes(base64.b64encode(os.urandom(32)))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    service = make_service()
    service.create("tunnels", account.tunnel())
    assert not (service.data / "master.key").exists()
    assert service.stop() == 0
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    start_fails(service, "is gone, and without it")
    monkeypatch.setenv("MANYTUN_MASTER_KEY_FILE", str(named))
    service.start()
    assert service.get("tunnels", "home")["name"] == "home"


def rotate(service, *arguments):
    """Runs the command, which says what it did or why not."""
    return subprocess.run([manytun.BINARY, "rotate-master-key", "--data", service.data, *arguments],
                          capture_output=True, text=True, timeout=30, check=False)


def test_rotation_of_the_master_key(service, account, tmp_path):
    service.create("tunnels", account.tunnel())
    key = service.data / "master.key"
    before = key.read_text()
    done = rotate(service)
    assert done.returncode == 1 and "in use by another instance" in done.stderr
    assert service.stop() == 0
    done = rotate(service)
    assert done.returncode == 0, done.stderr
    assert key.read_text() != before
    service.start()
    assert service.get("tunnels", "home")["name"] == "home"
    assert service.stop() == 0
    done = rotate(service, "--new-master-key-file", tmp_path / "elsewhere")
    assert done.returncode == 0 and f"--master-key-file {tmp_path}/elsewhere" in done.stdout
    start_fails(service, "is not the one")
    done = rotate(service, "--master-key-file", tmp_path / "elsewhere",
                  "--new-master-key-file", key)
    assert done.returncode == 0, done.stderr
    service.start()
    assert service.get("tunnels", "home")["name"] == "home"


def test_rotation_makes_no_database(tmp_path):
    done = subprocess.run([manytun.BINARY, "rotate-master-key", "--data", tmp_path],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "there is no database" in done.stderr
    assert not list(tmp_path.iterdir())


def test_keys_are_sealed_in_every_file(service, account):
    """The private key is nowhere in the data directory, as bytes or as text."""
    document = account.tunnel()
    service.create("tunnels", document)
    for _ in range(2):
        for path in service.data.iterdir():
            if path.is_file():
                data = path.read_bytes()
                assert base64.b64decode(document["private_key"]) not in data, path
                assert document["private_key"].encode() not in data, path
        service.stop()
    service.start()
