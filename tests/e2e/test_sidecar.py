"""The sidecar of packaging/kubernetes: as there, an unprivileged user on a read-only root."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess

import pytest
import yaml

from support import manytun, servers, wait

MANIFEST = manytun.ROOT / "packaging" / "kubernetes" / "sidecar.yaml"
USER = 65534  # the manifest's

# $1 is a folder of ours with what the volumes hold. What is mounted here is seen by nobody else.
POD = """
set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
cp -r "$1"/. /mnt
mkdir -m 2777 /mnt/data
mount -t tmpfs -o mode=2777,gid=65534 tmpfs /mnt/data
chown 0:65534 /mnt/keys/*
chmod 440 /mnt/keys/*
mount -o remount,bind,ro /
mount -o remount,ro /mnt
shift
exec setpriv --reuid 65534 --regid 65534 --groups 65534 --no-new-privs \
    --bounding-set=-all --inh-caps=-all -- "$@"
"""


@pytest.fixture(name="manifest")
def documents():
    return {document["kind"]: document
            for document in yaml.safe_load_all(MANIFEST.read_text())}


@pytest.fixture(name="container")
def sidecar(manifest):
    container, = manifest["Pod"]["spec"]["initContainers"]
    return container


@pytest.fixture(name="volumes")
def contents(manifest, account, serve, far_host, tmp_path):
    """A folder that holds the program, /config and /keys, with what only this scene knows."""
    folder = tmp_path / "volumes"
    document = json.loads(manifest["ConfigMap"]["data"]["manytun.json"])
    tunnel, = document["tunnels"]
    given = account.tunnel()["peers"][0]
    tunnel["addresses"] = [f"{account.v4}/32"]
    tunnel["private_key_file"] = "/mnt" + tunnel["private_key_file"]
    tunnel["peers"][0] |= {key: given[key] for key in ("public_key", "endpoint", "allowed_ips")}
    document["forwards"][0]["target"] = {"host": far_host, "port": serve(servers.echo).port}
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "manytun.json").write_text(json.dumps(document))
    (folder / "keys").mkdir()
    assert list(manifest["Secret"]["stringData"]) == ["home.key"]
    (folder / "keys" / "home.key").write_text(account.keys.private)
    shutil.copy(manytun.BINARY, folder / "manytun")
    return folder


@pytest.fixture(name="pod")
def started(scene, container, volumes, tmp_path):
    """The container's command line; (process, its log)."""
    arguments = [f"/mnt{word}" if word.startswith("/") else word for word in container["args"]]
    log = tmp_path / "pod.log"
    with open(log, "wb") as file:
        process = scene.ours.start(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", POD, "sh", volumes,
             "/mnt/manytun", *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            env={"PATH": os.environ["PATH"]})
    yield process, log
    process.kill()
    process.wait()


def probe(scene, container, name):
    """The status that a kubelet would see, or None."""
    want = container[name]["httpGet"]
    connection = manytun.NamespaceConnection(scene.ours, ("127.0.0.1", want["port"]))
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", want["path"])
        return connection.getresponse().status
    return None


def test_life_of_a_sidecar(scene, manifest, container, pod):
    process, log = pod
    wait.until(lambda: process.poll() is not None or probe(scene, container, "startupProbe") == 200,
               "the startup probe succeeds", timeout=60)
    assert process.poll() is None, log.read_text()
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert set(status["Uid"].split()) == {str(USER)}
    assert all(int(status[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"))

    # Ready means that the forward works; and when it is told to end, what is open goes on.
    with scene.ours.connect(("127.0.0.1", 5432)) as connection:
        connection.sendall(b"before")
        assert servers.read_exactly(connection, 6) == b"before"
        process.send_signal(signal.SIGTERM)
        wait.until(lambda: probe(scene, container, "readinessProbe") == 503, "it is not ready")
        assert probe(scene, container, "livenessProbe") == 200
        connection.sendall(b"after")
        assert servers.read_exactly(connection, 5) == b"after"
    assert process.wait(timeout=20) == 0, log.read_text()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert not [line for line in lines if line["level"] in ("warn", "error")], lines

    arguments = container["args"]
    assert int(arguments[arguments.index("--drain-seconds") + 1]) \
        < manifest["Pod"]["spec"]["terminationGracePeriodSeconds"]


def test_what_the_manifest_asks_for(manifest, container):
    """It is what the other test does, and its volumes are there."""
    security = container["securityContext"]
    assert security["runAsUser"] == security["runAsGroup"] == USER
    assert manifest["Pod"]["spec"]["securityContext"]["fsGroup"] == USER
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    mounted = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
    assert mounted == {"data": "/data", "config": "/config", "keys": "/keys"}
    assert {item["name"] for item in manifest["Pod"]["spec"]["volumes"]} == set(mounted)
