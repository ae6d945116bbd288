"""Conditions: what is wrong with a tunnel or a forward is said, and that it is over too."""

import json
import os
import resource
import signal

from support import servers, wait

# Three initiations without an answer, a second of the sweep, and a slow machine.
NO_ANSWER = 45


def conditions(service, kind, name):
    """{type: (status, reason)}, of which every one says since when."""
    items = service.get(kind, name)["status"]["conditions"]
    for item in items:
        assert item["last_transition_time"]
        assert item["message"] or item["status"] != "False"
    return {item["type"]: (item["status"], item["reason"]) for item in items}


def problems(service):
    """{(name, condition): reason}"""
    code, answer = service.call("GET", "/v1/status")
    assert code == 200
    return {(item["name"], item["condition"]): item["reason"] for item in answer["problems"]}


def becomes(service, kind, name, condition, expected, timeout=10):
    wait.until(lambda: conditions(service, kind, name)[condition] == expected,
               f"{name}: {condition} is {expected}", timeout=timeout)


def use(forward):
    """A connection, whatever becomes of it."""
    try:
        with forward.connect() as connection:
            connection.recv(1)
    except ConnectionResetError:
        pass


def test_idle_is_no_error(service, tunnel):
    """A tunnel that nobody uses is ready, and nothing is said of its peer."""
    assert conditions(service, "tunnels", tunnel["name"]) == {
        "Ready": ("True", "Bound"), "Bound": ("True", "Bound"),
        "WorkerAlive": ("True", "Running"), "EndpointResolved": ("True", "Resolved"),
        "HandshakeFresh": ("Unknown", "Idle")}
    assert not problems(service)


def test_peer_that_never_answers(service, account, far_host):
    """Handshakes that nobody answers make the tunnel and its forwards not ready."""
    definition = account.tunnel("dead")
    host = definition["peers"][0]["endpoint"].rpartition(":")[0]
    definition["peers"][0] |= {"endpoint": f"{host}:9", "keepalive_seconds": 25}
    service.create("tunnels", definition)
    forward = service.forward((far_host, 80), tunnel="dead", name="web")
    becomes(service, "tunnels", "dead", "HandshakeFresh", ("False", "NoAnswer"), NO_ANSWER)
    assert conditions(service, "tunnels", "dead")["Ready"] == ("False", "NoAnswer")
    becomes(service, "forwards", "web", "Ready", ("False", "TunnelNotReady"))
    assert problems(service) == {("dead", "HandshakeFresh"): "NoAnswer",
                                 ("web", "TunnelReady"): "TunnelNotReady"}
    message = service.get("tunnels", "dead")["status"]["conditions"][0]["message"]
    assert message.startswith("peer gw: ")
    peer, = service.get("tunnels", "dead")["status"]["peers"]
    assert peer["handshake"] == {"status": "False", "reason": "NoAnswer"}
    assert peer["handshakes_total"] == 0 and "last_handshake_at" not in peer
    assert peer["tx_bytes_total"] >= 3 * 148 and peer["rx_bytes_total"] == 0

    # The right endpoint: the peer answers, and all is well.
    definition["peers"][0]["endpoint"] = account.tunnel()["peers"][0]["endpoint"]
    code, answer = service.call("PUT", "/v1/tunnels/dead", definition)
    assert code == 200, answer
    becomes(service, "tunnels", "dead", "HandshakeFresh", ("True", "Fresh"), NO_ANSWER)
    becomes(service, "forwards", forward.name, "Ready", ("True", "Listening"))
    assert not problems(service)


def test_name_that_does_not_exist(service, account):
    """An endpoint that cannot be looked up is named."""
    definition = account.tunnel("lost")
    definition["peers"][0]["endpoint"] = "no-such-host.invalid:51820"
    service.create("tunnels", definition)
    def failed():
        status, reason = conditions(service, "tunnels", "lost")["EndpointResolved"]
        return reason if status == "False" else None  # which one depends on the host's network
    reason = wait.until(failed, "the lookup failed", timeout=60)
    assert conditions(service, "tunnels", "lost")["Ready"] == ("False", reason)
    assert problems(service) == {("lost", "EndpointResolved"): reason}


