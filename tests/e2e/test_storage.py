"""A disk that is full, a database that may not be written, is held, or is damaged.

The disk is a small tmpfs of the test's own. Whatever is wrong with it: a clear answer, nothing lost
of what was acknowledged, and traffic and reads go on.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import pathlib
import random
import subprocess

import pytest

from support import files, servers

DISK = "/run/disk"
DISK_SIZE = 2 << 20
PAGE = 4096
# Runs in the namespace: SQLite resolves links, and what /proc/PID/root means only the kernel knows.
SQL = """
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
print(json.dumps(database.execute(sys.argv[2]).fetchall()), flush=True)
sys.stdin.read()
"""


class Disk:
    """A small file system in a namespace, which we reach through /proc."""

    def __init__(self, namespace):
        self._namespace = namespace
        self.data = pathlib.Path(f"/proc/{namespace.pid}/root{DISK}/data")
        self._ballast = self.data.parent / "ballast"
        namespace.run("mkdir", "-p", DISK)
        namespace.run("mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", DISK)

    def close(self):
        self._namespace.run("umount", "--lazy", DISK)

    def fill(self):
        """Leaves no byte."""
        with open(self._ballast, "ab", buffering=0) as ballast:
            while True:
                try:
                    ballast.write(bytes(PAGE))
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    return

    def free(self):
        self._ballast.unlink()

    def _sql(self, statement):
        return ["python3", "-c", SQL, f"{DISK}/data/manytun.db", statement]

    def sql(self, statement):
        """The rows of a statement that another program runs on the database."""
        return json.loads(self._namespace.run(*self._sql(statement), input="").stdout)

    @contextlib.contextmanager
    def held(self):
        """Another program holds the database for writing meanwhile."""
        with self._namespace.start(self._sql("BEGIN IMMEDIATE"), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE) as other:
            assert other.stdout.readline() == b"[]\n"
            yield

    def set_read_only(self, read_only):
        """Nothing may have a file open for writing meanwhile."""
        self._namespace.run("mount", "-o", f"remount,{'ro' if read_only else 'rw'}", DISK)


@pytest.fixture(name="disk")
def small_disk(scene):
    disk = Disk(scene.ours)
    yield disk
    disk.close()


@pytest.fixture(name="service")
def service_on_it(disk, make_service):
    return make_service(data=disk.data)


def definition(name, **more):
    """A forward to nowhere."""
    return {"name": name, "tunnel": "home", "listen": {"address": "127.0.0.1", "port": 0},
            "target": {"host": "10.9.0.1", "port": 9}, **more}


def names(service):
    with service.client() as client:
        return set(client.list("forwards"))


def create_until_refused(service, prefix):
    """The names of the forwards that were acknowledged until one was not, and that one's name."""
    made = set()
    with service.client() as client:
        for number in itertools.count():
            name = f"{prefix}{number}"
            answer = client.call("POST", "/v1/forwards", definition(name))
            if answer.status != 201:
                return made, name, answer
            made.add(name)


def check_refusal(answer):
    """A problem that says what is wrong in words."""
    assert answer.status == 507, answer
    assert answer.body["type"] == "/problems/storage"
    assert "database" in answer.body["detail"]


def restart_fails(service):
    """What a start writes that ends with exit code 1."""
    before = len(service.log)
    service.launch()
    assert service.wait() == 1
    return service.log[before:]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("tunnel")
