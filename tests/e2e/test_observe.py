"""What the service tells of itself: /metrics, /v1/status and /v1/info, under real traffic."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from support import manytun, servers, wait

LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"([a-z_]+)(\{{{LABEL}(?:,{LABEL})*\}})? ([0-9.]+)")
FAMILY = re.compile(r"# HELP ([a-z_]+) \S.*\n# TYPE ([a-z_]+) (?:counter|gauge)\n")
PACKAGING = manytun.ROOT / "packaging"


def scrape(service):
    """The metrics as {family: {"{labels}": value}}; every line of them is understood."""
    answer = service.request("GET", "/metrics", None, {"Authorization": f"Bearer {service.token}"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = answer.body.decode()
    assert text.endswith("\n")
    families = {}
    while text:
        head = FAMILY.match(text)
        assert head is not None and head[1] == head[2], text[:200]
        assert head[1] not in families
        samples = families[head[1]] = {}
        text = text[head.end():]
        while text and not text.startswith("#"):
            line, _, text = text.partition("\n")
            sample = SAMPLE.fullmatch(line)
            assert sample is not None and sample[1] == head[1], line
            labels = sample[2] or ""
            assert labels not in samples
            samples[labels] = float(sample[3])
    return families


def status(service):
    code, answer = service.call("GET", "/v1/status")
    assert code == 200
    return answer


def test_traffic_shows(scene, service, tunnel, serve, far_host):
    """Bytes and connections are counted once, where they belong."""
    forward = service.forward((far_host, serve(servers.echo).port), name="web")
    idle = service.forward((far_host, 9), name="idle")
    payload = b"x" * 10000
    with forward.connect() as connection:
        connection.sendall(payload)
        assert servers.read_exactly(connection, len(payload)) == payload
        metrics = scrape(service)
        assert metrics["manytun_forward_connections_active"]['{forward="web"}'] == 1
        assert status(service)["connections_active"] == 1
    wait.until(lambda: forward.status()["connections_active"] == 0, "no connection is left")

    def outer():
        return scrape(service)["manytun_tunnel_bytes_total"].values()

    # A tunnel's counters are published with some delay.
    wait.until(lambda: all(value > len(payload) for value in outer()), "the tunnel's bytes show")
    metrics = scrape(service)
    for direction in ("in", "out"):
        for name, count in (("web", len(payload)), (idle.name, 0)):
            labels = f'{{forward="{name}",direction="{direction}"}}'
            assert metrics["manytun_forward_bytes_total"][labels] == count
    assert metrics["manytun_forward_connections_total"]['{forward="web"}'] == 1
    assert metrics["manytun_forward_ready"] == {'{forward="web"}': 1, '{forward="idle"}': 1}

    key = scene.far[0].peer.keys.public
    peer = f'{{interface="home",public_key="{key}",friendly_name="gw"}}'
    assert metrics["wireguard_sent_bytes_total"][peer] > len(payload)
    assert metrics["wireguard_received_bytes_total"][peer] > len(payload)
    started = metrics["process_start_time_seconds"][""]
    assert metrics["wireguard_latest_handshake_seconds"][peer] >= started - 1

    workers = {f'{{worker="{number}"}}' for number in range(len(service.workers()))}
    for name in ("resident_memory_bytes", "open_fds", "max_fds", "starts_total"):
        values = metrics[f"manytun_worker_{name}"]
        assert set(values) == workers and all(values.values())
    assert metrics["manytun_tunnel_handshake_fresh"] == {'{tunnel="home"}': 1}
    assert metrics["manytun_forward_target_reachable"] == {'{forward="web"}': 1}
    assert metrics["manytun_tunnel_staged_packets"] == {'{tunnel="home"}': 0}
    assert not any(metrics["manytun_worker_dropped_packets_total"].values())

    answer = status(service)
    assert answer["tunnels"] == {"total": 1, "ready": 1}
    assert answer["forwards"] == {"total": 2, "ready": 2, "disabled": 0}
    assert (answer["bytes_in_total"], answer["bytes_out_total"]) == (len(payload), len(payload))
    assert answer["connections_total"] == 1
    assert answer["problems"] == [] and answer["problems_total"] == 0
    assert tunnel["name"] == "home"


def test_no_handshake_no_time(service, account):
    """A peer that never answered has no time of a handshake, rather than 1970."""
    definition = account.tunnel("quiet")
    service.create("tunnels", definition)
    metrics = scrape(service)
    assert not metrics["wireguard_latest_handshake_seconds"]
    assert len(metrics["wireguard_sent_bytes_total"]) == 1


def test_failed_connections_show(scene, service, tunnel, far_host):
    """A dial that is refused is a failure of its forward."""
    with scene.far[0].namespace.listen() as unused:
        port = unused.getsockname()[1]
    forward = service.forward((far_host, port), tunnel=tunnel["name"], name="web")
    try:
        with forward.connect() as connection:
            connection.recv(1)
    except ConnectionResetError:
        pass
    failures = "manytun_forward_connect_failures_total"
    wait.until(lambda: scrape(service)[failures]['{forward="web"}'] == 1, "the failure is counted")
    assert status(service)["connect_failures_total"] == 1


def test_taken_port_is_a_problem(scene, service, tunnel, far_host):
    """A port that somebody took while the service was away is named, until it is free."""
    with scene.ours.listen("127.0.0.1") as free:
        port = free.getsockname()[1]
    forward = service.forward((far_host, 80), tunnel=tunnel["name"], name="web",
                              listen={"address": "127.0.0.1", "port": port})
    assert service.stop() == 0
    with scene.ours.listen(*forward.address):
        service.start()
        answer = status(service)
        assert answer["forwards"] == {"total": 1, "ready": 0, "disabled": 0}
        problem, = answer["problems"]
        assert (problem["kind"], problem["name"], problem["reason"]) \
            == ("forward", "web", "AddressInUse")
        assert problem["message"] and problem["since"]
        assert scrape(service)["manytun_forward_ready"] == {'{forward="web"}': 0}
    wait.until(lambda: status(service)["problems"] == [], "the problem is over", timeout=60)
    assert scrape(service)["manytun_forward_ready"] == {'{forward="web"}': 1}


def test_worker_is_up_again(service, tunnel):
    """It is up again when another process has taken its place."""
    before = service.workers()
    os.kill(before[0], signal.SIGKILL)

    def all_back():
        now = service.workers()
        return (before[0] not in now and len(now) == len(before)
                and all(scrape(service)["manytun_worker_up"].values()))

    wait.until(all_back, "all are back")
    assert status(service)["tunnels"] == {"total": 1, "ready": 1}
    assert tunnel["name"] == "home"


def test_info(service):
    def info():
        code, answer = service.call("GET", "/v1/info")
        assert code == 200
        return answer

    workers = len(service.workers())
    wait.until(lambda: info()["workers"] == {"count": workers, "alive": workers}, "all are alive")
    answer = info()
    assert answer["auth"] == "token"
    version, = scrape(service)["manytun_build_info"]
    assert version == f'{{version="{answer["version"]}"}}'


def test_packaged_names_exist(service):
    """Alerts and dashboard ask for nothing that is not served."""
    served = set(scrape(service))
    for path in ("prometheus/alerts.yml", "grafana/manytun.json"):
        text = pathlib.Path(PACKAGING, path).read_text()
        used = set(re.findall(r"\b(?:manytun|wireguard|process)_[a-z_]+", text))
        assert used and used <= served, used - served


def test_promtool(service, tunnel):  # pylint: disable=unused-argument
    """Prometheus' own tool finds nothing to say about the metrics, and the alert rules are right."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    service.forward(("10.9.0.1", 9), name="idle")
    answer = service.request("GET", "/metrics", None, {"Authorization": f"Bearer {service.token}"})
    told = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")
    told = subprocess.run(["promtool", "check", "rules", PACKAGING / "prometheus/alerts.yml"],
                          capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