def test_endpoint_of_a_family_without_a_socket(scene, service, account):
    """A tunnel that is bound to an IPv4 address has an IPv6 endpoint: it says that this is wrong."""
    link = scene.far[0].link
    definition = account.tunnel("four") | {"listen_address": link.near4}
    definition["peers"][0]["endpoint"] = f"[{link.far6}]:{account.far.peer.port}"
    service.create("tunnels", definition)
    becomes(service, "tunnels", "four", "EndpointResolved", ("False", "FamilyNotAvailable"))
    assert conditions(service, "tunnels", "four")["Ready"] == ("False", "FamilyNotAvailable")
    peer, = service.get("tunnels", "four")["status"]["peers"]
    assert peer["endpoint_resolved"]["reason"] == "FamilyNotAvailable"
    assert peer["handshake"] == {"status": "Unknown", "reason": "EndpointUnknown"}


def test_target_that_refuses(scene, service, tunnel, serve, far_host):
    """What came of the last connection is told of the target, and the forward stays ready."""
    with scene.far[0].namespace.listen() as unused:
        port = unused.getsockname()[1]
    forward = service.forward((far_host, port), tunnel=tunnel["name"], name="web")
    assert conditions(service, "forwards", "web")["TargetReachable"] == ("Unknown", "NotTried")
    use(forward)
    becomes(service, "forwards", "web", "TargetReachable", ("False", "ConnectionRefused"))
    assert conditions(service, "forwards", "web")["Ready"] == ("True", "Listening")
    assert problems(service) == {("web", "TargetReachable"): "ConnectionRefused"}

    # Another target: nothing is known of it, until it is used.
    code, _ = service.call("PATCH", "/v1/forwards/web",
                           {"target": {"host": far_host, "port": serve(servers.echo).port}})
    assert code == 200
    assert conditions(service, "forwards", "web")["TargetReachable"] == ("Unknown", "NotTried")
    with forward.connect() as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    becomes(service, "forwards", "web", "TargetReachable", ("True", "Connected"))
    assert not problems(service)


def test_target_that_belongs_to_no_peer(service, tunnel):
    """A connection fails at once, not after connect_timeout_seconds, and why is told."""
    forward = service.forward(("192.0.2.7", 80), tunnel=tunnel["name"], name="web")
    use(forward)
    becomes(service, "forwards", "web", "TargetReachable", ("False", "NoRoute"), timeout=5)
    message = service.get("forwards", "web")["status"]["conditions"][-1]["message"]
    assert message.startswith("no peer's allowed IPs contain the target")


def test_worker_without_descriptors(service, tunnel, serve, far_host):
    """What its worker has no descriptors left for is not ready, and comes when there are some."""
    worker = service.workers()[service.get("tunnels", tunnel["name"])["status"]["worker"]]
    limit = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, limit[1]))
    forward = service.forward((far_host, serve(servers.echo).port), tunnel=tunnel["name"],
                              name="web")
    becomes(service, "forwards", "web", "Ready", ("False", "WorkerExhausted"))
    assert problems(service) == {("web", "Listening"): "WorkerExhausted"}
    message = service.get("forwards", "web")["status"]["conditions"][0]["message"]
    assert "LimitNOFILE" in message
    with forward.connect() as connection:  # it waits in the backlog
        connection.sendall(b"x")
        resource.prlimit(worker, resource.RLIMIT_NOFILE, limit)
        assert connection.recv(1) == b"x"
    becomes(service, "forwards", "web", "Ready", ("True", "Listening"))
    assert not problems(service)
    assert worker in service.workers()