def test_full_disk(scene, disk, service, nginx, far_host, tmp_path):
    """A write is refused, and as it was; reads and traffic go on; with space all is well again."""
    web = service.forward((far_host, 80), name="web")
    service.create("forwards", definition("spare"))
    with files.Download(scene.ours, web.url("/large"), tmp_path / "got", "--limit-rate",
                        files.LARGE // 4) as download:
        disk.fill()
        made, refused, answer = create_until_refused(service, "a")
        check_refusal(answer)
        before = service.get("forwards", "web")
        status, _ = service.call("PATCH", "/v1/forwards/web", {"target": {"port": 81}})
        assert status == 507
        status, _ = service.call("DELETE", "/v1/forwards/spare")
        assert status in (204, 507)
        kept = {"web"} | made | ({"spare"} if status == 507 else set())
        assert names(service) == kept
        assert service.get("forwards", "web")["generation"] == before["generation"]
        assert service.request("GET", "/metrics", unix=True).status == 200
        assert download.running
        disk.free()
        service.create("forwards", definition(refused))
        assert download.sha256() == nginx.large.sha256
    service.kill()
    service.start()
    assert names(service) == kept | {refused}


def test_full_disk_and_killed(disk, service, tunnel):
    """It may need space to start; what was acknowledged is there once it has some."""
    disk.fill()
    made, _, answer = create_until_refused(service, "a")
    check_refusal(answer)
    service.kill()
    service.launch()
    code = service.wait_until_ready_or_ended()
    if code is not None:
        assert code == 1
        assert "disk" in service.log.splitlines()[-1]
    else:
        service.kill()
    disk.free()
    service.start()
    assert names(service) == made
    assert service.get("tunnels", "home")["generation"] == tunnel["generation"]


def test_read_only_disk(disk, service, tunnel):
    """It does not start, says why, and starts when it may write."""
    assert service.stop() == 0
    disk.set_read_only(True)
    assert "Read-only file system" in restart_fails(service)
    disk.set_read_only(False)
    service.start()
    assert service.get("tunnels", "home")["generation"] == tunnel["generation"]


def test_held_database(disk, service, tunnel):
    """Another program holds the database: reads are answered, a write is refused soon."""
    with disk.held():
        status, problem = service.call("POST", "/v1/forwards", definition("a"))
        assert (status, problem["type"]) == (507, "/problems/storage")
        assert "locked" in problem["detail"]
        assert service.get("tunnels", "home")["generation"] == tunnel["generation"]
        assert names(service) == set()
    service.create("forwards", definition("a"))


def damage(path, first, count=PAGE, chance=random):
    """Overwrites bytes in the middle of a file."""
    with open(path, "r+b") as file:
        file.seek(first)
        file.write(chance.randbytes(count))


@pytest.mark.parametrize("table", ["sqlite_master", "tunnels", "forwards"])
def test_corrupt_page_at_start(disk, service, tunnel, table):
    """It says so, ends, and leaves the file as it is for whoever can repair it."""
    for number in range(30):
        service.create("forwards", definition(f"a{number}"))
    assert service.stop() == 0
    database = disk.data / "manytun.db"
    root = 1
    if table != "sqlite_master":
        [[root]] = disk.sql(f"SELECT rootpage FROM sqlite_master WHERE name = '{table}'")
    # The header of the file is a hundred bytes in the first page.
    damage(database, (root - 1) * PAGE + (100 if root == 1 else 0), PAGE - 100)
    before = digest(database)
    message = restart_fails(service)
    assert "manytun.db: database disk image is malformed" in message
    assert "restore a backup" in message
    assert digest(database) == before
    assert tunnel


def test_not_a_database(disk, service, tunnel):
    assert service.stop() == 0
    database = disk.data / "manytun.db"
    saved = database.read_bytes()
    database.write_bytes(os.urandom(len(saved)))
    before = digest(database)
    assert "not a database" in restart_fails(service)
    assert digest(database) == before
    database.write_bytes(saved)
    service.start()
    assert service.get("tunnels", "home")["generation"] == tunnel["generation"]


def test_corrupt_while_running(scene, disk, service, tunnel, serve, far_host):
    """Reads and traffic go on, whatever becomes of writes; the next start says what is wrong."""
    forward = service.forward((far_host, serve(servers.echo).port), name="echo")
    database = disk.data / "manytun.db"
    assert disk.sql("PRAGMA wal_checkpoint(TRUNCATE)") == [[0, 0, 0]]
    damage(database, PAGE, database.stat().st_size - PAGE)
    status, problem = service.call("POST", "/v1/forwards", definition("a"))
    assert status in (201, 507), problem
    assert service.get("tunnels", "home")["generation"] == tunnel["generation"]
    with forward.connect() as connection:
        connection.sendall(b"hello")
        assert servers.read_exactly(connection, 5) == b"hello"
    service.kill()
    assert "malformed" in restart_fails(service)
    assert scene


@pytest.mark.usefixtures("tunnel")
def test_truncated_log(disk, service):
    """A log that lost its end gives a state that once was: a prefix of the history."""
    count = 40
    for number in range(count):
        service.create("forwards", definition(f"a{number:02}"))
    service.kill()
    log = disk.data / "manytun.db-wal"
    assert log.stat().st_size > count * PAGE
    with open(log, "r+b") as file:
        file.truncate(log.stat().st_size * 2 // 3 + 123)
    service.start()
    found = names(service)
    assert found == {f"a{number:02}" for number in range(len(found))}
    assert 0 < len(found) < count
    service.create("forwards", definition("after"))


def test_unreadable_row_is_left_out(disk, service, tunnel):
    """One damaged definition costs one object, is named in the log, and stays in the file."""
    for name in ("good", "bad"):
        service.create("forwards", definition(name))
    assert service.stop() == 0
    disk.sql("UPDATE forwards SET definition = replace(definition, '127.0.0.1', '127.0.0.x')"
             " WHERE name = 'bad'")
    service.start()
    assert names(service) == {"good"}
    assert '"bad" is left out: it cannot be read' in service.log
    status, problem = service.call("POST", "/v1/forwards", definition("bad"))
    assert (status, problem["type"]) == (409, "/problems/name_taken")
    assert service.get("tunnels", "home")["generation"] == tunnel["generation"]


def unreadable(service):
    """The objects that are problems because their definition cannot be read, with the reason."""
    status, body = service.call("GET", "/v1/status")
    assert status == 200
    return {(problem["kind"], problem["name"]): problem["reason"]
            for problem in body["problems"] if problem["condition"] == "Readable"}


def test_unreadable_row_is_seen_and_can_go(disk, service, account, tunnel):
    """/v1/status names it; DELETE removes it, PUT replaces it, and what waited for it returns."""
    for name in ("good", "bad", "ugly"):
        service.create("forwards", definition(name))
    assert service.stop() == 0
    disk.sql("UPDATE forwards SET definition = x'00' WHERE name IN ('bad', 'ugly')")
    service.start()
    assert unreadable(service) == {("forward", "bad"): "Unreadable",
                                   ("forward", "ugly"): "Unreadable"}
    status, problem = service.call("GET", "/v1/forwards/bad")
    assert (status, problem["type"]) == (404, "/problems/not_found")
    assert "cannot be read" in problem["detail"]
    assert service.call("DELETE", "/v1/forwards/bad")[0] == 204
    assert service.call("PUT", "/v1/forwards/ugly", definition("ugly"))[0] == 201
    assert unreadable(service) == {}
    assert names(service) == {"good", "ugly"}
    assert service.stop() == 0
    disk.sql("DELETE FROM tunnel_secrets")
    service.start()
    assert unreadable(service) == {("tunnel", "home"): "Unreadable",
                                   ("forward", "good"): "TunnelUnreadable",
                                   ("forward", "ugly"): "TunnelUnreadable"}
    status, problem = service.call("DELETE", "/v1/tunnels/home")
    assert (status, problem["type"]) == (409, "/problems/in_use")
    status, replaced = service.call("PUT", "/v1/tunnels/home", account.tunnel())
    assert status == 201
    assert replaced["generation"] > tunnel["generation"]
    assert unreadable(service) == {}
    assert names(service) == {"good", "ugly"}
