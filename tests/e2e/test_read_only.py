"""A database that the kernel lets nobody write to any more, while the service has it open.

A file system cannot be made read-only while files are open for writing. The immutable flag of the
files themselves can be set, and where the file system heeds it also for open files (ext4), every
write fails.
"""

import contextlib
import pathlib
import subprocess

import pytest
from support import servers


def definition(name):
    """A forward to nowhere."""
    return {"name": name, "tunnel": "home", "listen": {"address": "127.0.0.1", "port": 0},
            "target": {"host": "10.9.0.1", "port": 9}}


@contextlib.contextmanager
def immutable(*paths):
    # Not the shared memory beside the log, which is mapped: touching it would be a SIGBUS.
    subprocess.run(["chattr", "+i", *paths], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *paths], check=True)


def heeds_the_flag(directory):
    """Whether this file system refuses writes to an immutable file that is open already."""
    path = directory / "probe"
    with open(path, "wb", buffering=0) as probe:
        try:
            with immutable(path):
                probe.write(b"x")
        except subprocess.CalledProcessError:
            return False
        except PermissionError:
            return True
    return False


def test_database_becomes_read_only(service, tunnel, serve, far_host, tmp_path):
    """Writes are refused, reads and traffic go on; and all is well when it can be written again."""
    if not heeds_the_flag(tmp_path):
        pytest.skip("the file system has no immutable flag that open files heed")
    forward = service.forward((far_host, serve(servers.echo).port), name="echo")
    database = pathlib.Path(service.data) / "manytun.db"
    with immutable(database, f"{database}-wal"):
        for method, path, body in (("POST", "/v1/forwards", definition("a")),
                                   ("PATCH", "/v1/forwards/echo", {"enabled": False}),
                                   ("DELETE", "/v1/tunnels/home?cascade=true", None)):
            status, problem = service.call(method, path, body)
            assert (status, problem["type"]) == (507, "/problems/storage"), (method, problem)
            assert "database" in problem["detail"]
        assert service.get("tunnels", "home")["generation"] == tunnel["generation"]
        assert service.get("forwards", "echo")["enabled"] is True
        with forward.connect() as connection:
            connection.sendall(b"hello")
            assert servers.read_exactly(connection, 5) == b"hello"
    service.create("forwards", definition("a"))
    service.kill()
    service.start()
    with service.client() as client:
        assert set(client.list("forwards")) == {"a", "echo"}