def test_peers_are_told_apart(scene, service, account):
    """Two peers of one tunnel have counters, an endpoint and a handshake each."""
    definition = account.tunnel("two")
    other = scene.far[1]
    other.peer.allow(account.keys.public, [f"{account.v4}/32"])
    try:
        definition["peers"][0] |= {"allowed_ips": ["10.9.0.1/32"], "keepalive_seconds": 1}
        definition["peers"].append({
            "name": "other", "public_key": other.peer.keys.public, "keepalive_seconds": 1,
            "endpoint": f"{other.link.far4}:{other.peer.port}", "allowed_ips": ["10.9.1.0/24"]})
        definition["peers"].append({
            "name": "idle", "public_key": account.keys.public[:3] + "A" * 40 + "=",
            "allowed_ips": ["10.9.2.0/24"]})
        service.create("tunnels", definition)

        def peers():
            return {peer["name"]: peer for peer in service.get("tunnels", "two")["status"]["peers"]}

        fresh = {"status": "True", "reason": "Fresh"}
        wait.until(lambda: [peers()[name]["handshake"] for name in ("gw", "other")] == [fresh] * 2,
                   "both have answered")
        wait.until(lambda: peers()["other"]["tx_bytes_total"] > 148 + 32, "keepalives are counted")
        seen = peers()
        assert seen["idle"]["handshake"] == {"status": "Unknown", "reason": "WaitingForPeer"}
        assert "endpoint_resolved" not in seen["idle"]
        assert seen["gw"]["endpoint_resolved"] == {"status": "True", "reason": "Resolved",
                                                   "message": ""}
        assert seen["idle"]["tx_bytes_total"] == 0 and "endpoint" not in seen["idle"]
        assert seen["other"]["endpoint"] == f"{other.link.far4}:{other.peer.port}"
        for name in ("gw", "other"):
            assert seen[name]["handshakes_total"] >= 1 and seen[name]["last_handshake_at"]
            assert seen[name]["rx_bytes_total"] >= 92
        assert conditions(service, "tunnels", "two")["HandshakeFresh"] == ("True", "Fresh")

        # One goes: what is counted for the other goes on.
        before = seen["other"]["tx_bytes_total"]
        del definition["peers"][0]
        code, answer = service.call("PUT", "/v1/tunnels/two", definition)
        assert code == 200, answer
        wait.until(lambda: peers()["other"]["tx_bytes_total"] > before, "it goes on")
        assert set(peers()) == {"other", "idle"}
        assert peers()["other"]["handshakes_total"] == seen["other"]["handshakes_total"]
    finally:
        other.peer.forget(account.keys.public)


def test_killed_worker(service, tunnel):
    """How a worker ended is an event, and so is what that means for its tunnel, and the end of it."""
    tunnel_worker = service.get("tunnels", tunnel["name"])["status"]["worker"]
    victim = service.workers()[tunnel_worker]
    os.kill(victim, signal.SIGKILL)

    def told():
        code, page = service.call("GET", "/v1/events?limit=1000")
        assert code == 200
        return [(item["type"], item["name"], item["reason"], item["message"])
                for item in page["items"] if item["kind"] != "service" and "message" in item]

    wait.until(lambda: any(item[:3] == ("tunnel.condition", "home", "Running") for item in told()),
               "the tunnel is carried again")
    story = [item[:3] for item in told()]
    name = str(tunnel_worker)
    down = story.index(("worker.died", name, "Killed"))
    assert ("tunnel.condition", "home", "WorkerDown") in story[down:]
    up = story.index(("worker.started", name, "Running"), down)
    assert story.index(("tunnel.condition", "home", "Bound"), up)
    message = told()[down][3]
    assert f"process {victim} ended by signal 9" in message and "started again" in message
    wait.until(lambda: conditions(service, "tunnels", "home")["Ready"] == ("True", "Bound"), "ready")


def test_ready_when_required(make_service, account):
    """Who asks for it is told to wait for a tunnel, and for which one."""
    service = make_service("--ready-when", "required")

    def ready():
        answer = service.request("GET", "/readyz?verbose", unix=True)
        checks = {check["name"]: check for check in json.loads(answer.body)["checks"]}
        return answer.status, checks.get("tunnels")

    definition = account.tunnel("needed") | {"required": True}
    peer = definition["peers"][0] | {"keepalive_seconds": 25}
    host = peer["endpoint"].rpartition(":")[0]
    definition["peers"] = [peer | {"endpoint": f"{host}:9"}]
    service.create("tunnels", account.tunnel("other"))
    assert ready() == (200, None)
    service.create("tunnels", definition)
    code, check = ready()
    assert (code, check["ok"]) == (503, False) and '"needed" is not' in check["detail"]
    definition["peers"] = [peer]
    code, answer = service.call("PUT", "/v1/tunnels/needed", definition)
    assert code == 200 and answer["required"] is True
    wait.until(lambda: ready()[0] == 200, "the tunnel is up", timeout=NO_ANSWER)
    assert ready()[1]["ok"] is True
