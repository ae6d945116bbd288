"""Somebody who can reach the outer port floods it, as fast as one core can.

Who has a session does not notice, what waits to be worked off is bounded, and every datagram of the
flood is accounted for: dropped for the right reason, or by the kernel before it was read.
"""

import collections
import re
import subprocess

import pytest

from support import manytun, netns, servers, wait

COUNT = 30_000  # datagrams of one flood: more than any queue or buffer on the way holds
RATE = 100_000
MESSAGE = bytes(range(256)) * 8
QUEUE_MAX = 512  # WG_HANDSHAKE_QUEUE_MAX

DROPPED = re.compile(r'^manytun_worker_dropped_packets_total\{.*reason="(\w+)"\} (\d+)', re.M)
QUEUED = re.compile(r"^manytun_tunnel_queued_handshakes\{.*\} (\d+)", re.M)

# The floods: arguments of tests/flood, and what may become of such a datagram (enum wg_drop).
FLOODS = {
    "initiation": (["initiation"], {"cookie_needed", "handshake"}),
    "many sources": (["initiation", "--sources", "4096"], {"cookie_needed", "handshake"}),
    "bad mac1": (["bad-mac1"], {"bad_mac1"}),
    "unknown index": (["unknown-index"], {"unknown_index"}),
    "truncated": (["truncated"], {"malformed"}),
    "random": (["random"], {"malformed"}),
}


@pytest.fixture(name="attacker", scope="module")
def attacker_beside_us(scene):
    """A namespace that reaches our outer port, with a route back for the sources it makes up."""
    namespace = netns.Namespace()
    namespace.link = netns.Link(scene.ours, namespace, 200)
    scene.ours.run("ip", "route", "add", "10.200.0.0/16", "via", namespace.link.far4)
    namespace.run("ip", "route", "add", "blackhole", "10.200.0.0/16")
    yield namespace
    namespace.close()


def metrics(service):
    answer = service.request("GET", "/metrics", None, {"Authorization": f"Bearer {service.token}"})
    return answer.body.decode()


def drops(service):
    """{reason: packets} that the workers have refused."""
    found = collections.Counter()
    for reason, count in DROPPED.findall(metrics(service)):
        found[reason] += int(count)
    return found


def queued(service):
    """Handshake messages that wait to be worked off."""
    return int(QUEUED.search(metrics(service)).group(1))


def overflows(namespace):
    """Datagrams that found a full socket buffer in a namespace."""
    text = namespace.run("cat", "/proc/net/snmp").stdout
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    return int(dict(zip(names, values))["RcvbufErrors"])


def round_trip(connection):
    connection.sendall(MESSAGE)
    assert servers.read_exactly(connection, len(MESSAGE)) == MESSAGE


@pytest.mark.parametrize("arguments, reasons", FLOODS.values(), ids=FLOODS)
def test_flood(scene, service, tunnel, account, attacker, serve, far_host, arguments, reasons):
    """A connection goes on beside it, and nothing is left of it but counts."""
    echo = service.forward((far_host, serve(servers.echo).port))
    port = tunnel["status"]["bound"]["port"]
    with echo.connect() as connection:
        round_trip(connection)
        before, unread = drops(service), overflows(scene.ours)
        endpoint = scene.far[0].peer.endpoint(account.keys.public)
        kind, *more = arguments
        flood = attacker.start([manytun.FLOOD, kind, attacker.link.near4, port,
                                account.keys.public, "--rate", RATE, "--count", COUNT, *more],
                               stdout=subprocess.DEVNULL)
        while flood.poll() is None:
            round_trip(connection)
            assert queued(service) <= QUEUE_MAX
        assert flood.returncode == 0

        def accounted():
            refused = drops(service) - before
            assert set(refused) <= reasons
            return refused.total() + overflows(scene.ours) - unread == COUNT

        wait.until(accounted, "every datagram is accounted for")
        assert drops(service) - before, "none of them was read"
        wait.until(lambda: queued(service) == 0, "nothing waits")
        round_trip(connection)
        assert scene.far[0].peer.endpoint(account.keys.public) == endpoint
    peer = service.get("tunnels", "home")["status"]["peers"][0]
    assert peer["endpoint"] == f"{scene.far[0].link.far4}:{scene.far[0].peer.port}"
